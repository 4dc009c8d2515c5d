//! The share of new flows that a rule takes.

use std::fmt;

/// A probability strictly between 0 and 1, as a fraction of integers, so that equality is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability {
    part: u32,
    whole: u32,
}

/// What `xt_statistic` counts in: it compares a random number of 31 bits (`linux/netfilter/xt_statistic.h`).
const STATISTIC_WHOLE: u32 = 1 << 31;

impl Probability {
    /// `part` of `whole`. `None` unless `0 < part < whole`.
    #[must_use]
    pub const fn of(part: u32, whole: u32) -> Option<Self> {
        if part == 0 || part >= whole { None } else { Some(Self { part, whole }) }
    }

    /// How many of [`Probability::whole`] packets are taken.
    #[must_use]
    pub const fn part(self) -> u32 {
        self.part
    }

    /// Of how many packets [`Probability::part`] are taken.
    #[must_use]
    pub const fn whole(self) -> u32 {
        self.whole
    }

    /// The nearest fraction of 2³¹, which is all that `xt_statistic` knows; rounded as iptables rounds it.
    #[must_use]
    pub fn for_statistic(self) -> Self {
        let (part, whole) = (u64::from(self.part), u64::from(self.whole));
        let units = (2 * part * u64::from(STATISTIC_WHOLE) + whole) / (2 * whole);
        // From 1 to 2³¹ − 1: no fraction of 32 bits is nearer to zero, or to one.
        let units = u32::try_from(units).unwrap_or(STATISTIC_WHOLE);
        Self { part: units, whole: STATISTIC_WHOLE }
    }

    /// The fraction that `xt_statistic` holds as so many units; `None` for zero and for one or more.
    #[must_use]
    pub const fn from_statistic(units: u32) -> Option<Self> {
        Self::of(units, STATISTIC_WHOLE)
    }
}

impl fmt::Display for Probability {
    /// With eleven digits, as iptables-save prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: u128 = 100_000_000_000;
        let (part, whole) = (u128::from(self.part), u128::from(self.whole));
        let scaled = (part * DIGITS * 2 + whole) / (whole * 2);
        write!(f, "{}.{:011}", scaled / DIGITS, scaled % DIGITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_print_as_iptables_save_prints_them() {
        // Read off iptables-nft-save 1.8.9 with upstream's --probability for these sizes.
        for (part, whole, printed) in
            [(28_976, 61_744, "0.46929256292"), (976, 2_976, "0.32795698941"), (1_000, 2_000, "0.50000000000")]
        {
            let probability = Probability::of(part, whole).map(|probability| probability.for_statistic().to_string());
            assert_eq!(probability.as_deref(), Some(printed));
        }
    }

    #[test]
    fn neither_nothing_nor_everything_is_a_chance() {
        assert_eq!(Probability::of(0, 5), None);
        assert_eq!(Probability::of(5, 5), None);
        assert_eq!(Probability::from_statistic(1 << 31), None);
        assert_eq!(Probability::of(1, 2).map(Probability::for_statistic), Probability::from_statistic(1 << 30));
        assert_eq!(Probability::of(1, u32::MAX).map(Probability::for_statistic), Probability::from_statistic(1));
    }
}
