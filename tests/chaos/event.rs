//! The things that can happen.

use std::time::Duration;

use super::policy::Policy;
use super::support::damage::{Damage, Tool};
use super::trouble::Trouble;
use ip_masq_agent::net::Family;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Whether all that happened before has to come to rest first.
    pub(crate) settled: bool,
    pub(crate) pause: Duration,
    pub(crate) event: Event,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The file changes, several times at once; the last text is a good one.
    Edit(Vec<(FileChange, Duration)>),
    /// The file changes once, to a text that no agent may apply.
    Spoil(How, String),
    /// The same, by a file of a size that no configuration has.
    Huge(How),
    Delete,
    /// Another program damages our rules.
    Damage(&'static str, Tool, Family),
    /// Another program commits rules that are not ours.
    Harmless(&'static str),
    /// Another program commits 10,000 elements, several times.
    Storm,
    Kill,
    Terminate,
    Start,
    Freeze,
    Thaw,
    Reload,
    SecondStarts,
    SecondEnds,
    /// `ip -batch` on the node.
    Interfaces(&'static str),
    /// Something is taken from the agent.
    Begins(Trouble),
    /// It is given back.
    Ends(Trouble),
    /// `iptables-legacy` on the node, for a family.
    Legacy(Family, &'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FileChange {
    Write(How, Policy),
    Spoil(How, String),
    /// It is far larger than any configuration. Not for [`How::Swapped`].
    Huge(How),
    Delete,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    InPlace,
    RenamedOver,
    /// As kubelet swaps a volume.
    Swapped,
}

pub(crate) const HARMLESS: [&str; 6] = [
    "table inet others { chain c { type filter hook input priority 0; }; }",
    "add table inet others\nadd chain inet others x\nadd rule inet others x counter accept",
    "add table inet others\ndelete table inet others",
    "add table ip nat\nadd chain ip nat KUBE-X\nadd rule ip nat KUBE-X counter return",
    "add table ip6 nat\nadd chain ip6 nat KUBE-X\nflush chain ip6 nat KUBE-X",
    "add table ip others { chain c { type nat hook prerouting priority -100; }; }",
];

pub(crate) const INTERFACES: [&str; 6] = [
    "link add dummy0 type dummy\naddress add 10.99.0.1/24 dev dummy0\naddress add fd99::1/64 dev dummy0 nodad\n\
     link set dummy0 up",
    "link set dummy0 down",
    "link del dummy0",
    "address change 192.0.2.1/24 dev up0 valid_lft forever preferred_lft 0\n\
     address change 2001:db8::1/64 dev up0 valid_lft forever preferred_lft 0",
    "address change 192.0.2.1/24 dev up0 valid_lft forever preferred_lft forever\n\
     address change 2001:db8::1/64 dev up0 valid_lft forever preferred_lft forever",
    "link set up0 down\nlink set up0 up\naddress replace 2001:db8::1/64 dev up0 nodad\n\
     address replace fe80::1/64 dev up0 nodad\nroute replace default via 192.0.2.2\n\
     route replace default via 2001:db8::2",
];

/// Besides the rules that count: about packets that are never sent.
pub(crate) const LEGACY: [&str; 3] =
    ["-A POSTROUTING -p 132 -j MASQUERADE", "-I POSTROUTING -p 136 -j ACCEPT", "-F POSTROUTING"];

/// A table of the agent's own is switched off.
pub(crate) const DORMANT: Damage =
    ("the table is switched off", Tool::Nft("add table $F ip-masq-agent { flags dormant; }"));

impl Event {
    /// What it is counted as.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Edit(_) => "edits",
            Self::Spoil(..) => "bad files",
            Self::Huge(_) => "huge files",
            Self::Delete => "deleted files",
            Self::Damage(..) => "damages",
            Self::Harmless(_) => "commits elsewhere",
            Self::Storm => "storms",
            Self::Kill => "SIGKILLs",
            Self::Terminate => "SIGTERMs",
            Self::Start => "starts",
            Self::Freeze => "SIGSTOPs",
            Self::Thaw => "SIGCONTs",
            Self::Reload => "SIGHUPs",
            Self::SecondStarts => "second agents",
            Self::SecondEnds => "their ends",
            Self::Interfaces(_) => "interfaces changed",
            Self::Begins(trouble) => trouble.name(),
            Self::Ends(_) => "ends of these",
            Self::Legacy(..) => "legacy rules",
        }
    }
}

/// 10,000 elements in a foreign table.
pub(crate) fn storm() -> String {
    let element = |index: u32| std::net::Ipv4Addr::from((30 << 24) + index).to_string();
    let elements: Vec<String> = (0..10_000).map(element).collect();
    format!(
        "add table inet storm\ndelete table inet storm\ntable inet storm {{ set s {{ type ipv4_addr; elements = {{ {} }}; }}; }}\n",
        elements.join(", ")
    )
}
