//! Values and verdicts that are in the rule itself: two expressions that have the same name in the kernel.

use crate::netlink::{Attribute, Attributes, Writer};

use super::Data;
use super::attribute::Value;

/// Loads a value that is in the rule itself into a register (`enum nft_immediate_attributes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Immediate {
    /// The register to load into; never the verdict's.
    pub register: u32,
    /// The value.
    pub value: Data,
}

/// The verdict on the packet (`enum nft_verdict_attributes`). In the kernel it has the name of [`Immediate`], and is loaded
/// into the register of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictCode {
    /// `enum nft_verdicts`, or `NF_*` of linux/netfilter.h.
    pub code: i32,
    /// The chain to go to, for the verdicts that have one.
    pub chain: Option<String>,
}

const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
/// The register that holds the verdict on the packet (`NFT_REG_VERDICT`).
const REGISTER_VERDICT: u32 = 0;

impl Immediate {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_IMMEDIATE_DREG, self.register);
        self.value.emit(writer, NFTA_IMMEDIATE_DATA);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (register, data) = register_and_data(attributes)?;
        if register == REGISTER_VERDICT {
            return None;
        }
        Some(Self { register, value: Data::parse(&data)? })
    }
}

impl VerdictCode {
    /// Goes on in a chain, and comes back behind this rule if that chain does not decide (`NFT_JUMP`).
    pub const JUMP: i32 = -3;
    /// Goes back to the chain that jumped here (`NFT_RETURN`).
    pub const RETURN: i32 = -5;

    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_IMMEDIATE_DREG, REGISTER_VERDICT);
        writer.nested(NFTA_IMMEDIATE_DATA, |writer| {
            writer.nested(NFTA_DATA_VERDICT, |writer| {
                writer.be32(NFTA_VERDICT_CODE, self.code.cast_unsigned());
                if let Some(chain) = &self.chain {
                    writer.text(NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (register, data) = register_and_data(attributes)?;
        if register != REGISTER_VERDICT {
            return None;
        }
        let (mut code, mut chain) = (None, None);
        for outer in data.nested() {
            let outer = outer.ok().filter(|outer| outer.kind == NFTA_DATA_VERDICT)?;
            for attribute in outer.nested() {
                let attribute = attribute.ok()?;
                match attribute.kind {
                    NFTA_VERDICT_CODE => code = Some(attribute.be32().ok()?.cast_signed()),
                    NFTA_VERDICT_CHAIN => chain = Some(attribute.text()),
                    _ => return None,
                }
            }
        }
        Some(Self { code: code?, chain })
    }
}

/// The attributes of [`Immediate`] and [`VerdictCode`], which the register tells apart.
fn register_and_data(attributes: Attributes<'_>) -> Option<(u32, Attribute<'_>)> {
    let (mut register, mut data) = (None, None);
    for attribute in attributes {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_IMMEDIATE_DREG => register = Some(attribute.be32().ok()?),
            NFTA_IMMEDIATE_DATA => data = Some(attribute),
            _ => return None,
        }
    }
    register.zip(data)
}
