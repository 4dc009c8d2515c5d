//! Tables (`enum nft_table_attributes`).

use crate::backend::nftables::Unrecognised;
use crate::rules::Protection;

use crate::netlink::{Attributes, Malformed, Writer};

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_OWNER: u16 = 7;
/// `NFT_TABLE_F_DORMANT`: its base chains are not registered with their hooks.
const DORMANT: u32 = 0x1;
/// `NFT_TABLE_F_OWNER`: the socket that created or adopted it owns it. Only dumped while that socket is open.
const OWNER: u32 = 0x2;
/// `NFT_TABLE_F_PERSIST`: it outlives its owner (Linux 6.9).
const PERSIST: u32 = 0x4;

/// A table that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// The name.
    pub name: String,
    /// Who may change it, or in what it differs from a table of ours. While a protected table has no owner, everybody
    /// may change it.
    pub protection: Result<Protection, Unrecognised>,
    /// Is it switched off?
    pub dormant: bool,
    /// The port of the socket that owns it ([`Transport::port`](crate::netlink::Transport::port)).
    pub owner: Option<u32>,
}

/// A table by its name.
pub(in crate::backend::nftables) fn emit_name(writer: &mut Writer, name: &str) {
    writer.text(NFTA_TABLE_NAME, name);
}

/// A table to be created. One without protection is sent without flags, as iptables-nft does, so that those of a table
/// that exists stay.
pub(in crate::backend::nftables) fn emit(writer: &mut Writer, name: &str, protection: Protection) {
    emit_name(writer, name);
    match protection {
        Protection::Off => {}
        Protection::OwnerPersist => writer.be32(NFTA_TABLE_FLAGS, OWNER | PERSIST),
    }
}

/// A table that was dumped.
pub(in crate::backend::nftables) fn parse(attributes: Attributes<'_>) -> Result<TableInfo, Malformed> {
    let (mut name, mut flags, mut owner) = (None, 0, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_TABLE_NAME => name = Some(attribute.text()),
            NFTA_TABLE_FLAGS => flags = attribute.be32()?,
            NFTA_TABLE_OWNER => owner = Some(attribute.be32()?),
            _ => {}
        }
    }
    let dormant = flags & DORMANT != 0;
    let protection = match flags & !DORMANT {
        0 => Ok(Protection::Off),
        // The kernel takes the owner's flag away when the owner goes.
        PERSIST => Ok(Protection::OwnerPersist),
        flags if flags == OWNER | PERSIST => Ok(Protection::OwnerPersist),
        flags => Err(Unrecognised(format!("has the flags {:#x}", flags | if dormant { DORMANT } else { 0 }))),
    };
    Ok(TableInfo { name: name.ok_or(Malformed("a table has no name"))?, protection, dormant, owner })
}
