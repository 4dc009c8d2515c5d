//! The fields of packets in rules of either layout: how the kernel loads each of them, and what the register then holds.
//!
//! A field is a row in [`load`], one in the function that knows the expression which loads it, and, unless it is an
//! address, one in [`compared`].

use std::net::IpAddr;

use crate::net::{Cidr, Family, Protocol};
use crate::policy::{AddressField, AddressType, Field, Test, Transport, Value};
use crate::rules::{self, Match, Probability};

use super::expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Data, Expression, Fib, Lookup, Meta, Numgen, Payload, PayloadBase, REGISTER,
};

/// Loads a field: `len` leading bytes of an address, all bytes of other fields.
fn load(family: Family, field: Field, len: usize) -> Expression {
    let payload = |offset| {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Expression::Payload(Payload { register: REGISTER, base: PayloadBase::NETWORK, offset, len })
    };
    match field {
        Field::Source => payload(offset(family, AddressField::Source)),
        Field::Destination => payload(offset(family, AddressField::Destination)),
        Field::Protocol => Expression::Meta(Meta { key: Meta::L4PROTO, register: REGISTER }),
        Field::DestinationType => {
            Expression::Fib(Fib { register: REGISTER, result: Fib::ADDRESS_TYPE, flags: Fib::DESTINATION })
        }
    }
}

/// Where an address stands in the network header, in bytes (RFC 791 §3.1, RFC 8200 §3).
const fn offset(family: Family, field: AddressField) -> u32 {
    match (family, field) {
        (Family::Ipv4, AddressField::Source) => 12,
        (Family::Ipv4, AddressField::Destination) => 16,
        (Family::Ipv6, AddressField::Source) => 8,
        (Family::Ipv6, AddressField::Destination) => 24,
    }
}

/// The address of which these are leading bytes.
pub(in crate::backend::nftables) fn of_payload(family: Family, payload: &Payload) -> Option<AddressField> {
    if payload.base != PayloadBase::NETWORK || !(1..=u32::from(family.address_len())).contains(&payload.len) {
        return None;
    }
    [AddressField::Source, AddressField::Destination].into_iter().find(|field| offset(family, *field) == payload.offset)
}

/// The field that the kernel loads under this key (`meta`).
pub(in crate::backend::nftables) const fn of_meta(meta: Meta) -> Option<Field> {
    match meta.key {
        Meta::L4PROTO => Some(Field::Protocol),
        _ => None,
    }
}

/// The field that this question to the routing table (`fib`) answers.
pub(in crate::backend::nftables) const fn of_fib(fib: Fib) -> Option<Field> {
    match (fib.result, fib.flags) {
        (Fib::ADDRESS_TYPE, Fib::DESTINATION) => Some(Field::DestinationType),
        _ => None,
    }
}

/// A value as a register holds it.
fn bytes(value: Value) -> Data {
    match value {
        Value::Address(IpAddr::V4(address)) => address.octets().into(),
        Value::Address(IpAddr::V6(address)) => address.octets().into(),
        Value::Protocol(Transport::WithPorts(protocol)) => [protocol.number()].into(),
        Value::AddressType(AddressType::Local) => Fib::LOCAL.to_ne_bytes().into(),
        // No condition names these.
        Value::Protocol(Transport::Other) | Value::AddressType(AddressType::Other) => Data::default(),
    }
}

/// How rules of ours compare a field other than an address, and which match the comparison with these bytes is.
pub(in crate::backend::nftables) fn compared(field: Field, value: &[u8]) -> (CmpOp, Option<Match>) {
    match field {
        Field::Protocol => (CmpOp::EQUAL, protocol(value).map(Match::protocol)),
        Field::DestinationType => {
            let local = bytes(Value::AddressType(AddressType::Local));
            (CmpOp::NOT_EQUAL, (*value == *local).then_some(Match::DESTINATION_NOT_LOCAL))
        }
        Field::Source | Field::Destination => (CmpOp::EQUAL, None),
    }
}

fn protocol(value: &[u8]) -> Option<Protocol> {
    match value {
        [number] => Protocol::from_number(*number),
        _ => None,
    }
}

/// A condition, as nft writes it.
pub(in crate::backend::nftables) fn push(expressions: &mut Vec<Expression>, family: Family, condition: &Match) {
    let address_len = usize::from(family.address_len());
    let compare = |op, value| Expression::Cmp(Cmp { register: REGISTER, op, value });
    match (condition.field(), condition.test()) {
        (rules::Field::Packet(field), rules::Test::Packet(test)) => match test {
            Test::Prefix(range) => push_in_range(expressions, field, *range),
            Test::Equal(value) => {
                expressions.extend([load(family, field, address_len), compare(CmpOp::EQUAL, bytes(*value))]);
            }
            Test::NotEqual(value) => {
                expressions.extend([load(family, field, address_len), compare(CmpOp::NOT_EQUAL, bytes(*value))]);
            }
        },
        (rules::Field::Packet(field), rules::Test::InSet { set, prefix_len }) => {
            expressions.push(load(family, field, address_len));
            expressions.extend(prefix_len.map(|prefix_len| keep(prefix_len.into(), address_len)));
            let lookup = Lookup { set: set.to_string(), register: REGISTER, inverted: false };
            expressions.push(Expression::Lookup(lookup));
        }
        (_, rules::Test::Below(probability)) => push_drawn(expressions, *probability),
        (rules::Field::Random, _) => {}
    }
}

/// Draws a number, and compares it in network order.
fn push_drawn(expressions: &mut Vec<Expression>, probability: Probability) {
    let (modulus, kind) = (probability.whole(), Numgen::RANDOM);
    expressions.push(Expression::Numgen(Numgen { register: REGISTER, modulus, kind, offset: 0 }));
    let op = Byteorder::TO_NETWORK;
    let turn = Byteorder { source: REGISTER, destination: REGISTER, op, len: 4, size: 4 };
    expressions.push(Expression::Byteorder(turn));
    let value = probability.part().to_be_bytes().into();
    expressions.push(Expression::Cmp(Cmp { register: REGISTER, op: CmpOp::LESS, value }));
}

/// Compares the leading bytes of an address with those of the range, behind a mask if the prefix ends inside a byte.
/// Nothing is compared for the whole address space.
fn push_in_range(expressions: &mut Vec<Expression>, field: Field, range: Cidr) {
    let family = range.family();
    let address_len = usize::from(family.address_len());
    let prefix_len = usize::from(range.prefix_len());
    if prefix_len == 0 {
        return;
    }
    // nft and iptables load as few bytes as the prefix fills. For an IPv4 load of 3 bytes the kernel does not take its fast
    // path (`nft_payload_fast_eval`: 1, 2 or 4 bytes), which makes a rule eight times as expensive. A /24 behind a mask
    // means the same, and both tools read it as the same.
    let is_slow = family == Family::Ipv4 && prefix_len == 24;
    let is_masked = !prefix_len.is_multiple_of(8) || is_slow;
    let len = if is_masked { address_len } else { prefix_len / 8 };
    expressions.push(load(family, field, len));
    if is_masked {
        expressions.push(keep(prefix_len, address_len));
    }
    let byte = |octets: &[u8], index| octets.get(index).copied().unwrap_or_default();
    let value = match range.network() {
        IpAddr::V4(address) => Data::from_fn(len, |index| byte(&address.octets(), index)),
        IpAddr::V6(address) => Data::from_fn(len, |index| byte(&address.octets(), index)),
    };
    expressions.push(Expression::Cmp(Cmp { register: REGISTER, op: CmpOp::EQUAL, value }));
}

/// The range whose addresses, behind `mask`, are `value`. `None` if these are no range, or all addresses.
pub(in crate::backend::nftables) fn range(family: Family, mask: &[u8], value: &[u8]) -> Option<Cidr> {
    let prefix_len = prefix_len(mask).filter(|prefix_len| *prefix_len > 0)?;
    if value.len() != mask.len() {
        return None;
    }
    let address = address(family, value)?;
    let range = Cidr::around(address, prefix_len)?;
    // A value with bits outside the mask never matches.
    (range.network() == address).then_some(range)
}

/// How many leading bits a mask has; `None` if it has other bits too.
pub(in crate::backend::nftables) fn prefix_len(mask: &[u8]) -> Option<u8> {
    let mut bits = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    let kept = bits.by_ref().take_while(|bit| *bit).count();
    if bits.any(|bit| bit) {
        return None;
    }
    u8::try_from(kept).ok()
}

/// A mask of `prefix_len` leading bits, in `len` bytes.
fn keep(prefix_len: usize, len: usize) -> Expression {
    let byte = |index: usize| {
        let ones = prefix_len.saturating_sub(index * 8).min(8);
        u8::MAX.checked_shl(u32::try_from(8 - ones).unwrap_or(8)).unwrap_or(0)
    };
    Expression::Bitwise(Bitwise {
        source: REGISTER,
        destination: REGISTER,
        mask: Data::from_fn(len, byte),
        xor: Data::from_fn(len, |_| 0),
    })
}

/// The address with these leading bytes, and zeros behind them.
fn address(family: Family, leading: &[u8]) -> Option<IpAddr> {
    fn padded<const N: usize>(leading: &[u8]) -> Option<[u8; N]> {
        let mut octets = [0; N];
        octets.get_mut(..leading.len())?.copy_from_slice(leading);
        Some(octets)
    }
    match family {
        Family::Ipv4 => padded::<4>(leading).map(IpAddr::from),
        Family::Ipv6 => padded::<16>(leading).map(IpAddr::from),
    }
}
