//! Masquerading (`enum nft_masq_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "masq";

const NFTA_MASQ_FLAGS: u16 = 1;
const NFTA_MASQ_REG_PROTO_MIN: u16 = 2;
const NFTA_MASQ_REG_PROTO_MAX: u16 = 3;

/// The source becomes the address of the interface on which the packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masq {
    /// `NF_NAT_RANGE_*` (`linux/netfilter/nf_nat.h`).
    pub flags: u32,
    /// The registers that hold the first and the last port, two bytes in network order each. For one port they are the
    /// same. They count only with [`Masq::PORTS`].
    pub ports: Option<(u32, u32)>,
}

impl Masq {
    /// `NF_NAT_RANGE_PROTO_SPECIFIED`: the ports count.
    pub const PORTS: u32 = 0x2;
    /// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
    pub const RANDOM_FULLY: u32 = 0x10;

    pub(super) fn emit(self, writer: &mut Writer) {
        if self.flags != 0 {
            writer.be32(NFTA_MASQ_FLAGS, self.flags);
        }
        if let Some((first, last)) = self.ports {
            writer.be32(NFTA_MASQ_REG_PROTO_MIN, first);
            // As nft writes one port; the kernel dumps both.
            if first != last {
                writer.be32(NFTA_MASQ_REG_PROTO_MAX, last);
            }
        }
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut flags, mut first, mut last) = (0, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_MASQ_FLAGS => flags = number,
                NFTA_MASQ_REG_PROTO_MIN => first = Some(number),
                NFTA_MASQ_REG_PROTO_MAX => last = Some(number),
                _ => return None,
            }
        }
        let ports = match (first, last) {
            (Some(first), last) => Some((first, last.unwrap_or(first))),
            (None, None) => None,
            (None, Some(_)) => return None,
        };
        Some(Self { flags, ports })
    }
}
