//! The parameters of the xtables extensions that our rules use, as the kernel's C structs lay them out.
//!
//! Parsing is strict: parameters that our types cannot fully express are [`Unrecognised`].

use crate::backend::nftables::Unrecognised;

use super::expression::Extension;

/// The parameters of `extension` if it has this revision, and `len` bytes with nothing but padding behind them.
fn parameters(extension: &Extension, revision: u32, len: usize) -> Result<&[u8], Unrecognised> {
    let unknown = || {
        Unrecognised(format!(
            "has the xtables extension {} in revision {} with {} bytes of parameters",
            extension.name,
            extension.revision,
            extension.info.len()
        ))
    };
    if extension.revision != revision {
        return Err(unknown());
    }
    let (parameters, padding) = extension.info.split_at_checked(len).ok_or_else(unknown)?;
    // XT_ALIGN: the kernel rounds up to a multiple of 8 in dumps.
    let is_padding = padding.len() < 8 && padding.iter().all(|byte| *byte == 0);
    if is_padding { Ok(parameters) } else { Err(unknown()) }
}

/// `-m comment`: a text that listings show (`struct xt_comment_info`, `linux/netfilter/xt_comment.h`).
pub(super) mod comment {
    use super::{Extension, Unrecognised, parameters};

    pub(crate) const NAME: &str = "comment";

    const REVISION: u32 = 0;
    /// `XT_MAX_COMMENT_LEN`, the NUL at the end included.
    const LEN: usize = 256;

    /// A comment; what does not fit into 255 bytes is cut off at a character's end.
    pub(crate) fn emit(text: &str) -> Extension {
        let mut info = Vec::with_capacity(LEN);
        let mut buffer = [0; 4];
        for character in text.chars() {
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            if info.len() + bytes.len() >= LEN {
                break;
            }
            info.extend_from_slice(bytes);
        }
        info.resize(LEN, 0);
        Extension { name: NAME.to_owned(), revision: REVISION, info }
    }

    pub(crate) fn parse(extension: &Extension) -> Result<String, Unrecognised> {
        let info = parameters(extension, REVISION, LEN)?;
        let text = info.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec()).map_err(|_| Unrecognised("has a comment that is not UTF-8".to_owned()))
    }
}

/// `-m addrtype ! --dst-type LOCAL` (`struct xt_addrtype_info_v1`, `linux/netfilter/xt_addrtype.h`).
pub(super) mod addrtype {
    use super::{Extension, Unrecognised, parameters};

    pub(crate) const NAME: &str = "addrtype";

    const REVISION: u32 = 1;
    /// `u16 source; u16 dest; u32 flags`: sets of route types, and what to do with them.
    const LEN: usize = 8;
    /// `XT_ADDRTYPE_LOCAL`: bit `RTN_LOCAL` of linux/rtnetlink.h.
    const TYPE_LOCAL: u16 = 1 << 2;
    /// `XT_ADDRTYPE_INVERT_DEST`.
    const FLAG_INVERT_DEST: u32 = 2;

    /// The destination is no address of this host.
    pub(crate) fn destination_not_local() -> Extension {
        Extension { name: NAME.to_owned(), revision: REVISION, info: not_local().to_vec() }
    }

    /// `Ok` if the parameters are those of [`destination_not_local`].
    pub(crate) fn parse(extension: &Extension) -> Result<(), Unrecognised> {
        if parameters(extension, REVISION, LEN)? == not_local() {
            return Ok(());
        }
        Err(Unrecognised("tests address types other than `! --dst-type LOCAL`".to_owned()))
    }

    fn not_local() -> [u8; LEN] {
        let [s0, s1] = 0_u16.to_ne_bytes();
        let [d0, d1] = TYPE_LOCAL.to_ne_bytes();
        let [f0, f1, f2, f3] = FLAG_INVERT_DEST.to_ne_bytes();
        [s0, s1, d0, d1, f0, f1, f2, f3]
    }
}

/// `-m statistic --mode random` (`struct xt_statistic_info`, `linux/netfilter/xt_statistic.h`).
pub(super) mod statistic {
    use super::{Extension, Unrecognised, parameters};
    use crate::rules::Probability;

    pub(crate) const NAME: &str = "statistic";

    const REVISION: u32 = 0;
    /// `u16 mode; u16 flags;` then a union: in this mode `u32 probability`, else `u32 every, packet, count`. Behind it a
    /// pointer of the kernel's own, aligned to 8 on every machine.
    const LEN: usize = 24;
    const MODE_RANDOM: u16 = 0;
    const NO_FLAGS: u16 = 0;

    pub(crate) fn emit(probability: Probability) -> Extension {
        let mut info = Vec::with_capacity(LEN);
        info.extend(MODE_RANDOM.to_ne_bytes());
        info.extend(NO_FLAGS.to_ne_bytes());
        info.extend(probability.for_statistic().part().to_ne_bytes());
        // iptables also fills in the other member's `count`, as `every - packet`; the kernel reads neither.
        info.extend(0_u32.to_ne_bytes());
        info.extend(probability.for_statistic().part().to_ne_bytes());
        info.resize(LEN, 0);
        Extension { name: NAME.to_owned(), revision: REVISION, info }
    }

    pub(crate) fn parse(extension: &Extension) -> Result<Probability, Unrecognised> {
        let unknown =
            || Unrecognised("has a statistic match other than a plain `--mode random --probability`".to_owned());
        let [m0, m1, f0, f1, p0, p1, p2, p3, ..] = parameters(extension, REVISION, LEN)? else {
            return Err(unknown());
        };
        let plain = u16::from_ne_bytes([*m0, *m1]) == MODE_RANDOM && u16::from_ne_bytes([*f0, *f1]) == NO_FLAGS;
        let probability = Probability::from_statistic(u32::from_ne_bytes([*p0, *p1, *p2, *p3]));
        probability.filter(|_| plain).ok_or_else(unknown)
    }
}

/// `-j MASQUERADE`: for IPv4 a `struct nf_nat_ipv4_multi_range_compat` of one range, for IPv6 a `struct nf_nat_range`
/// (`linux/netfilter/nf_nat.h`).
pub(super) mod masquerade {
    use super::{Extension, Unrecognised, parameters};
    use crate::net::{Family, PortRange};
    use crate::rules::Masquerade;

    pub(crate) const NAME: &str = "MASQUERADE";

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

    pub(crate) fn emit(family: Family, masquerade: Masquerade) -> Extension {
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

    pub(crate) fn parse(family: Family, extension: &Extension) -> Result<Masquerade, Unrecognised> {
        let (front, addresses) = layout(family);
        let len = front.len() * 4 + 4 + addresses + 4;
        let info = parameters(extension, REVISION, len)?;
        read(info, front, addresses)
            // Encoding it again is the one way to be sure that nothing was overlooked.
            .filter(|masquerade| emit(family, *masquerade).info.get(..len) == Some(info))
            .ok_or_else(|| Unrecognised("masquerades with options other than --random-fully and --to-ports".to_owned()))
    }

    /// What our types can express of the parameters.
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
}

/// `-m mark` (`struct xt_mark_mtinfo1`, `linux/netfilter/xt_mark.h`).
pub(super) mod mark {
    use super::{Extension, Unrecognised, parameters};
    use crate::net::{Mark, MarkBits};
    use crate::policy::{Condition, Test, Value};

    pub(crate) const NAME: &str = "mark";

    const REVISION: u32 = 1;
    /// `u32 mark, mask; u8 invert`.
    const LEN: usize = 12;

    /// `None` if it is no test of a mark.
    pub(crate) fn emit(test: Test) -> Option<Extension> {
        let (value, mask, inverted) = match test {
            Test::Equal(Value::Mark(mark)) => (mark.bits(), u32::MAX, 0),
            Test::NotEqual(Value::Mark(mark)) => (mark.bits(), u32::MAX, 1),
            Test::Masked(bits) => (bits.value().bits(), bits.mask().bits(), 0),
            _ => return None,
        };
        let mut info = [value, mask].map(u32::to_ne_bytes).concat();
        info.push(inverted);
        // As XT_ALIGN rounds it up, where iptables sends it.
        info.resize(LEN.next_multiple_of(8), 0);
        Some(Extension { name: NAME.to_owned(), revision: REVISION, info })
    }

    pub(crate) fn parse(extension: &Extension) -> Result<Condition, Unrecognised> {
        let unknown = || Unrecognised("has a mark match other than `--mark` and `! --mark` of a whole mark".to_owned());
        let [v0, v1, v2, v3, m0, m1, m2, m3, inverted, 0, 0, 0] = parameters(extension, REVISION, LEN)? else {
            return Err(unknown());
        };
        let (value, mask) = (u32::from_ne_bytes([*v0, *v1, *v2, *v3]), u32::from_ne_bytes([*m0, *m1, *m2, *m3]));
        match (mask, inverted) {
            (u32::MAX, 0) => Some(Condition::mark(Mark::new(value))),
            (u32::MAX, 1) => Some(Condition::mark_other_than(Mark::new(value))),
            (_, 0) => MarkBits::new(value, mask).map(Condition::mark_bits),
            _ => None,
        }
        .ok_or_else(unknown)
    }
}

/// `-m tcp`, `-m udp` and `-m sctp` with `--sport` and `--dport` (`struct xt_tcp`, `struct xt_udp`,
/// `linux/netfilter/xt_tcpudp.h`; `struct xt_sctp_info`, `linux/netfilter/xt_sctp.h`).
pub(super) mod ports {
    use super::{Extension, Unrecognised, parameters};
    use crate::net::{PortRange, Protocol};

    const REVISION: u32 = 0;
    /// `XT_SCTP_SRC_PORTS` and `XT_SCTP_DEST_PORTS`: which ports count. To TCP and UDP all ports are in a range.
    const SCTP_SOURCE: u32 = 1;
    const SCTP_DESTINATION: u32 = 2;
    /// Between the ports of `struct xt_sctp_info` and what it says of chunks by their flags: `u32 chunkmap[64]; u32 type`.
    const SCTP_CHUNKS: usize = 260;
    /// `struct xt_sctp_flag_info`: iptables fills in a type of chunk that is none, four times.
    const SCTP_NO_CHUNK: [u8; 3] = [0xff, 0, 0];

    /// The source and the destination ports, of which those that are not tested are `None`.
    pub(crate) type Ports = [Option<PortRange>; 2];

    /// The protocol that an extension of this name is about.
    pub(crate) fn protocol(name: &str) -> Option<Protocol> {
        Protocol::WITH_PORTS.into_iter().find(|protocol| protocol.to_string() == name)
    }

    pub(crate) fn emit(protocol: Protocol, ports: Ports) -> Extension {
        let mut info = parameters_of(protocol, ports);
        info.resize(info.len().next_multiple_of(8), 0);
        Extension { name: protocol.to_string(), revision: REVISION, info }
    }

    pub(crate) fn parse(protocol: Protocol, extension: &Extension) -> Result<Ports, Unrecognised> {
        let info = parameters(extension, REVISION, parameters_of(protocol, [None; 2]).len())?;
        read(protocol, info)
            // Encoding it again is the one way to be sure that nothing was overlooked.
            .filter(|ports| ports.iter().any(Option::is_some) && parameters_of(protocol, *ports) == info)
            .ok_or_else(|| Unrecognised(format!("has a {protocol} match other than a plain `--sport` and `--dport`")))
    }

    fn parameters_of(protocol: Protocol, [source, destination]: Ports) -> Vec<u8> {
        let range = |ports: PortRange| [ports.first(), ports.last()].map(u16::to_ne_bytes).concat();
        let or_all = |ports: Option<PortRange>| range(ports.unwrap_or(PortRange::ALL));
        let or_none = |ports: Option<PortRange>| ports.map_or(vec![0; 4], range);
        match protocol {
            // `u16 spts[2], dpts[2]; u8 option, flg_mask, flg_cmp, invflags`.
            Protocol::Tcp => [or_all(source), or_all(destination), vec![0; 4]].concat(),
            // `u16 spts[2], dpts[2]; u8 invflags`, and a byte to align the numbers.
            Protocol::Udp => [or_all(source), or_all(destination), vec![0; 2]].concat(),
            // `u16 dpts[2], spts[2]; …; int flag_count; u32 flags, invflags`.
            Protocol::Sctp => {
                let flag = |ports: Option<PortRange>, flag| if ports.is_some() { flag } else { 0 };
                let flags = flag(source, SCTP_SOURCE) | flag(destination, SCTP_DESTINATION);
                let tail = [0, flags, 0].map(u32::to_ne_bytes).concat();
                let chunks = [vec![0; SCTP_CHUNKS], SCTP_NO_CHUNK.repeat(4)].concat();
                [or_none(destination), or_none(source), chunks, tail].concat()
            }
        }
    }

    /// The ports in the parameters, if these are such as [`parameters_of`] writes.
    fn read(protocol: Protocol, info: &[u8]) -> Option<Ports> {
        let [a0, a1, b0, b1, c0, c1, d0, d1] = *info.first_chunk()?;
        let range = |first, last| PortRange::new(u16::from_ne_bytes(first), u16::from_ne_bytes(last));
        let ports = [range([a0, a1], [b0, b1])?, range([c0, c1], [d0, d1])?];
        if protocol != Protocol::Sctp {
            return Some(ports.map(|ports| Some(ports).filter(|ports| *ports != PortRange::ALL)));
        }
        let (rest, _) = info.split_last_chunk::<4>()?;
        let (_, flags) = rest.split_last_chunk()?;
        let flags = u32::from_ne_bytes(*flags);
        let [destination, source] = ports;
        let tested = |ports, flag| Some(ports).filter(|_| flags & flag != 0);
        Some([tested(source, SCTP_SOURCE), tested(destination, SCTP_DESTINATION)])
    }
}
