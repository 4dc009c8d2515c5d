//! Flows and addresses, against what conntrack, ip and the kernel said (`testdata/netlink/README.md`).

use std::collections::BTreeMap;
use std::io;

use proptest::prelude::*;

use super::nfnetlink::NO_FAMILY;
use super::*;
use crate::conntrack::AddressInfo;
use crate::netlink::captures::{Capture, captures, damaged};
use crate::netlink::{Content, Messages};

fn made() -> Vec<Capture> {
    captures(include_str!("../../testdata/netlink/conntrack.sent"))
}

fn listed() -> Vec<Capture> {
    captures(include_str!("../../testdata/netlink/conntrack.received"))
}

fn deleted() -> Vec<Capture> {
    captures(include_str!("../../testdata/netlink/conntrack-delete.sent"))
}

fn of_interfaces() -> Vec<Capture> {
    captures(include_str!("../../testdata/netlink/ip-address.received"))
}

/// The attributes of all messages of a kind, behind such a header.
fn objects<'a>(captures: &'a [Capture], wanted: Kind, header: &FamilyHeader) -> Vec<Attributes<'a>> {
    let datagrams = captures.iter().flat_map(|capture| &capture.datagrams);
    let messages = datagrams.flat_map(|datagram| Messages::new(datagram)).map(Result::unwrap);
    let of_kind = |content| match content {
        Content::Object { kind, payload } if kind == wanted => Some(Attributes::behind(header, payload).unwrap()),
        _ => None,
    };
    messages.filter_map(|message| of_kind(message.content)).collect()
}

fn flows(captures: &[Capture]) -> Vec<FlowInfo<'_>> {
    objects(captures, NEW_FLOW, &NO_FAMILY).into_iter().map(|attributes| parse(attributes).unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tuple(source: &str, destination: &str, ports: Option<(u16, u16)>) -> Tuple {
    Tuple { source: ip(source), destination: ip(destination), ports }
}

/// A flow without NAT, made by a tool: `IPS_CONFIRMED` alone.
fn plain(source: &str, destination: &str, ports: Option<(u16, u16)>) -> Flow {
    let back = ports.map(|(source, destination)| (destination, source));
    Flow {
        original: tuple(source, destination, ports),
        reply: tuple(destination, source, back),
        status: Status(1 << 3),
        in_other_zone: false,
    }
}

/// `IPS_CONFIRMED`, `IPS_SRC_NAT_DONE` and `IPS_DST_NAT_DONE`, and more.
fn translated(flow: Flow, reply: Tuple, status: u32) -> Flow {
    Flow { reply, status: Status(1 << 3 | 1 << 7 | 1 << 8 | status), ..flow }
}

const ASSURED: u32 = 1 << 2;

#[test]
fn every_kind_of_flow_is_read_as_what_it_was_made_to_be() {
    let (v4, v6) = ("11.22.33.44", "2001:db8:ffff::9");
    let expected = [
        plain("10.77.0.2", v4, Some((5_000, 53))),
        translated(
            plain("10.77.0.3", v4, Some((5_001, 443))),
            tuple(v4, "192.0.2.1", Some((443, 40_001))),
            ASSURED | Status::SOURCE_NAT.0,
        ),
        translated(
            plain("10.77.0.4", "10.96.0.10", Some((5_002, 53))),
            tuple("10.77.0.9", "10.77.0.4", Some((5_353, 5_002))),
            Status::DESTINATION_NAT.0,
        ),
        plain("10.77.0.5", v4, None),
        Flow { in_other_zone: true, ..plain("10.77.0.6", v4, Some((5_003, 53))) },
        Flow { in_other_zone: true, ..plain("10.77.0.6", v4, Some((5_004, 53))) },
        plain("fd77::2", v6, Some((5_000, 53))),
        translated(
            plain("fd77::3", v6, Some((5_001, 443))),
            tuple(v6, "2001:db8::1", Some((443, 40_001))),
            ASSURED | Status::SOURCE_NAT.0,
        ),
        plain("fd77::5", v6, None),
    ];
    let captures = listed();
    let mut found: Vec<Flow> = flows(&captures).iter().map(|info| info.flow).collect();
    found.sort_by_key(|flow| (flow.original.source, flow.original.ports));
    assert_eq!(found, expected);
    assert_eq!(made().len(), expected.len());
}

#[test]
fn a_deletion_names_the_flow_as_conntrack_does_and_its_id_and_nothing_else() {
    const TUPLE: u16 = 1;
    const ID: u16 = 12;
    let captures = listed();
    let by_tuple: BTreeMap<_, FlowInfo<'_>> = flows(&captures)
        .into_iter()
        .filter(|info| !info.flow.in_other_zone)
        .map(|info| (leaves(info.original), info))
        .collect();
    let deletions = deleted();
    let theirs = objects(&deletions, DELETE_FLOW, &NO_FAMILY);
    assert_eq!(theirs.len(), 2);
    for mut theirs in theirs {
        let named = theirs.next().unwrap().unwrap();
        assert_eq!(named.kind, TUPLE);
        let info = by_tuple.get(&leaves(named.payload)).unwrap_or_else(|| panic!("{named:?} was not listed"));
        let mut ours = Writer::new();
        emit(&mut ours, info);
        let ours: Vec<_> = Attributes::new(ours.bytes()).map(Result::unwrap).map(|a| (a.kind, a.payload)).collect();
        assert_eq!(ours, [(TUPLE, info.original), (ID, &info.id.to_be_bytes()[..])]);
    }
}

/// What a tuple says, in whatever order: conntrack and the kernel write the parts of a ping in different ones.
fn leaves(tuple: &[u8]) -> BTreeMap<(u16, u16), &[u8]> {
    let parts = Attributes::new(tuple).map(Result::unwrap);
    parts
        .flat_map(|part| part.nested().map(Result::unwrap).map(move |leaf| ((part.kind, leaf.kind), leaf.payload)))
        .collect()
}

/// What is sent, unanswered.
#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Transport for &mut Sent {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.0.push(datagram.to_vec());
        Ok(())
    }

    fn receive(&mut self, _: &mut Vec<u8>) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn port(&self) -> u32 {
        1
    }
}

#[test]
fn the_header_of_a_request_is_as_long_as_its_kind_demands() {
    let mut sent = Sent::default();
    let listing = Connection::new(&mut sent).flows(Some(Family::Ipv6), Status(6), |_| Ok::<_, NetlinkError>(()));
    assert!(matches!(listing, Err(NetlinkError::NoAnswer)), "{listing:?}");
    Connection::new(&mut sent).addresses().unwrap_err();
    let headers: Vec<_> = sent.0.iter().map(|datagram| (&datagram[4..6], &datagram[16..])).collect();
    let mut filter = Writer::new();
    filter.be32(CTA_STATUS, 0);
    filter.be32(CTA_STATUS_MASK, 6);
    assert_eq!(headers[0], (&[1, 1][..], &[&[10, 0, 0, 0], filter.bytes()].concat()[..]), "struct nfgenmsg");
    assert_eq!(headers[1], (&[22, 0][..], &[0; 8][..]), "struct ifaddrmsg");

    let mut sent = Sent::default();
    let listing = Connection::new(&mut sent).flows(None, Status::default(), |_| Ok::<_, NetlinkError>(()));
    assert!(matches!(listing, Err(NetlinkError::NoAnswer)), "{listing:?}");
    assert_eq!(sent.0[0][16..], [0; 4], "of all families, and without a filter, which the kernel would refuse");
}

#[test]
fn a_flow_without_what_tells_it_apart_is_malformed() {
    let captures = listed();
    for whole in objects(&captures, NEW_FLOW, &NO_FAMILY) {
        let all: Vec<_> = whole.map(Result::unwrap).collect();
        for missing in [1, 2, 3, 12] {
            let mut writer = Writer::new();
            for attribute in all.iter().filter(|attribute| attribute.kind != missing) {
                writer.attribute(attribute.kind, attribute.payload);
            }
            assert_eq!(
                parse(Attributes::new(writer.bytes())),
                Err(Malformed("a flow lacks a tuple, its status or its id")),
                "attribute {missing}"
            );
        }
    }
    let tuple = |content: fn(&mut Writer)| {
        let mut writer = Writer::new();
        writer.nested(1, content);
        parse(Attributes::new(writer.bytes())).unwrap_err().0
    };
    assert_eq!(tuple(|_| {}), "a flow's tuple has no addresses");
    assert_eq!(tuple(|w| w.nested(1, |w| w.attribute(1, &[10, 0, 0, 1]))), "a flow's tuple lacks an address");
    assert_eq!(tuple(|w| w.nested(1, |w| w.attribute(1, &[10, 0, 0]))), "a flow's tuple lacks an address");
    assert_eq!(tuple(|w| w.nested(2, |w| w.attribute(2, &[1]))), "a number is not 2 bytes long");
}

#[test]
fn an_interfaces_address_is_its_own_and_not_that_of_the_far_end() {
    let captures = of_interfaces();
    let found: Vec<_> = objects(&captures, rtnetlink::NEW_ADDRESS, &rtnetlink::OF_ALL_INTERFACES)
        .into_iter()
        .map(|attributes| rtnetlink::parse(attributes).unwrap().unwrap())
        .collect();
    let expected = [("192.0.2.1", Some("192.0.2.255")), ("198.51.100.1", None), ("2001:db8::1", None)]
        .map(|(address, broadcast)| AddressInfo { address: ip(address), broadcast: broadcast.map(ip) });
    assert_eq!(found, expected);
    assert_eq!(rtnetlink::parse(Attributes::new(&[])), Ok(None), "of another family");
}

/// Gives the bytes to both parsers, whatever type they claim to have.
fn read_as_everything(bytes: &[u8]) {
    for message in Messages::new(bytes).flatten() {
        let Content::Object { payload, .. } = message.content else { continue };
        for header in [NO_FAMILY, rtnetlink::OF_ALL_INTERFACES] {
            if let Ok(attributes) = Attributes::behind(&header, payload) {
                let _ = parse(attributes.clone());
                let _ = rtnetlink::parse(attributes);
            }
        }
    }
    let _ = parse(Attributes::new(bytes));
    let _ = rtnetlink::parse(Attributes::new(bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_captures_are_read_without_panic([whole, cut] in damaged()) {
        read_as_everything(&whole);
        read_as_everything(&cut);
    }
}
