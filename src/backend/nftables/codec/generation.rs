//! The generation of the ruleset (`enum nft_gen_attributes`).

use crate::backend::interface::Process;
use crate::backend::nftables::Generation;
use crate::netlink::{Attributes, Kind, Malformed};

use super::kind;

/// `NFT_MSG_NEWGEN`.
pub(crate) const NEW: Kind = kind(15);
/// `NFT_MSG_GETGEN`.
pub(crate) const GET: Kind = kind(16);

const NFTA_GEN_ID: u16 = 1;
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;

pub(crate) fn parse(attributes: Attributes<'_>) -> Result<Generation, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == NFTA_GEN_ID {
            return attribute.be32().map(Generation);
        }
    }
    Err(Malformed("a generation has no number"))
}

/// Who made the generation, if the kernel says so.
pub(crate) fn parse_process(attributes: Attributes<'_>) -> Option<Process> {
    let (mut pid, mut name) = (None, None);
    for attribute in attributes.map_while(Result::ok) {
        match attribute.kind {
            NFTA_GEN_PROC_PID => pid = attribute.be32().ok(),
            NFTA_GEN_PROC_NAME => name = Some(attribute.text()),
            _ => {}
        }
    }
    Some(Process { pid: pid?, name: name? })
}
