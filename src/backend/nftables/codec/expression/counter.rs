//! Counting packets and bytes (`enum nft_counter_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "counter";

const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFTA_COUNTER_PAD: u16 = 3;

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Bytes, headers of the network layer included.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Counter {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be64(NFTA_COUNTER_BYTES, self.bytes);
        writer.be64(NFTA_COUNTER_PACKETS, self.packets);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        // Nobody has to say what a counter starts from; it is 0 then.
        let (mut bytes, mut packets) = (0, 0);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_COUNTER_BYTES => bytes = attribute.be64().ok()?,
                NFTA_COUNTER_PACKETS => packets = attribute.be64().ok()?,
                NFTA_COUNTER_PAD => {}
                _ => return None,
            }
        }
        Some(Self { bytes, packets })
    }
}
