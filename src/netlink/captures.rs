//! The recorded datagrams of `testdata/netlink`, for tests.

use proptest::prelude::*;

/// A command and the datagrams that were recorded while it ran.
pub(crate) struct Capture {
    pub(crate) command: &'static str,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

/// Reads a file of `testdata/netlink`.
pub(crate) fn captures(text: &'static str) -> Vec<Capture> {
    let blocks = text.split("$ ").filter(|block| !block.is_empty());
    let captures: Vec<_> = blocks
        .map(|block| {
            let (command, hex) = block.split_once('\n').unwrap();
            let datagrams = hex.split("\n\n").map(bytes).filter(|datagram| !datagram.is_empty()).collect();
            Capture { command, datagrams }
        })
        .collect();
    assert!(!captures.is_empty());
    captures
}

/// All datagrams that were recorded, of every protocol.
pub(crate) fn recorded() -> Vec<Vec<u8>> {
    let texts = [
        include_str!("../../testdata/netlink/iptables-nft.sent"),
        include_str!("../../testdata/netlink/iptables-nft.received"),
        include_str!("../../testdata/netlink/ip6tables-nft.sent"),
        include_str!("../../testdata/netlink/ip6tables-nft.received"),
        include_str!("../../testdata/netlink/nft-ip.sent"),
        include_str!("../../testdata/netlink/nft-ip.received"),
        include_str!("../../testdata/netlink/nft-ip6.sent"),
        include_str!("../../testdata/netlink/nft-ip6.received"),
        include_str!("../../testdata/netlink/conntrack.sent"),
        include_str!("../../testdata/netlink/conntrack.received"),
        include_str!("../../testdata/netlink/conntrack-delete.sent"),
        include_str!("../../testdata/netlink/ip-address.received"),
    ];
    texts.into_iter().flat_map(captures).flat_map(|capture| capture.datagrams).collect()
}

/// A recorded datagram with a few bytes replaced: all of it, and a part from its beginning.
pub(crate) fn damaged() -> impl Strategy<Value = [Vec<u8>; 2]> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12);
    let cut = any::<prop::sample::Index>();
    (prop::sample::select(recorded()), damage, cut).prop_map(|(mut datagram, damage, cut)| {
        for (at, byte) in damage {
            let at = at.index(datagram.len());
            datagram[at] = byte;
        }
        let part = datagram[..cut.index(datagram.len())].to_vec();
        [datagram, part]
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
