//! The text that `iptables-save` prints, and `iptables-restore` reads, for our rules.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::net::{Family, Protocol};
use crate::policy::{self, Value};
use crate::rules::{Field, Match, Rule, Ruleset, TableId, Test, Verdict};

/// The `nat` table of a family as `iptables-save` (`ip6tables-save`) prints it, less its comments. Empty if nothing of
/// ours should be there.
#[must_use]
pub fn iptables_save(ruleset: &Ruleset, family: Family) -> String {
    let Some(table) = ruleset.table(TableId::nat(family)) else { return String::new() };
    let mut text = format!("*{}\n", table.id.name);
    for chain in &table.chains {
        let policy = if chain.base.is_some() { "ACCEPT" } else { "-" };
        let _ = writeln!(text, ":{} {policy} [0:0]", chain.name);
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            let _ = writeln!(text, "{}", iptables_rule(&chain.name, rule));
        }
    }
    text.push_str("COMMIT\n");
    text
}

/// A rule as `iptables-save` prints it: `-A CHAIN …`.
#[must_use]
pub fn iptables_rule(chain: &str, rule: &Rule) -> String {
    let mut text = format!("-A {chain}");
    // iptables prints what the IP header says first, then the extensions; a comment is the first of ours.
    let (header, extensions): (Vec<&Match>, Vec<&Match>) =
        rule.matches().iter().partition(|condition| option(condition).0.is_empty());
    for condition in header {
        push_match(&mut text, condition, None);
    }
    // iptables prints the protocol with what the IP header says, also where it is asked for with ports.
    let of_ports = rule.matches().iter().find_map(Match::ports);
    if let Some((protocol, _)) = of_ports {
        let _ = write!(text, " -p {protocol}");
    }
    if let Some(comment) = rule.comment() {
        let _ = write!(text, " -m comment --comment {}", quoted(comment));
    }
    let mut before = None;
    for condition in extensions {
        push_match(&mut text, condition, before.replace(condition));
    }
    push_verdict(&mut text, rule.verdict());
    text
}

/// The extension that tests for it, if it is none of the IP header's, and the option.
fn option(condition: &Match) -> (&'static str, &'static str) {
    match (condition.field(), condition.test()) {
        // No rule of the nat table has a lookup.
        (_, Test::InSet { .. }) => (" -m set", "--match-set"),
        (Field::Packet(policy::Field::Source), _) => ("", "-s"),
        (Field::Packet(policy::Field::Destination), _) => ("", "-d"),
        (Field::Packet(policy::Field::OutputInterface), _) => ("", "-o"),
        (Field::Packet(policy::Field::Protocol), _) => ("", "-p"),
        (Field::Packet(policy::Field::SourcePort), _) => (ports_of(condition), "--sport"),
        (Field::Packet(policy::Field::DestinationPort), _) => (ports_of(condition), "--dport"),
        (Field::Packet(policy::Field::Mark), _) => (" -m mark", "--mark"),
        (Field::Packet(policy::Field::DestinationType), _) => (" -m addrtype", "--dst-type"),
        (Field::Random, _) => (" -m statistic --mode random", "--probability"),
    }
}

/// The extension that tests for the ports of a protocol.
fn ports_of(condition: &Match) -> &'static str {
    match condition.asked_protocol() {
        Some(Protocol::Udp) => " -m udp",
        Some(Protocol::Sctp) => " -m sctp",
        // Of no other protocol are ports tested.
        _ => " -m tcp",
    }
}

/// Appends a condition to those that are there already, the last of which is `before`.
fn push_match(text: &mut String, condition: &Match, before: Option<&Match>) {
    let (extension, option) = option(condition);
    let not = if matches!(condition.test(), Test::Packet(policy::Test::NotEqual(_))) { " !" } else { "" };
    // One extension tests a source and a destination port.
    let is_both =
        before.is_some_and(|before| before.field() < condition.field() && self::option(before).0 == extension);
    if !is_both {
        text.push_str(extension);
    }
    let _ = write!(text, "{not} {option} ");
    let _ = match condition.test() {
        Test::Packet(policy::Test::Prefix(range)) => {
            write!(text, "{}/{}", address(range.network()), range.prefix_len())
        }
        Test::Packet(policy::Test::Equal(value) | policy::Test::NotEqual(value)) => write!(text, "{}", word(value)),
        Test::Packet(policy::Test::NamePrefix(start)) => write!(text, "{start}+"),
        Test::Packet(policy::Test::Masked(bits)) => write!(text, "{bits}"),
        Test::Packet(policy::Test::Range(_, ports)) if ports.size() == 1 => write!(text, "{}", ports.first()),
        Test::Packet(policy::Test::Range(_, ports)) => write!(text, "{}:{}", ports.first(), ports.last()),
        Test::InSet { set, .. } => {
            let is_source = condition.field() == Field::Packet(policy::Field::Source);
            write!(text, "{set} {}", if is_source { "src" } else { "dst" })
        }
        Test::Below(probability) => write!(text, "{probability}"),
    };
}

fn word(value: Value) -> String {
    match value {
        Value::Address(address) => self::address(address),
        Value::AddressType(_) => value.to_string().to_uppercase(),
        Value::Protocol(_) | Value::Interface(_) | Value::Mark(_) | Value::Port(_) => value.to_string(),
    }
}

fn push_verdict(text: &mut String, verdict: &Verdict) {
    match verdict {
        Verdict::Return => text.push_str(" -j RETURN"),
        Verdict::Jump(chain) => {
            let _ = write!(text, " -j {chain}");
        }
        Verdict::Masquerade(how) => {
            text.push_str(" -j MASQUERADE");
            if let Some(ports) = how.ports {
                let _ = write!(text, " --to-ports {ports}");
            }
            if how.fully_random {
                text.push_str(" --random-fully");
            }
        }
    }
}

/// As `inet_ntop` of the C library prints an address: an IPv4-compatible one (RFC 4291 §2.5.5.1) ends in dotted decimals.
fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                format!("::{a}.{b}.{c}.{d}")
            }
            _ => v6.to_string(),
        },
        IpAddr::V4(v4) => v4.to_string(),
    }
}

/// As `xtables_save_string` of iptables writes a string that holds spaces.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}
