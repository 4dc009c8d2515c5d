//! Decoding the conditions of a rule, one expression after the other, as far as both layouts have it in common.

use std::borrow::Cow;

use crate::backend::nftables::Unrecognised;
use crate::net::Family;
use crate::policy::{AddressField, Condition, Field};
use crate::rules::{Match, OUR_COMMENTS, Probability, Rule, Verdict};

use super::expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Data, Expression, Fib, Lookup, Meta, Numgen, Payload, VerdictCode,
};
use super::field;

/// The part of a rule that was decoded so far.
pub(in crate::backend::nftables) struct Reading {
    family: Family,
    /// The register that was loaded and not compared yet, and what it holds. Our rules, and those of nft and iptables that
    /// mean the same, use one register at a time.
    loaded: Option<(u32, Value)>,
    matches: Vec<Match>,
}

/// What a register holds.
enum Value {
    /// This many leading bytes of an address, and which of their bits.
    Address { field: AddressField, mask: Data, is_masked: bool },
    /// A field as a whole.
    Field(Field),
    /// A random number below `whole`.
    Random { whole: u32, in_network_order: bool },
}

impl Reading {
    pub(in crate::backend::nftables) const fn new(family: Family) -> Self {
        Self { family, loaded: None, matches: Vec::new() }
    }

    /// Adds a condition for which the layout has a form of its own.
    pub(in crate::backend::nftables) fn condition(&mut self, condition: Match) {
        self.matches.push(condition);
    }

    pub(in crate::backend::nftables) fn payload(&mut self, payload: &Payload) -> Result<(), Unrecognised> {
        let field = field::of_payload(self.family, payload)
            .ok_or_else(|| unrecognised("tests bytes of the packet other than its addresses"))?;
        let len = usize::try_from(payload.len).unwrap_or(usize::MAX);
        let mask = Data::from_fn(len, |_| u8::MAX);
        self.load(payload.register, Value::Address { field, mask, is_masked: false })
    }

    pub(in crate::backend::nftables) fn meta(&mut self, meta: Meta) -> Result<(), Unrecognised> {
        let field =
            field::of_meta(meta).ok_or_else(|| Unrecognised(format!("tests the packet's meta key {}", meta.key)))?;
        self.load(meta.register, Value::Field(field))
    }

    pub(in crate::backend::nftables) fn fib(&mut self, fib: Fib) -> Result<(), Unrecognised> {
        let field = field::of_fib(fib).ok_or_else(|| {
            unrecognised("asks the routing table for something other than the destination's address type")
        })?;
        self.load(fib.register, Value::Field(field))
    }

    pub(in crate::backend::nftables) fn numgen(&mut self, numgen: Numgen) -> Result<(), Unrecognised> {
        if (numgen.kind, numgen.offset) != (Numgen::RANDOM, 0) {
            return Err(unrecognised("draws numbers other than random ones from 0"));
        }
        self.load(numgen.register, Value::Random { whole: numgen.modulus, in_network_order: false })
    }

    pub(in crate::backend::nftables) fn byteorder(&mut self, byteorder: Byteorder) -> Result<(), Unrecognised> {
        let Byteorder { source, destination, op, len, size } = byteorder;
        match &mut self.loaded {
            Some((register, Value::Random { in_network_order: in_network_order @ false, .. }))
                if (*register, *register) == (source, destination)
                    && (op, len, size) == (Byteorder::TO_NETWORK, 4, 4) =>
            {
                *in_network_order = true;
                Ok(())
            }
            _ => Err(unrecognised("turns the bytes of something other than a random number around")),
        }
    }

    pub(in crate::backend::nftables) fn bitwise(&mut self, bitwise: &Bitwise) -> Result<(), Unrecognised> {
        match &mut self.loaded {
            Some((register, Value::Address { mask, is_masked, .. }))
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
            _ => Err(unrecognised("has a bitwise operation other than a mask on an address")),
        }
    }

    pub(in crate::backend::nftables) fn cmp(&mut self, cmp: &Cmp) -> Result<(), Unrecognised> {
        let value = self.take_loaded(cmp.register)?;
        let (expected, condition) = match value {
            Value::Address { field, mask, .. } => {
                let range = field::range(self.family, &mask, &cmp.value);
                (CmpOp::EQUAL, range.map(|range| Condition::address(field, range).into()))
            }
            Value::Field(field) => field::compared(field, &cmp.value),
            Value::Random { whole, in_network_order } => {
                (CmpOp::LESS, probability(&cmp.value, whole).filter(|_| in_network_order).map(Match::random))
            }
        };
        if cmp.op != expected {
            return Err(unrecognised("has a comparison that none of our rules has"));
        }
        let condition =
            condition.ok_or_else(|| unrecognised("compares with a value that none of our rules can name"))?;
        self.matches.push(condition);
        Ok(())
    }

    pub(in crate::backend::nftables) fn lookup(&mut self, lookup: &Lookup) -> Result<(), Unrecognised> {
        let Value::Address { field, mask, is_masked } = self.take_loaded(lookup.register)? else {
            return Err(unrecognised("looks up something other than an address"));
        };
        if lookup.inverted || mask.len() != usize::from(self.family.address_len()) {
            return Err(unrecognised("has a lookup other than `the address is in the set`"));
        }
        let prefix_len = field::prefix_len(&mask).ok_or_else(|| unrecognised("looks up bits that are no prefix"))?;
        self.matches.push(Match::in_set(field, &lookup.set, is_masked.then_some(prefix_len)));
        Ok(())
    }

    /// The rule, once all of its conditions were decoded.
    pub(in crate::backend::nftables) fn finish(
        self,
        comment: Option<&str>,
        verdict: Verdict,
    ) -> Result<Rule, Unrecognised> {
        if self.loaded.is_some() {
            return Err(unrecognised("loads something that it does not compare"));
        }
        Ok(Rule::new(self.matches, comment.map(comment_of), verdict))
    }

    fn load(&mut self, register: u32, value: Value) -> Result<(), Unrecognised> {
        if self.loaded.replace((register, value)).is_some() {
            return Err(unrecognised("loads something that it does not compare"));
        }
        Ok(())
    }

    fn take_loaded(&mut self, register: u32) -> Result<Value, Unrecognised> {
        let loaded = self.loaded.take().filter(|(loaded, _)| *loaded == register);
        loaded.map(|(_, value)| value).ok_or_else(|| unrecognised("compares something that was not loaded"))
    }
}

/// The verdicts that both layouts write in the same way.
pub(in crate::backend::nftables) fn verdict(expression: &Expression) -> Option<Verdict> {
    match expression {
        Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None }) => Some(Verdict::Return),
        Expression::Verdict(VerdictCode { code: VerdictCode::JUMP, chain: Some(chain) }) => {
            Some(Verdict::Jump(chain.clone()))
        }
        _ => None,
    }
}

pub(in crate::backend::nftables) fn unrecognised(why: &str) -> Unrecognised {
    Unrecognised(why.to_owned())
}

/// Why an expression has no place among the conditions of a rule.
pub(in crate::backend::nftables) fn misplaced(expression: &Expression) -> Unrecognised {
    match expression {
        Expression::Verdict(_) | Expression::Target(_) | Expression::Masq(_) => {
            unrecognised("goes on behind its verdict")
        }
        Expression::Match(extension) => Unrecognised(format!("has the match {}", extension.name)),
        other => Unrecognised(format!("has the expression {}", other.name())),
    }
}

/// A comment. Those of our own rules are not copied, as a chain has thousands of them.
fn comment_of(text: &str) -> Cow<'static, str> {
    let ours = OUR_COMMENTS.into_iter().find(|ours| *ours == text);
    ours.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

fn probability(value: &[u8], whole: u32) -> Option<Probability> {
    Probability::of(u32::from_be_bytes(value.try_into().ok()?), whole)
}
