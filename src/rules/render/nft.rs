//! The text that `nft -f` reads, and much of what `nft list` prints, for a table of our own.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::net::{Cidr, Family, Mark, PortRange};
use crate::policy::{self, Value};
use crate::rules::{Chain, Field, Masquerade, Match, Rule, Ruleset, Set, SetKind, Test, Verdict};

/// The tables of a ruleset in the native layout. `nft -f` of it replaces tables of the same names in one transaction.
#[must_use]
pub fn nft(ruleset: &Ruleset) -> String {
    let mut text = String::new();
    for table in &ruleset.tables {
        let id = table.id;
        // Created so that it can be deleted; deleted so that nothing is left of the old content.
        let _ = writeln!(text, "table {id}\ndelete table {id}\ntable {id} {{");
        let sets = table.sets.iter().map(|set| set_text(set, id.family));
        let chains = table.chains.iter().map(|chain| chain_text(chain, id.family));
        text.push_str(&sets.chain(chains).collect::<Vec<_>>().join("\n"));
        text.push_str("}\n");
    }
    text
}

fn set_text(set: &Set, family: Family) -> String {
    let mut text = format!("\tset {} {{\n\t\ttype {}\n", set.name, address_type(family));
    let _ = match set.kind {
        SetKind::Addresses { size } => writeln!(text, "\t\tsize {size}"),
        SetKind::Intervals => writeln!(text, "\t\tflags interval"),
    };
    if !set.elements.is_empty() {
        let elements: Vec<String> = set.elements.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "));
    }
    text.push_str("\t}\n");
    text
}

const fn address_type(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4_addr",
        Family::Ipv6 => "ipv6_addr",
    }
}

fn chain_text(chain: &Chain, family: Family) -> String {
    let mut text = format!("\tchain {} {{\n", chain.name);
    if let Some(base) = &chain.base {
        let _ = writeln!(
            text,
            "\t\ttype {} hook {} priority {}; policy accept;",
            base.kind,
            base.hook_name(),
            base.priority
        );
    }
    for rule in &chain.rules {
        let _ = writeln!(text, "\t\t{}", nft_rule(family, rule));
    }
    text.push_str("\t}\n");
    text
}

/// A rule of a table of our own, as `nft` writes it.
#[must_use]
pub fn nft_rule(family: Family, rule: &Rule) -> String {
    let mut words: Vec<String> = rule.matches().iter().map(|condition| condition_text(family, condition)).collect();
    words.push("counter".to_owned());
    words.push(match rule.verdict() {
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Masquerade(how) => masquerade_text(*how),
    });
    if let Some(comment) = rule.comment() {
        words.push(format!("comment \"{comment}\""));
    }
    words.join(" ")
}

fn condition_text(family: Family, condition: &Match) -> String {
    let field = match condition.field() {
        Field::Packet(policy::Field::Source) => format!("{family} saddr"),
        Field::Packet(policy::Field::Destination) => format!("{family} daddr"),
        Field::Packet(policy::Field::OutputInterface) => "oifname".to_owned(),
        Field::Packet(policy::Field::Protocol) => "meta l4proto".to_owned(),
        Field::Packet(policy::Field::SourcePort) => "sport".to_owned(),
        Field::Packet(policy::Field::DestinationPort) => "dport".to_owned(),
        Field::Packet(policy::Field::Mark) => "meta mark".to_owned(),
        Field::Packet(policy::Field::DestinationType) => "fib daddr type".to_owned(),
        Field::Random => "numgen random".to_owned(),
    };
    match condition.test() {
        Test::Packet(policy::Test::Prefix(range)) => format!("{field} {range}"),
        Test::Packet(policy::Test::Equal(value)) => format!("{field} {}", value_text(value)),
        Test::Packet(policy::Test::NotEqual(value)) => format!("{field} != {}", value_text(value)),
        Test::Packet(policy::Test::NamePrefix(start)) => format!("{field} \"{start}*\""),
        Test::Packet(policy::Test::Masked(bits)) => {
            format!("{field} & {} == {}", mark_text(bits.mask()), mark_text(bits.value()))
        }
        Test::Packet(policy::Test::Range(protocol, ports)) => format!("{protocol} {field} {ports}"),
        Test::InSet { set, prefix_len: None } => format!("{field} @{set}"),
        Test::InSet { set, prefix_len: Some(len) } => format!("{field} & {} @{set}", mask(family, len)),
        Test::Below(probability) => format!("{field} mod {} < {}", probability.whole(), probability.part()),
    }
}

fn value_text(value: Value) -> String {
    match value {
        Value::Interface(name) => format!("\"{name}\""),
        Value::Mark(mark) => mark_text(mark),
        _ => value.to_string(),
    }
}

/// With all digits, as `nft` lists it.
fn mark_text(mark: Mark) -> String {
    format!("{:#010x}", mark.bits())
}

/// The address of which so many leading bits are set.
fn mask(family: Family, prefix_len: u8) -> IpAddr {
    let ones: IpAddr = match family {
        Family::Ipv4 => IpAddr::V4(u32::MAX.into()),
        Family::Ipv6 => IpAddr::V6(u128::MAX.into()),
    };
    // No prefix is longer than the addresses of its family.
    Cidr::around(ones, prefix_len).map_or(ones, |cidr| cidr.network())
}

fn masquerade_text(how: Masquerade) -> String {
    let ports = how.ports.map(|ports: PortRange| format!(" to :{ports}")).unwrap_or_default();
    let random = if how.fully_random { " fully-random" } else { "" };
    format!("masquerade{ports}{random}")
}
