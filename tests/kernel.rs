//! What one pass writes into a real kernel's tables, and what it leaves alone.

#[cfg(test)]
mod support;

use ip_masq_agent::net::Family;

use support::generation::generation;
use support::netns::{AGENT, Netns};
use support::ran::Ran;
use support::tables::{FAMILIES, on_rule, program, restore, saved, saved_text};

/// A configuration for both families.
const CONFIG: &str = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n";
/// The jump, as iptables-save prints it.
const JUMP: &str = "-A POSTROUTING -m comment --comment \"ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL \
                    destination traffic to our custom IP-MASQ-AGENT chain\" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT";

/// Others' rules in the nat table, around which ours live.
const FOREIGN: &str = "*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-POSTROUTING - [0:0]
:IP-MASQ-AGENT-2 - [0:0]
-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A POSTROUTING -o lo -j RETURN
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A IP-MASQ-AGENT-2 -j RETURN
COMMIT
";

/// Most of the time that a verb takes for a short list is its start, so that it starts nothing that it does not need.
#[test]
fn a_verb_starts_no_thread_and_asks_the_kernel_for_no_more_than_it_needs() {
    let Some(netns) = Netns::new("calls") else { return };
    let config = netns.write("config", CONFIG);
    let calls = netns.scratch().join("calls");
    let traced = |verb: &str| {
        let nowhere = netns.scratch().join("nowhere");
        let words = format!("{verb} --enable-ipv6 --config {} --runtime-dir {}", config.display(), nowhere.display());
        let strace = format!("-f -qq -o {} -e trace=all {AGENT} {words}", calls.display());
        netns.try_run("strace", &strace.split_whitespace().collect::<Vec<_>>(), "").ended_with(0);
        let calls = std::fs::read_to_string(&calls).unwrap();
        // Each line begins with the number of the thread.
        calls.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned())).collect::<Vec<_>>()
    };
    // What is done, and how many sockets, messages to the kernel and files of `/proc` and `/sys` that takes.
    for (verb, sockets, messages, files) in [
        ("apply --backend nft-compat", 1, 22, 2),
        ("apply --backend nft-compat", 1, 13, 2),
        ("cleanup", 1, 24, 2),
        ("apply --backend nft", 1, 36, 2),
        ("apply --backend nft", 1, 25, 2),
        ("render", 0, 0, 0),
        ("explain 192.0.2.1", 2, 3, 0),
    ] {
        let calls = traced(verb);
        let count = |which: &dyn Fn(&str) -> bool| calls.iter().filter(|call| which(call)).count();
        let threads = count(&|call| ["clone", "fork", "vfork"].iter().any(|name| call.starts_with(name)));
        let found = (
            count(&|call| call.starts_with("socket(")),
            count(&|call| call.starts_with("sendto(")),
            // The first one is of the standard library, which looks for the end of the stack, and the other is stderr.
            count(&|call| {
                (call.contains("\"/proc/") || call.contains("\"/sys/"))
                    && !call.contains("\"/proc/self/maps\"")
                    && !call.contains("\"/proc/self/fd/2\"")
                    && !call.contains("\"/proc/self/exe\"")
            }),
        );
        assert_eq!(threads, 0, "{verb} has one thread");
        assert!(found.0 <= sockets && found.1 <= messages && found.2 <= files, "{verb}: {found:?}");
    }
}

#[test]
fn a_second_apply_writes_nothing() {
    let Some(netns) = Netns::new("twice") else { return };
    let before_the_first = generation(&netns);
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    let (after_the_first, rules) = (generation(&netns), saved_text(&netns));
    assert_eq!(after_the_first, before_the_first + 1, "both families are written in one transaction");
    assert!(rules.contains("-d 10.0.0.0/8") && rules.contains("-d fd00::/8"), "{rules}");
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    assert_eq!(generation(&netns), after_the_first);
}

#[test]
fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    let Some(netns) = Netns::new("dry") else { return };
    let before = generation(&netns);
    let said = netns.agent("apply --dry-run --enable-ipv6", CONFIG);
    assert!(said.stdout.contains("10.0.0.0/8") && said.stdout.contains("fd00::/8"), "{said:?}");
    assert_eq!(generation(&netns), before);
}

#[test]
fn what_others_have_in_the_tables_survives_apply_and_cleanup() {
    let Some(netns) = Netns::new("foreign") else { return };
    for family in FAMILIES {
        restore(&netns, family, FOREIGN);
    }
    netns.nft("table inet others { chain forward { type filter hook forward priority 0; counter; }; }");
    let other_table = netns.run("nft -a list table inet others");
    let before = FAMILIES.map(|family| saved(&netns, family));

    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    for (family, before) in FAMILIES.into_iter().zip(&before) {
        let ours = |line: &String| line.starts_with("-A IP-MASQ-AGENT ") || line == JUMP || line == ":IP-MASQ-AGENT -";
        let with_ours = saved(&netns, family);
        assert!(with_ours.contains(&JUMP.to_owned()), "{with_ours:#?}");
        let without_ours: Vec<String> = with_ours.into_iter().filter(|line| !ours(line)).collect();
        assert_eq!(&without_ours, before);
    }

    netns.agent("cleanup --enable-ipv6", CONFIG).ended_with(0);
    assert_eq!(FAMILIES.map(|family| saved(&netns, family)), before);
    assert_eq!(netns.run("nft -a list table inet others"), other_table);
}

#[test]
fn a_second_cleanup_is_fine_and_writes_nothing() {
    let Some(netns) = Netns::new("cleanup") else { return };
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    assert_eq!(saved_text(&netns).matches(JUMP).count(), 2);
    netns.agent("cleanup", CONFIG).ended_with(0);
    let rules = saved_text(&netns);
    assert!(!rules.contains("-A ") && !rules.contains("IP-MASQ-AGENT"), "{rules}");
    let after_the_first = generation(&netns);
    netns.agent("cleanup", CONFIG).ended_with(0);
    assert_eq!(generation(&netns), after_the_first);
}

#[test]
fn cleanup_creates_nothing_where_nothing_is() {
    let Some(netns) = Netns::new("nothing") else { return };
    let before = generation(&netns);
    netns.agent("cleanup", CONFIG).ended_with(0);
    assert_eq!((generation(&netns), netns.run("nft list ruleset")), (before, String::new()));
}

#[test]
fn a_doubled_jump_becomes_one() {
    let Some(netns) = Netns::new("doubled") else { return };
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    let wanted = saved_text(&netns);
    for family in FAMILIES {
        on_rule(&netns, family, "-A", JUMP).ended_with(0);
        on_rule(&netns, family, "-I", JUMP).ended_with(0);
    }
    assert_eq!(saved_text(&netns).matches(JUMP).count(), 6);
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    assert_eq!(saved_text(&netns), wanted);
}

#[test]
fn the_chain_that_upstream_wrote_is_adopted_as_it_stands() {
    let Some(netns) = Netns::new("adopted") else { return };
    // In upstream's order: EnsureChain and EnsureRule by iptables, then the rules by iptables-restore --noflush.
    let local = "-m comment --comment \"ip-masq-agent: local traffic is not subject to MASQUERADE\"";
    let outbound =
        "-m comment --comment \"ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)\"";
    for (family, link_local, range) in
        [(Family::Ipv4, "169.254.0.0/16", "10.0.0.0/8"), (Family::Ipv6, "fe80::/10", "fd00::/8")]
    {
        netns.run(&format!("{} -t nat -N IP-MASQ-AGENT", program(family, "")));
        on_rule(&netns, family, "-A", JUMP).ended_with(0);
        let rules = format!(
            "*nat\n:IP-MASQ-AGENT - [0:0]\n\
             -A IP-MASQ-AGENT {local} -d {link_local} -j RETURN\n\
             -A IP-MASQ-AGENT {local} -d {range} -j RETURN\n\
             -A IP-MASQ-AGENT {outbound} -j MASQUERADE --random-fully\nCOMMIT\n"
        );
        restore(&netns, family, &rules);
    }
    let upstreams = generation(&netns);
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    assert_eq!(generation(&netns), upstreams, "{}", saved_text(&netns));
    // And it is seen as what it is: another configuration changes it.
    netns.agent("apply --enable-ipv6 --random-fully=false", CONFIG).ended_with(0);
    assert_eq!(saved_text(&netns).matches("-j MASQUERADE\n").count(), 2, "{}", saved_text(&netns));
}

#[test]
fn a_new_chain_name_takes_the_old_chain_and_its_jump_out() {
    let Some(netns) = Netns::new("renamed") else { return };
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    let before = generation(&netns);
    netns.agent("apply --enable-ipv6 --masq-chain EGRESS", CONFIG).ended_with(0);
    let rules = saved_text(&netns);
    assert!(!rules.contains("IP-MASQ-AGENT"), "{rules}");
    assert_eq!(rules.matches("-j EGRESS").count(), 2, "{rules}");
    assert_eq!(generation(&netns), before + 1, "old and new are exchanged in one transaction");
}

#[test]
fn turning_ipv6_off_takes_its_rules_out() {
    let Some(netns) = Netns::new("v6off") else { return };
    netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
    let ipv4 = saved(&netns, Family::Ipv4);
    assert!(saved(&netns, Family::Ipv6).contains(&JUMP.to_owned()));
    netns.agent("apply --enable-ipv6=false", "nonMasqueradeCIDRs: [10.0.0.0/8]\n").ended_with(0);
    let ipv6 = saved(&netns, Family::Ipv6).join("\n");
    assert!(!ipv6.contains("IP-MASQ-AGENT"), "{ipv6}");
    assert_eq!(saved(&netns, Family::Ipv4), ipv4);
}

#[test]
fn whatever_is_wrong_with_our_rules_is_mended() {
    let damages: [(&str, &[&str]); 8] = [
        ("a foreign rule first", &["-t nat -I IP-MASQ-AGENT -p udp -j RETURN"]),
        ("a foreign rule last", &["-t nat -A IP-MASQ-AGENT -p udp -j RETURN"]),
        ("a rule gone", &["-t nat -D IP-MASQ-AGENT 2"]),
        ("two rules in the wrong order", &["-t nat -D IP-MASQ-AGENT 3", "-t nat -I IP-MASQ-AGENT -j MASQUERADE"]),
        ("our chain empty", &["-t nat -F IP-MASQ-AGENT"]),
        ("the jump gone", &["-t nat -F POSTROUTING"]),
        ("all chains empty", &["-t nat -F"]),
        ("POSTROUTING itself gone", &["-t nat -F", "-t nat -X"]),
    ];
    for (damage, commands) in damages {
        let Some(netns) = Netns::new("mended") else { return };
        netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
        let wanted = saved_text(&netns);
        for family in FAMILIES {
            for command in commands {
                netns.run(&format!("{} {command}", program(family, "")));
            }
        }
        assert_ne!(saved_text(&netns), wanted, "{damage}");
        netns.agent("apply --enable-ipv6", CONFIG).ended_with(0);
        assert_eq!(saved_text(&netns), wanted, "{damage}");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_ends_with_status_3() {
    let Some(netns) = Netns::new("bad") else { return };
    netns.agent("apply", CONFIG.replace(", fd00::/8", "").as_str()).ended_with(0);
    let before = generation(&netns);
    let said = netns.agent("apply", "nonMasqueradeCIDRs:\n- 10.1.2.3/8\n").ended_with(3);
    assert!(said.stderr.contains("10.1.2.3/8"), "{said:?}");
    assert_eq!((generation(&netns), said.stdout.as_str()), (before, ""));
}

#[test]
fn without_the_capability_status_5_names_it() {
    let Some(netns) = Netns::new("unprivileged") else { return };
    let before = generation(&netns);
    for verb in ["apply", "cleanup"] {
        let said = without_net_admin(&netns, verb).ended_with(5);
        assert!(said.stderr.contains("CAP_NET_ADMIN"), "{said:?}");
    }
    assert_eq!(generation(&netns), before);
}

#[test]
fn what_the_kernel_refuses_ends_with_status_4_and_leaves_everything_as_it_was() {
    let Some(netns) = Netns::new("refused") else { return };
    // The kernel takes MASQUERADE only where a base chain of type nat leads to it, and a chain cannot change its type.
    netns.nft("table ip nat { chain POSTROUTING { type filter hook postrouting priority 100; }; }");
    let (before, rules) = (generation(&netns), netns.run("nft list ruleset"));
    for verb in ["apply --backend nft-compat", "apply --backend nft-compat --dry-run"] {
        let said = netns.agent(verb, "nonMasqueradeCIDRs: [10.0.0.0/8]\n").ended_with(4);
        assert!(said.stderr.contains("POSTROUTING"), "{said:?}");
        assert_eq!((generation(&netns), netns.run("nft list ruleset")), (before, rules.clone()), "{verb}");
    }
}

/// Runs a verb as root without the right to change the network.
fn without_net_admin(netns: &Netns, verb: &str) -> Ran {
    netns.try_run("setpriv", &["--bounding-set=-net_admin", "--inh-caps=-net_admin", AGENT, verb], "")
}
