//! Decoding the conditions of a rule, one expression after the other, as far as both layouts have it in common.

use std::borrow::Cow;

use crate::backend::nftables::Unrecognised;
use crate::net::{Family, PortRange};
use crate::policy::{AddressField, Condition, Field, PortField};
use crate::rules::{Match, OUR_COMMENTS, Probability, Rule, Verdict};

use super::expression::{
    Bitwise, Byteorder, Cmp, CmpOp, Data, Expression, Fib, Lookup, Meta, Numgen, Payload, Range, VerdictCode,
};
use super::field::{self, NotOurs};

/// The part of a rule that was decoded so far.
pub(in crate::backend::nftables) struct Reading {
    family: Family,
    /// The register that was loaded and not compared yet, and what it holds. Our rules, and those of nft and iptables that
    /// mean the same, use one register at a time.
    loaded: Option<(u32, Value)>,
    matches: Vec<Match>,
    /// The ports that were compared; of which protocol, another expression says, before or after these.
    ports: Vec<(PortField, PortRange)>,
}

/// What a register holds.
enum Value {
    /// This many leading bytes of an address, and which of their bits.
    Address { field: AddressField, mask: Data, is_masked: bool },
    /// A port, and the smallest that was compared with it so far.
    Port { field: PortField, first: u16 },
    /// The source and the destination port.
    BothPorts,
    /// These bits of the mark.
    Mark { mask: u32 },
    /// Another field, as a whole.
    Field(Field),
    /// A random number below `whole`.
    Random { whole: u32, in_network_order: bool },
}

impl Reading {
    pub(in crate::backend::nftables) const fn new(family: Family) -> Self {
        Self { family, loaded: None, matches: Vec::new(), ports: Vec::new() }
    }

    /// Adds conditions for which the layout has a form of its own.
    pub(in crate::backend::nftables) fn conditions(&mut self, conditions: Vec<Match>) {
        self.matches.extend(conditions);
    }

    pub(in crate::backend::nftables) fn payload(&mut self, payload: &Payload) -> Result<(), Unrecognised> {
        match field::ports_of_payload(payload) {
            Some([field]) => return self.load(payload.register, Value::Port { field: *field, first: 0 }),
            Some(_) => return self.load(payload.register, Value::BothPorts),
            None => {}
        }
        let field = field::of_payload(self.family, payload)
            .ok_or_else(|| unrecognised("tests bytes of the packet other than its addresses and ports"))?;
        let len = usize::try_from(payload.len).unwrap_or(usize::MAX);
        let mask = Data::from_fn(len, |_| u8::MAX);
        self.load(payload.register, Value::Address { field, mask, is_masked: false })
    }

    pub(in crate::backend::nftables) fn meta(&mut self, meta: Meta) -> Result<(), Unrecognised> {
        let field =
            field::of_meta(meta).ok_or_else(|| Unrecognised(format!("tests the packet's meta key {}", meta.key)))?;
        self.load(
            meta.register,
            if field == Field::Mark { Value::Mark { mask: u32::MAX } } else { Value::Field(field) },
        )
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
        let other = || unrecognised("has a bitwise operation other than a mask on an address or a mark");
        let is_mask = bitwise.source == bitwise.destination && bitwise.xor.iter().all(|byte| *byte == 0);
        match &mut self.loaded {
            Some((register, value)) if is_mask && *register == bitwise.source => {
                value.mask(&bitwise.mask).ok_or_else(other)
            }
            _ => Err(other()),
        }
    }

    pub(in crate::backend::nftables) fn cmp(&mut self, cmp: &Cmp) -> Result<(), Unrecognised> {
        let condition = match self.take_loaded(cmp.register)? {
            Value::Address { field, mask, .. } if cmp.op == CmpOp::EQUAL => {
                field::range(self.family, &mask, &cmp.value)
                    .map(|range| Condition::address(field, range).into())
                    .ok_or(NotOurs::Value)
            }
            Value::Random { whole, in_network_order } if cmp.op == CmpOp::LESS => {
                probability(&cmp.value, whole).filter(|_| in_network_order).map(Match::random).ok_or(NotOurs::Value)
            }
            Value::Port { field, first } => return self.compare_port(field, first, cmp),
            Value::Mark { mask } => field::compared_mark(mask, cmp.op, &cmp.value),
            Value::Field(field) => field::compared(field, cmp.op, &cmp.value),
            Value::BothPorts if cmp.op == CmpOp::EQUAL => return self.both_ports(&cmp.value),
            Value::Address { .. } | Value::Random { .. } | Value::BothPorts => Err(NotOurs::Comparison),
        };
        self.matches.push(condition.map_err(not_ours)?);
        Ok(())
    }

    /// A range of ports in one expression, as iptables writes it.
    pub(in crate::backend::nftables) fn range(&mut self, range: &Range) -> Result<(), Unrecognised> {
        let Value::Port { field, first: 0 } = self.take_loaded(range.register)? else {
            return Err(unrecognised("compares something other than a port with a range"));
        };
        if range.op != CmpOp::EQUAL {
            return Err(not_ours(NotOurs::Comparison));
        }
        let ports = field::port(&range.first).zip(field::port(&range.last));
        self.push_ports(field, ports.and_then(|(first, last)| PortRange::new(first, last)))
    }

    /// One port; or a range, of which nft compares first the smallest and then the greatest.
    fn compare_port(&mut self, field: PortField, first: u16, cmp: &Cmp) -> Result<(), Unrecognised> {
        let port = field::port(&cmp.value).ok_or_else(|| not_ours(NotOurs::Value))?;
        match (cmp.op, first) {
            (CmpOp::EQUAL, 0) => self.push_ports(field, PortRange::new(port, port)),
            (CmpOp::AT_MOST, _) => self.push_ports(field, PortRange::new(first, port)),
            (CmpOp::AT_LEAST, 0) => self.load(cmp.register, Value::Port { field, first: port }),
            _ => Err(not_ours(NotOurs::Comparison)),
        }
    }

    fn both_ports(&mut self, value: &[u8]) -> Result<(), Unrecognised> {
        let (source, destination) = value.split_at_checked(2).ok_or_else(|| not_ours(NotOurs::Value))?;
        for (field, value) in [(PortField::Source, source), (PortField::Destination, destination)] {
            self.push_ports(field, field::port(value).and_then(|port| PortRange::new(port, port)))?;
        }
        Ok(())
    }

    fn push_ports(&mut self, field: PortField, ports: Option<PortRange>) -> Result<(), Unrecognised> {
        self.ports.push((field, ports.ok_or_else(|| not_ours(NotOurs::Value))?));
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
        mut self,
        comment: Option<&str>,
        verdict: Verdict,
    ) -> Result<Rule, Unrecognised> {
        if self.loaded.is_some() {
            return Err(unrecognised("loads something that it does not compare"));
        }
        if !self.ports.is_empty() {
            let mut protocols = self.matches.iter().filter_map(Match::asked_protocol);
            let protocol = protocols.next().filter(|protocol| protocols.all(|other| other == *protocol));
            let protocol =
                protocol.ok_or_else(|| unrecognised("tests ports, and not one protocol of which they are"))?;
            let ports = self.ports.into_iter().map(|(field, range)| Condition::port(field, protocol, range).into());
            self.matches.extend(ports);
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

impl Value {
    /// Keeps only these bits; `None` if it is something of which all bits count.
    fn mask(&mut self, bits: &Data) -> Option<()> {
        match self {
            Self::Address { mask, is_masked, .. } if mask.len() == bits.len() => {
                let byte = |data: &Data, index| data.get(index).copied().unwrap_or_default();
                let old = *mask;
                *mask = Data::from_fn(old.len(), |index| byte(&old, index) & byte(bits, index));
                *is_masked = true;
            }
            Self::Mark { mask } => *mask &= u32::from_ne_bytes((**bits).try_into().ok()?),
            _ => return None,
        }
        Some(())
    }
}

fn not_ours(why: NotOurs) -> Unrecognised {
    unrecognised(match why {
        NotOurs::Comparison => "has a comparison that none of our rules has",
        NotOurs::Value => "compares with a value that none of our rules can name",
    })
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
