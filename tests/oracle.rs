//! iptables' own tools as the judge: what they say about our rules, about the golden text of the same case, and about what
//! upstream writes for the same flags.

#[cfg(test)]
mod support;

use ip_masq_agent::net::Family;

use support::cases::Case;
use support::netns::{AGENT, Netns};
use support::tables::{FAMILIES, chains_and_rules, on_rule, program, restore, saved, without_counters};

#[test]
fn iptables_prints_our_rules_as_it_prints_the_golden_text() {
    for case in Case::all() {
        let Some((ours, theirs)) = applied_and_restored(&case) else { return };
        for family in FAMILIES {
            let (printed, golden) = (saved(&ours, family), golden(&case, family));
            assert_eq!(printed, saved(&theirs, family), "{case} {family:?}");
            assert_eq!(chains_and_rules(&printed), chains_and_rules(&without_counters(&golden)), "{case} {family:?}");
        }
    }
}

#[test]
fn iptables_lists_finds_and_deletes_each_of_our_rules() {
    for case in Case::all() {
        let Some((ours, _)) = applied_and_restored(&case) else { return };
        for family in FAMILIES {
            let rules: Vec<String> = saved(&ours, family).into_iter().filter(|line| line.starts_with("-A ")).collect();
            let listing = ours.try_run(&program(family, ""), &["-t", "nat", "-S"], "").stdout();
            for rule in &rules {
                assert!(listing.contains(rule.as_str()), "{case}: {listing}");
                on_rule(&ours, family, "-C", rule).ended_with(0);
            }
            if let Some(chain) = rules.iter().find_map(|rule| rule.rsplit_once(" -j ")).map(|(_, chain)| chain) {
                let listing = ours.run(&format!("{} -t nat -n -L {chain}", program(family, "")));
                // A line for the chain, one for the columns, one for each rule.
                let of_chain = rules.iter().filter(|rule| rule.starts_with(&format!("-A {chain} "))).count();
                assert_eq!(listing.lines().count(), 2 + of_chain, "{case}: {listing}");
            }
            for rule in &rules {
                on_rule(&ours, family, "-D", rule).ended_with(0);
            }
            let left = saved(&ours, family).into_iter().find(|line| line.starts_with("-A "));
            assert_eq!(left, None, "{case} {family:?}");
        }
    }
}

/// A namespace in which the agent has applied a case, and one into which iptables has restored its golden text.
fn applied_and_restored(case: &Case) -> Option<(Netns, Netns)> {
    let (ours, theirs) = (Netns::new("ours")?, Netns::new("theirs")?);
    case.run(&ours, &["apply", "--backend=nft-compat"]);
    for family in FAMILIES {
        restore(&theirs, family, &golden(case, family));
    }
    Some((ours, theirs))
}

/// The golden text of a family; it is empty where the family has no rules.
fn golden(case: &Case, family: Family) -> String {
    let format = match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    };
    case.golden(format).1
}

/// What upstream hands to iptables-restore for `--to-ports` (`writeMasqRules` of `ip-masq-agent.go`).
fn upstreams_lines(ranges: &[(u32, u32)]) -> String {
    let rule = "-A IP-MASQ-AGENT -m comment --comment \"ip-masq-agent: outbound traffic is subject to MASQUERADE \
                (must be last in chain)\" -j MASQUERADE --random-fully";
    let size = |(first, last): (u32, u32)| f64::from(last - first + 1);
    let mut lines = vec!["*nat".to_owned(), ":IP-MASQ-AGENT - [0:0]".to_owned()];
    for protocol in ["tcp", "udp", "sctp"] {
        let mut left: f64 = ranges.iter().copied().map(size).sum();
        for range in ranges {
            let share = size(*range);
            let probability = if left > share {
                format!(" -m statistic --mode random --probability {}", share / left)
            } else {
                String::new()
            };
            left -= share;
            let ports = if range.0 == range.1 { range.0.to_string() } else { format!("{}-{}", range.0, range.1) };
            lines.push(format!("{rule} -p {protocol}{probability} --to-ports {ports}"));
        }
    }
    lines.extend([rule.to_owned(), "COMMIT\n".to_owned()]);
    lines.join("\n")
}

#[test]
fn all_ports_that_upstream_applies_give_the_rules_that_iptables_makes_of_upstreams_words() {
    let cases: [&[(u32, u32)]; 9] = [
        &[(0, 0)],
        &[(0, 100)],
        &[(0, 65535)],
        &[(80, 80), (80, 80)],
        &[(80, 80), (80, 80), (80, 80)],
        &[(80, 90), (85, 95)],
        &[(0, 0), (1, 65535)],
        &[(1, 65535), (7, 7), (0, 65535)],
        &[(1024, 29999), (32768, 65535)],
    ];
    for ranges in cases {
        let (Some(ours), Some(theirs)) = (Netns::new("ours"), Netns::new("theirs")) else { return };
        let ports: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let flags = format!("--enable-ipv6 --to-ports {}", ports.join(","));
        let config = "masqLinkLocal: true\nmasqLinkLocalIPv6: true\nnonMasqueradeCIDRs: []\n";
        ours.agent(&format!("apply --backend=nft-compat {flags}"), config).ended_with(0);
        for family in FAMILIES {
            restore(&theirs, family, &upstreams_lines(ranges));
            let saved = [&ours, &theirs].map(|netns| saved(netns, family));
            let [ours, theirs] = saved.each_ref().map(|lines| {
                let lines = chains_and_rules(lines).into_iter();
                lines.filter(|line| !line.starts_with("-A POSTROUTING")).collect::<Vec<_>>()
            });
            assert_eq!(ours, theirs, "{ports:?} {family:?}");
        }
        // The same in tables of our own: nft lists the same ports.
        ours.agent(&format!("apply --backend=nft --protect=off {flags}"), config).ended_with(0);
        let listed = ours.run("nft list table ip ip-masq-agent");
        for (first, last) in ranges {
            let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
            assert!(listed.contains(&format!("masquerade to :{ports} fully-random")), "{ports}: {listed}");
        }
    }
}

/// Everything printable that is neither a letter nor a digit, at the beginning and at the end of a name; and others.
fn names() -> Vec<String> {
    let special = (b'!'..=b'~').map(char::from).filter(|character| !character.is_ascii_alphanumeric());
    let first = special.clone().filter(|character| !"-!\"".contains(*character)).map(|it| format!("{it}x{it}"));
    let others =
        ["x-!", "é", "日本", "FORWARD", "HL", "MIRROR", "STANDARD", "COMMIT", "nat", "CCCCCCCCCCCCCCCCCCCCCCCCCCCC"];
    first.chain(others.map(str::to_owned)).collect()
}

#[test]
fn iptables_makes_finds_saves_and_restores_a_chain_of_every_name_that_is_taken() {
    let (Some(ours), Some(theirs), Some(rendered)) = (Netns::new("ours"), Netns::new("theirs"), Netns::new("rendered"))
    else {
        return;
    };
    let config = ours.write("config", "nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    let config = config.to_str().unwrap_or_default();
    let iptables = program(Family::Ipv4, "");
    for name in names() {
        ours.try_run(AGENT, &["apply", "--backend=nft-compat", "--config", config, "--masq-chain", &name], "")
            .ended_with(0);
        let printed = saved(&ours, Family::Ipv4);
        let rules: Vec<&str> = chains_and_rules(&printed);
        assert!(rules.contains(&&*format!(":{name} -")) && rules.len() == 5, "{name}: {printed:?}");
        // As upstream makes its chain and its jump.
        let comment = format!(
            "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom {name} chain"
        );
        let jump =
            ["POSTROUTING", "-m", "comment", "--comment", &comment, "-m", "addrtype", "!", "--dst-type", "LOCAL"];
        let jump = [&["-t", "nat", "-C"], &jump[..], &["-j", &name]].concat();
        ours.try_run(&iptables, &jump, "").ended_with(0);
        theirs.try_run(&iptables, &["-t", "nat", "-N", &name], "").ended_with(0);
        // What is saved, and what is rendered, is restored as it was.
        let flags = ["render", "--format=iptables", "--config", config, "--masq-chain", &name];
        let text = ours.try_run(AGENT, &flags, "").stdout();
        rendered.try_run(&program(Family::Ipv4, "-restore"), &[], &text).ended_with(0);
        assert_eq!(saved(&rendered, Family::Ipv4), printed, "{name}");
    }
}

#[test]
fn every_name_that_iptables_cannot_use_is_refused_and_no_other() {
    let Some(netns) = Netns::new("names") else { return };
    let reserved = "ACCEPT DROP QUEUE RETURN REJECT standard INPUT OUTPUT PREROUTING POSTROUTING FORWARD HL DNPT SNPT MASQUERADE \
        SNAT DNAT AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DSCP ECN HMARK IDLETIMER LED LOG MARK NETMAP \
        NFLOG NFQUEUE NOTRACK RATEEST REDIRECT SECMARK SET SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG NAT ICMP \
        STANDARD Standard ERROR MIRROR SAME BALANCE TARPIT DELUDE masquerade tcp comment set COMMIT nat -x !x CCCCCCCCCCCCCCCCCCCCCCCCCCCCC";
    let with_blanks = ["A B", "A\tB", "A\nB", "A\u{b}B", "A\u{c}B", "A\rB", " "];
    for name in reserved.split_whitespace().chain(with_blanks) {
        for (family, flags) in FAMILIES.into_iter().zip([&[] as &[&str], &["--enable-ipv6"]]) {
            // With IPv6, both families have to take the name.
            let made = FAMILIES.into_iter().take_while(|other| *other <= family).all(|family| {
                let made = netns.try_run(&program(family, ""), &["-t", "nat", "-N", name], "").succeeded();
                netns.try_run(&program(family, ""), &["-t", "nat", "-X", name], "");
                made
            });
            let config = netns.write("config", "");
            let ours = ["render", "--config", config.to_str().unwrap_or_default(), "--masq-chain", name];
            let ran = netns.try_run(AGENT, &[&ours[..], flags].concat(), "");
            assert_eq!(ran.status, Some(if made { 0 } else { 2 }), "{name:?} {family:?}: {ran:?}");
        }
    }
}
