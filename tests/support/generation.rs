//! The generation of the kernel's rules and the end of commits, asked for by the tests' own few bytes, not by the code under
//! test.

use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use super::netns::Netns;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN` and `..NEWGEN` (`linux/netfilter/nf_tables.h`).
const GETGEN: u16 = (10 << 8) | 16;
const NEWGEN: u16 = (10 << 8) | 15;
/// `NFNL_MSG_BATCH_BEGIN` and `..END`, and `NFNL_SUBSYS_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const BATCH: [u16; 2] = [16, 17];
const NFTABLES: u16 = 10;
/// `NLM_F_REQUEST` (`linux/netlink.h`).
const REQUEST: u16 = 1;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 16 + 4;
/// `NFTA_GEN_ID`, which the kernel puts first.
const GEN_ID: u16 = 1;

/// The number that every commit to the rules of this namespace raises (`NFTA_GEN_ID`): unchanged means that nothing
/// was written, not even the same again.
pub(crate) fn generation(netns: &Netns) -> u32 {
    netns.inside(|| {
        let (reply, _) = sent(&message(GETGEN, 0)).recv_from_full().unwrap();
        let u16_at = |offset: usize| u16::from_ne_bytes(reply[offset..offset + 2].try_into().unwrap());
        assert_eq!(u16_at(4), NEWGEN, "{reply:?}");
        assert_eq!((u16_at(HEADERS), u16_at(HEADERS + 2)), (8, GEN_ID), "{reply:?}");
        u32::from_be_bytes(reply[HEADERS + 4..HEADERS + 8].try_into().unwrap())
    })
}

/// Returns when every commit that has begun before is over. The kernel announces a new generation while the commit is
/// still going on. An empty transaction, which changes nothing, waits for the lock that the commit holds
/// (`nf_tables_valid_genid`).
pub(crate) fn commits_are_over(netns: &Netns) {
    netns.inside(|| sent(&BATCH.map(|kind| message(kind, NFTABLES)).concat()));
}

/// A socket over which a request was sent. The kernel has processed it when the send returns.
fn sent(request: &[u8]) -> Socket {
    let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
    socket.bind_auto().unwrap();
    assert_eq!(socket.send(request, 0).unwrap(), request.len());
    socket
}

/// A message to `subsystem`, where a batch wants one.
fn message(kind: u16, subsystem: u16) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(u32::try_from(HEADERS).unwrap().to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 2]); // AF_UNSPEC, NFNETLINK_V0
    message.extend(subsystem.to_be_bytes());
    message
}
