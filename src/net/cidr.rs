//! An address range in CIDR notation whose host bits are zero.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::Family;
use crate::text::Message;

/// A range of addresses such as `10.0.0.0/8` or `fd00::/8` (RFC 4632, RFC 4291 §2.3). Its host bits are zero.
///
/// Reads what Go's `net.ParseCIDR` reads, except for the two spellings that iptables refuses: a prefix length with
/// leading zeros (`/08`) and an IPv4-mapped IPv6 address (`::ffff:10.0.0.0/104`).
///
/// Ranges sort by family, first address and length, so a range comes before the ranges that it covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

/// Why a text is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CidrError {
    /// Neither an IPv4 nor an IPv6 range.
    Syntax,
    /// An address alone.
    NoPrefixLength(IpAddr),
    /// `/33` after an IPv4 address, `/129` after an IPv6 address.
    PrefixLength(Family),
    /// `/08`: Go reads it, iptables does not.
    LeadingZeros(Cidr),
    /// `::ffff:10.0.0.0/104`: half IPv4, half IPv6; neither kernel table holds it.
    Mapped,
    /// Bits are set after the prefix.
    HostBits {
        /// The range that holds the address.
        network: Cidr,
        /// The address as written.
        address: IpAddr,
    },
}

impl CidrError {
    /// What is wrong with the text, as what follows it in a sentence, and what to write instead.
    #[must_use]
    pub fn message(&self) -> Message {
        let bits = |address: &IpAddr| Family::of(*address).address_len() * 8;
        match self {
            Self::Syntax => Message::new("is not a CIDR")
                .with_help("expected an address, a slash and a prefix length, such as 10.0.0.0/8 or fd00::/8"),
            Self::NoPrefixLength(address) => Message::new("has no prefix length")
                .with_help(format!("write {address}/{} for this one address", bits(address))),
            Self::PrefixLength(family) => {
                Message::new(format!("has a prefix length that {} does not have", family.human()))
                    .with_help(format!("expected /0 to /{}", family.address_len() * 8))
            }
            Self::LeadingZeros(cidr) => {
                Message::new("has a prefix length with leading zeros").with_help(format!("write {cidr}"))
            }
            Self::Mapped => Message::new("is an IPv4-mapped IPv6 range, which no packet carries")
                .with_help("write it as an IPv4 range, such as 10.0.0.0/8"),
            Self::HostBits { network, address } => Message::new("has host bits set behind its prefix").with_help(
                format!("write {network} for the range, or {address}/{} for the one address", bits(address)),
            ),
        }
    }
}

impl std::error::Error for CidrError {}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl Cidr {
    /// The whole address space of a family (`0.0.0.0/0`, `::/0`).
    #[must_use]
    pub fn everything(family: Family) -> Self {
        Self(match family {
            Family::Ipv4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Family::Ipv6 => IpNet::V6(ipnet::Ipv6Net::default()),
        })
    }

    /// The link-local addresses of a family: 169.254.0.0/16 (RFC 3927), `fe80::/10` (RFC 4291 §2.5.6).
    #[must_use]
    pub fn link_local(family: Family) -> Self {
        let (address, prefix_len): (IpAddr, u8) = match family {
            Family::Ipv4 => (Ipv4Addr::new(169, 254, 0, 0).into(), 16),
            Family::Ipv6 => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
        };
        Self(IpNet::new_assert(address, prefix_len))
    }

    /// The range of `prefix_len` bits around `address`; host bits are cleared. `None` if the family has no such length.
    #[must_use]
    pub fn around(address: IpAddr, prefix_len: u8) -> Option<Self> {
        IpNet::new(address, prefix_len).ok().map(|net| Self(net.trunc()))
    }

    /// The family of the range.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.0.addr())
    }

    /// The first address of the range.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        self.0.addr()
    }

    /// The last address of the range.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        self.0.broadcast()
    }

    /// The number of leading bits that all addresses of the range share.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether this is the whole address space of its family.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.prefix_len() == 0
    }

    /// Whether the range holds `address`. An address of the other family is in no range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether the range holds every address of `other`. A range covers itself.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let Some(slash) = text.bytes().rposition(|byte| byte == b'/') else {
            return Err(text.parse().map_or(CidrError::Syntax, CidrError::NoPrefixLength));
        };
        let address = text.get(..slash).unwrap_or_default();
        let prefix_len = text.get(slash + 1..).unwrap_or_default();
        let address: IpAddr = address.parse().map_err(|_| CidrError::Syntax)?;
        let family = Family::of(address);
        if prefix_len.is_empty() || !prefix_len.bytes().all(|b| b.is_ascii_digit()) {
            return Err(CidrError::Syntax);
        }
        let len = prefix_len.parse().map_err(|_| CidrError::PrefixLength(family))?;
        let network = Self::around(address, len).ok_or(CidrError::PrefixLength(family))?;
        if is_ipv4_mapped(address) && len >= 96 {
            return Err(CidrError::Mapped);
        }
        if prefix_len.len() > 1 && prefix_len.starts_with('0') {
            return Err(CidrError::LeadingZeros(network));
        }
        if network.network() != address {
            return Err(CidrError::HostBits { network, address });
        }
        Ok(network)
    }
}

/// `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
fn is_ipv4_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::to_ipv4_mapped(&v6).is_some())
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_and_iptables_both_read_is_read_and_printed_the_same() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.7/32",
            "240.0.0.0/4",
            "fd00::/8",
            "::/0",
            "2001:db8::1/128",
            "fe80::/10",
        ] {
            assert_eq!(text.parse::<Cidr>().map(|cidr| cidr.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("64:FF9B::192.0.2.0/120".parse::<Cidr>().unwrap().to_string(), "64:ff9b::c000:200/120");
    }

    #[test]
    fn each_wrong_text_has_its_own_reason() {
        let net = |text: &str| text.parse::<Cidr>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let cases = [
            ("", CidrError::Syntax),
            ("/", CidrError::Syntax),
            ("10.0.0.0/", CidrError::Syntax),
            ("example.com/8", CidrError::Syntax),
            ("10.0.0.0 /8", CidrError::Syntax),
            (" 10.0.0.0/8", CidrError::Syntax),
            ("10.0.0.0/8\n", CidrError::Syntax),
            ("! 10.0.0.0/8", CidrError::Syntax),
            ("10.0.0.0/+8", CidrError::Syntax),
            ("10.0.0.0/-8", CidrError::Syntax),
            ("10.0.0.0/8/8", CidrError::Syntax),
            ("10.0.0.0/255.0.0.0", CidrError::Syntax),
            ("010.0.0.0/8", CidrError::Syntax),
            ("10/8", CidrError::Syntax),
            ("fe80::%eth0/10", CidrError::Syntax),
            ("10.0.0.0", CidrError::NoPrefixLength(ip("10.0.0.0"))),
            ("fd00::", CidrError::NoPrefixLength(ip("fd00::"))),
            ("10.0.0.0/33", CidrError::PrefixLength(Family::Ipv4)),
            ("10.0.0.0/256", CidrError::PrefixLength(Family::Ipv4)),
            ("fd00::/129", CidrError::PrefixLength(Family::Ipv6)),
            ("10.0.0.0/08", CidrError::LeadingZeros(net("10.0.0.0/8"))),
            ("0.0.0.0/00", CidrError::LeadingZeros(net("0.0.0.0/0"))),
            ("::ffff:10.0.0.0/104", CidrError::Mapped),
            ("::ffff:0:0/96", CidrError::Mapped),
            ("10.0.0.1/8", CidrError::HostBits { network: net("10.0.0.0/8"), address: ip("10.0.0.1") }),
            ("::ffff:0:0/80", CidrError::HostBits { network: net("::/80"), address: ip("::ffff:0:0") }),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<Cidr>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_message_ends_on_what_to_write_instead() {
        let message = |text: &str| text.parse::<Cidr>().unwrap_err().to_string();
        assert!(message("10.0.0.1/8").ends_with("write 10.0.0.0/8 for the range, or 10.0.0.1/32 for the one address"));
        assert!(message("fd00::1").ends_with("write fd00::1/128 for this one address"));
        assert!(message("10.0.0.0/40").ends_with("expected /0 to /32"));
    }

    #[test]
    fn a_range_sorts_before_the_ranges_that_it_covers() {
        let mut sorted: Vec<Cidr> =
            ["fd00::/8", "10.1.0.0/16", "10.0.0.0/16", "10.0.0.0/8"].map(|text| text.parse().unwrap()).to_vec();
        sorted.sort();
        assert_eq!(format!("{sorted:?}"), "[10.0.0.0/8, 10.0.0.0/16, 10.1.0.0/16, fd00::/8]");
        assert!(sorted[0].covers(&sorted[1]) && !sorted[1].covers(&sorted[0]));
        assert!(!Cidr::everything(Family::Ipv4).contains("::1".parse().unwrap()));
    }
}
