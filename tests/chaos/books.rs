//! What has happened when, and what happened to the packets in the meantime.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::oracle::{History, Moment, Packet, Tally, Verdict};
use super::policy::PROBED;
use super::traffic::Clock;

/// How many of the latest events, and of the packets that are wrong, are shown.
const SHOWN: usize = 30;

/// The books of a run.
#[derive(Debug)]
pub(crate) struct Books {
    clock: Clock,
    pub(crate) history: History,
    pub(crate) tally: Tally,
    told: Vec<(Moment, String)>,
    counts: BTreeMap<&'static str, u64>,
}

impl Books {
    pub(crate) const fn new(clock: Clock) -> Self {
        let history = History::new();
        Self { clock, history, tally: Tally::new(), told: Vec::new(), counts: BTreeMap::new() }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Counts an event.
    pub(crate) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Writes down what happens now.
    pub(crate) fn tell(&mut self, text: impl Into<String>) {
        self.told.push((self.now(), text.into()));
    }

    /// What has happened last.
    pub(crate) fn story(&self) -> String {
        let mut text = format!("what has happened last ({:?}):\n", self.now());
        for (at, event) in self.told.iter().skip(self.told.len().saturating_sub(SHOWN)) {
            let _ = writeln!(text, "  {at:?} {event}");
        }
        text
    }

    /// Judges packets, each of which has arrived after all that is in the books, or while it was done. Fails if one is wrong.
    pub(crate) fn judge(&mut self, packets: &[Packet]) {
        let mut wrong = Vec::new();
        for packet in packets {
            let verdict = self.history.judge(packet);
            if verdict == Verdict::Wrong {
                wrong.push(packet);
            }
            self.tally.count(packet, verdict);
        }
        let Some(first) = wrong.first() else { return };
        let mut text = String::new();
        for Packet { to, number, sent, arrived, answer } in wrong.iter().take(SHOWN) {
            let address = PROBED[usize::from(*to)].0;
            let _ = writeln!(text, "  {address}: {answer:?}; packet {number}, sent {sent:?}, arrived {arrived:?}");
        }
        let reigned: Vec<String> = self.history.reigned(first).map(|exempt| format!("{exempt:#012b}")).collect();
        panic!(
            "{} packets met an answer that no policy gives that may have been in force:\n{text}exempt by those that \
             the first may have met (the last bit is that of the first destination): {reigned:?}\n{}",
            wrong.len(),
            self.story()
        );
    }

    /// The figures.
    pub(crate) fn report(&self, sent: u64) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let damages: Vec<Duration> = self.history.damages().collect();
        let Tally { settled, agreed, either_or, damaged_right, damaged_wrong, wrong, .. } = self.tally;
        format!(
            "  events: {}\n  packets: {sent} sent, {} arrived: {settled} under one policy, {agreed} while policies \
             changed that agree about them, {either_or} that differ, {wrong} of all these wrong; while the rules were \
             damaged {damaged_right} right and {damaged_wrong} not\n  {} times damaged, the longest for {:?}, {:?} together\n",
            counts.join(", "),
            self.tally.arrived(),
            damages.len(),
            damages.iter().max().unwrap_or(&Duration::ZERO),
            damages.iter().sum::<Duration>(),
        )
    }
}
