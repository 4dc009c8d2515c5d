//! Masking a register (`enum nft_bitwise_attributes`).

use crate::netlink::{Attributes, Writer};

use super::{Data, emit_value, parse_value};

pub(super) const NAME: &str = "bitwise";

const NFTA_BITWISE_SREG: u16 = 1;
const NFTA_BITWISE_DREG: u16 = 2;
const NFTA_BITWISE_LEN: u16 = 3;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_BITWISE_OP: u16 = 6;
/// The operation of [`Bitwise`] (`NFT_BITWISE_MASK_XOR`). Kernels since 5.6 dump it, iptables does not write it.
const MASK_XOR: u32 = 0;

/// `destination = (source & mask) ^ xor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitwise {
    /// The register to read.
    pub source: u32,
    /// The register to write.
    pub destination: u32,
    /// The bits to keep; its length is the length of the operation.
    pub mask: Data,
    /// The bits to turn over afterwards, as long as `mask`.
    pub xor: Data,
}

impl Bitwise {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_BITWISE_SREG, self.source);
        writer.be32(NFTA_BITWISE_DREG, self.destination);
        writer.be32(NFTA_BITWISE_LEN, u32::try_from(self.mask.len()).unwrap_or(u32::MAX));
        emit_value(writer, NFTA_BITWISE_MASK, &self.mask);
        emit_value(writer, NFTA_BITWISE_XOR, &self.xor);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut source, mut destination, mut len, mut mask, mut xor) = (None, None, None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_BITWISE_SREG => source = Some(attribute.be32().ok()?),
                NFTA_BITWISE_DREG => destination = Some(attribute.be32().ok()?),
                NFTA_BITWISE_LEN => len = Some(attribute.be32().ok()?),
                NFTA_BITWISE_MASK => mask = Some(parse_value(&attribute)?),
                NFTA_BITWISE_XOR => xor = Some(parse_value(&attribute)?),
                NFTA_BITWISE_OP if attribute.be32() == Ok(MASK_XOR) => {}
                // Shifts, and operations between two registers.
                _ => return None,
            }
        }
        let (mask, xor) = (mask?, xor?);
        let fits = usize::try_from(len?) == Ok(mask.len()) && mask.len() == xor.len();
        fits.then_some(Self { source: source?, destination: destination?, mask, xor })
    }
}
