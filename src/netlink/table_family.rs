//! The families of netfilter's tables (`NFPROTO_*`, `linux/netfilter.h`).

use std::fmt;

use crate::net::Family;

/// The families in which nf_tables keeps tables that can translate the sources of IPv4 or IPv6 packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFamily {
    /// `ip` or `ip6`.
    Of(Family),
    /// `inet`: its chains see the packets of both.
    Inet,
}

impl TableFamily {
    /// Those whose tables are looked at.
    pub const ALL: [Self; 3] = [Self::Of(Family::Ipv4), Self::Of(Family::Ipv6), Self::Inet];

    /// Do chains of it see packets of this family?
    #[must_use]
    pub fn has(self, family: Family) -> bool {
        self == Self::Inet || self == Self::Of(family)
    }
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        Self::Of(family)
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(family) => family.fmt(f),
            Self::Inet => f.write_str("inet"),
        }
    }
}
