//! The tables of iptables-legacy, which nf_tables does not list: another part of the kernel keeps them.

use std::fs;

use crate::net::Family;

/// The families of which iptables-legacy has a `nat` table in the network namespace of this thread. The table comes with the
/// program's first use of it, so there may be no rule in it. What is in it the kernel tells by
/// `getsockopt(IPT_SO_GET_ENTRIES)` alone, which no library offers in safe code.
///
/// Where the file cannot be read, there is no such table, or no way to know of it.
pub(super) fn nat_tables() -> Vec<Family> {
    let has_nat = |family: &Family| {
        let path = match family {
            Family::Ipv4 => "/proc/thread-self/net/ip_tables_names",
            Family::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
        };
        fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == "nat"))
    };
    Family::ALL.into_iter().filter(has_nat).collect()
}
