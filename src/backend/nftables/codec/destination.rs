//! The destination address in rules of either layout: loading it, masking it, comparing it with a range.

use std::net::IpAddr;

use crate::net::{Cidr, Family};

use super::expression::{Bitwise, Cmp, CmpOp, Data, Expression, Lookup, Payload, PayloadBase, REGISTER};

/// Where the destination address stands in the network header, in bytes (RFC 791 §3.1, RFC 8200 §3).
pub(in crate::backend::nftables) const fn offset(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 16,
        Family::Ipv6 => 24,
    }
}

/// Compares the leading bytes of the destination with those of the range, behind a mask if the prefix ends inside a
/// byte. Nothing is compared for the whole address space.
pub(in crate::backend::nftables) fn push_in_range(expressions: &mut Vec<Expression>, range: Cidr) {
    let family = range.family();
    let address_len = usize::from(family.address_len());
    let prefix_len = usize::from(range.prefix_len());
    if prefix_len == 0 {
        return;
    }
    // nft and iptables load as few bytes as the prefix fills. An IPv4 load of 3 bytes is one that the kernel's fast path
    // (`nft_payload_fast_eval`: 1, 2 or 4 bytes) does not take, which makes a rule eight times as dear; a /24 behind a
    // mask means the same, and both read it the same.
    let is_slow = family == Family::Ipv4 && prefix_len == 24;
    let is_masked = !prefix_len.is_multiple_of(8) || is_slow;
    let len = if is_masked { address_len } else { prefix_len / 8 };
    expressions.push(load(family, len));
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

/// Looks the destination up in a set, or only so many leading bits of it.
pub(in crate::backend::nftables) fn push_in_set(
    expressions: &mut Vec<Expression>,
    family: Family,
    set: &str,
    prefix_len: Option<u8>,
) {
    let address_len = usize::from(family.address_len());
    expressions.push(load(family, address_len));
    expressions.extend(prefix_len.map(|prefix_len| keep(prefix_len.into(), address_len)));
    expressions.push(Expression::Lookup(Lookup { set: set.to_owned(), register: REGISTER, inverted: false }));
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

/// How many leading bits a mask keeps; `None` if it keeps others, too.
pub(in crate::backend::nftables) fn prefix_len(mask: &[u8]) -> Option<u8> {
    let mut bits = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    let kept = bits.by_ref().take_while(|bit| *bit).count();
    if bits.any(|bit| bit) {
        return None;
    }
    u8::try_from(kept).ok()
}

/// Loads the first `len` bytes.
fn load(family: Family, len: usize) -> Expression {
    Expression::Payload(Payload {
        register: REGISTER,
        base: PayloadBase::NETWORK,
        offset: offset(family),
        len: u32::try_from(len).unwrap_or(u32::MAX),
    })
}

/// Keeps `prefix_len` leading bits of `len` bytes.
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
