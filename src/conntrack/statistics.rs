//! What the kernel counts of all flows (`IPCTNL_MSG_CT_GET_STATS_CPU`).

use std::collections::BTreeMap;

use crate::netlink::nfnetlink::{NO_FAMILY, Subsystem};
use crate::netlink::{Connection, Kind, NetlinkError, NetlinkFamily, Request, Transport};

/// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_GET_STATS_CPU`.
const GET_STATISTICS: Kind = Subsystem(1).kind(4);

/// `enum ctattr_stats_cpu`: those that the kernel still counts.
const EVENTS: [(u16, &str); 10] = [
    (2, "found"),
    (4, "invalid"),
    (8, "insert"),
    (9, "insert_failed"),
    (10, "drop"),
    (11, "early_drop"),
    (12, "error"),
    (13, "search_restart"),
    (14, "clash_resolve"),
    (15, "chaintoolong"),
];

/// How often each of them happened in this network namespace, on all processors together.
pub(crate) fn events() -> Result<BTreeMap<&'static str, u64>, NetlinkError> {
    Connection::open(NetlinkFamily::Netfilter)?.conntrack_events()
}

impl<T: Transport> Connection<T> {
    /// The kernel lists them by processor. An interrupted list has all that it has at that time.
    fn conntrack_events(&mut self) -> Result<BTreeMap<&'static str, u64>, NetlinkError> {
        let mut events = BTreeMap::new();
        let request = Request::dump(GET_STATISTICS, NO_FAMILY, &|_| {}, GET_STATISTICS);
        self.exchange(&request, |attributes| {
            for attribute in attributes {
                let attribute = attribute?;
                if let Some((_, name)) = EVENTS.iter().find(|(kind, _)| *kind == attribute.kind) {
                    *events.entry(*name).or_default() += u64::from(attribute.be32()?);
                }
            }
            Ok::<_, NetlinkError>(())
        })?;
        Ok(events)
    }
}
