//! How much is measured.

use serde::{Deserialize, Serialize};

use crate::agent::Backend;

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// How often something that takes the longer, the more ranges there are, is repeated in each round.
    #[must_use]
    pub const fn repetitions(self, ranges: usize) -> usize {
        match (self, ranges) {
            (Self::Quick, _) => 2,
            (Self::Full, ..=1_000) => 16,
            (Self::Full, ..=10_000) => 8,
            (Self::Full, _) => 5,
        }
    }

    /// How often rules are taken out and their repair is waited for, in each round.
    #[must_use]
    pub const fn repairs(self, ranges: usize, backend: Backend) -> usize {
        match (self, backend, ranges) {
            (Self::Quick, ..) => 7,
            // Each takes a third of a second.
            (Self::Full, Backend::Compat, 10_000..) => 14,
            (Self::Full, ..) => 84,
        }
    }

    /// How many resyncs of an idle agent, a second apart, are waited for in each round.
    #[must_use]
    pub const fn resyncs(self) -> usize {
        match self {
            Self::Quick => 1,
            Self::Full => 5,
        }
    }

    /// How many undisturbed samples of the cost of a new flow are taken of each set of rules, in each round.
    #[must_use]
    pub const fn flow_samples(self) -> usize {
        match self {
            Self::Quick => 2,
            Self::Full => 8,
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
