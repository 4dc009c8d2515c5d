//! The generation of the ruleset (`enum nft_gen_attributes`, and `NFNL_BATCH_GENID` of a batch's frame).

use crate::ruleset::Generation;

use super::wire::{Attributes, Malformed, Writer};

/// `NFTA_GEN_ID` and `NFNL_BATCH_GENID` are the same number.
const GENERATION_ID: u16 = 1;

/// In the frame of a batch: commit only if this is still the generation.
pub(super) fn emit(writer: &mut Writer, generation: Generation) {
    writer.be32(GENERATION_ID, generation.0);
}

pub(super) fn parse(attributes: Attributes<'_>) -> Result<Generation, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == GENERATION_ID {
            return attribute.be32().map(Generation);
        }
    }
    Err(Malformed("a generation has no number"))
}
