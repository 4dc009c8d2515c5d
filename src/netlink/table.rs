//! Tables (`enum nft_table_attributes`).

use super::wire::{Attributes, Malformed, Writer};

const NFTA_TABLE_NAME: u16 = 1;

/// A table as iptables-nft creates it. Without flags, so that those of a table that exists stay.
pub(super) fn emit(writer: &mut Writer, name: &str) {
    writer.text(NFTA_TABLE_NAME, name);
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
