//! `--watch-rules`: how others' changes are noticed, and at which price for them.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::netns::Netns;
use crate::support::{DEADLINE, wait_until};

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n";
const IN_FORCE: &str = "were changed and read back";
const REPAIRED: &str = "somebody changed our rules, and they were repaired";

/// `NETLINK_NETFILTER`, and the bit of `NFNLGRP_NFTABLES` among a socket's groups, as `/proc/net/netlink` shows them.
const NETFILTER: &str = "12";
const NFTABLES: u32 = 1 << (7 - 1);

/// How many sockets of the namespace are announced every commit on the machine.
fn listeners(daemon: &Daemon) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/net/netlink", daemon.pid())).unwrap();
    let groups = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[1] == NETFILTER).then(|| u32::from_str_radix(words[3], 16).unwrap())
    });
    groups.filter(|groups| groups & NFTABLES != 0).count()
}

fn agent(netns: &Netns, watch_rules: &str, config: &str) -> Daemon {
    let config = netns.write("config", config);
    let flags = ["--backend=nft", "--protect=off", "--enable-ipv6", "--watch-rules", watch_rules];
    let mut daemon = Daemon::start(netns, &config, &flags);
    daemon.wait_until_said(IN_FORCE);
    daemon
}

#[test]
fn what_others_undo_is_repaired_within_the_interval_and_nothing_is_announced_for_it() {
    let Some(netns) = Netns::new("poll") else { return };
    let mut daemon = agent(&netns, "poll=50ms", CONFIG);
    assert_eq!(listeners(&daemon), 0);
    for repairs in 1..=3 {
        netns.nft("flush ruleset");
        daemon.wait_until_said_times(REPAIRED, repairs);
    }
    assert!(daemon.log().contains("who did it is not known"), "{}", daemon.log());
    daemon.ends_in_time();
}

#[test]
fn who_listens_is_a_member_of_the_group_again_after_each_commit_and_names_who_changed_the_rules() {
    let Some(netns) = Netns::new("notify") else { return };
    let mut daemon = agent(&netns, "notify", CONFIG);
    for repairs in 1..=3 {
        wait_until(DEADLINE, "it listens", || listeners(&daemon) == 1);
        netns.nft("flush ruleset");
        daemon.wait_until_said_times(REPAIRED, repairs);
        daemon.wait_until_said_times("before that committed: nft (pid ", repairs);
    }
}

#[test]
fn who_watches_nothing_repairs_at_the_resync() {
    let Some(netns) = Netns::new("off") else { return };
    let began = Instant::now();
    let mut daemon = agent(&netns, "off", &format!("{CONFIG}resyncInterval: 1s\n"));
    assert_eq!(listeners(&daemon), 0);
    netns.nft("flush ruleset");
    daemon.wait_until_said(REPAIRED);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(listeners(&daemon), 0);
}
