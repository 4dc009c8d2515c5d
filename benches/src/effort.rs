//! How much is measured.

use crate::agent::Backend;

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Small lists and few repetitions: shows in seconds that everything can be measured. The numbers mean little.
    Quick,
    /// What `docs/benchmarks.md` is written from.
    Full,
}

impl Effort {
    /// Those of the sizes that are measured, in numbers of ranges.
    pub fn sizes(self, sizes: &[usize]) -> impl Iterator<Item = usize> {
        let largest = match self {
            Self::Quick => 1_000,
            Self::Full => usize::MAX,
        };
        sizes.iter().copied().filter(move |size| *size <= largest)
    }

    /// The size that stands for a large list.
    #[must_use]
    pub const fn large(self, size: usize) -> usize {
        match self {
            Self::Quick => 1_000,
            Self::Full => size,
        }
    }

    /// How often something that takes the longer, the more ranges there are, is repeated.
    #[must_use]
    pub const fn repetitions(self, ranges: usize) -> usize {
        match (self, ranges) {
            (Self::Quick, _) => 3,
            (Self::Full, ..=1_000) => 31,
            (Self::Full, ..=10_000) => 15,
            (Self::Full, _) => 9,
        }
    }

    /// How often rules are taken out and their repair is waited for.
    #[must_use]
    pub const fn repairs(self, ranges: usize, backend: Backend) -> usize {
        match (self, backend, ranges) {
            (Self::Quick, ..) => 14,
            // Each takes a sixth of a second.
            (Self::Full, Backend::Compat, 10_000..) => 200,
            (Self::Full, ..) => 1_000,
        }
    }

    /// How many resyncs of an idle agent, a second apart, are waited for.
    #[must_use]
    pub const fn resyncs(self) -> usize {
        match self {
            Self::Quick => 2,
            Self::Full => 15,
        }
    }

    /// How many undisturbed samples of the cost of a new flow are taken of each set of rules.
    #[must_use]
    pub const fn flow_samples(self) -> usize {
        match self {
            Self::Quick => 2,
            Self::Full => 15,
        }
    }

    /// How long a sample of the cost of a new flow takes, in nanoseconds.
    #[must_use]
    pub const fn flow_sample_ns(self) -> f64 {
        match self {
            Self::Quick => 20e6,
            Self::Full => 100e6,
        }
    }
}
