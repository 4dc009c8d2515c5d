//! The fields of packets in rules of either layout: how the kernel loads each of them, and what the register then holds.
//!
//! A field is a row in [`load`], one in the function that knows the expression which loads it, and one in [`compared`], or in
//! `Reading` if it is compared in parts.

use std::net::IpAddr;

use crate::net::{Cidr, Family, InterfaceName, Mark, MarkBits, PortRange, Protocol};
use crate::policy::{AddressField, AddressType, Condition, Field, PortField, Test, Transport, Value};
use crate::rules::{self, Match, Probability};

use super::expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Data, Expression, Fib, Lookup, Meta, Numgen, Payload, PayloadBase, REGISTER, Range,
};

/// Loads a field: `len` leading bytes of an address, all bytes of other fields.
fn load(family: Family, field: Field, len: usize) -> Expression {
    let payload = |base, offset, len: usize| {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Expression::Payload(Payload { register: REGISTER, base, offset, len })
    };
    let address = |field| payload(PayloadBase::NETWORK, offset(family, field), len);
    let port = |field| payload(PayloadBase::TRANSPORT, port_offset(field), PORT_LEN);
    let meta = |key| Expression::Meta(Meta { key, register: REGISTER });
    match field {
        Field::Source => address(AddressField::Source),
        Field::Destination => address(AddressField::Destination),
        Field::OutputInterface => meta(Meta::OUTPUT_INTERFACE),
        Field::Protocol => meta(Meta::L4PROTO),
        Field::SourcePort => port(PortField::Source),
        Field::DestinationPort => port(PortField::Destination),
        Field::Mark => meta(Meta::MARK),
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

/// How many bytes a port has.
const PORT_LEN: usize = 2;

/// Where a port stands in the header of every protocol that has any, in bytes (RFC 9293 §3.1, RFC 768, RFC 9260 §3.1).
const fn port_offset(field: PortField) -> u32 {
    match field {
        PortField::Source => 0,
        PortField::Destination => 2,
    }
}

/// The ports that these bytes are, if the packet is of a protocol that has ports. iptables and nft load both at once where
/// they compare each with one value.
pub(in crate::backend::nftables) fn ports_of_payload(payload: &Payload) -> Option<&'static [PortField]> {
    const BOTH: &[PortField] = &[PortField::Source, PortField::Destination];
    match (payload.base, payload.offset, usize::try_from(payload.len).ok()?) {
        (PayloadBase::TRANSPORT, 0, PORT_LEN) => BOTH.get(..1),
        (PayloadBase::TRANSPORT, 2, PORT_LEN) => BOTH.get(1..),
        (PayloadBase::TRANSPORT, 0, 4) => Some(BOTH),
        _ => None,
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
        Meta::OUTPUT_INTERFACE => Some(Field::OutputInterface),
        Meta::MARK => Some(Field::Mark),
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
        Value::Interface(name) => padded(name.as_bytes()).map(<[u8; INTERFACE_LEN]>::into).unwrap_or_default(),
        Value::Mark(mark) => mark.bits().to_ne_bytes().into(),
        Value::Port(port) => port.into(),
        // No condition names these.
        Value::Protocol(Transport::Other) | Value::AddressType(AddressType::Other) => Data::default(),
    }
}

/// How many bytes a register holds of the name of an interface, zeros behind the name (`IFNAMSIZ`, `linux/if.h`).
const INTERFACE_LEN: usize = 16;

/// Why a comparison is none of ours.
#[derive(Clone, Copy)]
pub(in crate::backend::nftables) enum NotOurs {
    /// We compare the field in other ways only.
    Comparison,
    /// We compare it so, but not with such a value.
    Value,
}

/// The match that compares a field, other than an address or a port, with these bytes.
pub(in crate::backend::nftables) fn compared(field: Field, op: CmpOp, value: &[u8]) -> Result<Match, NotOurs> {
    let condition = match (field, op) {
        (Field::Protocol, CmpOp::EQUAL) => protocol(value).map(Condition::protocol),
        (Field::DestinationType, CmpOp::NOT_EQUAL) => {
            let local = bytes(Value::AddressType(AddressType::Local));
            (*value == *local).then_some(Condition::DESTINATION_IS_NOT_LOCAL)
        }
        (Field::OutputInterface, CmpOp::EQUAL) => match interface(value) {
            Some((name, true)) => Some(Condition::output_interface(name)),
            Some((start, false)) => Some(Condition::output_interface_beginning(start)),
            None => None,
        },
        (Field::OutputInterface, CmpOp::NOT_EQUAL) => interface(value)
            .filter(|(_, is_whole)| *is_whole)
            .map(|(name, _)| Condition::output_interface_other_than(name)),
        _ => return Err(NotOurs::Comparison),
    };
    condition.map(Match::from).ok_or(NotOurs::Value)
}

/// The match that compares those bits of the mark that are in `mask` with these bytes.
pub(in crate::backend::nftables) fn compared_mark(mask: u32, op: CmpOp, value: &[u8]) -> Result<Match, NotOurs> {
    let value = value.try_into().map(u32::from_ne_bytes).map_err(|_| NotOurs::Value);
    let condition = match (op, mask) {
        (CmpOp::EQUAL, u32::MAX) => Condition::mark(Mark::new(value?)),
        (CmpOp::NOT_EQUAL, u32::MAX) => Condition::mark_other_than(Mark::new(value?)),
        (CmpOp::EQUAL, _) => MarkBits::new(value?, mask).map(Condition::mark_bits).ok_or(NotOurs::Value)?,
        _ => return Err(NotOurs::Comparison),
    };
    Ok(condition.into())
}

fn protocol(value: &[u8]) -> Option<Protocol> {
    match value {
        [number] => Protocol::from_number(*number),
        _ => None,
    }
}

/// The name of an interface; and whether that is all of it, as a NUL is compared, too, or only its start.
fn interface(value: &[u8]) -> Option<(InterfaceName, bool)> {
    let len = value.iter().position(|byte| *byte == 0);
    let (name, rest) = value.split_at_checked(len.unwrap_or(value.len()))?;
    let name = str::from_utf8(name).ok()?.parse().ok()?;
    rest.iter().all(|byte| *byte == 0).then_some((name, len.is_some()))
}

/// A port as the packet holds it.
pub(in crate::backend::nftables) fn port(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

/// A condition, as nft writes it.
pub(in crate::backend::nftables) fn push(expressions: &mut Vec<Expression>, family: Family, condition: &Match) {
    let address_len = usize::from(family.address_len());
    let compare = |op, value| Expression::Cmp(Cmp { register: REGISTER, op, value });
    match (condition.field(), condition.test()) {
        (rules::Field::Packet(field), rules::Test::Packet(test)) => match test {
            Test::Prefix(range) => push_in_range(expressions, field, range),
            Test::Equal(value) => {
                expressions.extend([load(family, field, address_len), compare(CmpOp::EQUAL, bytes(value))]);
            }
            Test::NotEqual(value) => {
                expressions.extend([load(family, field, address_len), compare(CmpOp::NOT_EQUAL, bytes(value))]);
            }
            Test::NamePrefix(start) => {
                let start = Data::new(start.as_bytes()).unwrap_or_default();
                expressions.extend([load(family, field, address_len), compare(CmpOp::EQUAL, start)]);
            }
            Test::Masked(bits) => {
                let mask = bytes(Value::Mark(bits.mask()));
                let value = bytes(Value::Mark(bits.value()));
                expressions.extend([load(family, field, address_len), masked(mask), compare(CmpOp::EQUAL, value)]);
            }
            Test::Range(protocol, ports) => {
                push_protocol_once(expressions, family, protocol);
                expressions.extend([load(family, field, PORT_LEN), in_range(ports)]);
            }
        },
        (rules::Field::Packet(field), rules::Test::InSet { set, prefix_len }) => {
            expressions.push(load(family, field, address_len));
            expressions.extend(prefix_len.map(|prefix_len| keep(prefix_len.into(), address_len)));
            let lookup = Lookup { set: set.to_owned(), register: REGISTER, inverted: false };
            expressions.push(Expression::Lookup(lookup));
        }
        (_, rules::Test::Below(probability)) => push_drawn(expressions, probability),
        (rules::Field::Random, _) => {}
    }
}

/// Compares the protocol, without which bytes of the transport header have no meaning. Once for all ports, as nft does.
fn push_protocol_once(expressions: &mut Vec<Expression>, family: Family, protocol: Protocol) {
    let mut compared = Vec::new();
    push(&mut compared, family, &Match::protocol(protocol));
    if !expressions.windows(compared.len()).any(|window| *window == *compared) {
        expressions.append(&mut compared);
    }
}

/// Compares a port. nft writes two comparisons for a range, iptables this one expression; both list either.
fn in_range(ports: PortRange) -> Expression {
    let value = |port: u16| bytes(Value::Port(port.to_be_bytes()));
    let (first, last) = (value(ports.first()), value(ports.last()));
    if first == last {
        return Expression::Cmp(Cmp { register: REGISTER, op: CmpOp::EQUAL, value: first });
    }
    Expression::Range(Range { register: REGISTER, op: CmpOp::EQUAL, first, last })
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
    masked(Data::from_fn(len, byte))
}

fn masked(mask: Data) -> Expression {
    let xor = Data::from_fn(mask.len(), |_| 0);
    Expression::Bitwise(Bitwise { source: REGISTER, destination: REGISTER, mask, xor })
}

/// The address with these leading bytes, and zeros behind them.
fn address(family: Family, leading: &[u8]) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => padded::<4>(leading).map(IpAddr::from),
        Family::Ipv6 => padded::<16>(leading).map(IpAddr::from),
    }
}

/// These bytes, and zeros behind them.
fn padded<const N: usize>(leading: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..leading.len())?.copy_from_slice(leading);
    Some(octets)
}
