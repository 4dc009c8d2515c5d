//! Asking the routing table about an address of the packet (`enum nft_fib_attributes`).

use crate::netlink::{Attributes, Writer};

pub(super) const NAME: &str = "fib";

const NFTA_FIB_DREG: u16 = 1;
const NFTA_FIB_RESULT: u16 = 2;
const NFTA_FIB_FLAGS: u16 = 3;

/// Loads what the routing table says into a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fib {
    /// The register to load into.
    pub register: u32,
    /// What is asked (`enum nft_fib_result`).
    pub result: u32,
    /// Of which address, and by which parts of the packet (`enum nft_fib_flags`).
    pub flags: u32,
}

impl Fib {
    /// The type of the address, a number of four bytes in host order (`NFT_FIB_RESULT_ADDRTYPE`).
    pub const ADDRESS_TYPE: u32 = 3;
    /// Of the destination address (`NFTA_FIB_F_DADDR`).
    pub const DESTINATION: u32 = 2;
    /// The address type of this host's own addresses (`RTN_LOCAL`, `linux/rtnetlink.h`).
    pub const LOCAL: u32 = 2;

    pub(super) fn emit(self, writer: &mut Writer) {
        writer.be32(NFTA_FIB_FLAGS, self.flags);
        writer.be32(NFTA_FIB_RESULT, self.result);
        writer.be32(NFTA_FIB_DREG, self.register);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut register, mut result, mut flags) = (None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_FIB_DREG => register = Some(number),
                NFTA_FIB_RESULT => result = Some(number),
                NFTA_FIB_FLAGS => flags = Some(number),
                _ => return None,
            }
        }
        Some(Self { register: register?, result: result?, flags: flags? })
    }
}
