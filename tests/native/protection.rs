//! Tables that only their owner may change, for as long as it lives, and that outlive it.

use nix::sys::signal::Signal;

use crate::support::daemon::Daemon;
use crate::support::files::rename_over;
use crate::support::generation::generation;
use crate::support::native::{blocks, listed, without_flags};
use crate::support::netns::Netns;

const FLAGS: [&str; 2] = ["--backend=nft", "--enable-ipv6"];
const CHANGED: &str = "the rules were changed and read back";

fn exempting(range: &str) -> String {
    format!("nonMasqueradeCIDRs: [{range}]\nresyncInterval: 1h\n")
}

/// A running agent whose first pass is over.
fn settled(netns: &Netns, config: &str, flags: &[&str]) -> Daemon {
    let config = netns.write("config", config);
    let mut daemon = Daemon::start(netns, &config, &[&FLAGS, flags].concat());
    daemon.wait_until_said(CHANGED);
    daemon
}

#[test]
fn while_the_agent_lives_nobody_else_changes_its_tables() {
    let Some(netns) = Netns::new("owned") else { return };
    let mut daemon = settled(&netns, &exempting("10.91.0.0/16"), &[]);
    let before = listed(&netns);
    for arguments in [
        &["delete", "table", "ip", "ip-masq-agent"][..],
        &["delete", "table", "ip6", "ip-masq-agent"],
        &["flush", "table", "ip", "ip-masq-agent"],
        &["add", "rule", "ip", "ip-masq-agent", "IP-MASQ-AGENT", "counter"],
        &["add", "element", "ip", "ip-masq-agent", "exempt-16", "{ 192.0.0.0 }"],
        &["add", "chain", "ip6", "ip-masq-agent", "theirs"],
    ] {
        let refused = netns.try_run("nft", arguments, "").ended_with(1);
        assert!(refused.stderr.contains("Operation not permitted"), "{refused:?}");
    }
    netns.nft("table ip others { }");
    netns.run("nft flush ruleset");
    assert_eq!(netns.run("nft list tables"), "table ip ip-masq-agent\ntable ip6 ip-masq-agent\n");
    assert_eq!(listed(&netns), before);
    // It can change them itself.
    rename_over(&netns.scratch().join("config"), &exempting("10.92.0.0/16"));
    daemon.wait_until_said_times(CHANGED, 2);
    assert_eq!(listed(&netns), before.replace("10.91.0.0", "10.92.0.0"));
}

#[test]
fn another_agent_that_wants_something_else_ends_with_status_4_and_says_who_is_in_the_way() {
    let Some(netns) = Netns::new("second") else { return };
    let _daemon = settled(&netns, &exempting("10.91.0.0/16"), &[]);
    let before = (generation(&netns), listed(&netns));
    let other = exempting("10.92.0.0/16");
    for verb in [
        "apply --backend nft --enable-ipv6",
        "apply --backend nft --enable-ipv6 --protect off",
        "apply --backend nft-compat",
        "apply",
        "cleanup",
    ] {
        let refused = netns.agent(verb, &other).ended_with(4);
        assert!(refused.stderr.contains("table ip ip-masq-agent belongs to another process"), "{verb}: {refused:?}");
        assert!(refused.stderr.contains("stop it first"), "{verb}: {refused:?}");
        assert_eq!((generation(&netns), listed(&netns)), before, "{verb}");
    }
    // One that wants the same finds it done.
    netns.agent("apply --backend nft --enable-ipv6", &exempting("10.91.0.0/16")).ended_with(0);
    assert_eq!((generation(&netns), listed(&netns)), before);
}

#[test]
fn the_tables_outlive_their_owner_and_the_next_agent_adopts_them_as_they_stand() {
    let Some(netns) = Netns::new("adopted") else { return };
    let mut daemon = settled(&netns, &exempting("10.91.0.0/16"), &[]);
    let (wanted, handles) = (without_flags(&listed(&netns)), without_flags(&netns.run("nft -a list ruleset")));
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        daemon.signal(signal);
        daemon.ended();
        assert_eq!(without_flags(&listed(&netns)), wanted, "{signal}");
        let left = generation(&netns);
        daemon = Daemon::start(&netns, &netns.scratch().join("config"), &FLAGS);
        daemon.wait_until_said(CHANGED);
        assert_eq!(generation(&netns), left + 1, "{signal}: adopted in one transaction\n{}", daemon.log());
        // Nothing was deleted and made again: what is there has the handles that it had.
        assert_eq!(without_flags(&netns.run("nft -a list ruleset")), handles, "{signal}");
        let told: Vec<String> = daemon
            .log()
            .lines()
            .filter_map(|line| line.split_once("INFO   "))
            .map(|(_, line)| line.to_owned())
            .collect();
        assert_eq!(
            told,
            ["+ table ip ip-masq-agent (owner, persist)", "+ table ip6 ip-masq-agent (owner, persist)"],
            "{signal}"
        );
        netns.try_run("nft", &["delete", "table", "ip", "ip-masq-agent"], "").ended_with(1);
    }
}

#[test]
fn a_table_whose_owner_is_gone_can_be_changed_by_whoever_comes() {
    let Some(netns) = Netns::new("orphan") else { return };
    let mut daemon = settled(&netns, &exempting("10.91.0.0/16"), &[]);
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let before = generation(&netns);
    netns.agent("apply --backend nft --enable-ipv6", &exempting("10.92.0.0/16")).ended_with(0);
    assert!(listed(&netns).contains("10.92.0.0") && !listed(&netns).contains("10.91.0.0"), "{}", listed(&netns));
    assert_eq!(generation(&netns), before + 1);
    netns.agent("cleanup", "").ended_with(0);
    assert_eq!(listed(&netns), "");
}

#[test]
fn a_table_that_was_damaged_while_nobody_owned_it_is_whole_again_with_the_next_agent() {
    let Some(netns) = Netns::new("damaged") else { return };
    let mut daemon = settled(&netns, &exempting("10.91.0.0/16"), &[]);
    let wanted = blocks(&listed(&netns));
    for damage in [
        "flush chain ip ip-masq-agent postrouting\ndelete chain ip ip-masq-agent postrouting",
        "flush table ip6 ip-masq-agent\ndelete chain ip6 ip-masq-agent postrouting",
        "flush table ip ip-masq-agent",
        "add chain ip ip-masq-agent theirs { type nat hook output priority 0; }",
        "flush set ip ip-masq-agent exempt-16",
        "delete table ip6 ip-masq-agent",
    ] {
        daemon.signal(Signal::SIGKILL);
        daemon.ended();
        netns.nft(damage);
        daemon = Daemon::start(&netns, &netns.scratch().join("config"), &FLAGS);
        daemon.wait_until_said(CHANGED);
        assert_eq!(blocks(&listed(&netns)), wanted, "{damage}");
        netns.try_run("nft", &["flush", "table", "ip", "ip-masq-agent"], "").ended_with(1);
    }
}

#[test]
fn an_unprotected_table_can_be_damaged_by_others_and_is_mended_at_once() {
    let Some(netns) = Netns::new("open") else { return };
    let mut daemon = settled(&netns, &exempting("10.91.0.0/16"), &["--protect=off"]);
    let wanted = listed(&netns);
    assert_eq!(without_flags(&wanted), wanted, "it has no flags");
    let damages = [
        "flush ruleset",
        "delete table ip ip-masq-agent",
        "flush table ip6 ip-masq-agent",
        "add rule ip ip-masq-agent IP-MASQ-AGENT counter",
        "insert rule ip ip-masq-agent IP-MASQ-AGENT accept",
        "insert rule ip ip-masq-agent postrouting ip saddr 192.0.2.0/24 return",
        "add element ip ip-masq-agent exempt-16 { 192.0.0.0 }",
        "delete element ip ip-masq-agent exempt-16 { 10.91.0.0 }",
        "flush set ip ip-masq-agent exempt-16",
        "add chain ip ip-masq-agent theirs",
        "add set ip ip-masq-agent theirs { type ipv4_addr; }",
        "flush chain ip ip-masq-agent postrouting",
        "add rule ip ip-masq-agent IP-MASQ-AGENT ip daddr @exempt-16 drop",
        "add map ip ip-masq-agent theirs { type ipv4_addr : verdict; }",
        "add chain ip ip-masq-agent theirs { type filter hook input priority 0; }",
        "add chain ip ip-masq-agent one\nadd chain ip ip-masq-agent two\n\
         add rule ip ip-masq-agent one jump two\nadd rule ip ip-masq-agent postrouting jump one",
        "add chain ip ip-masq-agent two\nadd chain ip ip-masq-agent one\n\
         add rule ip ip-masq-agent one jump two\nadd rule ip ip-masq-agent postrouting jump one",
        "add chain ip ip-masq-agent postrouting { policy drop; }",
        "add counter ip ip-masq-agent theirs",
        "add quota ip6 ip-masq-agent theirs { over 1 mbytes }",
        "add limit ip ip-masq-agent theirs { rate 1/second }",
        "table ip ip-masq-agent { ct timeout theirs { protocol tcp; l3proto ip; policy = { close: 1 }; }; }",
        "table ip ip-masq-agent { ct expectation theirs { protocol tcp; dport 1; timeout 1m; size 1; l3proto ip; }; }",
        "table ip ip-masq-agent { counter theirs { }; counter more { };\n\
         map counters { type ipv4_addr : counter; elements = { 192.0.2.1 : \"theirs\" }; };\n\
         chain counting { counter name more; counter name ip daddr map @counters; }; }",
        "insert rule ip ip-masq-agent IP-MASQ-AGENT ip daddr { 192.0.2.1, 192.0.2.9 } drop",
        "add chain ip ip-masq-agent theirs\n\
         insert rule ip ip-masq-agent IP-MASQ-AGENT ip daddr vmap { 192.0.2.1 : jump theirs }",
        "table ip ip-masq-agent { map verdicts { type ipv4_addr : verdict; }; chain theirs { }; }\n\
         add element ip ip-masq-agent verdicts { 192.0.2.1 : jump theirs }\n\
         add rule ip ip-masq-agent postrouting ip daddr vmap @verdicts",
        "delete table ip6 ip-masq-agent\nadd table ip6 ip-masq-agent { flags dormant; }",
        "delete table ip6 ip-masq-agent\n\
         table ip6 ip-masq-agent { chain postrouting { type filter hook output priority 7; }; }",
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        // Endless damage is repaired more and more slowly, until the operator resets the back-off.
        daemon.signal(Signal::SIGHUP);
        netns.nft(damage);
        daemon.wait_until_said_times("somebody changed our rules, and they were repaired", number + 1);
        assert_eq!(listed(&netns), wanted, "{damage}");
    }
}
