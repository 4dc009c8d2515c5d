//! Looking a register up in a set (`enum nft_lookup_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "lookup";

const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_SET_ID: u16 = 4;
const NFTA_LOOKUP_FLAGS: u16 = 5;
/// `NFT_LOOKUP_F_INV`
const INVERTED: u32 = 1;

/// Looks up what a register holds; unless the set has it, the rule does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The set's name. A set that the same transaction creates is found by it, too.
    pub set: String,
    /// The register.
    pub register: u32,
    /// The rule matches unless the set has it.
    pub inverted: bool,
}

impl Lookup {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_LOOKUP_SREG, self.register);
        writer.text(NFTA_LOOKUP_SET, &self.set);
        if self.inverted {
            writer.be32(NFTA_LOOKUP_FLAGS, INVERTED);
        }
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut set, mut register, mut flags) = (None, None, 0);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_LOOKUP_SET => set = Some(attribute.text()),
                NFTA_LOOKUP_SREG => register = Some(attribute.be32().ok()?),
                NFTA_LOOKUP_FLAGS => flags = attribute.be32().ok()?,
                // Names the set within a transaction, beside its name. Never dumped.
                NFTA_LOOKUP_SET_ID => {}
                // A destination register, for one: then it looks up in a map.
                _ => return None,
            }
        }
        let inverted = match flags {
            0 => false,
            INVERTED => true,
            _ => return None,
        };
        Some(Self { set: set?, register: register?, inverted })
    }
}
