//! The name of a chain that both the kernel and iptables accept.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The name of a chain of ours: at most 28 bytes, printable, and no name that iptables reads as something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName(String);

/// Why a text cannot name a chain of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChainNameError {
    /// The empty text.
    #[error("a chain name cannot be empty; expected a name such as IP-MASQ-AGENT")]
    Empty,
    /// iptables: "must be under 29 chars" (`XT_EXTENSION_MAXNAMELEN`).
    #[error("{0:?} is too long for a chain name; expected at most {max} bytes", max = ChainName::MAX_LEN)]
    TooLong(String),
    /// White space, quotes, control characters, or not ASCII.
    #[error("{0:?} has the character {1:?}, which iptables cannot read back; expected letters, digits and -_.:+/@%=")]
    Character(String, char),
    /// `-x` and `!x` are read as options.
    #[error("{0:?} would be read as an option by iptables; start the name with a letter or digit")]
    Option(String),
    /// A chain that the kernel's hook or a target of iptables already has as its name.
    #[error("{0:?} is the name of a built-in chain or target of iptables; choose another, such as IP-MASQ-AGENT")]
    Reserved(String),
}

/// Built-in chains, verdicts, and the targets of iptables 1.8: `iptables -j NAME` means these, never a chain.
const RESERVED: &[&str] = &[
    "ACCEPT",
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNAT",
    "DNPT",
    "DROP",
    "DSCP",
    "ECN",
    "FORWARD",
    "HL",
    "HMARK",
    "IDLETIMER",
    "INPUT",
    "LED",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "OUTPUT",
    "POSTROUTING",
    "PREROUTING",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "RETURN",
    "SECMARK",
    "SET",
    "SNAT",
    "SNPT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
];

impl ChainName {
    /// The longest name that iptables accepts, in bytes.
    pub const MAX_LEN: usize = 28;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ChainName {
    fn default() -> Self {
        Self("IP-MASQ-AGENT".to_owned())
    }
}

impl FromStr for ChainName {
    type Err = ChainNameError;

    fn from_str(text: &str) -> Result<Self, ChainNameError> {
        if text.is_empty() {
            return Err(ChainNameError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(ChainNameError::TooLong(text.to_owned()));
        }
        let readable = |c: &char| c.is_ascii_alphanumeric() || "-_.:+/@%=!".contains(*c);
        if let Some(character) = text.chars().find(|c| !readable(c)) {
            return Err(ChainNameError::Character(text.to_owned(), character));
        }
        if text.starts_with(['-', '!']) {
            return Err(ChainNameError::Option(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(ChainNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ChainName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_iptables_takes_are_taken() {
        for name in ["IP-MASQ-AGENT", "CUSTOM", "masq.v2", "a", "CCCCCCCCCCCCCCCCCCCCCCCCCCCC", "POSTROUTING2"] {
            assert_eq!(name.parse::<ChainName>().map(|chain| chain.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn names_that_iptables_or_the_kernel_refuse_are_refused_with_the_reason() {
        let long = "C".repeat(29);
        for (name, reason) in [
            ("", ChainNameError::Empty),
            (&*long, ChainNameError::TooLong(long.clone())),
            ("MY CHAIN", ChainNameError::Character("MY CHAIN".into(), ' ')),
            ("A\"B", ChainNameError::Character("A\"B".into(), '"')),
            ("-x", ChainNameError::Option("-x".into())),
            ("!x", ChainNameError::Option("!x".into())),
            ("POSTROUTING", ChainNameError::Reserved("POSTROUTING".into())),
            ("MASQUERADE", ChainNameError::Reserved("MASQUERADE".into())),
        ] {
            assert_eq!(name.parse::<ChainName>(), Err(reason));
        }
    }
}
