//! The share of new flows that a rule takes, as the kernel counts it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A probability in units of 1/2³¹, which is what `xt_statistic` compares a random number with
/// (`linux/netfilter/xt_statistic.h`). An integer, so that equality means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

const ONE: u32 = 1 << 31;

impl Chance {
    /// `part` of `whole`, rounded to the nearest unit as iptables rounds it. `None` unless `0 < part < whole`.
    #[must_use]
    pub fn of(part: u32, whole: u32) -> Option<Self> {
        if part == 0 || part >= whole {
            return None;
        }
        let (part, whole) = (u64::from(part), u64::from(whole));
        let units = (2 * part * u64::from(ONE) + whole) / (2 * whole);
        u32::try_from(units).ok().and_then(Self::from_units)
    }

    /// A probability as the kernel holds it; `None` at or above 1.
    #[must_use]
    pub const fn from_units(units: u32) -> Option<Self> {
        if units < ONE { Some(Self(units)) } else { None }
    }

    /// The probability in units of 1/2³¹.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Chance {
    /// With eleven digits, as iptables-save prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: u128 = 100_000_000_000;
        let scaled = (u128::from(self.0) * DIGITS * 2 + u128::from(ONE)) / (u128::from(ONE) * 2);
        write!(f, "{}.{:011}", scaled / DIGITS, scaled % DIGITS)
    }
}

impl Serialize for Chance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
            assert_eq!(Chance::of(part, whole).map(|chance| chance.to_string()).as_deref(), Some(printed));
        }
    }

    #[test]
    fn neither_nothing_nor_everything_is_a_chance() {
        assert_eq!(Chance::of(0, 5), None);
        assert_eq!(Chance::of(5, 5), None);
        assert_eq!(Chance::from_units(1 << 31), None);
        assert_eq!(Chance::of(1, 2).map(Chance::units), Some(1 << 30));
    }
}
