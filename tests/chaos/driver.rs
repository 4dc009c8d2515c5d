//! Does what the script says, waits until all has come to rest, and keeps the books for the oracle.

mod rest;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::books::Books;
use super::event::{Event, FileChange, How, Step, storm};
use super::file::File;
use super::layout::{Layout, Rules};
use super::oracle::Moment;
use super::policy::Policy;
use super::script::Script;
use super::support::daemon::Daemon;
use super::support::damage::Order;
use super::support::netns::{AGENT, Netns};
use super::support::topology::Topology;
use super::surroundings::Surroundings;
use super::traffic::Traffic;
use super::trouble::Trouble;
use ip_masq_agent::net::Family;

/// SIGTERM ends the agent within this time, whatever else goes on.
const TIMELY: Duration = Duration::from_millis(100);

/// One agent, its surroundings, and what is known of them.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    /// Dropped first, as that thaws the disk.
    surroundings: Surroundings<'a>,
    layout: Layout,
    topology: &'a Topology,
    /// A namespace that holds nothing but what the agent makes.
    fresh: Netns,
    traffic: &'a Traffic,
    file: File,
    /// What should be in force in the end, and the rules that it leads to.
    target: Policy,
    expected: Rules,
    defaults: (Policy, Rules),
    agent: Option<Daemon>,
    second: Option<Daemon>,
    /// Whether the agent has been started since all was at rest.
    is_fresh: bool,
    /// Whether the agent has found no usable file since it was started.
    is_degraded: bool,
    /// Whether the agent was seen to own its tables.
    is_guarded: bool,
    storms: Vec<Child>,
    /// The troubles that have begun.
    begun: Vec<Trouble>,
    books: Books,
    past_log: String,
    memory: [u64; 2],
    slowest_end: Duration,
}

impl<'a> Driver<'a> {
    /// Starts the agent and waits until its rules are in force.
    pub(crate) fn start(
        layout: Layout,
        topology: &'a Topology,
        fresh: Netns,
        traffic: &'a Traffic,
        surroundings: Surroundings<'a>,
        first: Policy,
    ) -> Self {
        let clock = traffic.clock();
        let defaults = Policy::defaults();
        let mut driver = Self {
            layout,
            topology,
            traffic,
            file: File::new(topology.node.scratch().join("volume"), &first.text),
            expected: Rules::made_of(&fresh, layout, &first.text),
            defaults: (defaults.clone(), Rules::made_of(&fresh, layout, &defaults.text)),
            fresh,
            target: first,
            agent: None,
            second: None,
            is_fresh: false,
            is_degraded: false,
            is_guarded: false,
            storms: Vec::new(),
            surroundings,
            begun: Vec::new(),
            books: Books::new(clock),
            past_log: String::new(),
            memory: [0; 2],
            slowest_end: Duration::ZERO,
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
        self.surroundings.go_on();
        self.books.count(event.name());
        match event {
            Event::Edit(changes) => self.edit(changes),
            Event::Spoil(how, text) => self.change(FileChange::Spoil(how, text)),
            Event::Huge(how) => self.change(FileChange::Huge(how)),
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
                let Some(order) = Order::prepare(node, family, self.layout.table(), tool) else {
                    return self.books.tell(format!("there is nothing to damage: {what}"));
                };
                if !(self.layout == Layout::NativeProtected && self.is_guarded) {
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
                let state = self.topology.node.scratch().join("second");
                self.second = Some(Daemon::run(self.another(&state)));
            }
            Event::SecondEnds => self.second_ends(),
            Event::Interfaces(text) => {
                self.books.tell(format!("interfaces: {text}"));
                self.topology.node.try_run("ip", &["-force", "-batch", "-"], text);
            }
            Event::Begins(trouble) => self.begins(trouble),
            Event::Ends(trouble) => self.is_over(trouble),
            Event::Legacy(family, text) => {
                self.books.tell(format!("iptables-legacy, {family:?}: {text}"));
                let program = if family == Family::Ipv4 { "iptables-legacy" } else { "ip6tables-legacy" };
                let arguments: Vec<&str> = ["-t", "nat"].into_iter().chain(text.split(' ')).collect();
                self.topology.node.try_run(program, &arguments, "").ended_with(0);
            }
        }
    }

    fn begins(&mut self, trouble: Trouble) {
        self.books.tell(format!("{} begins", trouble.name()));
        if trouble == Trouble::Dormant {
            self.books.history.may_be_damaged(self.books.now());
            self.topology.node.try_run("nft", &["add table ip nat { flags dormant; }"], "").ended_with(0);
        }
        self.surroundings.begin(trouble, self.agent.as_ref());
        self.begun.push(trouble);
    }

    fn is_over(&mut self, trouble: Trouble) {
        self.books.tell(format!("{} is over", trouble.name()));
        if trouble == Trouble::Dormant {
            self.topology.node.try_run("nft", &["add table ip nat"], "").ended_with(0);
        }
        self.surroundings.end(trouble, self.agent.as_ref());
        self.begun.retain(|begun| *begun != trouble);
    }

    fn edit(&mut self, changes: Vec<(FileChange, Duration)>) {
        let Some((FileChange::Write(_, last), _)) = changes.last() else { panic!("{changes:?} end with no good file") };
        self.expected = Rules::made_of(&self.fresh, self.layout, &last.text);
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
            FileChange::Huge(how) => *how == How::InPlace && self.is_fresh,
            FileChange::Delete => self.second.is_some(),
        };
        if is_defaults_at_first {
            self.books.history.may_come(defaults, now);
        }
        match change {
            FileChange::Delete => {
                self.books.tell("the file is deleted");
                self.file.delete(now);
                self.goes_on(now);
            }
            FileChange::Spoil(how, text) => {
                self.books.tell(format!("{how:?}: a bad file: {text:?}"));
                self.file.write(how, &text, false);
                self.goes_on(now);
            }
            FileChange::Huge(how) => {
                self.books.tell(format!("{how:?}: a file of 10 GiB"));
                self.file.grow(how);
                self.goes_on(now);
            }
            FileChange::Write(how, policy) => {
                self.books.tell(format!("{how:?}: {}", policy.what));
                self.books.history.may_come(policy.exempt, now);
                self.file.write(how, &policy.text, true);
                self.target = policy;
            }
        }
    }

    /// Without a good file the target stays what it was, though something else may come into force for a while.
    fn goes_on(&mut self, now: Moment) {
        self.books.history.may_come(self.target.exempt, now);
    }

    /// A command for an agent that keeps the last valid configuration there.
    fn another(&self, state: &Path) -> Command {
        let mut command = self.topology.node.command(AGENT);
        command
            .arg("run")
            .arg("--config")
            .arg(self.file.path())
            .arg("--state-dir")
            .arg(state)
            .args(self.layout.flags());
        command
    }

    /// Whether an agent that starts now would know as much as the one that runs. It need not while nothing can be
    /// saved.
    fn is_saved(&self) -> bool {
        // The state is written by a process.
        self.surroundings.is_frozen()
            || self.begun.contains(&Trouble::Threads)
            || self.surroundings.saved().is_ok_and(|saved| {
                if self.file.is_good {
                    saved.ends_with(&self.target.text)
                } else {
                    self.is_degraded || self.target != self.defaults.0 || saved.contains("\nlength: none\n")
                }
            })
    }

    fn starts(&mut self) {
        self.books.tell("the agent starts");
        self.is_degraded = !self.file.is_good;
        self.is_fresh = true;
        self.agent = Some(self.surroundings.start(self.another(self.surroundings.state())));
    }

    fn ends(&mut self, signal: Signal) {
        self.books.tell(format!("{signal} ends the agent"));
        self.is_guarded = false;
        let mut agent = self.agent.take().expect("the script starts what it ends");
        let asked = Instant::now();
        agent.signal(signal);
        let status = agent.ended();
        let took = asked.elapsed();
        if signal == Signal::SIGTERM {
            self.slowest_end = self.slowest_end.max(took);
            assert!(self.is_fresh || status == Some(0), "{status:?}: {}", self.books.story());
            assert!(took < TIMELY, "it took {took:?}: {}", self.books.story());
        }
        for trouble in self.begun.clone().into_iter().filter(|trouble| trouble.ends_with_the_agent()) {
            self.is_over(trouble);
        }
        agent.drain_log();
        self.past_log += &agent.log();
    }

    fn signal(&mut self, signal: Signal) {
        self.books.tell(format!("{signal} for the agent"));
        self.agent.as_ref().expect("the script knows that it lives").signal(signal);
    }

    fn second_ends(&mut self) {
        self.books.tell("the second agent ends");
        if let Some(mut second) = self.second.take() {
            // It may have given up because another process owns the tables.
            if second.lives() {
                second.signal(Signal::SIGKILL);
                second.ended();
            }
            self.past_log += &second.log();
        }
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
