//! What others have made of iptables' table, or have beside it, so that our rules in it would have no effect, or another than
//! they say.

use crate::support::native::{Tables, listed, without_flags};
use crate::support::netns::Netns;

const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n";
const IPV4: &str = "nonMasqueradeCIDRs: [10.0.0.0/8]\n";

/// What another program has done to the table, and what the agent says about it. `$F` is `ip` or `ip6`.
const CONFLICTS: [(&str, &str); 6] = [
    (
        "table $F nat { flags dormant; chain POSTROUTING { type nat hook postrouting priority 100; }; }",
        "table $F nat is switched off (flags dormant)",
    ),
    (
        "table $F nat { chain POSTROUTING { type nat hook input priority 100; }; }",
        "POSTROUTING of table $F nat is a base chain (type nat, hook input, priority 100)",
    ),
    (
        "table $F nat { chain POSTROUTING { type nat hook postrouting priority 50; }; }",
        "POSTROUTING of table $F nat is a base chain (type nat, hook postrouting, priority 50)",
    ),
    (
        "table $F nat { chain POSTROUTING { type filter hook postrouting priority 100; }; }",
        "POSTROUTING of table $F nat is a base chain (type filter, hook postrouting, priority 100)",
    ),
    ("table $F nat { chain POSTROUTING { }; }", "POSTROUTING of table $F nat is a plain chain"),
    (
        "table $F nat { chain IP-MASQ-AGENT { type filter hook input priority 0; }; }",
        "chain IP-MASQ-AGENT of table $F nat is a base chain",
    ),
];

/// `nft list table` of a family's nat table; nothing if there is none.
fn nat(netns: &Netns, family: &str) -> String {
    netns.try_run("nft", &["-s", "list", "table", family, "nat"], "").stdout
}

#[test]
fn what_others_made_of_one_familys_table_is_told_and_the_other_familys_rules_are_in_force() {
    for (text, told) in CONFLICTS {
        for (family, other, human) in [("ip", "ip6", "IPv6"), ("ip6", "ip", "IPv4")] {
            let Some(netns) = Netns::new("conflict") else { return };
            netns.nft(&text.replace("$F", family));
            let before = nat(&netns, family);
            let said = netns.agent("apply --backend nft-compat --enable-ipv6", CONFIG).ended_with(4);
            assert!(said.stderr.contains(&told.replace("$F", family)), "{said:?}");
            assert!(said.stderr.contains(&format!("; {human} is not affected")), "{said:?}");
            assert_eq!(nat(&netns, family), before, "{text}");
            let in_force = nat(&netns, other);
            assert!(in_force.contains("jump IP-MASQ-AGENT") && in_force.contains("masquerade"), "{in_force}");
        }
    }
}

#[test]
fn where_rules_in_iptables_table_would_have_no_effect_auto_takes_tables_of_our_own() {
    let Some(fresh) = Netns::new("fresh") else { return };
    fresh.agent("apply --backend nft --protect off --enable-ipv6", CONFIG).ended_with(0);
    for (text, told) in CONFLICTS {
        for family in ["ip", "ip6"] {
            let Some(netns) = Netns::new("auto") else { return };
            netns.nft(&text.replace("$F", family));
            let before = nat(&netns, family);
            let said = netns.agent("apply --protect off --enable-ipv6", CONFIG).ended_with(0);
            let told = format!("not nft-compat: {}", told.replace("$F", family));
            let told = told.replace("compat: POSTROUTING", "compat: chain POSTROUTING");
            assert!(said.stderr.contains(&told), "{told}: {said:?}");
            assert_eq!(Tables::of(&netns), Tables::of(&fresh), "{text}");
            assert_eq!(nat(&netns, family), before, "{text}");
        }
    }
}

#[test]
fn rules_of_ours_that_stand_without_effect_go_when_tables_of_our_own_take_their_place() {
    let Some(netns) = Netns::new("moved") else { return };
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    netns.nft("add table ip nat { flags dormant; }");
    assert!(nat(&netns, "ip").contains("flags dormant"));
    let said = netns.agent("apply --enable-ipv6 --protect off", CONFIG).ended_with(0);
    for family in ["ip", "ip6"] {
        assert!(!nat(&netns, family).contains("IP-MASQ-AGENT"), "{said:?}");
    }
    assert_eq!(listed(&netns).matches("masquerade fully-random").count(), 2);
    assert!(nat(&netns, "ip").contains("flags dormant"), "others may want it so");
}

#[test]
fn the_command_that_is_named_ends_the_conflict() {
    let Some(netns) = Netns::new("command") else { return };
    netns.nft("table ip nat { flags dormant; }");
    let said = netns.agent("apply --backend nft-compat", IPV4).ended_with(4);
    let command = said.stderr.split('`').nth(1).expect("a command").to_owned();
    netns.run(&command);
    netns.agent("apply --backend nft-compat", IPV4).ended_with(0);
    assert!(!nat(&netns, "ip").contains("dormant"));
}

#[test]
fn a_family_that_is_off_is_in_nobodys_way() {
    for (text, _) in CONFLICTS {
        let Some(netns) = Netns::new("off") else { return };
        netns.nft(&text.replace("$F", "ip6"));
        let before = nat(&netns, "ip6");
        for verb in ["apply --backend nft-compat", "apply --backend nft --protect off", "cleanup"] {
            netns.agent(verb, IPV4).ended_with(0);
            assert_eq!(nat(&netns, "ip6"), before, "{verb}: {text}");
        }
    }
}

#[test]
fn a_policy_that_drops_what_ours_exempt_is_told_with_the_command_that_ends_it() {
    for flags in ["--backend nft-compat", "--backend nft"] {
        let Some(netns) = Netns::new("drop") else { return };
        netns.nft("table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; policy drop; }; }");
        let said = netns.agent(&format!("apply {flags}"), IPV4).ended_with(0);
        assert!(said.stderr.contains("chain POSTROUTING of table ip nat has the policy drop"), "{said:?}");
        assert!(nat(&netns, "ip").contains("policy drop"), "it is not ours");
        let command = said.stderr.split('`').nth(1).expect("a command").to_owned();
        netns.try_run("sh", &["-c", &command], "").ended_with(0);
        assert!(nat(&netns, "ip").contains("policy accept"), "{command}");
        assert!(!netns.agent(&format!("apply {flags}"), IPV4).ended_with(0).stderr.contains("policy drop"));
    }
}

#[test]
fn chains_of_family_inet_and_tables_of_iptables_legacy_are_told_like_any_other_rival() {
    for flags in ["--backend nft-compat", "--backend nft"] {
        let Some(netns) = Netns::new("rivals") else { return };
        let apply = format!("apply --enable-ipv6 {flags}");
        let warnings = || netns.agent(&apply, CONFIG).ended_with(0).stderr.matches("warning: ").count();
        assert_eq!(warnings(), 0);
        netns.nft("table inet nat { chain c { type nat hook postrouting priority 300; masquerade; }; }");
        let said = netns.agent(&apply, CONFIG).ended_with(0);
        assert!(said.stderr.contains("chain c of table inet nat translates sources too, at priority 300"), "{said:?}");
        assert_eq!(warnings(), 1, "once for both families");
        netns.nft("add table inet nat { flags dormant; }");
        assert_eq!(warnings(), 0, "a table that is switched off does nothing");
        netns.run("iptables-legacy -t nat -A POSTROUTING -j MASQUERADE");
        netns.run("ip6tables-legacy -t nat -A POSTROUTING -j MASQUERADE");
        let said = netns.agent(&apply, CONFIG).ended_with(0);
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            assert!(said.stderr.contains(&format!("{program} has a nat table too")), "{said:?}");
        }
        assert_eq!(warnings(), 2);
        assert_eq!(netns.agent("apply", IPV4).ended_with(0).stderr.matches("ip6tables-legacy").count(), 0);
    }
}

#[test]
fn protection_that_is_asked_for_takes_tables_of_our_own_by_auto_too() {
    let Some(netns) = Netns::new("protect") else { return };
    let said = netns.agent("apply --protect on --enable-ipv6", CONFIG).ended_with(0);
    assert!(said.stderr.contains("backend: nft with protected tables"), "{said:?}");
    assert_ne!(listed(&netns), without_flags(&listed(&netns)), "the flags are shown");
    assert_eq!(nat(&netns, "ip"), "");
    netns.agent("apply --protect on --backend nft-compat", IPV4).ended_with(2);
    let explained = netns.agent("explain 10.1.2.3 --protect on", IPV4).stdout();
    assert!(explained.contains("table ip ip-masq-agent"), "{explained}");
}
