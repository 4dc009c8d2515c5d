//! What the rules in force come from.

use std::fmt;

use crate::net::Family;

/// What the rules of a family come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// The configuration file, as it is.
    File,
    /// The absence of a file: the flags' defaults, as upstream has it.
    NoFile,
    /// The file as it was when it was last valid, since the start.
    LastValid,
    /// Whatever the kernel held at the start.
    KernelRules,
    /// The configuration that was valid last before the start, from the state directory.
    LastKnownGood,
    /// The flags' defaults, for want of anything better.
    Defaults,
}

/// What the rules in force come from, for each family that is treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding(pub Vec<(Family, InForce)>);

impl InForce {
    /// Is it something else than what the file, or its absence, says?
    #[must_use]
    pub const fn is_degraded(self) -> bool {
        match self {
            Self::File | Self::NoFile => false,
            Self::LastValid | Self::KernelRules | Self::LastKnownGood | Self::Defaults => true,
        }
    }
}

impl Holding {
    /// Is it something else than what the file, or its absence, says, for any family?
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.0.iter().any(|(_, in_force)| in_force.is_degraded())
    }

    /// Is it something of before the start, or the defaults in its place, for any family?
    #[must_use]
    pub fn is_of_before(&self) -> bool {
        let of_before = [InForce::KernelRules, InForce::LastKnownGood, InForce::Defaults];
        self.0.iter().any(|(_, in_force)| of_before.contains(in_force))
    }

    /// Is it for every family what the kernel held, so that no configuration says what it is?
    #[must_use]
    pub fn is_of_the_kernel_alone(&self) -> bool {
        self.0.iter().all(|(_, in_force)| *in_force == InForce::KernelRules)
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the configuration file",
            Self::NoFile => "the flags' defaults, as there is no file",
            Self::LastValid => "the last valid configuration since the start",
            Self::KernelRules => "the rules that stood in the kernel at the start",
            Self::LastKnownGood => "the last valid configuration of before the start",
            Self::Defaults => "the flags' defaults",
        })
    }
}

impl fmt::Display for Holding {
    /// One thing for all families, or each family with its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(each) = self;
        match each.split_first() {
            None => f.write_str("nothing"),
            Some(((_, first), others)) if others.iter().all(|(_, other)| other == first) => first.fmt(f),
            Some(_) => {
                let named = |(family, in_force): &(Family, InForce)| format!("{}: {in_force}", family.human());
                f.write_str(&each.iter().map(named).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_only_where_they_differ() {
        let holding = |each: &[(Family, InForce)]| Holding(each.to_vec());
        for (each, words, degraded) in [
            (&[(Family::Ipv4, InForce::File)][..], "the configuration file", false),
            (&[(Family::Ipv4, InForce::File), (Family::Ipv6, InForce::File)], "the configuration file", false),
            (
                &[(Family::Ipv4, InForce::KernelRules), (Family::Ipv6, InForce::Defaults)],
                "IPv4: the rules that stood in the kernel at the start; IPv6: the flags' defaults",
                true,
            ),
        ] {
            let holding = holding(each);
            assert_eq!((holding.to_string().as_str(), holding.is_degraded()), (words, degraded));
        }
    }
}
