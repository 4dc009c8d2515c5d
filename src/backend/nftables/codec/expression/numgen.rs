//! Drawing a number (`enum nft_ng_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "numgen";

const NFTA_NG_DREG: u16 = 1;
const NFTA_NG_MODULUS: u16 = 2;
const NFTA_NG_TYPE: u16 = 3;
const NFTA_NG_OFFSET: u16 = 4;

/// Loads a number of four bytes, in host order, into a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numgen {
    /// The register to load into.
    pub register: u32,
    /// How many numbers there are, the smallest being `offset`.
    pub modulus: u32,
    /// How they follow upon each other (`enum nft_ng_types`).
    pub kind: u32,
    /// Added to the number.
    pub offset: u32,
}

impl Numgen {
    /// At random (`NFT_NG_RANDOM`).
    pub const RANDOM: u32 = 1;

    pub(super) fn emit(self, writer: &mut Writer) {
        writer.be32(NFTA_NG_DREG, self.register);
        writer.be32(NFTA_NG_MODULUS, self.modulus);
        writer.be32(NFTA_NG_TYPE, self.kind);
        writer.be32(NFTA_NG_OFFSET, self.offset);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut register, mut modulus, mut kind, mut offset) = (None, None, None, 0);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_NG_DREG => register = Some(number),
                NFTA_NG_MODULUS => modulus = Some(number),
                NFTA_NG_TYPE => kind = Some(number),
                NFTA_NG_OFFSET => offset = number,
                _ => return None,
            }
        }
        Some(Self { register: register?, modulus: modulus?, kind: kind?, offset })
    }
}
