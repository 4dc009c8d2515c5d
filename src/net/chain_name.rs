//! The name of a chain that both the kernel and iptables accept.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Family;
use crate::text::is_hidden;

/// The name of a chain of ours: at most 28 bytes that iptables reads back as it wrote them, and that a terminal shows.
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
    /// iptables: "Invalid chain name".
    #[error("{0:?} has white space, which iptables refuses in the name of a chain; use - or _ instead")]
    Blank(String),
    /// iptables-restore reads what follows as a quoted text.
    #[error("{0:?} has a double quote, which iptables-restore cannot read back in the name of a chain; leave it out")]
    Quote(String),
    /// iptables would accept it, but a terminal that prints it would interpret it instead of showing it.
    #[error("{0:?} has a control character or an invisible one, which terminals and logs do not show; leave it out")]
    Hidden(String),
    /// `-x` and `!x` are read as options.
    #[error("{0:?} starts with - or !, so iptables reads it as an option; start the name with a letter or digit")]
    Option(String),
    /// A chain that the table already has, or what `iptables -j` takes for a target.
    #[error(
        "{0:?} is the name of a built-in chain of the nat table, or of a target; choose another, such as IP-MASQ-AGENT"
    )]
    Reserved(String),
    /// A name that `ip6tables -j` takes for a target, while `iptables` does not.
    #[error(
        "{0:?} is the name of a target of ip6tables; choose another, such as IP-MASQ-AGENT, or leave --enable-ipv6 out"
    )]
    ReservedForIpv6(String),
}

/// The built-in chains of `nat`, verdicts, and the targets of iptables 1.8: `iptables -N` refuses each of these.
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
    "DROP",
    "DSCP",
    "ECN",
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
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
    "standard",
];

/// The targets of ip6tables 1.8 that iptables does not have.
const RESERVED_FOR_IPV6: &[&str] = &["DNPT", "HL", "SNPT"];

impl ChainName {
    /// The longest name that iptables accepts, in bytes.
    pub const MAX_LEN: usize = 28;

    /// Checks that a chain can have this name in the tables of a family.
    ///
    /// # Errors
    ///
    /// [`ChainNameError::ReservedForIpv6`]: ip6tables has targets that iptables does not have.
    pub fn check_for(&self, family: Family) -> Result<(), ChainNameError> {
        if family == Family::Ipv6 && RESERVED_FOR_IPV6.contains(&self.as_str()) {
            return Err(ChainNameError::ReservedForIpv6(self.0.clone()));
        }
        Ok(())
    }

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
        if text.contains(|c: char| c.is_ascii_whitespace() || c == '\u{b}') {
            return Err(ChainNameError::Blank(text.to_owned()));
        }
        if text.contains('"') {
            return Err(ChainNameError::Quote(text.to_owned()));
        }
        if text.contains(is_hidden) {
            return Err(ChainNameError::Hidden(text.to_owned()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_iptables_takes_are_taken() {
        let long = "C".repeat(28);
        for name in ["IP-MASQ-AGENT", "CUSTOM", "masq.v2", "a", &long, "POSTROUTING2", "FORWARD", "HL", "A!", "é'\\#;"]
        {
            let chain: ChainName = name.parse().unwrap();
            assert_eq!(chain.to_string(), name);
            assert_eq!(chain.check_for(Family::Ipv4), Ok(()));
            assert_eq!(chain.check_for(Family::Ipv6).is_ok(), name != "HL", "{name}");
        }
    }

    #[test]
    fn names_that_iptables_or_the_kernel_refuse_are_refused_with_the_reason() {
        use ChainNameError as E;
        let long = "é".repeat(15);
        for (name, reason) in [
            ("", (|_| E::Empty) as fn(String) -> E),
            (&*long, E::TooLong),
            ("MY CHAIN", E::Blank),
            ("A\nB", E::Blank),
            ("A\u{b}", E::Blank),
            ("A\"B", E::Quote),
            ("A\u{1b}[2J", E::Hidden),
            ("A\u{202e}", E::Hidden),
            ("-x", E::Option),
            ("!x", E::Option),
            ("POSTROUTING", E::Reserved),
            ("MASQUERADE", E::Reserved),
            ("standard", E::Reserved),
        ] {
            assert_eq!(name.parse::<ChainName>(), Err(reason(name.to_owned())), "{name:?}");
        }
    }
}
