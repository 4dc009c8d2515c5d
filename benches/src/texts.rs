//! What the programs are given to read.

use std::fmt::{Display, Write as _};

use crate::ranges::Range;

const LINK_LOCAL: &str = "169.254.0.0/16";
/// What upstream's agent gives `iptables-restore` for every range, and for everything else.
const RETURN: &str =
    "-A IP-MASQ-AGENT -m comment --comment \"ip-masq-agent: local traffic is not subject to MASQUERADE\"";
/// The comment of [`RETURN`].
pub const RETURN_COMMENT: &str = "ip-masq-agent: local traffic is not subject to MASQUERADE";
const MASQUERADE: &str = "-A IP-MASQ-AGENT -m comment --comment \"ip-masq-agent: outbound traffic is subject to \
                          MASQUERADE (must be last in chain)\" -j MASQUERADE --random-fully";
/// The name of the table that [`interval_set`] makes, of its set, and the family.
pub const PEERS_TABLE: &str = "ip exempted";
/// The set of [`PEERS_TABLE`].
pub const PEERS_SET: &str = "ranges";

/// A configuration of the agent that exempts the ranges; `interval` as in `resyncInterval`.
#[must_use]
pub fn configuration(ranges: &[Range], interval: &str) -> String {
    let mut text = format!("resyncInterval: {interval}\ncidrLimit: {}\nnonMasqueradeCIDRs:\n", ranges.len());
    for range in ranges {
        let _ = writeln!(text, "- {range}");
    }
    text
}

/// A table for `nft -f` that exempts the same, written as short as can be: one interval set, one chain, no counters.
#[must_use]
pub fn interval_set(ranges: &[Range]) -> String {
    format!(
        "table {PEERS_TABLE} {{\n\
         set {PEERS_SET} {{ type ipv4_addr; flags interval; elements = {{ {LINK_LOCAL}, {} }}; }}\n\
         chain postrouting {{\n\
         type nat hook postrouting priority 110;\n\
         fib daddr type local return\n\
         ip daddr @{PEERS_SET} return\n\
         masquerade fully-random\n\
         }}\n}}\n",
        listed(ranges)
    )
}

/// A table for `nft -f` with one interval set that does all that the agent's own does, in the same place: the same test of
/// the destination, a jump, and a counter for each rule.
#[must_use]
pub fn interval_set_alike(ranges: &[Range]) -> String {
    format!(
        "table {PEERS_TABLE} {{\n\
         set {PEERS_SET} {{ type ipv4_addr; flags interval; elements = {{ {LINK_LOCAL}, {} }}; }}\n\
         chain exempting {{\n\
         ip daddr @{PEERS_SET} counter return\n\
         counter masquerade fully-random\n\
         }}\n\
         chain postrouting {{\n\
         type nat hook postrouting priority 105;\n\
         fib daddr type != local counter jump exempting\n\
         }}\n}}\n",
        listed(ranges)
    )
}

/// The same text for `nft -f` with the old table going in the same transaction.
#[must_use]
pub fn replacing(table: &str, text: &str) -> String {
    format!("add table {table}\ndelete table {table}\n{text}")
}

/// One masquerade rule for everything.
pub const BARE_MASQUERADE: &str = "table ip bare { chain postrouting { type nat hook postrouting priority 110; \
                                   masquerade fully-random; }; }\n";

/// What upstream's agent gives `iptables-restore --noflush`.
#[must_use]
pub fn upstream_restore(ranges: &[Range]) -> String {
    let mut text = String::from("*nat\n:IP-MASQ-AGENT - [0:0]\n");
    let _ = writeln!(text, "{RETURN} -d {LINK_LOCAL} -j RETURN");
    for range in ranges {
        let _ = writeln!(text, "{RETURN} -d {range} -j RETURN");
    }
    let _ = writeln!(text, "{MASQUERADE}\nCOMMIT");
    text
}

/// The jump that upstream's agent adds to POSTROUTING, as words behind `iptables`' `-A` or `-C`.
pub const UPSTREAM_JUMP: [&str; 14] = [
    "POSTROUTING",
    "-t",
    "nat",
    "-m",
    "comment",
    "--comment",
    "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain",
    "-m",
    "addrtype",
    "!",
    "--dst-type",
    "LOCAL",
    "-j",
    "IP-MASQ-AGENT",
];

/// The set of `ipset restore` with the ranges.
#[must_use]
pub fn ipset_restore(ranges: &[Range]) -> String {
    let size = ranges.len().max(1_024);
    let mut text = format!("create {PEERS_SET} hash:net hashsize {size} maxelem {}\n", 2 * size);
    let _ = writeln!(text, "add {PEERS_SET} {LINK_LOCAL}");
    for range in ranges {
        let _ = writeln!(text, "add {PEERS_SET} {range}");
    }
    text
}

/// Rules that look the destination up in [`ipset_restore`]'s set.
#[must_use]
pub fn ipset_rules() -> String {
    format!(
        "*nat\n:IP-MASQ-AGENT - [0:0]\n\
         -A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT\n\
         -A IP-MASQ-AGENT -m set --match-set {PEERS_SET} dst -j RETURN\n\
         {MASQUERADE}\nCOMMIT\n"
    )
}

fn listed(things: &[impl Display]) -> String {
    let texts: Vec<String> = things.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
