//! `-j MASQUERADE`: for IPv4 a `struct nf_nat_ipv4_multi_range_compat` of one range, for IPv6 a `struct nf_nat_range`
//! (`linux/netfilter/nf_nat.h`).

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::Extension;
use crate::net::{Family, PortRange};
use crate::rules::Masquerade;

use super::parameters;

pub(in crate::backend::nftables::codec) const NAME: &str = "MASQUERADE";

const REVISION: u32 = 0;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`: the ports count.
const FLAG_PORTS: u32 = 0x2;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
const FLAG_RANDOM_FULLY: u32 = 0x10;

/// What the two structs have in front of the flags, and between the flags and the two big-endian ports. IPv4 counts
/// its ranges first; the addresses between belong to SNAT and are zero here.
const fn layout(family: Family) -> (&'static [u32], usize) {
    match family {
        Family::Ipv4 => (&[1], 2 * 4),
        Family::Ipv6 => (&[], 2 * 16),
    }
}

pub(in crate::backend::nftables::codec) fn emit(family: Family, masquerade: Masquerade) -> Extension {
    let (front, addresses) = layout(family);
    let mut flags = 0;
    if masquerade.ports.is_some() {
        flags |= FLAG_PORTS;
    }
    if masquerade.fully_random {
        flags |= FLAG_RANDOM_FULLY;
    }
    let mut info: Vec<u8> = front.iter().chain([&flags]).flat_map(|number| number.to_ne_bytes()).collect();
    info.resize(info.len() + addresses, 0);
    let (first, last) = masquerade.ports.map_or((0, 0), |ports| (ports.first(), ports.last()));
    info.extend(first.to_be_bytes());
    info.extend(last.to_be_bytes());
    // iptables sends the structs as XT_ALIGN rounds them up.
    info.resize(info.len().next_multiple_of(8), 0);
    Extension { name: NAME.to_owned(), revision: REVISION, info }
}

pub(in crate::backend::nftables::codec) fn parse(
    family: Family,
    extension: &Extension,
) -> Result<Masquerade, Unrecognised> {
    let (front, addresses) = layout(family);
    let len = front.len() * 4 + 4 + addresses + 4;
    let info = parameters(extension, REVISION, len)?;
    read(info, front, addresses)
        // The one way to be sure that nothing was overlooked.
        .filter(|masquerade| emit(family, *masquerade).info.get(..len) == Some(info))
        .ok_or_else(|| Unrecognised("masquerades with options other than --random-fully and --to-ports".to_owned()))
}

/// What our types can say of the parameters.
fn read(info: &[u8], front: &[u32], addresses: usize) -> Option<Masquerade> {
    let (_, rest) = info.split_at_checked(front.len() * 4)?;
    let (flags, rest) = rest.split_first_chunk()?;
    let flags = u32::from_ne_bytes(*flags);
    let [f0, f1, l0, l1] = rest.get(addresses..)?.first_chunk()?;
    let ports = if flags & FLAG_PORTS == 0 {
        None
    } else {
        Some(PortRange::new(u16::from_be_bytes([*f0, *f1]), u16::from_be_bytes([*l0, *l1]))?)
    };
    Some(Masquerade { fully_random: flags & FLAG_RANDOM_FULLY != 0, ports })
}
