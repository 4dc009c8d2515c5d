//! Waits until all has come to rest, and checks what is left then.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Driver, pause_for};
use crate::event::{FileChange, How};
use crate::layout::Rules;
use crate::oracle::Moment;
use crate::policy::Policy;
use crate::support::DEADLINE;
use crate::support::generation::{commits_are_over, generation};
use crate::support::netns::AGENT;
use crate::surroundings::resident_kib;

/// The agent says this of its file at its start, whatever the file is.
const KNOWS_ITS_FILE: &str = " in force: ";
const CHANGED: &str = "were changed and read back";
const REPAIRED: &str = "somebody changed our rules, and they were repaired";

/// A debug build with 20,000 ranges was seen to take 11 MiB.
const MOST_MEMORY_KIB: u64 = 32 * 1024;

impl Driver<'_> {
    /// Waits until the rules are those of the target, and has the packets that came before judged.
    pub(super) fn settle(&mut self) {
        let at = self.wait_for_the_rules();
        self.books.history.stands(at);
        self.books.tell(format!("all is at rest, since {at:?}"));
        self.books.judge(&self.traffic.take());
        self.is_fresh = false;
        self.storms.retain_mut(|storm| matches!(storm.try_wait(), Ok(None)));
        let agent = self.agent.as_ref().expect("it was just seen at work");
        self.is_degraded &= !self.file.is_good;
        self.is_guarded |= self.file.is_good && agent.log().contains(CHANGED);
        let memory = resident_kib(agent);
        let [first, most] = self.memory;
        self.memory = [if first == 0 { memory } else { first }, most.max(memory)];
        assert!(memory < MOST_MEMORY_KIB, "the agent holds {memory} KiB: {}", self.books.story());
    }

    /// The moment in which they were seen whole.
    fn wait_for_the_rules(&mut self) -> Moment {
        let give_up = Instant::now() + DEADLINE;
        let node = &self.topology.node;
        let mut looked = None;
        loop {
            let agent = self.agent.as_mut().expect("the script waits for a running agent only");
            if !agent.lives() {
                let log = agent.log();
                panic!("the agent has ended by itself: {}\n{log}", self.books.story());
            }
            let now = generation(node);
            let knows = !self.is_fresh || agent.log().contains(KNOWS_ITS_FILE);
            if knows && looked.as_ref().is_none_or(|(looked, _)| *looked != now) {
                // What is listed afterwards has been there since before this moment, if there was no commit in the
                // meantime.
                commits_are_over(node);
                let at = self.books.now();
                let rules = Rules::of(node, self.layout);
                if generation(node) == now {
                    if rules.as_ref() == Some(&self.expected) && self.is_saved() {
                        return at;
                    }
                    looked = rules.filter(|rules| *rules != self.expected).map(|rules| (now, rules));
                }
            }
            assert!(
                Instant::now() < give_up,
                "the rules are not those of {} after {DEADLINE:?}.\n--- expected\n{:#?}\n--- there\n{looked:#?}\n{}",
                self.target.what,
                self.expected,
                self.books.story()
            );
            self.surroundings.go_on();
            pause_for(Duration::from_micros(500));
        }
    }

    /// Brings all back to life, gives the agent a last policy, and looks at what is left.
    pub(super) fn finish(mut self, last: Policy) {
        for trouble in self.begun.clone() {
            self.is_over(trouble);
        }
        match &self.agent {
            Some(agent) => agent.signal(Signal::SIGCONT),
            None => self.starts(),
        }
        self.second_ends();
        for storm in &mut self.storms {
            storm.wait().unwrap();
        }
        self.edit(vec![(FileChange::Write(How::RenamedOver, last), Duration::ZERO)]);
        self.settle();
        self.would_change_nothing();
        // Once more, for the packets that arrived in the meantime.
        self.settle();
        let agent = self.agent.take().expect("it was just seen at work");
        let log = self.past_log.clone() + &agent.log();
        assert!(!log.contains("panicked at"), "{log}");
        let [first, most] = self.memory;
        let repairs = log.matches(REPAIRED).count();
        println!(
            "{:?}\n{}  {repairs} repairs\n  resident memory: {first} KiB at first, {most} KiB at most\n  the slowest end \
             by SIGTERM: {:?}",
            self.layout,
            self.books.report(self.traffic.sent()),
            self.slowest_end
        );
        let [kept, masqueraded] = self.books.tally.answers;
        assert!(
            kept > 1_000 && masqueraded > 1_000,
            "too few packets came through to prove anything: {:?}",
            self.books.tally
        );
    }

    fn would_change_nothing(&self) {
        let file = self.file.path();
        let mut arguments = vec!["apply", "--dry-run", "--config", file.to_str().expect("a scratch path in UTF-8")];
        arguments.extend(self.layout.flags());
        let plan = self.topology.node.try_run(AGENT, &arguments, "").stdout();
        assert_eq!(plan, "", "this is left to do: {}", self.books.story());
    }
}
