//! The layouts in which the agent keeps its rules, and what is ours of the rules in a namespace.

use std::collections::BTreeMap;

use super::support::native::{blocks, listed};
use super::support::netns::Netns;
use super::support::tables::{FAMILIES, program, without_counters};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Upstream's rules in iptables' table.
    IptablesNat,
    /// Tables of the agent's own, unprotected.
    OwnTable,
    /// The same, protected while the agent lives.
    NativeProtected,
}

/// What is ours of the rules, in the tools' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    IptablesNat(Vec<String>),
    /// The lines of each set and chain.
    OwnTable(BTreeMap<String, Vec<String>>),
}

impl Layout {
    /// The agent's flags.
    pub(crate) const fn flags(self) -> [&'static str; 3] {
        match self {
            Self::IptablesNat => ["--enable-ipv6", "--backend=nft-compat", "--protect=off"],
            Self::OwnTable => ["--enable-ipv6", "--backend=nft", "--protect=off"],
            Self::NativeProtected => ["--enable-ipv6", "--backend=nft", "--protect=on"],
        }
    }

    /// Where the rules are.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::IptablesNat => "nat",
            Self::OwnTable | Self::NativeProtected => "ip-masq-agent",
        }
    }

    /// The longest lists of a family. A packet walks past each rule of a chain.
    pub(crate) const fn most_ranges(self) -> u32 {
        match self {
            Self::IptablesNat => 200,
            Self::OwnTable | Self::NativeProtected => 10_000,
        }
    }
}

impl Rules {
    /// Lists them. `None` if the tools could not, or if a table is switched off, so that none of its rules counts.
    pub(crate) fn of(netns: &Netns, layout: Layout) -> Option<Self> {
        if netns.try_run("nft", &["--terse", "list", "ruleset"], "").stdout.contains("flags dormant") {
            return None;
        }
        if layout != Layout::IptablesNat {
            return Some(Self::OwnTable(blocks(&listed(netns))));
        }
        let mut ours = Vec::new();
        for family in FAMILIES {
            let saved = netns.try_run(&program(family, "-save"), &["-t", "nat"], "");
            if !saved.succeeded() || saved.stdout.contains("incompatible") {
                return None;
            }
            let lines = without_counters(&saved.stdout);
            ours.extend(lines.into_iter().filter(|line| line.contains("IP-MASQ-AGENT")));
        }
        Some(Self::IptablesNat(ours))
    }

    /// Lists what the agent makes of a configuration where there is nothing but what it makes.
    pub(crate) fn made_of(fresh: &Netns, layout: Layout, config: &str) -> Self {
        fresh.run("nft flush ruleset");
        let backend = layout.flags()[1];
        fresh.agent(&format!("apply --enable-ipv6 {backend} --protect=off"), config).ended_with(0);
        Self::of(fresh, layout).expect("rules of nobody else are in the way")
    }
}
