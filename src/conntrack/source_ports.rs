//! How many of the source ports behind which flows can be masqueraded are in use.
//!
//! NAT gives a flow a source port that no other flow from the same address to the same remote end has. So each remote end
//! (address, port, protocol), seen from each of the node's addresses, has ports of its own to be used up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::fix::explain;
use super::fullest::Fullest;
use super::{ConntrackError, Flow, Listing, LocalAddresses, Status};
use crate::net::{Family, PortRange, PortRanges, Protocol};
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, Transport};

/// So many remote ends have counters, in not quite 2 MB, whatever the flows are.
const MOST_REMOTES: usize = 16_384;

/// How often a listing that was disturbed is repeated.
const LISTINGS: u32 = 3;

/// After so many listed flows is the time to pause: as many as come in a few datagrams.
const SLICE: u32 = 512;

/// Which source ports masqueraded flows can get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcePorts {
    /// Each with the number of ports in it. A flow's port is taken from one of them, and stays in it.
    pools: Vec<(PortRange, u32)>,
    /// Whether they are one pool together (`--to-ports`).
    is_one: bool,
}

/// How many source ports are in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PortUse {
    /// Masqueraded flows, by protocol; `None` for all protocols without ports.
    pub(crate) flows: BTreeMap<(Family, Option<Protocol>), u64>,
    /// The fullest remote end's share of its source ports, from 0 to 1.
    pub(crate) fullest: BTreeMap<(Family, Protocol), f64>,
}

/// One end of flows: what has source ports of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Remote {
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    /// The address of the node that it sees.
    seen: IpAddr,
    /// The first port of the pool.
    pool: u16,
    /// The number of ports in the pool.
    usable: u32,
}

/// How fast flows are looked at. Between two parts of a listing the kernel does nothing for it.
#[derive(Debug)]
pub(crate) struct Pace<W> {
    /// Of the time, the pauses take so many parts for each one that is worked.
    pub(crate) pauses: u32,
    /// Waits for so long.
    pub(crate) wait: W,
}

/// A masqueraded flow: the remote end, if its protocol has ports that can be used up.
struct Masqueraded {
    protocol: Option<Protocol>,
    remote: Option<Remote>,
}

impl SourcePorts {
    /// Where NAT takes ports from if a rule names none: from the pool of the port that the flow had before, so that programs
    /// with a privileged port keep one (`nf_nat_l4proto_unique_tuple`).
    const BY_DEFAULT: [(u16, u16); 3] = [(1, 511), (600, 1_023), (1_024, u16::MAX)];

    /// The ports that rules with this `--to-ports` give.
    pub(crate) fn new(to_ports: &PortRanges) -> Self {
        let ranges: Vec<PortRange> = if to_ports.is_empty() {
            Self::BY_DEFAULT.into_iter().filter_map(|(first, last)| PortRange::new(first, last)).collect()
        } else {
            to_ports.as_slice().to_vec()
        };
        let is_one = !to_ports.is_empty();
        // A port that is in two ranges is one port.
        let together = (0..=u16::MAX).filter(|port| to_ports.contains(*port)).count();
        let together = u32::try_from(together).unwrap_or(u32::MAX);
        let size = |range: PortRange| if is_one { together } else { range.size() };
        Self { pools: ranges.into_iter().map(|range| (range, size(range))).collect(), is_one }
    }

    /// The pool that has a port, by its first port, and how many ports it has.
    fn pool(&self, port: u16) -> Option<(u16, u32)> {
        let (range, usable) = self.pools.iter().find(|(range, _)| range.contains(port))?;
        Some((if self.is_one { 0 } else { range.first() }, *usable))
    }

    /// What a flow uses, if it is masqueraded: its source is translated to an address of the node, by whose rule ever.
    fn used_by(&self, flow: &Flow, protocol: Option<u8>, node: &LocalAddresses) -> Option<Masqueraded> {
        let Flow { original: _, reply, status, in_other_zone } = flow;
        let is_masqueraded = status.has_any_of(Status::SOURCE_NAT)
            && !status.has_any_of(Status(Status::DYING.0 | Status::TEMPLATE.0))
            // Flows of another zone use ports of their own.
            && !in_other_zone
            && node.owns(reply.destination);
        if !is_masqueraded {
            return None;
        }
        let protocol = protocol.and_then(Protocol::from_number);
        let remote = protocol.zip(reply.ports).and_then(|(protocol, (port, own))| {
            let (pool, usable) = self.pool(own)?;
            Some(Remote { address: reply.source, port, protocol, seen: reply.destination, pool, usable })
        });
        Some(Masqueraded { protocol, remote })
    }

    /// How many are in use in the network namespace of this process, by flows of these families.
    ///
    /// # Errors
    ///
    /// [`ConntrackError`].
    pub(crate) fn in_use(
        &self,
        families: &[Family],
        pace: &mut Pace<impl FnMut(Duration)>,
    ) -> Result<PortUse, ConntrackError> {
        let opening = |error| explain("reach conntrack", error);
        let mut interfaces = Connection::open(NetlinkFamily::Route).map_err(opening)?;
        let node = interfaces.local_addresses().map_err(|error| explain("list the node's own addresses", error))?;
        let mut listing = Connection::open(NetlinkFamily::Netfilter).map_err(opening)?;
        self.count(&mut listing, families, &node, pace).map_err(|error| explain("list the flows", error))
    }

    fn count<T: Transport>(
        &self,
        listing: &mut Connection<T>,
        families: &[Family],
        node: &LocalAddresses,
        pace: &mut Pace<impl FnMut(Duration)>,
    ) -> Result<PortUse, NetlinkError> {
        let used_by = |flow: &Flow, protocol| {
            let family = Family::of(flow.reply.source);
            let used = families.contains(&family).then(|| self.used_by(flow, protocol, node));
            used.flatten().map(|used| (family, used))
        };
        let mut found = (Fullest::new(MOST_REMOTES), PortUse::none(families));
        let count = |(fullest, found): &mut (Fullest<Remote>, PortUse), flow: &Flow, protocol| {
            if let Some((family, used)) = used_by(flow, protocol) {
                *found.flows.entry((family, used.protocol)).or_default() += 1;
                if let Some(remote) = used.remote {
                    fullest.add(remote);
                }
            }
        };
        let anew = |found: &mut _| *found = (Fullest::new(MOST_REMOTES), PortUse::none(families));
        list(listing, pace, &mut found, count, anew)?;
        let (mut fullest, mut found) = found;
        if fullest.lost() > 0 {
            fullest.recount();
            let count = |fullest: &mut Fullest<Remote>, flow: &Flow, protocol| {
                if let Some(remote) = used_by(flow, protocol).and_then(|(_, used)| used.remote) {
                    fullest.add(remote);
                }
            };
            list(listing, pace, &mut fullest, count, Fullest::recount)?;
        }
        for (remote, count) in fullest.counts() {
            // A flow that ended while it was listed may have left its port to another one that was listed, too.
            let share = (f64::from(count) / f64::from(remote.usable)).min(1.0);
            let highest = found.fullest.entry((Family::of(remote.address), remote.protocol)).or_default();
            *highest = highest.max(share);
        }
        Ok(found)
    }
}

/// Lists all flows at this pace. What was found in a listing that was disturbed is forgotten by `anew`.
fn list<T: Transport, F>(
    listing: &mut Connection<T>,
    pace: &mut Pace<impl FnMut(Duration)>,
    found: &mut F,
    mut each: impl FnMut(&mut F, &Flow, Option<u8>),
    mut anew: impl FnMut(&mut F),
) -> Result<(), NetlinkError> {
    for _ in 0..LISTINGS {
        let (mut in_slice, mut began) = (0, Instant::now());
        // Nothing is left to the kernel to sort out: see `Connection::flows`.
        let listed = listing.flows(None, Status::default(), |info| {
            each(found, &info.flow, info.protocol);
            in_slice += 1;
            if in_slice == SLICE {
                (pace.wait)(began.elapsed().saturating_mul(pace.pauses));
                (in_slice, began) = (0, Instant::now());
            }
            Ok::<_, NetlinkError>(())
        })?;
        match listed {
            Listing::Whole => return Ok(()),
            Listing::Interrupted => anew(found),
        }
    }
    Err(NetlinkError::Interrupted { tries: LISTINGS })
}

impl PortUse {
    /// No flow of these families is masqueraded.
    pub(crate) fn none(families: &[Family]) -> Self {
        let with_ports = || families.iter().flat_map(|family| Protocol::WITH_PORTS.map(|protocol| (*family, protocol)));
        let others = families.iter().map(|family| (*family, None));
        let flows = with_ports().map(|(family, protocol)| (family, Some(protocol))).chain(others);
        Self { flows: flows.map(|key| (key, 0)).collect(), fullest: with_ports().map(|key| (key, 0.0)).collect() }
    }
}

#[cfg(test)]
#[path = "source_ports_tests.rs"]
mod tests;
