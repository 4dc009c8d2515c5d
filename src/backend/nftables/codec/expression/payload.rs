//! Loading bytes of the packet (`enum nft_payload_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "payload";

const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;

/// Loads `len` bytes at `offset` of a header into a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The register to load into.
    pub register: u32,
    /// The header from whose start `offset` counts.
    pub base: PayloadBase,
    /// In bytes.
    pub offset: u32,
    /// In bytes.
    pub len: u32,
}

/// A header of the packet (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadBase(pub u32);

impl PayloadBase {
    /// The IPv4 or IPv6 header.
    pub const NETWORK: Self = Self(1);
}

impl Payload {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_PAYLOAD_DREG, self.register);
        writer.be32(NFTA_PAYLOAD_BASE, self.base.0);
        writer.be32(NFTA_PAYLOAD_OFFSET, self.offset);
        writer.be32(NFTA_PAYLOAD_LEN, self.len);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut register, mut base, mut offset, mut len) = (None, None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_PAYLOAD_DREG => register = Some(number),
                NFTA_PAYLOAD_BASE => base = Some(PayloadBase(number)),
                NFTA_PAYLOAD_OFFSET => offset = Some(number),
                NFTA_PAYLOAD_LEN => len = Some(number),
                // A source register, for one: then it writes to the packet.
                _ => return None,
            }
        }
        Some(Self { register: register?, base: base?, offset: offset?, len: len? })
    }
}
