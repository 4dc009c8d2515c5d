//! The address family: the one place where IPv4 and IPv6 differ by name.

use std::fmt;
use std::net::IpAddr;

/// An address family of nf_tables, printed as `nft` prints it (`ip`, `ip6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `ip`, `NFPROTO_IPV4`.
    Ipv4,
    /// `ip6`, `NFPROTO_IPV6`.
    Ipv6,
}

impl Family {
    /// Both families, in the order in which everything here treats them.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The length of an address in bytes.
    #[must_use]
    pub const fn address_len(self) -> u8 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }

    /// The family as people call it in sentences.
    #[must_use]
    pub const fn human(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        })
    }
}
