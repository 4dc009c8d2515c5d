//! An agent from which its privilege is taken while it runs.

use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::Netns;
use crate::support::tables::saved_text;
use crate::support::{DEADLINE, wait_until};

const OLD: &str = "nonMasqueradeCIDRs: [10.91.0.0/16]\nresyncInterval: 1h\n";
const NEW: &str = "nonMasqueradeCIDRs: [10.92.0.0/16]\nresyncInterval: 1h\n";

#[test]
fn an_agent_that_loses_its_privilege_ends_with_status_5_the_rules_stay_and_one_that_has_it_goes_on() {
    let Some(netns) = Netns::new("privilege") else { return };
    let config = netns.write("config", OLD);
    let mut daemon = Daemon::start(&netns, &config, &[]);
    daemon.wait_until_said("the rules were changed and read back");
    let rules = saved_text(&netns);
    assert!(rules.contains("10.91.0.0/16"), "{rules}");

    let _failing = Failing::attach(&netns, daemon.id(), "EPERM");
    rename_over(&config, NEW);
    assert_eq!(daemon.ended(), Some(5), "{}", daemon.log());
    assert!(daemon.log().contains("CAP_NET_ADMIN"), "{}", daemon.log());
    assert!(!daemon.log().contains("tried again"), "nothing is promised that does not come: {}", daemon.log());
    assert_eq!(saved_text(&netns), rules);

    let mut next = Daemon::start(&netns, &config, &[]);
    next.wait_until("the new rules are in force", || saved_text(&netns).contains("10.92.0.0/16"));
    next.signal(Signal::SIGTERM);
    assert_eq!(next.ended(), Some(0));
}

#[test]
fn an_agent_that_cannot_look_says_when_the_rules_were_last_in_force_and_not_that_they_are_not() {
    let Some(netns) = Netns::new("blind") else { return };
    let config = netns.write("config", OLD);
    let mut daemon = Daemon::start(&netns, &config, &[]);
    daemon.wait_until_said("the rules were changed and read back");
    let failing = Failing::attach(&netns, daemon.id(), "EIO");
    netns.nft("add table inet others");
    daemon.wait_until_said("could not look at the rules: ");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("could not look")).unwrap();
    assert!(
        line.contains("; at ") && line.contains(" UTC they were in force; it is tried again after a pause"),
        "{line}"
    );
    assert!(!log.contains("not in force"), "{log}");
    drop(failing);
    daemon.wait_until_said("the failure is over: the rules are in force");
}

/// `strace`, which lets every message of a process to the kernel fail: with `EPERM` as it does without `CAP_NET_ADMIN`.
struct Failing(Child);

impl Failing {
    fn attach(netns: &Netns, process: u32, errno: &str) -> Self {
        let (process, inject) = (process.to_string(), format!("inject=sendto:error={errno}"));
        let mut command = netns.command("strace");
        command.args(["-f", "-q", "-p", &process, "-e", "trace=sendto", "-e", &inject]);
        let strace = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let tasks = format!("/proc/{process}/task");
        wait_until(DEADLINE, "strace is attached", || {
            std::fs::read_dir(&tasks).unwrap().all(|task| {
                let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            })
        });
        Self(strace)
    }
}

impl Drop for Failing {
    /// Both fail if it has already ended, which is just as good.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
