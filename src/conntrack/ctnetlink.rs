//! The flows of conntrack (`linux/netfilter/nfnetlink_conntrack.h`, ctnetlink).

use std::net::IpAddr;

use super::rtnetlink;
use super::{Flow, Status, Tuple};
use crate::net::Family;
use crate::netlink::nfnetlink::{self, Subsystem};
use crate::netlink::{
    Attribute, Attributes, Connection, End, FamilyHeader, Kind, Malformed, NetlinkError, Request, Requests, TRIES,
    Transport, Writer,
};

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: Subsystem = Subsystem(1);
/// `IPCTNL_MSG_CT_NEW`.
const NEW_FLOW: Kind = SUBSYSTEM.kind(0);
/// `IPCTNL_MSG_CT_GET`.
const GET_FLOW: Kind = SUBSYSTEM.kind(1);
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE_FLOW: Kind = SUBSYSTEM.kind(2);

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_STATUS_MASK: u16 = 26;

const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_TUPLE_ZONE: u16 = 3;

const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// A listed flow, which borrows from the bytes of the listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo<'a> {
    pub(crate) flow: Flow,
    /// The number of its protocol in the IP header.
    pub(crate) protocol: Option<u8>,
    /// Its first tuple as the kernel wrote it, which names it to the kernel whatever its protocol is.
    original: &'a [u8],
    /// Distinguishes it from a later flow with the same tuples, unless that has the same address in memory
    /// (`nf_ct_get_id`).
    id: u32,
}

/// The result of listing flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Every flow that was there from beginning to end was listed.
    Whole,
    /// Some may be missing; list them again.
    Interrupted,
}

/// Flows that are deleted together: a request for each takes the kernel as long as the deletion itself.
#[derive(Debug, Default)]
pub struct Deletions(Requests);

/// The result of deleting a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It was deleted.
    Deleted,
    /// It had ended already, or another flow has taken its place.
    Vanished,
}

impl<T: Transport> Connection<T> {
    /// Passes the flows of a family, or of all, to `each` one by one, as the kernel lists them: none is stored. Kernels that do
    /// not know `CTA_STATUS_MASK` list those too that have a bit of `without` in their status.
    ///
    /// The kernel goes on until it has filled a datagram, and that processor treats no packet meanwhile
    /// (`ctnetlink_dump_table`). So where few are wanted of very many, it is better to list all.
    ///
    /// # Errors
    ///
    /// Those of `each`, which end the listing; any of [`NetlinkError`] that is not about a batch, among them
    /// [`NetlinkError::Rejected`] with `EINVAL` if the kernel has no ctnetlink.
    pub fn flows<E: From<NetlinkError>>(
        &mut self,
        family: Option<Family>,
        without: Status,
        mut each: impl FnMut(&FlowInfo<'_>) -> Result<(), E>,
    ) -> Result<Listing, E> {
        let content = |writer: &mut Writer| {
            // The kernel refuses an empty mask.
            if without != Status::default() {
                writer.be32(CTA_STATUS, 0);
                writer.be32(CTA_STATUS_MASK, without.0);
            }
        };
        let request = Request::dump(GET_FLOW, family.map_or(nfnetlink::NO_FAMILY, header), &content, NEW_FLOW);
        let end = self.exchange(&request, |attributes| each(&parse(attributes).map_err(NetlinkError::from)?))?;
        Ok(if matches!(end, End::Interrupted | End::Overtaken) { Listing::Interrupted } else { Listing::Whole })
    }

    /// Deletes these flows, and not later ones with the same tuples, as far as the id distinguishes them. Tells of each what
    /// became of it: on older kernels [`NetlinkError::Rejected`] with `EBUSY` if it was offloaded to a flowtable.
    ///
    /// # Errors
    ///
    /// Any of [`NetlinkError`] that is not about a batch, if what became of them is not known.
    pub fn delete_flows(&mut self, flows: &mut Deletions) -> Result<Vec<Result<Deletion, NetlinkError>>, NetlinkError> {
        // Deletions whose answers were lost find nothing the second time.
        for _ in 0..TRIES {
            let mut ends: Vec<_> = (0..flows.0.len()).map(|_| Ok(End::Whole)).collect();
            let end = self.exchange_several(&mut flows.0, |place, end| {
                if let Some(of_flow) = ends.get_mut(place) {
                    *of_flow = end;
                }
            })?;
            if end == End::Whole {
                let deletion = |end| if end == End::Missing { Deletion::Vanished } else { Deletion::Deleted };
                return Ok(ends.into_iter().map(|end| end.map(deletion)).collect());
            }
        }
        Err(NetlinkError::Interrupted { tries: TRIES })
    }
}

impl Deletions {
    /// Adds a flow.
    pub fn add(&mut self, flow: &FlowInfo<'_>) {
        let family = header(Family::of(flow.flow.original.source));
        self.0.add(DELETE_FLOW, family, |writer| emit(writer, flow));
    }

    /// Forgets the flows.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The attributes that name a flow. Without its tuple, the kernel would delete all flows. The zone is left out, which means
/// the default one: kernels without zones refuse a message that names one.
fn emit(writer: &mut Writer, flow: &FlowInfo<'_>) {
    writer.nested(CTA_TUPLE_ORIG, |writer| writer.raw(flow.original));
    writer.be32(CTA_ID, flow.id);
}

/// A flow that was listed.
fn parse(attributes: Attributes<'_>) -> Result<FlowInfo<'_>, Malformed> {
    let (mut original, mut reply, mut status, mut id) = (None, None, None, None);
    let (mut in_other_zone, mut protocol) = (false, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            CTA_TUPLE_ORIG => {
                original = Some((attribute.payload, tuple(&attribute, &mut in_other_zone, &mut protocol)?));
            }
            CTA_TUPLE_REPLY => reply = Some(tuple(&attribute, &mut in_other_zone, &mut protocol)?),
            CTA_STATUS => status = Some(Status(attribute.be32()?)),
            CTA_ID => id = Some(attribute.be32()?),
            CTA_ZONE => in_other_zone = true,
            _ => {}
        }
    }
    let whole = || Some((original?, reply?, status?, id?));
    let ((bytes, original), reply, status, id) =
        whole().ok_or(Malformed("a flow lacks a tuple, its status or its id"))?;
    Ok(FlowInfo { flow: Flow { original, reply, status, in_other_zone }, protocol, original: bytes, id })
}

/// The kernel names a zone only if it is not the default one: beside the tuples, or within the tuple if the zone is for that
/// direction alone.
fn tuple(attribute: &Attribute<'_>, in_other_zone: &mut bool, protocol: &mut Option<u8>) -> Result<Tuple, Malformed> {
    let (mut addresses, mut ports) = (None, None);
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            CTA_TUPLE_IP => addresses = Some(ends(&part)?),
            CTA_TUPLE_PROTO => ports = both_ports(&part, protocol)?,
            CTA_TUPLE_ZONE => *in_other_zone = true,
            _ => {}
        }
    }
    let (source, destination) = addresses.ok_or(Malformed("a flow's tuple has no addresses"))?;
    Ok(Tuple { source, destination, ports })
}

fn ends(addresses: &Attribute<'_>) -> Result<(IpAddr, IpAddr), Malformed> {
    let (mut source, mut destination) = (None, None);
    for part in addresses.nested() {
        let part = part?;
        match part.kind {
            CTA_IP_V4_SRC | CTA_IP_V6_SRC => source = rtnetlink::ip(&part),
            CTA_IP_V4_DST | CTA_IP_V6_DST => destination = rtnetlink::ip(&part),
            _ => {}
        }
    }
    source.zip(destination).ok_or(Malformed("a flow's tuple lacks an address"))
}

/// Source and destination port, `None` for protocols without ports; and the protocol, of which both tuples have the same.
fn both_ports(attribute: &Attribute<'_>, protocol: &mut Option<u8>) -> Result<Option<(u16, u16)>, Malformed> {
    let (mut source, mut destination) = (None, None);
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            CTA_PROTO_NUM => *protocol = part.payload.first().copied(),
            CTA_PROTO_SRC_PORT => source = Some(part.be16()?),
            CTA_PROTO_DST_PORT => destination = Some(part.be16()?),
            _ => {}
        }
    }
    Ok(source.zip(destination))
}

/// The header of messages about flows of this family.
const fn header(family: Family) -> FamilyHeader {
    nfnetlink::header(nfnetlink::nfproto(family))
}

#[cfg(test)]
#[path = "ctnetlink_tests.rs"]
mod tests;
