//! Does what the script says, waits until all has come to rest, and keeps the books for the oracle.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::books::Books;
use super::file::File;
use super::oracle::Moment;
use super::policy::Policy;
use super::script::{Event, FileChange, How, Script, Step};
use super::shape::{Rules, Shape};
use super::support::DEADLINE;
use super::support::daemon::Daemon;
use super::support::damage::Order;
use super::support::generation::{commits_are_over, generation};
use super::support::netns::{AGENT, Netns};
use super::support::topology::Topology;
use super::traffic::{Clock, Traffic};

/// The agent says this of its file at its start, whatever the file is.
const KNOWS_ITS_FILE: &str = " in force: ";
const CHANGED: &str = "were changed and read back";
const REPAIRED: &str = "somebody changed our rules, and they were repaired";

/// Where the agent keeps the last valid configuration.
const STATE: &str = "state";

/// A debug build with 20,000 ranges was seen to take 11 MiB.
const MOST_MEMORY_KIB: u64 = 32 * 1024;

/// One agent, its surroundings, and what is known of them.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    shape: Shape,
    topology: &'a Topology,
    /// Where nothing is but what the agent makes.
    fresh: Netns,
    traffic: &'a Traffic,
    file: File,
    /// What shall be in force in the end, and the rules that it leads to.
    target: Policy,
    expected: Rules,
    defaults: (Policy, Rules),
    agent: Option<Daemon>,
    second: Option<Daemon>,
    /// Has the agent been started since all was at rest?
    is_fresh: bool,
    /// Has the agent found no file that it could obey since it was started?
    is_degraded: bool,
    /// Was the agent seen to hold its tables for itself?
    is_guarded: bool,
    storms: Vec<Child>,
    books: Books,
    past_log: String,
    memory: [u64; 2],
}

impl<'a> Driver<'a> {
    /// Starts the agent and waits until its rules are in force.
    pub(crate) fn start(
        shape: Shape,
        topology: &'a Topology,
        fresh: Netns,
        traffic: &'a Traffic,
        clock: Clock,
        first: Policy,
    ) -> Self {
        let defaults = Policy::defaults();
        let mut driver = Self {
            shape,
            topology,
            traffic,
            file: File::new(topology.node.scratch().join("volume"), &first.text),
            expected: Rules::made_of(&fresh, shape, &first.text),
            defaults: (defaults.clone(), Rules::made_of(&fresh, shape, &defaults.text)),
            fresh,
            target: first,
            agent: None,
            second: None,
            is_fresh: false,
            is_degraded: false,
            is_guarded: false,
            storms: Vec::new(),
            books: Books::new(clock),
            past_log: String::new(),
            memory: [0; 2],
        };
        topology.node.write("storm", &storm());
        driver.books.history.may_come(driver.target.exempt, clock.now());
        driver.starts();
        driver.settle();
        driver
    }

    /// Follows the script for so long, and brings all to an end.
    pub(crate) fn follow(mut self, script: &mut Script, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let step = script.step();
            self.take(step);
        }
        let last = script.policy();
        self.finish(last);
    }

    fn take(&mut self, Step { settled, pause, event }: Step) {
        if settled {
            self.settle();
        }
        pause_for(pause);
        self.books.count(event.name());
        match event {
            Event::Edit(changes) => self.edit(changes),
            Event::Spoil(how, text) => self.change(FileChange::Spoil(how, text)),
            Event::Delete => {
                self.change(FileChange::Delete);
                // An agent that was not there when the file was misses it.
                if self.agent.is_some() && !self.is_degraded {
                    (self.target, self.expected) = self.defaults.clone();
                    let from = self.file.counts_as_missing().expect("it was just deleted");
                    self.books.history.may_come(self.target.exempt, from);
                }
            }
            Event::Damage(what, tool, family) => {
                let node = &self.topology.node;
                let Some(order) = Order::prepare(node, family, self.shape.table(), tool) else {
                    return self.books.tell(format!("there is nothing to damage: {what}"));
                };
                if !(self.shape == Shape::NativeProtected && self.is_guarded) {
                    self.books.history.may_be_damaged(self.books.now());
                }
                self.books.tell(format!("{family:?}: {what}"));
                // It may be refused, or be in the way of what was done before.
                order.run(node);
            }
            Event::Harmless(text) => {
                self.books.tell(format!("elsewhere: {text}"));
                self.topology.node.try_run("nft", &["-f", "-"], text);
            }
            Event::Storm => {
                self.books.tell("a storm begins");
                let node = &self.topology.node;
                let mut command = node.command("sh");
                command.args(["-c", "for i in 1 2 3 4 5; do nft -f \"$0\"; done"]).arg(node.scratch().join("storm"));
                self.storms.push(command.stderr(std::process::Stdio::null()).spawn().unwrap());
            }
            Event::Kill => self.ends(Signal::SIGKILL),
            Event::Terminate => self.ends(Signal::SIGTERM),
            Event::Start => self.starts(),
            Event::Freeze => self.signal(Signal::SIGSTOP),
            Event::Thaw => self.signal(Signal::SIGCONT),
            Event::Reload => self.signal(Signal::SIGHUP),
            Event::SecondStarts => {
                self.books.tell("a second agent starts");
                self.second = Some(self.another("second"));
            }
            Event::SecondEnds => self.second_ends(),
            Event::Interfaces(text) => {
                self.books.tell(format!("interfaces: {text}"));
                self.topology.node.try_run("ip", &["-force", "-batch", "-"], text);
            }
        }
    }

    fn edit(&mut self, changes: Vec<(FileChange, Duration)>) {
        let Some((FileChange::Write(_, last), _)) = changes.last() else { panic!("{changes:?} end with no good file") };
        self.expected = Rules::made_of(&self.fresh, self.shape, &last.text);
        for (change, pause) in changes {
            self.change(change);
            pause_for(pause);
        }
    }

    /// Changes the file, and writes down before which policies may come by that.
    fn change(&mut self, change: FileChange) {
        let now = self.books.now();
        let defaults = self.defaults.0.exempt;
        if let Some(from) = self.file.counts_as_missing().filter(|from| *from <= now) {
            self.books.history.may_come(defaults, from);
        }
        // An agent that starts takes the file as it finds it, though it is empty for a moment. The second one knows of no
        // file that could be missed.
        let is_defaults_at_first = match &change {
            FileChange::Write(how, _) | FileChange::Spoil(how, _) => {
                *how == How::InPlace && (self.is_fresh || self.second.is_some())
            }
            FileChange::Delete => self.second.is_some(),
        };
        if is_defaults_at_first {
            self.books.history.may_come(defaults, now);
        }
        match change {
            FileChange::Delete => {
                self.books.tell("the file is deleted");
                self.file.delete(now);
            }
            FileChange::Spoil(how, text) => {
                self.books.tell(format!("{how:?}: a bad file: {text:?}"));
                self.file.write(how, &text, false);
            }
            FileChange::Write(how, policy) => {
                self.books.tell(format!("{how:?}: {}", policy.what));
                self.books.history.may_come(policy.exempt, now);
                self.file.write(how, &policy.text, true);
                self.target = policy;
            }
        }
    }

    /// One more agent, which keeps the last valid configuration in a directory of that name.
    fn another(&self, state: &str) -> Daemon {
        let state = format!("--state-dir={}", self.topology.node.scratch().join(state).display());
        let [ipv6, backend, protect] = self.shape.flags();
        Daemon::start(&self.topology.node, &self.file.path(), &[ipv6, backend, protect, &state])
    }

    /// Would an agent that starts now know as much as the one that runs?
    fn is_kept(&self) -> bool {
        let kept = fs::read_to_string(self.topology.node.scratch().join(STATE).join("last-known-good"));
        kept.is_ok_and(|kept| {
            if self.file.is_good {
                kept.ends_with(&self.target.text)
            } else {
                self.is_degraded || self.target != self.defaults.0 || kept.contains("\nlength: none\n")
            }
        })
    }

    fn starts(&mut self) {
        self.books.tell("the agent starts");
        self.is_degraded = !self.file.is_good;
        self.is_fresh = true;
        self.agent = Some(self.another(STATE));
    }

    fn ends(&mut self, signal: Signal) {
        self.books.tell(format!("{signal} ends the agent"));
        self.is_guarded = false;
        let mut agent = self.agent.take().expect("the script starts what it ends");
        agent.signal(signal);
        let status = agent.ended();
        assert!(signal == Signal::SIGKILL || self.is_fresh || status == Some(0), "{status:?}: {}", self.books.story());
        self.past_log += &agent.log();
    }

    fn signal(&mut self, signal: Signal) {
        self.books.tell(format!("{signal} for the agent"));
        self.agent.as_ref().expect("the script knows that it lives").signal(signal);
    }

    fn second_ends(&mut self) {
        self.books.tell("the second agent ends");
        if let Some(mut second) = self.second.take() {
            // It may have given up in front of tables that are not its own.
            if second.lives() {
                second.signal(Signal::SIGKILL);
                second.ended();
            }
            self.past_log += &second.log();
        }
    }

    /// Waits until the rules are those of the target, and has the packets that came before judged.
    fn settle(&mut self) {
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
                // What is listed afterwards has been there since before this moment, if nobody has committed meanwhile.
                commits_are_over(node);
                let at = self.books.now();
                let rules = Rules::of(node, self.shape);
                if generation(node) == now {
                    if rules.as_ref() == Some(&self.expected) && self.is_kept() {
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
            pause_for(Duration::from_micros(500));
        }
    }

    /// Brings all back to life, gives the agent a last policy, and looks at what is left.
    fn finish(mut self, last: Policy) {
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
        // Once more, for the packets that have come meanwhile.
        self.settle();
        let agent = self.agent.take().expect("it was just seen at work");
        let log = self.past_log.clone() + &agent.log();
        assert!(!log.contains("panicked at"), "{log}");
        let [first, most] = self.memory;
        let repairs = log.matches(REPAIRED).count();
        println!(
            "{:?}\n{}  {repairs} repairs\n  resident memory: {first} KiB at first, {most} KiB at most",
            self.shape,
            self.books.report(self.traffic.sent())
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
        arguments.extend(self.shape.flags());
        let plan = self.topology.node.try_run(AGENT, &arguments, "").stdout();
        assert_eq!(plan, "", "this is left to do: {}", self.books.story());
    }
}

fn pause_for(pause: Duration) {
    if !pause.is_zero() {
        #[expect(
            clippy::disallowed_methods,
            reason = "the pauses are what is tried out, or the time between two looks"
        )]
        std::thread::sleep(pause);
    }
}

/// 10,000 elements in a table of somebody else.
fn storm() -> String {
    let element = |index: u32| std::net::Ipv4Addr::from((30 << 24) + index).to_string();
    let elements: Vec<String> = (0..10_000).map(element).collect();
    format!(
        "add table inet storm\ndelete table inet storm\ntable inet storm {{ set s {{ type ipv4_addr; elements = {{ {} }}; }}; }}\n",
        elements.join(", ")
    )
}

fn resident_kib(agent: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}
