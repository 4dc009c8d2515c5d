//! Encodes our rules as expressions.

use crate::backend::nftables::codec::expression::{Counter, Expression, Extension, VerdictCode};
use crate::backend::nftables::codec::{field, xt};
use crate::net::{Family, Protocol};
use crate::policy::{self, Transport, Value};
use crate::rules::{Field, Match, Rule, Test, Verdict};

/// The expressions of a rule in a table of `family`, in the order in which iptables-nft 1.8.9 writes them: protocol,
/// addresses, xt matches with the comment first, a counter, and the verdict. Only the comment may be elsewhere
/// ([`comment_beside`]).
#[must_use]
pub fn encode(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    let header = || rule.matches().iter().filter(|condition| extension(condition).is_none());
    let is_protocol = |condition: &&Match| condition.field() == Field::Packet(policy::Field::Protocol);
    // The protocol is written before the addresses; all other matches stay in their order. A lookup would be right for
    // packets, but iptables does not know lookups and would show a rule that matches all packets.
    for condition in header().filter(is_protocol).chain(header().filter(|condition| !is_protocol(condition))) {
        field::push(&mut expressions, family, condition);
    }
    if comment_beside(rule).is_none() {
        expressions.extend(rule.comment().map(|text| Expression::Match(xt::comment::emit(text))));
    }
    expressions.extend(rule.matches().iter().filter_map(extension).map(Expression::Match));
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
    rule.comment().filter(|_| !rule.matches().iter().any(|condition| extension(condition).is_some()))
}

/// The protocol of all packets that a rule matches, which is in the rule beside its expressions.
#[must_use]
pub fn protocol(rule: &Rule) -> Option<Protocol> {
    rule.matches().iter().find_map(|condition| match condition.test() {
        Test::Packet(policy::Test::Equal(Value::Protocol(Transport::WithPorts(protocol)))) => Some(*protocol),
        _ => None,
    })
}

/// The xtables extension that tests the condition; `None` if the kernel compares it without one.
fn extension(condition: &Match) -> Option<Extension> {
    match (condition.field(), condition.test()) {
        (Field::Packet(policy::Field::DestinationType), _) => Some(xt::addrtype::destination_not_local()),
        (_, Test::Below(probability)) => Some(xt::statistic::emit(*probability)),
        _ => None,
    }
}
