//! The generation of the kernel's rules, asked for by the tests' own few bytes, not by the code under test.

use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use super::netns::Netns;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN` and `..NEWGEN` (`linux/netfilter/nf_tables.h`).
const GETGEN: u16 = (10 << 8) | 16;
const NEWGEN: u16 = (10 << 8) | 15;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 16 + 4;
/// `NFTA_GEN_ID`, which the kernel puts first.
const GEN_ID: u16 = 1;

/// The number that every commit to the rules of this namespace raises (`NFTA_GEN_ID`): unchanged means that nothing
/// was written, not even the same again.
pub(crate) fn generation(netns: &Netns) -> u32 {
    netns.inside(|| {
        let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
        socket.bind_auto().unwrap();
        let mut request = Vec::new();
        request.extend(u32::try_from(HEADERS).unwrap().to_ne_bytes());
        request.extend(GETGEN.to_ne_bytes());
        request.extend(1_u16.to_ne_bytes()); // NLM_F_REQUEST
        request.extend([0; 8]); // sequence, port
        request.extend([0; 4]); // AF_UNSPEC, NFNETLINK_V0, res_id
        assert_eq!(socket.send(&request, 0).unwrap(), request.len());
        let (reply, _) = socket.recv_from_full().unwrap();
        let u16_at = |offset: usize| u16::from_ne_bytes(reply[offset..offset + 2].try_into().unwrap());
        assert_eq!(u16_at(4), NEWGEN, "{reply:?}");
        assert_eq!((u16_at(HEADERS), u16_at(HEADERS + 2)), (8, GEN_ID), "{reply:?}");
        u32::from_be_bytes(reply[HEADERS + 4..HEADERS + 8].try_into().unwrap())
    })
}
