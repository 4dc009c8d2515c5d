//! The end that is asked for comes in time, however large the change that it meets.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::netns::{AGENT, Netns};

/// In hash sets, as every list of that length is. The debug build takes seconds to bring them into force.
const RANGES: u32 = 100_000;
const FLAGS: [&str; 5] = ["--backend", "nft", "--protect", "off", "-v=4"];
const IN_FORCE: &str = "were changed and read back";
const COMMIT: &str = "sending a transaction";
const BOUND: Duration = Duration::from_millis(100);

fn exempting(ranges: &str) -> String {
    format!("nonMasqueradeCIDRs: [{ranges}]\ncidrLimit: 1000000\nresyncInterval: 1h\n")
}

/// Ranges of four prefix lengths, none of which touches another.
fn large() -> String {
    let cidr = |index: u32| format!("{}/{}", Ipv4Addr::from((11 << 24) + (index << 10)), 24 + index % 4);
    exempting(&(0..RANGES).map(cidr).collect::<Vec<_>>().join(", "))
}

/// Our chain's rules.
fn rules(netns: &Netns) -> String {
    netns.run("nft -s list chain ip ip-masq-agent IP-MASQ-AGENT")
}

#[test]
fn the_end_that_is_asked_for_comes_in_time_at_any_part_of_a_large_change_which_the_next_agent_goes_on_with() {
    let Some(netns) = Netns::new("end") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &FLAGS);
    daemon.wait_until_said(IN_FORCE);
    let old = rules(&netns);
    let mut sent = daemon.log().matches(COMMIT).count();
    rename_over(&config, &large());
    let mut longest = Duration::ZERO;
    let mut commits = 0;
    // Of the 25 parts; each agent begins where the one before it was ended.
    for part in [1, 4, 8] {
        daemon.wait_until_said_times(COMMIT, sent + part);
        daemon.signal(Signal::SIGTERM);
        let asked = Instant::now();
        assert_eq!(daemon.ended(), Some(0));
        longest = longest.max(asked.elapsed());
        commits += daemon.log().matches(COMMIT).count() - sent;
        assert_eq!(rules(&netns), old, "no rule looks up what is not full yet");
        sent = 0;
        daemon = Daemon::start(&netns, &config, &FLAGS);
    }
    daemon.wait_until_said(IN_FORCE);
    commits += daemon.log().matches(COMMIT).count();
    let new = rules(&netns);
    assert!(!old.contains("@exempt-27") && new.contains("@exempt-27"), "{new}");
    // With each end the unfinished part may be lost, and the next agent's first one be refused because the kernel still commits it.
    // Had each agent begun from scratch, there were at least 1 + 4 + 8 more.
    assert!((25..=34).contains(&commits), "{commits} commits");
    // In the middle of emptying what no rule looks up any more.
    let filled = daemon.log().matches(COMMIT).count();
    rename_over(&config, &exempting("10.91.0.0/16"));
    daemon.wait_until_said_times(COMMIT, filled + 4);
    daemon.signal(Signal::SIGTERM);
    let asked = Instant::now();
    assert_eq!(daemon.ended(), Some(0));
    longest = longest.max(asked.elapsed());
    assert_eq!(rules(&netns), old);
    println!("ended at most {longest:?} after SIGTERM");
    assert!(longest < BOUND, "it ended {longest:?} after SIGTERM");
    let mut last = Daemon::start(&netns, &config, &FLAGS);
    last.wait_until_said(IN_FORCE);
    let sets = netns.run("nft list sets ip");
    assert!(!sets.contains("exempt-24"), "{sets}");
}

#[test]
fn cleanup_that_waits_lives_on_when_the_rules_are_gone_until_it_is_asked_to_end() {
    let Some(netns) = Netns::new("cleanup-wait") else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        netns.agent("apply", &exempting("10.91.0.0/16")).ended_with(0);
        assert!(netns.run("nft list ruleset").contains("IP-MASQ-AGENT"));
        let mut command = netns.command(AGENT);
        command.args(["cleanup", "--wait", "--runtime-dir"]).arg(netns.scratch().join("none"));
        let mut cleanup = Daemon::run(command);
        cleanup.wait_until_said("waiting for SIGTERM or SIGINT");
        assert!(!netns.run("nft list ruleset").contains("IP-MASQ-AGENT"));
        // Which is no reason to end.
        cleanup.signal(Signal::SIGHUP);
        cleanup.signal(signal);
        assert_eq!(cleanup.ended(), Some(0));
    }
}
