//! Loading something about the packet that is not in its bytes (`enum nft_meta_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "meta";

const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;

/// Loads what `key` names into a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What to load (`enum nft_meta_keys`).
    pub key: u32,
    /// The register to load into.
    pub register: u32,
}

impl Meta {
    /// The transport protocol's number, one byte (`NFT_META_L4PROTO`).
    pub const L4PROTO: u32 = 16;

    pub(super) fn emit(self, writer: &mut Writer) {
        writer.be32(NFTA_META_KEY, self.key);
        writer.be32(NFTA_META_DREG, self.register);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut key, mut register) = (None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_META_KEY => key = Some(number),
                NFTA_META_DREG => register = Some(number),
                // A source register: then it sets what `key` names.
                _ => return None,
            }
        }
        Some(Self { key: key?, register: register? })
    }
}
