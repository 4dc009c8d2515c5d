//! Deletes the flows whose NAT no longer fits the policy, so that their next packets begin new flows.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use thiserror::Error;

use super::{Before, Decisions, Deletion, Deletions, FlowInfo, Listing, Reason, Status, Verdict, verdict};
use crate::net::Family;
use crate::netlink::{Connection, NetlinkError, NetlinkFamily, Transport};
use crate::text::counted;

/// How often the flows are listed again if the listing was disturbed.
const LISTINGS: u32 = 8;

/// So many flows are deleted together. If each deletion fails, the reports of that still fit into the receive buffer.
const DELETED_TOGETHER: usize = 128;

/// A flow is deleted at the latest when so many more were looked at, so that it is not old by then: its id may be that of
/// a later flow.
const LOOKED_AT_MEANWHILE: usize = 256;

/// `--conntrack`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExistingFlows {
    /// Flows keep the source that they began with, until they end
    #[default]
    Keep,
    /// Flows that a change of the policy concerns begin anew: they are deleted from conntrack
    Fix,
}

/// Access to the flows of a network namespace.
pub(crate) trait FixFlows: fmt::Debug + Send {
    /// Deletes the flows whose NAT is not the one that the policy gives them `now`, and that can have begun under what was
    /// `before`, so that their next packets are treated as the first ones of new flows. Flows that others translated are
    /// left alone.
    ///
    /// Once `interrupted`, no more flows are looked at: those that are being deleted are the last.
    ///
    /// # Errors
    ///
    /// [`ConntrackError`]; some flows may have been deleted, and doing it again is safe.
    fn fix(&mut self, before: &Before, now: &Decisions, interrupted: &AtomicBool) -> Result<Fixed, ConntrackError>;
}

/// What happened to the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// How many the kernel listed.
    pub looked_at: usize,
    /// How many were deleted because they were masqueraded and are exempt now.
    pub exempt: usize,
    /// How many were deleted because they kept their source and are masqueraded now.
    pub masqueraded: usize,
    /// How many ended by themselves before they could be deleted.
    pub vanished: usize,
    /// How many stay masqueraded though they are exempt now, as their port is the one that they had before: rules of others
    /// leave it that, and ours, which draw it at random, come to the same one for about one flow in 65,536.
    pub in_doubt: usize,
    /// How many the kernel did not delete. Older kernels do not delete flows that are offloaded to a flowtable.
    pub refused: usize,
}

/// Why not all flows could be looked at, or deleted.
#[derive(Debug, Error)]
pub enum ConntrackError {
    /// The kernel has no conntrack, or no ctnetlink to list and delete flows with.
    #[error(
        "this kernel has no way to list and delete flows ({}); load the module nf_conntrack_netlink, or run with \
         --conntrack=keep", .0.desc()
    )]
    Unsupported(Errno),
    /// Listing or deleting failed.
    #[error("could not {doing}: {source}")]
    Netlink {
        /// What failed, in words that follow "could not".
        doing: &'static str,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// The caller asked to stop.
    #[error("the look at the flows was interrupted")]
    Interrupted,
}

impl ConntrackError {
    /// Whether a privilege is missing, so that trying again is of no use.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Netlink { source: NetlinkError::Denied, .. })
    }
}

/// The flows of the network namespace of this process. Sockets are open only while there is something to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KernelFlows;

impl FixFlows for KernelFlows {
    fn fix(&mut self, before: &Before, now: &Decisions, interrupted: &AtomicBool) -> Result<Fixed, ConntrackError> {
        let opening = |error| explain("reach conntrack", error);
        let mut conntrack = Conntrack {
            interfaces: Connection::open(NetlinkFamily::Route).map_err(opening)?,
            listing: Connection::open(NetlinkFamily::Netfilter).map_err(opening)?,
            deleting: Connection::open(NetlinkFamily::Netfilter).map_err(opening)?,
        };
        conntrack.fix(before, now, interrupted)
    }
}

/// Conntrack over netlink. Flows are deleted over a connection of their own while they are being listed, so that few have to
/// be stored, however many there are.
#[derive(Debug)]
struct Conntrack<T> {
    interfaces: Connection<T>,
    listing: Connection<T>,
    deleting: Connection<T>,
}

impl<T: Transport> Conntrack<T> {
    fn fix(&mut self, before: &Before, now: &Decisions, interrupted: &AtomicBool) -> Result<Fixed, ConntrackError> {
        let node =
            self.interfaces.local_addresses().map_err(|error| explain("list the node's own addresses", error))?;
        let mut fixed = Fixed::default();
        for family in Family::ALL.into_iter().filter(|family| now.treats(*family)) {
            let goes_on = || if interrupted.load(Ordering::Acquire) { Err(Failed::Interrupted) } else { Ok(()) };
            let judge = |flow: &FlowInfo<'_>| verdict(&flow.flow, before, now, &node);
            self.fix_family(family, judge, goes_on, &mut fixed)?;
        }
        Ok(fixed)
    }

    /// Repeats a listing that was disturbed. Flows that were deleted in the meantime stay deleted; the repetition finds
    /// those that the first listing missed.
    fn fix_family(
        &mut self,
        family: Family,
        judge: impl Fn(&FlowInfo<'_>) -> Verdict,
        goes_on: impl Fn() -> Result<(), Failed>,
        fixed: &mut Fixed,
    ) -> Result<(), ConntrackError> {
        let Self { listing, deleting, .. } = self;
        let (looked_at_before, in_doubt_before) = (fixed.looked_at, fixed.in_doubt);
        for _ in 0..LISTINGS {
            (fixed.looked_at, fixed.in_doubt) = (looked_at_before, in_doubt_before);
            let mut doomed = Doomed::default();
            let listed = listing.flows(Some(family), Status::NOT_OURS, |flow| {
                goes_on()?;
                fixed.looked_at += 1;
                match judge(flow) {
                    Verdict::Fits => {}
                    Verdict::NoLonger(reason) => doomed.add(flow, reason),
                    Verdict::InDoubt => fixed.in_doubt += 1,
                }
                if doomed.is_due() { doomed.delete(deleting, fixed) } else { Ok(()) }
            });
            let listed = listed.and_then(|listed| goes_on().map(|()| listed));
            let listed = listed.and_then(|listed| doomed.delete(deleting, fixed).map(|()| listed));
            match listed? {
                Listing::Whole => return Ok(()),
                Listing::Interrupted => {}
            }
        }
        Err(explain("list the flows", NetlinkError::Interrupted { tries: LISTINGS }))
    }
}

/// Flows that do not fit, and are not deleted yet.
#[derive(Debug, Default)]
struct Doomed {
    deletions: Deletions,
    reasons: Vec<Reason>,
    /// How many flows were looked at since the first of them.
    looked_at: usize,
}

impl Doomed {
    fn add(&mut self, flow: &FlowInfo<'_>, reason: Reason) {
        self.deletions.add(flow);
        self.reasons.push(reason);
    }

    /// To be asked for each flow that is looked at: whether it is time to delete them.
    fn is_due(&mut self) -> bool {
        self.looked_at += usize::from(!self.reasons.is_empty());
        self.reasons.len() >= DELETED_TOGETHER || self.looked_at >= LOOKED_AT_MEANWHILE
    }

    fn delete<T: Transport>(&mut self, deleting: &mut Connection<T>, fixed: &mut Fixed) -> Result<(), Failed> {
        let deleted = deleting.delete_flows(&mut self.deletions);
        let deleted = deleted.map_err(|source| Failed::Exchange { doing: "delete a flow", source })?;
        for (deletion, reason) in deleted.into_iter().zip(self.reasons.drain(..)) {
            fixed.count(reason, deletion)?;
        }
        self.deletions.clear();
        self.looked_at = 0;
        Ok(())
    }
}

impl Fixed {
    /// How many flows were deleted.
    #[must_use]
    pub(crate) const fn deleted(&self) -> usize {
        self.exempt + self.masqueraded
    }

    fn count(&mut self, reason: Reason, deletion: Result<Deletion, NetlinkError>) -> Result<(), Failed> {
        let counter = match (deletion, reason) {
            (Ok(Deletion::Deleted), Reason::Exempt) => &mut self.exempt,
            (Ok(Deletion::Deleted), Reason::Masqueraded) => &mut self.masqueraded,
            (Ok(Deletion::Vanished), _) => &mut self.vanished,
            // The refusal is about this flow alone; the others can still be deleted.
            (Err(NetlinkError::Rejected { .. }), _) => &mut self.refused,
            (Err(source), _) => return Err(Failed::Exchange { doing: "delete a flow", source }),
        };
        *counter += 1;
        Ok(())
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looked_at, exempt, masqueraded, vanished, in_doubt, refused } = self;
        write!(
            f,
            "{} deleted from conntrack because their NAT no longer fits the policy ({exempt} now exempt, \
             {masqueraded} now masqueraded), of {looked_at} looked at",
            counted(self.deleted(), "flow")
        )?;
        if *vanished > 0 {
            write!(f, "; {vanished} more ended by themselves")?;
        }
        if *in_doubt > 0 {
            write!(
                f,
                "; {in_doubt} more of which the destination is exempt now may be of other programs, because their port was \
                 not changed, so they stay masqueraded until they end"
            )?;
        }
        if *refused > 0 {
            write!(f, "; {refused} more the kernel did not delete, so they stay as they are until they end")?;
        }
        Ok(())
    }
}

/// Why a listing was abandoned.
enum Failed {
    /// A request failed, and what it was for.
    Exchange {
        doing: &'static str,
        source: NetlinkError,
    },
    Interrupted,
}

impl From<NetlinkError> for Failed {
    fn from(source: NetlinkError) -> Self {
        Self::Exchange { doing: "list the flows", source }
    }
}

impl From<Failed> for ConntrackError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Exchange { doing, source } => explain(doing, source),
            Failed::Interrupted => Self::Interrupted,
        }
    }
}

/// A kernel with netfilter but without ctnetlink answers `EINVAL` (`nfnetlink_rcv_msg`).
pub(super) fn explain(doing: &'static str, source: NetlinkError) -> ConntrackError {
    match source {
        NetlinkError::Unsupported { errno, .. } | NetlinkError::Rejected { errno: errno @ Errno::EINVAL, .. } => {
            ConntrackError::Unsupported(errno)
        }
        source => ConntrackError::Netlink { doing, source },
    }
}

#[cfg(test)]
#[path = "fix_tests.rs"]
mod tests;
