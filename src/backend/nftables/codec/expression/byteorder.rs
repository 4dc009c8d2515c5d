//! Turning numbers in a register around (`enum nft_byteorder_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "byteorder";

const NFTA_BYTEORDER_SREG: u16 = 1;
const NFTA_BYTEORDER_DREG: u16 = 2;
const NFTA_BYTEORDER_OP: u16 = 3;
const NFTA_BYTEORDER_LEN: u16 = 4;
const NFTA_BYTEORDER_SIZE: u16 = 5;

/// Brings numbers from host order into network order, or back. Registers are compared byte by byte, so only numbers in
/// network order have a smaller and a greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Byteorder {
    /// The register to read.
    pub source: u32,
    /// The register to write.
    pub destination: u32,
    /// Which way (`enum nft_byteorder_ops`).
    pub op: u32,
    /// How many bytes in all.
    pub len: u32,
    /// How many bytes a number has.
    pub size: u32,
}

impl Byteorder {
    /// From host order to network order (`NFT_BYTEORDER_HTON`).
    pub const TO_NETWORK: u32 = 1;

    pub(super) fn emit(self, writer: &mut Writer) {
        writer.be32(NFTA_BYTEORDER_SREG, self.source);
        writer.be32(NFTA_BYTEORDER_DREG, self.destination);
        writer.be32(NFTA_BYTEORDER_OP, self.op);
        writer.be32(NFTA_BYTEORDER_LEN, self.len);
        writer.be32(NFTA_BYTEORDER_SIZE, self.size);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut source, mut destination, mut op, mut len, mut size) = (None, None, None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_BYTEORDER_SREG => source = Some(number),
                NFTA_BYTEORDER_DREG => destination = Some(number),
                NFTA_BYTEORDER_OP => op = Some(number),
                NFTA_BYTEORDER_LEN => len = Some(number),
                NFTA_BYTEORDER_SIZE => size = Some(number),
                _ => return None,
            }
        }
        Some(Self { source: source?, destination: destination?, op: op?, len: len?, size: size? })
    }
}
