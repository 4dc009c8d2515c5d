//! The generation of the ruleset (`enum nft_gen_attributes`, and `NFNL_BATCH_GENID` of a batch's frame).

use crate::backend::nftables::Generation;

use crate::backend::nftables::Process;
use crate::netlink::{Attributes, Malformed, Writer};

/// `NFTA_GEN_ID` and `NFNL_BATCH_GENID` are the same number.
const GENERATION_ID: u16 = 1;
const PROCESS_ID: u16 = 2;
const PROCESS_NAME: u16 = 3;

/// In the frame of a batch: commit only if this is still the generation.
pub(in crate::backend::nftables) fn emit(writer: &mut Writer, generation: Generation) {
    writer.be32(GENERATION_ID, generation.0);
}

pub(in crate::backend::nftables) fn parse(attributes: Attributes<'_>) -> Result<Generation, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == GENERATION_ID {
            return attribute.be32().map(Generation);
        }
    }
    Err(Malformed("a generation has no number"))
}

/// Who made the generation, if the kernel says so.
pub(in crate::backend::nftables) fn parse_process(attributes: Attributes<'_>) -> Option<Process> {
    let (mut pid, mut name) = (None, None);
    for attribute in attributes.map_while(Result::ok) {
        match attribute.kind {
            PROCESS_ID => pid = attribute.be32().ok(),
            PROCESS_NAME => name = Some(attribute.text()),
            _ => {}
        }
    }
    Some(Process { pid: pid?, name: name? })
}
