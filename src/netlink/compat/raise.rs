//! Expressions as our rules, by meaning.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::net::{Cidr, Family, Protocol};
use crate::netlink::expression::{Bitwise, Cmp, CmpOp, Expression, Extension, Meta, Payload, PayloadBase, VerdictCode};
use crate::netlink::xt;
use crate::ruleset::{Match, Opaque, Rule, Verdict};

use super::destination_offset;

/// The rule that these expressions, in a table of `family`, amount to.
///
/// All matches of a rule have to hold, so their order does not matter; counters change nothing.
///
/// # Errors
///
/// What cannot be said in our types, in words that follow on “the rule”.
pub fn raise(family: Family, expressions: &[Expression]) -> Result<Rule, Opaque> {
    let (last, conditions) = expressions.split_last().ok_or_else(|| opaque("is empty"))?;
    let verdict = raise_verdict(family, last)?;
    let mut reading = Reading { family, loaded: None, matches: Vec::new(), comment: None };
    for expression in conditions {
        reading.take(expression)?;
    }
    reading.finish(verdict)
}

fn raise_verdict(family: Family, expression: &Expression) -> Result<Verdict, Opaque> {
    match expression {
        Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None }) => Ok(Verdict::Return),
        Expression::Verdict(VerdictCode { code: VerdictCode::JUMP, chain: Some(chain) }) => {
            Ok(Verdict::Jump(chain.clone()))
        }
        Expression::Target(target) if target.name == xt::masquerade::NAME => {
            xt::masquerade::parse(family, target).map(Verdict::Masquerade)
        }
        Expression::Target(target) => Err(Opaque(format!("has the target {}", target.name))),
        _ => Err(opaque("ends in something other than return, jump and MASQUERADE")),
    }
}

/// The part of a rule that was read so far.
struct Reading {
    family: Family,
    /// What a register holds that was not yet compared. Our rules and those of iptables use one register at a time.
    loaded: Option<(u32, Value)>,
    matches: Vec<Match>,
    comment: Option<String>,
}

/// What a register holds.
enum Value {
    /// This many leading bytes of the destination address, and which of their bits.
    Destination {
        mask: Vec<u8>,
    },
    Protocol,
}

impl Reading {
    fn take(&mut self, expression: &Expression) -> Result<(), Opaque> {
        match expression {
            Expression::Payload(payload) => self.load(payload.register, self.destination(payload)?),
            Expression::Meta(Meta { key: Meta::L4PROTO, register }) => self.load(*register, Value::Protocol),
            Expression::Meta(Meta { key, .. }) => Err(Opaque(format!("tests the packet's meta key {key}"))),
            Expression::Bitwise(bitwise) => self.mask(bitwise),
            Expression::Cmp(cmp) => self.compare(cmp),
            Expression::Match(extension) => self.extension(extension),
            Expression::Counter(_) => Ok(()),
            Expression::Immediate(_) => Err(opaque("loads a value")),
            Expression::Verdict(_) | Expression::Target(_) => Err(opaque("goes on behind its verdict")),
            Expression::Other { name, .. } => Err(Opaque(format!("has the expression {name}"))),
        }
    }

    fn load(&mut self, register: u32, value: Value) -> Result<(), Opaque> {
        if self.loaded.replace((register, value)).is_some() {
            return Err(opaque("loads something that it does not compare"));
        }
        Ok(())
    }

    fn destination(&self, payload: &Payload) -> Result<Value, Opaque> {
        let len = usize::try_from(payload.len).unwrap_or(usize::MAX);
        let is_destination = payload.base == PayloadBase::NETWORK
            && payload.offset == destination_offset(self.family)
            && (1..=usize::from(self.family.address_len())).contains(&len);
        if !is_destination {
            return Err(opaque("tests bytes of the packet other than its destination address"));
        }
        Ok(Value::Destination { mask: vec![u8::MAX; len] })
    }

    fn mask(&mut self, bitwise: &Bitwise) -> Result<(), Opaque> {
        match &mut self.loaded {
            Some((register, Value::Destination { mask }))
                if *register == bitwise.source
                    && bitwise.source == bitwise.destination
                    && mask.len() == bitwise.mask.len()
                    && bitwise.xor.iter().all(|byte| *byte == 0) =>
            {
                for (old, new) in mask.iter_mut().zip(&bitwise.mask) {
                    *old &= new;
                }
                Ok(())
            }
            _ => Err(opaque("has a bitwise operation other than a mask on the destination address")),
        }
    }

    fn compare(&mut self, cmp: &Cmp) -> Result<(), Opaque> {
        let (register, value) = self.loaded.take().ok_or_else(|| opaque("compares something that was not loaded"))?;
        if register != cmp.register || cmp.op != CmpOp::EQUAL {
            return Err(opaque("has a comparison other than `is equal to what was loaded`"));
        }
        let condition = match value {
            Value::Destination { mask } => range(self.family, &mask, &cmp.value).map(Match::Destination),
            Value::Protocol => match cmp.value.as_slice() {
                [number] => Protocol::from_number(*number).map(Match::Protocol),
                _ => None,
            },
        };
        let condition =
            condition.ok_or_else(|| opaque("tests for a protocol or destination that none of our rules can name"))?;
        self.matches.push(condition);
        Ok(())
    }

    fn extension(&mut self, extension: &Extension) -> Result<(), Opaque> {
        match extension.name.as_str() {
            xt::comment::NAME => {
                if self.comment.replace(xt::comment::parse(extension)?).is_some() {
                    return Err(opaque("has two comments"));
                }
            }
            xt::addrtype::NAME => {
                xt::addrtype::parse(extension)?;
                self.matches.push(Match::DestinationNotLocal);
            }
            xt::statistic::NAME => self.matches.push(Match::Chance(xt::statistic::parse(extension)?)),
            name => return Err(Opaque(format!("has the match {name}"))),
        }
        Ok(())
    }

    fn finish(self, verdict: Verdict) -> Result<Rule, Opaque> {
        if self.loaded.is_some() {
            return Err(opaque("loads something that it does not compare"));
        }
        Ok(Rule::new(self.matches, self.comment.map(Cow::Owned), verdict))
    }
}

/// The range whose addresses, behind `mask`, are `value`. `None` if these are no range, or all addresses.
fn range(family: Family, mask: &[u8], value: &[u8]) -> Option<Cidr> {
    let prefix_len: u32 = mask.iter().map(|byte| byte.leading_ones()).take_while(|ones| *ones > 0).sum();
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let is_prefix = prefix_len == ones && contiguous(mask);
    if !is_prefix || prefix_len == 0 || value.len() != mask.len() {
        return None;
    }
    let address = address(family, value)?;
    let range = Cidr::around(address, u8::try_from(prefix_len).ok()?)?;
    // A value with bits outside the mask never matches.
    (range.network() == address).then_some(range)
}

/// Is there no one behind a zero?
fn contiguous(mask: &[u8]) -> bool {
    let bits = mask.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    bits.skip_while(|bit| *bit).all(|bit| !bit)
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

fn opaque(why: &str) -> Opaque {
    Opaque(why.to_owned())
}
