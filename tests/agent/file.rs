//! The agent as it runs on a node: what it does at start, when the file changes, at the interval and on signals.

use std::fs;

use ip_masq_agent::net::Family;
use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::files::{ConfigMap, rename_over};
use crate::support::netns::Netns;
use crate::support::tables::saved;

/// A range that is in force by default, and in none of the files of these tests.
const BY_DEFAULT: &str = "172.16.0.0/12";
/// A range whose host bits are set, and what is said about it.
const BAD: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";
const BAD_MESSAGE: &str = "has host bits set behind its prefix";

/// A file that exempts one range and leaves the interval out of play.
fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

/// Whether the range is exempt by the kernel's rules, and the chain is complete.
fn in_force(netns: &Netns, range: &str) -> bool {
    let rules = saved(netns, Family::Ipv4);
    rules.iter().any(|line| line.starts_with("-A IP-MASQ-AGENT ") && line.contains(&format!(" -d {range} ")))
        && rules.iter().any(|line| line.starts_with("-A IP-MASQ-AGENT ") && line.contains(" -j MASQUERADE"))
        && rules.iter().any(|line| line.starts_with("-A POSTROUTING ") && line.ends_with(" -j IP-MASQ-AGENT"))
}

/// Waits until the range is in force, and fails after the deadline.
fn wait_for(daemon: &mut Daemon, netns: &Netns, range: &str) {
    daemon.wait_until(&format!("{range} is in force"), || in_force(netns, range));
}

#[test]
fn the_rules_are_in_force_after_the_start_and_stay_after_the_end() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(netns) = Netns::new("ends") else { return };
        let config = netns.write("config", &exempting("10.91.0.0/16"));
        let mut daemon = Daemon::start(&netns, &config, &[]);
        wait_for(&mut daemon, &netns, "10.91.0.0/16");
        let rules = saved(&netns, Family::Ipv4);
        daemon.signal(signal);
        assert_eq!(daemon.ended(), Some(0), "{signal}: {}", daemon.log());
        assert_eq!(saved(&netns, Family::Ipv4), rules, "{signal}");
    }
}

#[test]
fn a_swap_of_the_config_map_by_kubelet_is_in_force_at_once() {
    let Some(netns) = Netns::new("kubelet") else { return };
    let map = ConfigMap::create(netns.scratch().join("volume"), &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &map.file(), &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    // More than once: a watch may be lost with the directory that kubelet removes.
    for (version, range) in
        [("..2024_01_02", "10.92.0.0/16"), ("..2024_01_03", "10.93.0.0/16"), ("..2024_01_04", "10.94.0.0/16")]
    {
        map.update(version, &exempting(range));
        wait_for(&mut daemon, &netns, range);
    }
    assert!(!in_force(&netns, "10.91.0.0/16"));
}

#[test]
fn a_file_may_be_replaced_rewritten_removed_and_brought_back() {
    let Some(netns) = Netns::new("file") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    rename_over(&config, &exempting("10.92.0.0/16"));
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
    fs::write(&config, exempting("10.93.0.0/16")).unwrap();
    wait_for(&mut daemon, &netns, "10.93.0.0/16");
    fs::remove_file(&config).unwrap();
    wait_for(&mut daemon, &netns, BY_DEFAULT);
    assert!(!in_force(&netns, "10.93.0.0/16"));
    fs::write(&config, exempting("10.94.0.0/16")).unwrap();
    wait_for(&mut daemon, &netns, "10.94.0.0/16");
    assert!(!in_force(&netns, BY_DEFAULT));
}

#[test]
fn a_missing_file_means_the_defaults_and_is_said_and_its_arrival_is_noticed() {
    let Some(netns) = Netns::new("missing") else { return };
    let config = netns.scratch().join("config");
    let mut daemon = Daemon::start(&netns, &config, &[]);
    wait_for(&mut daemon, &netns, BY_DEFAULT);
    daemon.wait_until_said(config.to_str().unwrap());
    daemon.wait_until_said("default");
    fs::write(&config, exempting("10.91.0.0/16")).unwrap();
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
}

#[test]
fn a_bad_file_at_first_start_means_the_flags_defaults_and_is_said() {
    let Some(netns) = Netns::new("badstart") else { return };
    let config = netns.write("config", BAD);
    let mut daemon = Daemon::start(&netns, &config, &["--nomasq-all-reserved-ranges"]);
    wait_for(&mut daemon, &netns, BY_DEFAULT);
    assert!(in_force(&netns, "100.64.0.0/10"), "{:#?}", saved(&netns, Family::Ipv4));
    daemon.wait_until_said(BAD_MESSAGE);
    daemon.wait_until_said("default");
    rename_over(&config, &exempting("10.91.0.0/16"));
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
}

#[test]
fn a_bad_file_keeps_the_rules_in_force_and_repaired_and_is_reported_once() {
    let Some(netns) = Netns::new("badlater") else { return };
    let config = netns.write("config", "nonMasqueradeCIDRs: [10.91.0.0/16]\nresyncInterval: 1s\n");
    let mut daemon = Daemon::start(&netns, &config, &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    let rules = saved(&netns, Family::Ipv4);
    rename_over(&config, BAD);
    daemon.wait_until_said(BAD_MESSAGE);
    // Each repair is a pass in which the file is still bad.
    for _ in 0..3 {
        netns.run("iptables-nft -t nat -F");
        wait_for(&mut daemon, &netns, "10.91.0.0/16");
    }
    assert_eq!(saved(&netns, Family::Ipv4), rules);
    assert_eq!(daemon.log().matches(BAD_MESSAGE).count(), 1, "{}", daemon.log());
    // A different mistake is news.
    rename_over(&config, "nonMasqueradeCIDRs: [10.0.0.0/33]\n");
    daemon.wait_until_said("10.0.0.0/33");
    rename_over(&config, &exempting("10.92.0.0/16"));
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
}

#[test]
fn sighup_reads_the_file_again_and_repairs() {
    let Some(netns) = Netns::new("sighup") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    // A write through another name of the same file is not reported to those who watch the directory (inotify(7)).
    let elsewhere = netns.scratch().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::hard_link(&config, elsewhere.join("config")).unwrap();
    fs::write(elsewhere.join("config"), exempting("10.92.0.0/16")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
    netns.run("iptables-nft -t nat -F");
    daemon.signal(Signal::SIGHUP);
    wait_for(&mut daemon, &netns, "10.92.0.0/16");
    daemon.wait_until_said("is unchanged; the rules were looked at again");
}

#[test]
fn sighup_over_an_unchanged_file_says_one_line_of_what_was_done() {
    let Some(netns) = Netns::new("unchanged") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &[]);
    wait_for(&mut daemon, &netns, "10.91.0.0/16");
    let before = daemon.log().lines().count();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until_said("/config is unchanged; the rules were looked at again");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until_said_times("/config is unchanged; the rules were looked at again", 2);
    assert_eq!(daemon.log().lines().count(), before + 2, "{}", daemon.log());
    rename_over(&config, BAD);
    daemon.wait_until_said(BAD_MESSAGE);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until_said("/config is unchanged, and still cannot be used; the rules were looked at again");
}

#[test]
fn each_thing_that_is_wrong_with_a_file_is_a_line_of_the_log() {
    let Some(netns) = Netns::new("lines") else { return };
    let config = netns.write("config", "nonMasqueradeCIDRs: [nonsense]\nmasqLinkLocal: 3\n");
    let mut daemon = Daemon::start(&netns, &config, &[]);
    daemon.wait_until_said("there has been no valid configuration since the start");
    let log = daemon.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [first, second] = errors.as_slice() else { panic!("{log}") };
    assert!(first.contains("/config:1: nonMasqueradeCIDRs[0]: ") && !first.contains("since the start"), "{log}");
    assert!(second.contains("/config:2: masqLinkLocal: ") && second.ends_with("since the start"), "{log}");
}

#[test]
fn in_the_sandbox_the_log_shows_what_is_applied_as_the_file_is_edited() {
    let Some(netns) = Netns::new("sandboxed") else { return };
    let config = netns.write("config", &exempting("10.91.0.0/16"));
    let mut daemon = Daemon::start(&netns, &config, &["--sandbox"]);
    daemon.wait_until_said("+ ip nat -A IP-MASQ-AGENT -d 10.91.0.0/16 ");
    rename_over(&config, &exempting("10.92.0.0/16"));
    daemon.wait_until_said("- ip nat -A IP-MASQ-AGENT -d 10.91.0.0/16 ");
    daemon.wait_until_said("+ ip nat -A IP-MASQ-AGENT -d 10.92.0.0/16 ");
    assert_eq!(netns.run("nft list ruleset"), "", "the namespace around the sandbox is untouched");
}
