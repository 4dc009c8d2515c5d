//! An apply that is killed, or overtaken by a foreign commit, between any two of its system calls.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use ip_masq_agent::net::Family;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::generation::generation;
use crate::support::native::Tables;
use crate::support::netns::{AGENT, Netns};
use crate::support::tables::{FAMILIES, saved};
use crate::support::{DEADLINE, wait_until};

const NATIVE: &str = "apply --backend=nft --protect=off --enable-ipv6";
const COMPAT: &str = "apply --backend=nft-compat --enable-ipv6";
const WIDE: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, 203.0.113.0/24, fd00::/8, 2001:db8:a::/48]\n";
const NARROW: &str = "nonMasqueradeCIDRs: [10.200.0.0/24, 203.0.0.0/8, fd00:200::/48, fc00::/8]\n";
const OTHER_LENGTHS: &str = "nonMasqueradeCIDRs: [10.200.0.0/20, 203.0.113.0/28, fd00:200::/44]\n";
const MANY_LENGTHS: &str = "nonMasqueradeCIDRs: [10.0.0.0/9, 11.0.0.0/10, 12.0.0.0/11, 13.0.0.0/12, 14.0.0.0/13, \
                            15.0.0.0/14, 10.200.0.0/15, fd00:200::/48]\n";

/// A verb with its flags, and the file. No verb is an empty kernel.
type Applied = (&'static str, &'static str);

/// From what, to what.
const CHANGES: [(&str, Applied, Applied); 8] = [
    ("an empty kernel to the native layout", ("", ""), (NATIVE, WIDE)),
    ("an empty kernel to an interval set", ("", ""), (NATIVE, MANY_LENGTHS)),
    ("elements that move to other sets", (NATIVE, WIDE), (NATIVE, NARROW)),
    ("elements that move to new sets", (NATIVE, WIDE), (NATIVE, OTHER_LENGTHS)),
    ("hash sets to an interval set", (NATIVE, WIDE), (NATIVE, MANY_LENGTHS)),
    ("an interval set to hash sets", (NATIVE, MANY_LENGTHS), (NATIVE, WIDE)),
    ("iptables' table to tables of our own", (COMPAT, WIDE), (NATIVE, WIDE)),
    ("tables of our own to iptables' table", (NATIVE, WIDE), (COMPAT, WIDE)),
];

#[test]
fn killed_before_any_message_to_the_kernel_it_leaves_the_old_rules_or_the_new_and_the_next_apply_ends_with_the_new() {
    for case in CHANGES {
        let (mut known, mut number) = (None, 0);
        loop {
            number += 1;
            let Some(change) = Change::prepare(case, &mut known) else { return };
            if !change.kill_at(&format!("sendto:signal=KILL:when={number}")) {
                break;
            }
        }
        assert!(number > 20, "{}: only {number} messages were sent", case.0);
    }
}

#[test]
fn killed_at_other_system_calls_it_leaves_the_old_rules_or_the_new_and_the_next_apply_ends_with_the_new() {
    // What a call does to the kernel's rules is done by the messages above, so a sample is enough.
    const SAMPLE: [(&str, usize); 6] =
        [("recvfrom", 5), ("setsockopt", 1), ("openat", 1), ("read", 1), ("write", 1), ("close", 1)];
    let (case, mut known, mut killed) = (CHANGES[2], None, 0);
    for (call, step) in SAMPLE {
        // strace counts each call by itself.
        for number in (1..).step_by(step) {
            let Some(change) = Change::prepare(case, &mut known) else { return };
            if !change.kill_at(&format!("{call}:signal=KILL:when={number}")) {
                break;
            }
            killed += 1;
        }
    }
    assert!(killed > 20, "it was killed only {killed} times");
}

#[test]
fn overtaken_between_any_two_messages_it_reads_again_and_ends_with_the_new_rules() {
    for case in [CHANGES[0], CHANGES[2], CHANGES[7]] {
        let (mut known, mut refused, mut number) = (None, 0, 0);
        loop {
            number += 1;
            let Some(change) = Change::prepare(case, &mut known) else { return };
            let Some(trace) = change.overtaken_at(number) else { break };
            refused += trace.matches("ERESTART").count();
            change.assert_new();
            change.netns.run("nft list table ip overtaking");
        }
        assert!(number > 20, "{}: only {number} messages were sent", case.0);
        assert!(refused > 0, "{}: no commit met a newer generation", case.0);
    }
}

#[test]
fn overtaken_every_time_it_gives_up_says_so_and_leaves_the_rules_as_they_were() {
    let Some(change) = Change::prepare(CHANGES[2], &mut None) else { return };
    // A foreign commit after each message of ours, so that neither a read nor a write is undisturbed.
    let mut agent = change.stopped_at("sendto:signal=STOP");
    while agent.overtaken(&change.netns) {}
    let said = std::fs::read_to_string(change.netns.scratch().join("said")).unwrap();
    assert!(said.contains(" 16 times in a row"), "{said}");
    assert_eq!(agent.status(), Some(4), "{said}");
    assert_eq!(State::of(&change.netns), change.old);
}

/// What is in the kernel that is ours, of each family.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State(Vec<FamilyState>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyState {
    native: Tables,
    compat: Vec<String>,
}

impl State {
    fn of(netns: &Netns) -> Self {
        let native = Tables::of(netns);
        let of_family = |family: Family| FamilyState {
            native: native.of_family(&family.to_string()),
            compat: saved(netns, family).into_iter().filter(|line| line.contains("IP-MASQ-AGENT")).collect(),
        };
        Self(FAMILIES.map(of_family).to_vec())
    }
}

impl FamilyState {
    /// Whether this is an allowed state on the way from one to another: the rules are those of either, with the sets
    /// that they look up; and unless there were none at first, there are always some.
    fn is_between(&self, old: &Self, new: &Self) -> bool {
        let elements = self.native.elements();
        let of_both: BTreeSet<_> = old.native.elements().union(&new.native.elements()).copied().collect();
        let is_part_of = |state: &Self| {
            self.native.chains() == state.native.chains()
                && (elements == of_both || elements == state.native.elements())
        };
        let stands = |state: &Self| !state.compat.is_empty() || !state.native.chains().is_empty();
        [old, new].into_iter().any(is_part_of)
            && [old, new].into_iter().any(|state| self.compat == state.compat)
            && (stands(self) || !stands(old))
    }
}

/// A namespace in the old state, in which the new one is to be brought about.
struct Change {
    what: &'static str,
    netns: Netns,
    verb: &'static str,
    config: PathBuf,
    old: State,
    new: State,
}

impl Change {
    /// `known` are the old and the new state, if they are known already.
    fn prepare((what, old, new): (&'static str, Applied, Applied), known: &mut Option<[State; 2]>) -> Option<Self> {
        let netns = Netns::new("killed")?;
        if !old.0.is_empty() {
            netns.agent(old.0, old.1).ended_with(0);
        }
        if known.is_none() {
            let fresh = Netns::new("fresh")?;
            fresh.agent(new.0, new.1).ended_with(0);
            *known = Some([State::of(&netns), State::of(&fresh)]);
        }
        let [old, wanted] = known.clone()?;
        let config = netns.write("new", new.1);
        Some(Self { what, verb: new.0, config, old, new: wanted, netns })
    }

    /// Kills the agent at a system call, checks what it leaves, and lets another one finish the work. Returns whether
    /// it was killed.
    fn kill_at(&self, inject: &str) -> bool {
        let trace = self.netns.scratch().join("trace");
        let arguments = self.strace(inject, &trace);
        let ran = self.netns.try_run("strace", &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "");
        let killed = std::fs::read_to_string(trace).unwrap().contains("+++ killed by SIGKILL +++");
        assert!(killed || ran.succeeded(), "{}: {ran:?}", self.what);
        let left = State::of(&self.netns);
        for ((left, old), new) in left.0.iter().zip(&self.old.0).zip(&self.new.0) {
            assert!(left.is_between(old, new), "{} {inject}: {left:#?}", self.what);
        }
        let arguments: Vec<&str> =
            self.verb.split_whitespace().chain(["--config", self.config.to_str().unwrap()]).collect();
        let said = self.netns.try_run(AGENT, &arguments, "").ended_with(0);
        assert!(killed || said.stdout.is_empty(), "{}: {said:?}", self.what);
        self.assert_new();
        killed
    }

    fn assert_new(&self) {
        assert_eq!(State::of(&self.netns), self.new, "{}", self.what);
    }

    /// Makes a foreign commit right after the agent's message of this number. Returns what strace saw; `None` if the
    /// agent ended before.
    fn overtaken_at(&self, number: usize) -> Option<String> {
        let mut agent = self.stopped_at(&format!("sendto:signal=STOP:when={number}"));
        let overtaken = agent.overtaken(&self.netns);
        assert_eq!(agent.status(), Some(0), "{} at message {number}: {}", self.what, agent.trace());
        overtaken.then(|| agent.trace())
    }

    fn stopped_at(&self, inject: &str) -> Traced {
        let trace = self.netns.scratch().join("trace");
        let said = std::fs::File::create(self.netns.scratch().join("said")).unwrap();
        let mut command = self.netns.command("strace");
        command.args(self.strace(inject, &trace)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Traced { child: command.spawn().unwrap(), trace, stops: 0 }
    }

    fn strace(&self, inject: &str, trace: &std::path::Path) -> Vec<String> {
        let (calls, _) = inject.split_once(':').unwrap();
        let traced = if calls == "all" { "trace=all" } else { "trace=sendto,recvfrom" };
        let inject = format!("inject={inject}");
        let strace = ["-f", "-q", "-o", trace.to_str().unwrap(), "-e", traced, "-e", &inject, AGENT];
        let agent = self.verb.split_whitespace().chain(["--config", self.config.to_str().unwrap()]);
        strace.into_iter().chain(agent).map(str::to_owned).collect()
    }
}

/// An agent that strace stops.
struct Traced {
    child: std::process::Child,
    trace: PathBuf,
    stops: usize,
}

impl Traced {
    /// Waits until the agent is stopped once more, commits something else, and lets it go on. False if it has ended.
    fn overtaken(&mut self, netns: &Netns) -> bool {
        const STOPPED: &str = "--- stopped by SIGSTOP ---";
        let mut stopped = None;
        wait_until(DEADLINE, "the agent is stopped or has ended", || {
            let trace = self.trace();
            stopped = trace.lines().filter(|line| line.contains(STOPPED)).nth(self.stops).map(str::to_owned);
            stopped.is_some() || self.child.try_wait().unwrap().is_some()
        });
        let Some(stopped) = stopped else { return false };
        self.stops += 1;
        let before = generation(netns);
        netns.nft("add table ip overtaking\nadd chain ip overtaking one\ndelete chain ip overtaking one");
        assert!(generation(netns) > before);
        let agent = stopped.split_whitespace().next().unwrap().parse().unwrap();
        kill(Pid::from_raw(agent), Signal::SIGCONT).unwrap();
        true
    }

    fn trace(&self) -> String {
        std::fs::read_to_string(&self.trace).unwrap_or_default()
    }

    fn status(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until(DEADLINE, "the agent has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Traced {
    /// Both fail if it has already ended, which is just as good.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
