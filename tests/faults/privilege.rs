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

    let _denying = Denying::attach(&netns, daemon.id());
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

/// `strace`, which lets every message of a process to the kernel fail as it does without `CAP_NET_ADMIN`.
struct Denying(Child);

impl Denying {
    fn attach(netns: &Netns, process: u32) -> Self {
        let process = process.to_string();
        let mut command = netns.command("strace");
        command.args(["-f", "-q", "-p", &process, "-e", "trace=sendto", "-e", "inject=sendto:error=EPERM"]);
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

impl Drop for Denying {
    /// Both fail if it has ended already, which is as good.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
