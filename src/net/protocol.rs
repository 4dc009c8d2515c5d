//! The transport protocols that a rule can name.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A transport protocol with ports (the IANA protocol number is [`Protocol::number`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

/// The text names no protocol that has ports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no protocol with ports; expected tcp, udp or sctp")]
pub struct ProtocolError(String);

impl Protocol {
    /// The protocols to which `--to-ports` applies, in upstream's order.
    pub const WITH_PORTS: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The number in the IP header (IANA, "Assigned Internet Protocol Numbers").
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol with this number, if it is one of ours.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::WITH_PORTS.into_iter().find(|protocol| protocol.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        Self::WITH_PORTS
            .into_iter()
            .find(|protocol| protocol.to_string() == text)
            .ok_or_else(|| ProtocolError(text.to_owned()))
    }
}
