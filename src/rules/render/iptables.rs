//! The text that `iptables-save` prints, and `iptables-restore` reads, for our rules.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::net::Family;
use crate::rules::{Match, Rule, Ruleset, TableId, Verdict};

/// The `nat` table of a family as `iptables-save` (`ip6tables-save`) prints it, less its comments. Empty if nothing of
/// ours shall be there.
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
    let mut conditions = rule.matches().iter().peekable();
    // iptables prints what the IP header says first, then the extensions; a comment is the first of ours.
    while let Some(condition) = conditions.next_if(|condition| is_of_the_ip_header(condition)) {
        push_match(&mut text, condition);
    }
    if let Some(comment) = rule.comment() {
        let _ = write!(text, " -m comment --comment {}", quoted(comment));
    }
    for condition in conditions {
        push_match(&mut text, condition);
    }
    push_verdict(&mut text, rule.verdict());
    text
}

const fn is_of_the_ip_header(condition: &Match) -> bool {
    matches!(condition, Match::Destination(_) | Match::Protocol(_))
}

fn push_match(text: &mut String, condition: &Match) {
    let _ = match condition {
        Match::Destination(cidr) => write!(text, " -d {}/{}", address(cidr.network()), cidr.prefix_len()),
        Match::Protocol(protocol) => write!(text, " -p {protocol}"),
        Match::DestinationNotLocal => write!(text, " -m addrtype ! --dst-type LOCAL"),
        // No rule of the nat table has one.
        Match::DestinationIn { set, .. } => write!(text, " -m set --match-set {set} dst"),
        Match::Probability(probability) => write!(text, " -m statistic --mode random --probability {probability}"),
    };
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
