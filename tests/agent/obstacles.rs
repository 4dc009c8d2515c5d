//! What others do beside or around the agent's rules while it runs.

use ip_masq_agent::net::Family;

use crate::support::daemon::Daemon;
use crate::support::native::Tables;
use crate::support::netns::Netns;
use crate::support::tables::{FAMILIES, saved};

/// No resync is due within the deadline, so it cannot be what repairs.
const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\nresyncInterval: 1h\n";
const CHANGED: &str = "were changed and read back";

#[test]
fn a_rival_that_comes_and_goes_again_and_again_is_told_once() {
    let Some(netns) = Netns::new("rival") else { return };
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat", "--enable-ipv6", "-v=4"]);
    daemon.wait_until_said(CHANGED);
    let mut looks = 0;
    for _ in 0..3 {
        for text in [
            "table inet theirs { chain c { type nat hook postrouting priority 200; masquerade; }; }",
            "delete table inet theirs",
        ] {
            netns.nft(text);
            looks += 1;
            daemon.wait_until_said_times("the rules are as they shall be", looks);
        }
    }
    assert_eq!(daemon.log().matches("chain c of table inet theirs translates").count(), 1, "{}", daemon.log());
}

#[test]
fn while_one_familys_table_is_in_conflict_the_other_familys_rules_are_repaired_at_once() {
    for (conflicting, repaired) in [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)] {
        let Some(netns) = Netns::new("conflict") else { return };
        let config = netns.write("config", CONFIG);
        let mut daemon = Daemon::start(&netns, &config, &["--backend", "nft-compat", "--enable-ipv6"]);
        daemon.wait_until_said(CHANGED);
        let whole = FAMILIES.map(|family| saved(&netns, family));
        netns.nft(&format!("add table {conflicting} nat {{ flags dormant; }}"));
        daemon.wait_until_said(&format!("table {conflicting} nat is switched off"));
        for times in 1..=3 {
            netns.nft(&format!("flush chain {repaired} nat IP-MASQ-AGENT"));
            daemon.wait_until_said_times("somebody changed our rules, and they were repaired", times);
            assert_eq!(FAMILIES.map(|family| saved(&netns, family)), whole);
        }
        assert_eq!(daemon.log().matches("is switched off").count(), 1, "{}", daemon.log());
        // What was missing in the meantime is added as soon as the table is switched on.
        netns.nft(&format!("flush chain {conflicting} nat IP-MASQ-AGENT"));
        netns.nft(&format!("add table {conflicting} nat"));
        daemon.wait_until("all is in force again", || FAMILIES.map(|family| saved(&netns, family)) == whole);
    }
}

#[test]
fn an_agent_that_may_choose_moves_its_rules_when_iptables_table_is_switched_off() {
    let Some(fresh) = Netns::new("fresh") else { return };
    fresh.agent("apply --backend nft --protect off --enable-ipv6", CONFIG).ended_with(0);
    let Some(netns) = Netns::new("moves") else { return };
    let config = netns.write("config", CONFIG);
    let mut daemon = Daemon::start(&netns, &config, &["--protect", "off", "--enable-ipv6"]);
    daemon.wait_until_said("backend: nft-compat, which the kernel takes");
    netns.nft("add table ip nat { flags dormant; }");
    daemon.wait_until_said("not nft-compat: table ip nat is switched off");
    daemon.wait_until_said("backend: nft, which the kernel takes");
    assert_eq!(Tables::of(&netns), Tables::of(&fresh));
    for family in FAMILIES {
        let left = saved(&netns, family).join("\n");
        assert!(!left.contains("IP-MASQ-AGENT"), "{left}");
    }
}
