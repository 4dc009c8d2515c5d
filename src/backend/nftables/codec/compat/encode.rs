//! Our rules as expressions.

use crate::backend::nftables::codec::expression::{Cmp, CmpOp, Counter, Expression, Meta, REGISTER, VerdictCode};
use crate::backend::nftables::codec::{destination, xt};
use crate::net::{Family, Protocol};
use crate::rules::{Match, Rule, Verdict};

/// The expressions of a rule in a table of `family`, in the order in which iptables-nft 1.8.9 writes them: protocol,
/// addresses, xt matches with the comment first, a counter, and what is to happen. Only the comment may be elsewhere
/// ([`comment_beside`]).
#[must_use]
pub fn encode(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    // The protocol comes before the addresses; all else has in `Match` the order that it has here.
    for condition in rule.matches() {
        if let Match::Protocol(protocol) = condition {
            expressions.push(Expression::Meta(Meta { key: Meta::L4PROTO, register: REGISTER }));
            let value = [protocol.number()].into();
            expressions.push(Expression::Cmp(Cmp { register: REGISTER, op: CmpOp::EQUAL, value }));
        }
    }
    for condition in rule.matches() {
        match condition {
            Match::Destination(range) => destination::push_in_range(&mut expressions, *range),
            // Right for packets; but iptables, which knows no lookup, would show a rule that matches all of them.
            Match::DestinationIn { set, prefix_len } => {
                destination::push_in_set(&mut expressions, family, set, *prefix_len);
            }
            Match::Protocol(_) | Match::DestinationNotLocal | Match::Probability(_) => {}
        }
    }
    if comment_beside(rule).is_none() {
        expressions.extend(rule.comment().map(|text| Expression::Match(xt::comment::emit(text))));
    }
    expressions.extend(rule.matches().iter().filter_map(|condition| match condition {
        Match::DestinationNotLocal => Some(Expression::Match(xt::addrtype::destination_not_local())),
        Match::Probability(probability) => Some(Expression::Match(xt::statistic::emit(*probability))),
        Match::Destination(_) | Match::DestinationIn { .. } | Match::Protocol(_) => None,
    }));
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
/// shows, checks and deletes such a rule as it does one with the match `comment`, but the kernel keeps no match of 256 bytes
/// for it and calls none. Among other matches iptables would list the comment in another place, and not find the rule.
#[must_use]
pub fn comment_beside(rule: &Rule) -> Option<&str> {
    let is_xt = |condition: &Match| matches!(condition, Match::DestinationNotLocal | Match::Probability(_));
    rule.comment().filter(|_| !rule.matches().iter().any(is_xt))
}

/// The protocol of which all packets of a rule are, which goes into the rule beside its expressions.
#[must_use]
pub fn protocol(rule: &Rule) -> Option<Protocol> {
    rule.matches().iter().find_map(|condition| match condition {
        Match::Protocol(protocol) => Some(*protocol),
        _ => None,
    })
}
