//! Our rules as expressions.

use std::net::IpAddr;

use crate::net::{Cidr, Family, Protocol};
use crate::netlink::expression::{
    Bitwise, Cmp, CmpOp, Counter, Expression, Meta, Payload, PayloadBase, REGISTER, VerdictCode,
};
use crate::netlink::xt;
use crate::ruleset::{Match, Rule, Verdict};

use super::destination_offset;

/// The expressions of a rule in a table of `family`, in the order in which iptables-nft 1.8.9 writes them: protocol,
/// addresses, xt matches with the comment first, a counter, and what is to happen.
#[must_use]
pub fn lower(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    // The protocol comes before the addresses; all else has in `Match` the order that it has here.
    for condition in rule.matches() {
        if let Match::Protocol(protocol) = condition {
            expressions.push(Expression::Meta(Meta { key: Meta::L4PROTO, register: REGISTER }));
            expressions.push(equals(vec![protocol.number()]));
        }
    }
    for condition in rule.matches() {
        if let Match::Destination(range) = condition {
            push_destination(&mut expressions, *range);
        }
    }
    expressions.extend(rule.comment().map(|text| Expression::Match(xt::comment::emit(text))));
    expressions.extend(rule.matches().iter().filter_map(|condition| match condition {
        Match::DestinationIn { .. } => todo!(),
        Match::DestinationNotLocal => Some(Expression::Match(xt::addrtype::destination_not_local())),
        Match::Chance(chance) => Some(Expression::Match(xt::statistic::emit(*chance))),
        Match::Destination(_) | Match::Protocol(_) => None,
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

/// The protocol of which all packets of a rule are, which goes into the rule beside its expressions.
#[must_use]
pub fn protocol(rule: &Rule) -> Option<Protocol> {
    rule.matches().iter().find_map(|condition| match condition {
        Match::Protocol(protocol) => Some(*protocol),
        _ => None,
    })
}

/// Compares the leading bytes of the destination with those of the range, behind a mask if the prefix ends inside a
/// byte. Nothing is compared for the whole address space.
fn push_destination(expressions: &mut Vec<Expression>, range: Cidr) {
    let family = range.family();
    let address_len = usize::from(family.address_len());
    let prefix_len = usize::from(range.prefix_len());
    if prefix_len == 0 {
        return;
    }
    // iptables loads as few bytes as the prefix fills. An IPv4 load of 3 bytes is one that the kernel's fast path
    // (`nft_payload_fast_eval`: 1, 2 or 4 bytes) does not take, which makes a rule eight times as dear; a /24 behind a
    // mask means the same, and iptables reads it the same.
    let is_slow = family == Family::Ipv4 && prefix_len == 24;
    let is_masked = !prefix_len.is_multiple_of(8) || is_slow;
    let len = if is_masked { address_len } else { prefix_len / 8 };
    expressions.push(Expression::Payload(Payload {
        register: REGISTER,
        base: PayloadBase::NETWORK,
        offset: destination_offset(family),
        len: u32::try_from(len).unwrap_or(u32::MAX),
    }));
    if is_masked {
        expressions.push(Expression::Bitwise(Bitwise {
            source: REGISTER,
            destination: REGISTER,
            mask: mask(prefix_len, address_len),
            xor: vec![0; address_len],
        }));
    }
    let mut address = match range.network() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    address.truncate(len);
    expressions.push(equals(address));
}

/// `prefix_len` ones, then zeros, in `len` bytes.
fn mask(prefix_len: usize, len: usize) -> Vec<u8> {
    let byte = |index: usize| {
        let ones = prefix_len.saturating_sub(index * 8).min(8);
        u8::MAX.checked_shl(u32::try_from(8 - ones).unwrap_or(8)).unwrap_or(0)
    };
    (0..len).map(byte).collect()
}

fn equals(value: Vec<u8>) -> Expression {
    Expression::Cmp(Cmp { register: REGISTER, op: CmpOp::EQUAL, value })
}
