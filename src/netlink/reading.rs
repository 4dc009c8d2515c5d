//! Reading the conditions of a rule, one expression after the other: what the two shapes have in common.

use std::borrow::Cow;

use crate::net::{Family, Protocol};
use crate::ruleset::{Chance, Match, OUR_COMMENTS, Opaque, Rule, Verdict};

use super::destination;
use super::expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Data, Expression, Fib, Lookup, Meta, Numgen, Payload, PayloadBase, VerdictCode,
};

/// The part of a rule that was read so far.
pub(super) struct Reading {
    family: Family,
    /// What a register holds that was not yet compared. Our rules, and those of nft and iptables that mean the same, use
    /// one register at a time.
    loaded: Option<(u32, Value)>,
    matches: Vec<Match>,
}

/// What a register holds.
enum Value {
    /// This many leading bytes of the destination address, and which of their bits.
    Destination { mask: Data, is_masked: bool },
    /// The number of the transport protocol.
    Protocol,
    /// The type of the destination address.
    DestinationType,
    /// A random number below `whole`.
    Random { whole: u32, in_network_order: bool },
}

impl Reading {
    pub(super) const fn new(family: Family) -> Self {
        Self { family, loaded: None, matches: Vec::new() }
    }

    /// Takes a condition for which the shape has a form of its own.
    pub(super) fn condition(&mut self, condition: Match) {
        self.matches.push(condition);
    }

    pub(super) fn payload(&mut self, payload: &Payload) -> Result<(), Opaque> {
        let len = usize::try_from(payload.len).unwrap_or(usize::MAX);
        let is_destination = payload.base == PayloadBase::NETWORK
            && payload.offset == destination::offset(self.family)
            && (1..=usize::from(self.family.address_len())).contains(&len);
        if !is_destination {
            return Err(opaque("tests bytes of the packet other than its destination address"));
        }
        self.load(payload.register, Value::Destination { mask: Data::from_fn(len, |_| u8::MAX), is_masked: false })
    }

    pub(super) fn meta(&mut self, meta: Meta) -> Result<(), Opaque> {
        match meta.key {
            Meta::L4PROTO => self.load(meta.register, Value::Protocol),
            key => Err(Opaque(format!("tests the packet's meta key {key}"))),
        }
    }

    pub(super) fn fib(&mut self, fib: Fib) -> Result<(), Opaque> {
        if (fib.result, fib.flags) != (Fib::ADDRESS_TYPE, Fib::DESTINATION) {
            return Err(opaque("asks the routing table for something other than the destination's address type"));
        }
        self.load(fib.register, Value::DestinationType)
    }

    pub(super) fn numgen(&mut self, numgen: Numgen) -> Result<(), Opaque> {
        if (numgen.kind, numgen.offset) != (Numgen::RANDOM, 0) {
            return Err(opaque("draws numbers other than random ones from 0"));
        }
        self.load(numgen.register, Value::Random { whole: numgen.modulus, in_network_order: false })
    }

    pub(super) fn byteorder(&mut self, byteorder: Byteorder) -> Result<(), Opaque> {
        let Byteorder { source, destination, op, len, size } = byteorder;
        match &mut self.loaded {
            Some((register, Value::Random { in_network_order: in_network_order @ false, .. }))
                if (*register, *register) == (source, destination)
                    && (op, len, size) == (Byteorder::TO_NETWORK, 4, 4) =>
            {
                *in_network_order = true;
                Ok(())
            }
            _ => Err(opaque("turns the bytes of something other than a random number around")),
        }
    }

    pub(super) fn bitwise(&mut self, bitwise: &Bitwise) -> Result<(), Opaque> {
        match &mut self.loaded {
            Some((register, Value::Destination { mask, is_masked }))
                if *register == bitwise.source
                    && bitwise.source == bitwise.destination
                    && mask.len() == bitwise.mask.len()
                    && bitwise.xor.iter().all(|byte| *byte == 0) =>
            {
                let (old, new) = (*mask, bitwise.mask);
                let byte = |data: &Data, index| data.get(index).copied().unwrap_or_default();
                *mask = Data::from_fn(old.len(), |index| byte(&old, index) & byte(&new, index));
                *is_masked = true;
                Ok(())
            }
            _ => Err(opaque("has a bitwise operation other than a mask on the destination address")),
        }
    }

    pub(super) fn cmp(&mut self, cmp: &Cmp) -> Result<(), Opaque> {
        let value = self.take_loaded(cmp.register)?;
        let (expected, condition) = match value {
            Value::Destination { mask, .. } => {
                (CmpOp::EQUAL, destination::range(self.family, &mask, &cmp.value).map(Match::Destination))
            }
            Value::Protocol => (CmpOp::EQUAL, protocol(&cmp.value).map(Match::Protocol)),
            Value::DestinationType => {
                let is_local = *cmp.value == Fib::LOCAL.to_ne_bytes();
                (CmpOp::NOT_EQUAL, is_local.then_some(Match::DestinationNotLocal))
            }
            Value::Random { whole, in_network_order } => {
                (CmpOp::LESS, chance(&cmp.value, whole).filter(|_| in_network_order).map(Match::Chance))
            }
        };
        if cmp.op != expected {
            return Err(opaque("has a comparison that none of our rules has"));
        }
        let condition = condition.ok_or_else(|| opaque("compares with a value that none of our rules can name"))?;
        self.matches.push(condition);
        Ok(())
    }

    pub(super) fn lookup(&mut self, lookup: &Lookup) -> Result<(), Opaque> {
        let Value::Destination { mask, is_masked } = self.take_loaded(lookup.register)? else {
            return Err(opaque("looks up something other than the destination address"));
        };
        if lookup.inverted || mask.len() != usize::from(self.family.address_len()) {
            return Err(opaque("has a lookup other than `the destination is in the set`"));
        }
        let prefix_len = destination::prefix_len(&mask).ok_or_else(|| opaque("looks up bits that are no prefix"))?;
        self.matches
            .push(Match::DestinationIn { set: lookup.set.clone(), prefix_len: is_masked.then_some(prefix_len) });
        Ok(())
    }

    /// The rule, all of whose conditions were read.
    pub(super) fn finish(self, comment: Option<&str>, verdict: Verdict) -> Result<Rule, Opaque> {
        if self.loaded.is_some() {
            return Err(opaque("loads something that it does not compare"));
        }
        Ok(Rule::new(self.matches, comment.map(comment_of), verdict))
    }

    fn load(&mut self, register: u32, value: Value) -> Result<(), Opaque> {
        if self.loaded.replace((register, value)).is_some() {
            return Err(opaque("loads something that it does not compare"));
        }
        Ok(())
    }

    fn take_loaded(&mut self, register: u32) -> Result<Value, Opaque> {
        let loaded = self.loaded.take().filter(|(loaded, _)| *loaded == register);
        loaded.map(|(_, value)| value).ok_or_else(|| opaque("compares something that was not loaded"))
    }
}

/// The verdicts that both shapes write in the same way.
pub(super) fn verdict(expression: &Expression) -> Option<Verdict> {
    match expression {
        Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None }) => Some(Verdict::Return),
        Expression::Verdict(VerdictCode { code: VerdictCode::JUMP, chain: Some(chain) }) => {
            Some(Verdict::Jump(chain.clone()))
        }
        _ => None,
    }
}

pub(super) fn opaque(why: &str) -> Opaque {
    Opaque(why.to_owned())
}

/// Why an expression has no place among the conditions of a rule.
pub(super) fn misplaced(expression: &Expression) -> Opaque {
    match expression {
        Expression::Verdict(_) | Expression::Target(_) | Expression::Masq(_) => opaque("goes on behind its verdict"),
        Expression::Match(extension) => Opaque(format!("has the match {}", extension.name)),
        other => Opaque(format!("has the expression {}", other.name())),
    }
}

/// A comment. Those of our own rules, of which a chain has thousands, are not copied.
fn comment_of(text: &str) -> Cow<'static, str> {
    let ours = OUR_COMMENTS.into_iter().find(|ours| *ours == text);
    ours.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

fn protocol(value: &[u8]) -> Option<Protocol> {
    match value {
        [number] => Protocol::from_number(*number),
        _ => None,
    }
}

fn chance(value: &[u8], whole: u32) -> Option<Chance> {
    Chance::of(u32::from_be_bytes(value.try_into().ok()?), whole)
}
