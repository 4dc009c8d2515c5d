//! Tables (`enum nft_table_attributes`).

use super::wire::{Attributes, Malformed, Writer};

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;

/// A table without flags, as iptables-nft creates it.
pub(super) fn emit(writer: &mut Writer, name: &str) {
    writer.text(NFTA_TABLE_NAME, name);
    writer.be32(NFTA_TABLE_FLAGS, 0);
}

/// The name of a table that was dumped.
pub(super) fn parse(attributes: Attributes<'_>) -> Result<String, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == NFTA_TABLE_NAME {
            return Ok(attribute.text());
        }
    }
    Err(Malformed("a table has no name"))
}
