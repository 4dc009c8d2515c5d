//! Chains (`enum nft_chain_attributes`).

use std::borrow::Cow;

use crate::netlink::{Attributes, Kind, Malformed, Writer};
use crate::rules::BaseChain;

use super::kind;

/// `NFT_MSG_NEWCHAIN`.
pub(crate) const NEW: Kind = kind(3);
/// `NFT_MSG_GETCHAIN`.
pub(crate) const GET: Kind = kind(4);
/// `NFT_MSG_DELCHAIN`.
pub(crate) const DELETE: Kind = kind(5);

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_USE: u16 = 6;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
/// `NF_ACCEPT` (linux/netfilter.h).
const POLICY_ACCEPT: u32 = 1;

/// A chain that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// The name of its table.
    pub table: String,
    /// The name.
    pub name: String,
    /// Where the kernel enters it, if it does.
    pub base: Option<BaseChain>,
    /// Whether it is a base chain that drops what none of its rules decides.
    pub drops: bool,
    /// How many rules it has and jumps lead to it, together.
    pub uses: u32,
}

/// A chain by its name.
pub(crate) fn emit_name(writer: &mut Writer, table: &str, name: &str) {
    writer.text(NFTA_CHAIN_TABLE, table);
    writer.text(NFTA_CHAIN_NAME, name);
}

/// A chain to be created. A base chain gets the policy `accept`, also if it is there already.
pub(crate) fn emit(writer: &mut Writer, table: &str, name: &str, base: Option<&BaseChain>) {
    emit_name(writer, table, name);
    let Some(base) = base else { return };
    writer.nested(NFTA_CHAIN_HOOK, |writer| {
        writer.be32(NFTA_HOOK_HOOKNUM, base.hook);
        writer.be32(NFTA_HOOK_PRIORITY, base.priority.cast_unsigned());
    });
    writer.be32(NFTA_CHAIN_POLICY, POLICY_ACCEPT);
    writer.text(NFTA_CHAIN_TYPE, &base.kind);
}

pub(crate) fn parse(attributes: Attributes<'_>) -> Result<ChainInfo, Malformed> {
    let (mut table, mut name, mut hook, mut kind, mut drops) = (None, None, None, None, false);
    let mut uses = 0;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_CHAIN_TABLE => table = Some(attribute.text()),
            NFTA_CHAIN_NAME => name = Some(attribute.text()),
            NFTA_CHAIN_HOOK => hook = Some(parse_hook(attribute.nested())?),
            NFTA_CHAIN_POLICY => drops = attribute.be32()? != POLICY_ACCEPT,
            NFTA_CHAIN_USE => uses = attribute.be32()?,
            NFTA_CHAIN_TYPE => kind = Some(attribute.text()),
            _ => {}
        }
    }
    let base = hook.map(|(hook, priority)| BaseChain { kind: Cow::Owned(kind.unwrap_or_default()), hook, priority });
    Ok(ChainInfo {
        table: table.ok_or(Malformed("a chain has no table"))?,
        name: name.ok_or(Malformed("a chain has no name"))?,
        base,
        drops,
        uses,
    })
}

fn parse_hook(attributes: Attributes<'_>) -> Result<(u32, i32), Malformed> {
    let (mut hook, mut priority) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_HOOK_HOOKNUM => hook = Some(attribute.be32()?),
            NFTA_HOOK_PRIORITY => priority = Some(attribute.be32()?.cast_signed()),
            _ => {}
        }
    }
    hook.zip(priority).ok_or(Malformed("a base chain has no hook or no priority"))
}
