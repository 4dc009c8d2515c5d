//! Comparing a register with a value (`enum nft_cmp_attributes`).

use crate::netlink::{Attributes, Writer};

use super::{Data, emit_value, parse_value};

pub(super) const NAME: &str = "cmp";

const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;

/// Compares as many bytes of a register as the value has; unless it holds, the rule does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cmp {
    /// The register.
    pub register: u32,
    /// The comparison.
    pub op: CmpOp,
    /// What it is compared with, as it stands in the packet.
    pub value: Data,
}

/// A comparison (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmpOp(pub u32);

impl CmpOp {
    /// The register holds the value.
    pub const EQUAL: Self = Self(0);
    /// The register holds something else.
    pub const NOT_EQUAL: Self = Self(1);
    /// The register holds something smaller, as bytes in their order.
    pub const LESS: Self = Self(2);
}

impl Cmp {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_CMP_SREG, self.register);
        writer.be32(NFTA_CMP_OP, self.op.0);
        emit_value(writer, NFTA_CMP_DATA, &self.value);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut register, mut op, mut value) = (None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_CMP_SREG => register = Some(attribute.be32().ok()?),
                NFTA_CMP_OP => op = Some(CmpOp(attribute.be32().ok()?)),
                NFTA_CMP_DATA => value = Some(parse_value(&attribute)?),
                _ => return None,
            }
        }
        Some(Self { register: register?, op: op?, value: value? })
    }
}
