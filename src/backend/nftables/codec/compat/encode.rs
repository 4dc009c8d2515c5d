//! Encodes our rules as expressions.

use crate::backend::nftables::codec::expression::{Counter, Expression, Extension, VerdictCode};
use crate::backend::nftables::codec::{field, xt};
use crate::net::{Family, Protocol};
use crate::policy;
use crate::rules::{Field, Match, Rule, Test, Verdict};

/// The expressions of a rule in a table of `family`, in the order in which iptables-nft 1.8.9 writes them: protocol,
/// addresses and interface, xt matches with the comment first, a counter, and the verdict. Only the comment may be elsewhere
/// ([`comment_beside`]).
///
/// Ports and marks are tested by xt matches, too. iptables-nft 1.8.8 and later write expressions for some of these, and
/// list both the same; earlier versions do not know the expressions.
#[must_use]
pub fn encode(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    // The protocol is written before the addresses, also that of ports; all other matches stay in their order. A lookup would
    // be right for packets, but iptables does not know lookups and would show a rule that matches all packets.
    let is_protocol = |condition: &&Match| condition.field() == Field::Packet(policy::Field::Protocol);
    let of_ports = rule.matches().iter().find_map(Match::ports).map(|(protocol, _)| Match::protocol(protocol));
    let header = || rule.matches().iter().filter(|condition| !is_extension(condition));
    let protocols = header().filter(is_protocol).chain(&of_ports);
    for condition in protocols.chain(header().filter(|condition| !is_protocol(condition))) {
        field::push(&mut expressions, family, condition);
    }
    if comment_beside(rule).is_none() {
        expressions.extend(rule.comment().map(|text| Expression::Match(xt::comment::emit(text))));
    }
    expressions.extend(extensions(rule).into_iter().map(Expression::Match));
    expressions.push(Expression::Counter(Counter::default()));
    expressions.push(match rule.verdict() {
        Verdict::Return => Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None }),
        Verdict::Jump(chain) => {
            Expression::Verdict(VerdictCode { code: VerdictCode::JUMP, chain: Some(chain.clone()) })
        }
        Verdict::Masquerade(masquerade) => Expression::Target(xt::masquerade::emit(family, *masquerade)),
    });
    expressions
}

/// The comment of a rule that has no other xt match. It goes beside the expressions, where nft has its comments: iptables
/// shows, checks and deletes such a rule as it does one with the match `comment`, but the kernel neither stores a match of
/// 256 bytes for it nor calls one. Beside other xt matches iptables would list the comment in another place, and not find
/// the rule.
#[must_use]
pub fn comment_beside(rule: &Rule) -> Option<&str> {
    rule.comment().filter(|_| !rule.matches().iter().any(is_extension))
}

/// The protocol of all packets that a rule matches, which is in the rule beside its expressions.
#[must_use]
pub fn protocol(rule: &Rule) -> Option<Protocol> {
    rule.matches().iter().find_map(Match::asked_protocol)
}

/// Whether an xtables extension tests the condition. Without one, the kernel compares a part of the packet.
fn is_extension(condition: &Match) -> bool {
    match condition.field() {
        Field::Packet(field) => match field {
            policy::Field::SourcePort
            | policy::Field::DestinationPort
            | policy::Field::Mark
            | policy::Field::DestinationType => true,
            policy::Field::Source
            | policy::Field::Destination
            | policy::Field::OutputInterface
            | policy::Field::Protocol => false,
        },
        Field::Random => true,
    }
}

/// The xtables extensions of a rule, in the order of its matches.
fn extensions(rule: &Rule) -> Vec<Extension> {
    let mut extensions = Vec::new();
    let mut ports: Vec<(Protocol, xt::ports::Ports)> = Vec::new();
    for condition in rule.matches() {
        match (condition.field(), condition.test()) {
            (Field::Packet(policy::Field::SourcePort), Test::Packet(policy::Test::Range(protocol, range))) => {
                ports.push((protocol, [Some(range), None]));
            }
            (Field::Packet(policy::Field::DestinationPort), Test::Packet(policy::Test::Range(protocol, range))) => {
                // One extension tests a source and a destination port.
                match ports.last_mut() {
                    Some((of, [_, destination @ None])) if *of == protocol => *destination = Some(range),
                    _ => ports.push((protocol, [None, Some(range)])),
                }
            }
            (Field::Packet(policy::Field::Mark), Test::Packet(test)) => extensions.extend(xt::mark::emit(test)),
            (Field::Packet(policy::Field::DestinationType), _) => {
                extensions.push(xt::addrtype::destination_not_local());
            }
            (Field::Random, Test::Below(probability)) => extensions.push(xt::statistic::emit(probability)),
            _ => {}
        }
    }
    // They sort before all other extensions.
    ports.into_iter().map(|(protocol, ports)| xt::ports::emit(protocol, ports)).chain(extensions).collect()
}
