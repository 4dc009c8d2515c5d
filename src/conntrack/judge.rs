//! The flows that conntrack knows, and whether the NAT that each has is still the one that the policy gives it.
//!
//! A flow's NAT is decided by its first packet and holds until it ends. A flow is judged by what would happen to its
//! first packet now. Everything is a pure function over plain values.

use std::net::IpAddr;

use super::{Before, Decisions, LocalAddresses, PortIsOurs};
use crate::net::Family;
use crate::policy::{AddressType, Effect, Packet};

/// A flow as conntrack keeps it (`struct nf_conn`, `net/netfilter/nf_conntrack.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// How the first packet looked when it came in.
    pub original: Tuple,
    /// How the reply packets look when they come in: a translation shows as a difference.
    pub reply: Tuple,
    /// What conntrack and NAT did to it.
    pub status: Status,
    /// Whether it is in a zone other than the default one (`CTA_ZONE`). Programs that use zones translate by rules of
    /// their own.
    pub in_other_zone: bool,
}

/// The addresses of the packets of one direction (`struct nf_conntrack_tuple`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go.
    pub destination: IpAddr,
    /// Their ports, source first, if their protocol has any.
    pub ports: Option<(u16, u16)>,
}

/// `IPS_*` (`linux/netfilter/nf_conntrack_common.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(pub u32);

/// Whether the NAT of a flow fits the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits, or the agent is not the one to judge.
    Fits,
    /// It fitted an earlier policy, but no longer does.
    NoLonger(Reason),
    /// It is masqueraded and would keep its source now, but its port is the one that it had before, so a rule of others is
    /// far more likely to have masqueraded it than ours. It is left alone.
    InDoubt,
}

/// Why the NAT of a flow does not fit the policy any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is masqueraded, and would keep its source now.
    Exempt,
    /// It keeps its source, and would be masqueraded now.
    Masqueraded,
}

impl Status {
    /// `IPS_EXPECTED`: it belongs to another flow, such as the data of FTP, and is translated as that one is.
    pub const EXPECTED: Self = Self(1 << 0);
    /// `IPS_SRC_NAT`: its source is translated.
    pub const SOURCE_NAT: Self = Self(1 << 4);
    /// `IPS_DST_NAT`: its destination is translated.
    pub const DESTINATION_NAT: Self = Self(1 << 5);
    /// `IPS_DYING`: it is being deleted.
    pub const DYING: Self = Self(1 << 9);
    /// `IPS_TEMPLATE`: a template for other flows, not a flow.
    pub const TEMPLATE: Self = Self(1 << 11);
    /// `IPS_UNTRACKED`: the placeholder for untracked packets, up to Linux 4.11.
    pub const UNTRACKED: Self = Self(1 << 12);

    /// A flow that has any of these is not ours. A translated destination means a service or a port forward: the
    /// program whose rule did that masquerades by its own mark where necessary (kube-proxy), and its flows may depend
    /// on each other.
    pub const NOT_OURS: Self =
        Self(Self::EXPECTED.0 | Self::DESTINATION_NAT.0 | Self::DYING.0 | Self::TEMPLATE.0 | Self::UNTRACKED.0);

    pub(super) const fn has_any_of(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// Whether the NAT of a flow is the one that the policy gives it `now`. `before` says under which policies it may have
/// begun. A flow whose NAT cannot be ours, by those policies and by how the flow looks, fits; so does one whose NAT
/// depends on something that conntrack does not tell.
#[must_use]
pub fn verdict(flow: &Flow, before: &Before, now: &Decisions, node: &LocalAddresses) -> Verdict {
    let Flow { original, reply, status, in_other_zone } = flow;
    // The destination as the rules see it, after every translation of destinations.
    let destination = reply.source;
    let family = Family::of(destination);
    let is_out_of_reach = *in_other_zone
        || status.has_any_of(Status::NOT_OURS)
        || destination != original.destination
        || !now.treats(family)
        || node.receives(destination);
    if is_out_of_reach {
        return Verdict::Fits;
    }
    let first = Packet {
        source: Some(original.source),
        destination: Some(destination),
        destination_type: Some(AddressType::Other),
        ..Packet::of(family)
    };
    if status.has_any_of(Status::SOURCE_NAT) {
        let is_exempt_since =
            || before.may_have(Effect::Masqueraded, &first) && now.effect(&first) == Some(Effect::Kept);
        return match masqueraded_by_us(flow, now, node) {
            PortIsOurs::Possible if is_exempt_since() => Verdict::NoLonger(Reason::Exempt),
            PortIsOurs::Hardly if is_exempt_since() => Verdict::InDoubt,
            _ => Verdict::Fits,
        };
    }
    // The node's own flows have the node's address already, or one that a program chose on purpose.
    let keeps_foreign_source = reply.destination == original.source && !node.owns(original.source);
    let is_ours = keeps_foreign_source && before.may_have(Effect::Kept, &first);
    if is_ours && now.effect(&first) == Some(Effect::Masqueraded) {
        Verdict::NoLonger(Reason::Masqueraded)
    } else {
        Verdict::Fits
    }
}

/// Whether a rule of ours can have translated the source: it gives an address of the node, and a port that the flags
/// allow. Foreign rules can do the same.
fn masqueraded_by_us(flow: &Flow, now: &Decisions, node: &LocalAddresses) -> PortIsOurs {
    let to = flow.reply.destination;
    // A node's own flow of which only the port is translated looks the same to the receiver either way.
    if to == flow.original.source || !node.owns(to) {
        return PortIsOurs::No;
    }
    match (flow.original.ports, flow.reply.ports) {
        (Some((old, _)), Some((_, new))) => now.port_is_ours(Family::of(to), old, new),
        _ => PortIsOurs::Possible,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
