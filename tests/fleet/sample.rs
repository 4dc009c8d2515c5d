//! A node with a pod that sends packets without a pause, each the first of a flow, to the world behind the node.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use super::layout::Rules;
use super::oracle::{History, Moment, Tally, Verdict};
use super::policy::{PROBED, Policy};
use super::support::generation::{commits_are_over, generation};
use super::support::topology::Topology;
use super::traffic::{Clock, Traffic};

/// Between two rounds of packets, one to each destination. The two hundred agents are to have the machine.
const PAUSE: Duration = Duration::from_millis(10);
/// How many packets are shown.
const SHOWN: usize = 10;

/// A pod, its node, the world, and what is known of the packets.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) topology: Topology,
    traffic: Traffic,
    books: RefCell<Books>,
}

#[derive(Debug)]
struct Books {
    history: History,
    tally: Tally,
    /// When rules of ours were seen first. What comes before is nobody's.
    begun: Option<Moment>,
    /// The rules that shall be seen next, if something has changed since they were seen last.
    expected: Option<Rules>,
}

impl Sample {
    /// `None` as for [`Topology::new`].
    pub(crate) fn new(clock: Clock) -> Option<Self> {
        let books = Books { history: History::new(), tally: Tally::new(), begun: None, expected: None };
        Some(Self { topology: Topology::new()?, traffic: Traffic::new(clock, PAUSE), books: RefCell::new(books) })
    }

    /// Keeps the packets of all samples coming while `work` is done.
    pub(crate) fn during_all(samples: &[Self], work: Box<dyn FnOnce() + '_>) {
        match samples.split_first() {
            None => work(),
            Some((first, others)) => {
                first.traffic.during(&first.topology, || Self::during_all(others, work));
            }
        }
    }

    /// From now on a policy may come into force, whose rules these are.
    pub(crate) fn may_come(&self, policy: &Policy, rules: Rules) {
        let books = &mut *self.books.borrow_mut();
        books.history.may_come(policy.exempt, self.traffic.clock().now());
        books.expected = Some(rules);
    }

    /// From now on somebody else may change our rules; these are to come back.
    pub(crate) fn may_be_damaged(&self, rules: Rules) {
        let books = &mut *self.books.borrow_mut();
        books.history.may_be_damaged(self.traffic.clock().now());
        books.expected.get_or_insert(rules);
    }

    /// Whether nothing is expected any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.books.borrow().expected.is_none()
    }

    /// Looks whether the rules are in the kernel that are expected. Nobody may be changing them meanwhile but the agent.
    pub(crate) fn look(&self, list: impl FnOnce() -> Option<Rules>) {
        let books = &mut *self.books.borrow_mut();
        if books.expected.is_none() {
            return;
        }
        let before = generation(&self.topology.node);
        commits_are_over(&self.topology.node);
        let at = self.traffic.clock().now();
        if list() == books.expected && generation(&self.topology.node) == before {
            books.history.stands(at);
            books.begun.get_or_insert(at);
            books.expected = None;
        }
    }

    /// Judges what has arrived since the last time. Says which packets met rules that nobody wanted.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let books = &mut *self.books.borrow_mut();
        let mut wrong = Vec::new();
        let arrived = self.traffic.take();
        let Some(begun) = books.begun else { return Ok(()) };
        for packet in arrived.into_iter().filter(|packet| packet.sent >= begun) {
            let verdict = books.history.judge(&packet);
            if verdict == Verdict::Wrong {
                wrong.push(packet);
            }
            books.tally.count(&packet, verdict);
        }
        let Some(first) = wrong.first() else { return Ok(()) };
        let mut text = format!("{} packets met a third answer:\n", wrong.len());
        for packet in wrong.iter().take(SHOWN) {
            let (sent, arrived) = (packet.sent, packet.arrived);
            let to = PROBED[usize::from(packet.to)].0;
            let _ = writeln!(text, "  {to}: {:?}, sent {sent:?}, arrived {arrived:?}", packet.answer);
        }
        let reigned: Vec<String> = books.history.reigned(first).map(|exempt| format!("{exempt:#012b}")).collect();
        let _ = writeln!(
            text,
            "exempt by the policies that the first may have met, the first destination last: {reigned:?}"
        );
        Err(text)
    }

    /// The packets so far, and how long the rules were damaged each time.
    pub(crate) fn figures(&self) -> (Tally, Vec<Duration>) {
        let books = self.books.borrow();
        (books.tally, books.history.damages().collect())
    }
}
