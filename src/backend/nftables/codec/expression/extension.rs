//! Matches and targets of xtables inside `nf_tables` (`enum nft_match_attributes`, `enum nft_target_attributes`,
//! `linux/netfilter/nf_tables_compat.h`). The two have the same attributes.

use crate::netlink::{Attributes, Writer};

pub(super) const MATCH: &str = "match";
pub(super) const TARGET: &str = "target";

const NFTA_EXTENSION_NAME: u16 = 1;
const NFTA_EXTENSION_REV: u16 = 2;
const NFTA_EXTENSION_INFO: u16 = 3;

/// A match or target of xtables with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The name, as in `iptables -m` or `iptables -j`.
    pub name: String,
    /// The revision of the parameters' layout.
    pub revision: u32,
    /// The parameters: a C struct of the kernel, in host order. Dumps pad it with zeros to a multiple of 8.
    pub info: Vec<u8>,
}

impl Extension {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.text(NFTA_EXTENSION_NAME, &self.name);
        writer.be32(NFTA_EXTENSION_REV, self.revision);
        writer.attribute(NFTA_EXTENSION_INFO, &self.info);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut name, mut revision, mut info) = (None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_EXTENSION_NAME => name = Some(attribute.text()),
                NFTA_EXTENSION_REV => revision = Some(attribute.be32().ok()?),
                NFTA_EXTENSION_INFO => info = Some(attribute.payload.to_vec()),
                _ => return None,
            }
        }
        Some(Self { name: name?, revision: revision?, info: info? })
    }
}
