//! Saving a configuration, killed before any of its system calls, or refused by the file system at any of them.

use std::fs::{self, File};

use ip_masq_agent::last_good::{LastKnownGood, StateDir, VERB};

use crate::support::netns::{AGENT, Netns};
use crate::support::ran::Ran;
use crate::{BAD, Disk, exempting, exempts, text};

/// The calls that lead to the disk, and those around them.
const CALLS: [&str; 10] = ["mkdir", "openat", "flock", "read", "unlink", "write", "fsync", "rename", "statx", "close"];

/// Those of them that only the process makes that writes.
const OF_THE_WRITER: [&str; 5] = ["mkdir", "flock", "unlink", "fsync", "rename"];

/// Saves what is there, then applies and saves another under strace, which does something at one of its calls.
struct Save {
    netns: Netns,
    disk: Disk,
}

impl Save {
    /// A state directory with an old configuration, or none yet.
    fn prepare(old: Option<u8>) -> Option<Self> {
        let (netns, disk) = (Netns::new("save")?, Disk::new());
        if let Some(old) = old {
            disk.save(Some(&exempting(old)));
        }
        disk.write(&exempting(92));
        Some(Self { netns, disk })
    }

    /// What the agent said, and what strace saw of it.
    fn under(&self, strace: &[&str]) -> (Ran, String) {
        let trace = self.netns.scratch().join("trace");
        let (config, state) = (self.disk.config(), self.disk.state());
        let agent = [AGENT, "apply", "--enable-ipv6", "--config", text(&config), "--state-dir", text(&state)];
        let arguments = [&["-f", "-q", "-o", text(&trace)], strace, &agent].concat();
        let ran = self.netns.try_run("strace", &arguments, "");
        (ran, fs::read_to_string(trace).unwrap())
    }

    /// The same with the writer alone, which is given what the agent gives it.
    fn writer_under(&self, strace: &[&str]) -> (Ran, String) {
        let (trace, state) = (self.netns.scratch().join("trace"), self.disk.state());
        let given = StateDir::new(&self.netns.scratch().join("given"));
        given.save(&self.wanted()).unwrap();
        let mut command = self.netns.command("strace");
        command.args(["-f", "-q", "-o", text(&trace)]).args(strace);
        command.args([AGENT, VERB, "--state-dir", text(&state)]);
        let ran = Ran::reading(command, File::open(given.file()).unwrap());
        (ran, fs::read_to_string(trace).unwrap())
    }

    fn wanted(&self) -> LastKnownGood {
        self.disk.good(Some(&exempting(92)))
    }
}

#[test]
fn killed_before_any_call_it_leaves_the_old_one_or_the_new_and_the_next_start_goes_by_that() {
    for old in [Some(91), None] {
        let mut left = Left::default();
        for call in CALLS {
            // strace counts each call by itself.
            for number in 1.. {
                let Some(save) = Save::prepare(old) else { return };
                let inject = format!("{call}:signal=KILL:when={number}");
                let (ran, trace) =
                    save.writer_under(&["-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
                if !trace.contains("+++ killed by SIGKILL +++") {
                    assert_eq!(ran.ended_with(0).stdout, "written");
                    break;
                }
                save.look(&inject, old, &mut left);
            }
        }
        assert!(left.old > 20 && left.new > 2 && left.unfinished > 2, "{left:?}");
    }
}

#[test]
fn where_the_process_that_writes_is_killed_the_rules_are_in_force_and_it_is_told_that_nothing_is_saved() {
    for old in [Some(91), None] {
        for call in OF_THE_WRITER {
            for number in 1.. {
                let Some(save) = Save::prepare(old) else { return };
                let inject = format!("{call}:signal=KILL:when={number}");
                let (ran, trace) = save.under(&["-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
                let ran = ran.ended_with(0);
                assert!(exempts(&save.netns, 92), "{inject}");
                if !trace.contains("+++ killed by SIGKILL +++") {
                    break;
                }
                let said = format!("the process that writes to {} ended without an answer", text(&save.disk.state()));
                assert!(ran.stderr.contains(&said), "{inject}: {}", ran.stderr);
                save.look(&inject, old, &mut Left::default());
            }
        }
    }
}

/// How often each outcome was found after a kill.
#[derive(Debug, Default)]
struct Left {
    old: usize,
    new: usize,
    unfinished: usize,
}

impl Save {
    /// Looks at what a kill has left, starts an agent from that after a reboot, and lets yet another one finish the work.
    fn look(&self, inject: &str, old: Option<u8>, count: &mut Left) {
        let (left, is_new) = (self.disk.saved(), self.disk.saved() == Some(self.wanted()));
        if !is_new {
            assert_eq!(left, old.map(|old| self.disk.good(Some(&exempting(old)))), "{inject}");
        }
        *(if is_new { &mut count.new } else { &mut count.old }) += 1;
        count.unfinished += usize::from(self.disk.state().join("last-known-good.new").exists());

        if let Some(valid) = if is_new { Some(92) } else { old } {
            let reboot = Netns::new("reboot").unwrap();
            let arguments = format!("apply --enable-ipv6 --state-dir {}", self.disk.state().display());
            reboot.agent(&arguments, BAD).ended_with(3);
            assert!(exempts(&reboot, valid), "{inject}");
        }
        self.under(&["-e", "trace=none"]).0.ended_with(0);
        assert_eq!(self.disk.saved(), Some(self.wanted()), "{inject}");
        assert_eq!(self.disk.names(), ["last-known-good"], "{inject}");
    }
}

#[test]
fn it_is_on_the_disk_before_it_has_its_name_and_its_name_is_before_the_end() {
    let Some(save) = Save::prepare(Some(91)) else { return };
    let state = save.disk.state();
    let (ran, trace) = save.under(&["-y", "-e", "trace=openat,write,fsync,rename"]);
    ran.ended_with(0);
    let new = state.join("last-known-good.new");
    let (new, directory) = (format!("<{}>", text(&new)), format!("<{}>", text(&state)));
    let calls: Vec<&str> = trace
        .lines()
        .filter(|line| {
            !line.contains("openat(") && (line.contains(&new) || line.contains(&directory) || line.contains("rename("))
        })
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .map(|call| call.split_once('(').unwrap().0)
        .collect();
    assert_eq!(calls, ["write", "fsync", "rename", "fsync"], "{trace}");
}

#[test]
fn refused_at_any_call_it_says_so_the_old_one_stays_and_the_rules_are_in_force() {
    for (call, error, said) in [
        ("openat", "EROFS", "could not create "),
        ("openat", "EACCES", "could not create "),
        ("write", "ENOSPC", "could not write "),
        ("write", "EIO", "could not write "),
        ("fsync", "EIO", "could not write to the disk "),
        ("fsync", "EDQUOT", "could not write to the disk "),
        ("rename", "EROFS", "could not rename to its name "),
    ] {
        let Some(save) = Save::prepare(Some(91)) else { return };
        let new = save.disk.state().join("last-known-good.new");
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}"));
        let (ran, _) = save.under(&["-P", text(&new), "-e", &trace, "-e", &inject]);
        let ran = ran.ended_with(0);
        let said = format!("is not saved for the next start: {said}{}: ", new.display());
        assert!(ran.stderr.contains(&said), "{call} {error}: {}", ran.stderr);
        assert!(exempts(&save.netns, 92), "{call} {error}");
        assert_eq!(save.disk.saved(), Some(save.disk.good(Some(&exempting(91)))), "{call} {error}");
        assert_eq!(save.disk.names(), ["last-known-good"], "{call} {error}: nothing is left half written");
    }
}
