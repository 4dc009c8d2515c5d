//! Samples, what is said of them, and measuring several things in turn.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What was measured of one thing, in one unit. Never empty.
#[derive(Clone, Debug)]
pub struct Samples {
    unit: Unit,
    /// In ascending order.
    sorted: Vec<f64>,
}

/// What the numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Time,
    /// Bytes.
    Memory,
}

/// One of several things that are measured in turn. Each call prepares what it needs and gives one sample.
pub struct Contender<'a> {
    measure: Box<dyn FnMut() -> Result<f64> + 'a>,
    name: String,
}

impl<'a> Contender<'a> {
    /// A contender whose samples are durations.
    pub fn new(name: impl Into<String>, mut measure: impl FnMut() -> Result<Duration> + 'a) -> Self {
        let measure = Box::new(move || Ok(measure()?.as_secs_f64()));
        Self { measure, name: name.into() }
    }
}

/// Measures the contenders in turn, so many times each, after one round that does not count.
pub fn in_turn<const N: usize>(repetitions: usize, mut contenders: [Contender<'_>; N]) -> Result<[Samples; N]> {
    let mut taken: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=repetitions {
        for (contender, taken) in contenders.iter_mut().zip(&mut taken) {
            let sample = (contender.measure)().with_context(|| format!("measuring {}", contender.name))?;
            if round > 0 {
                taken.push(sample);
            }
        }
    }
    Ok(taken.map(|taken| Samples::new(Unit::Time, taken)))
}

impl Samples {
    /// Samples in any order.
    #[must_use]
    pub fn new(unit: Unit, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { unit, sorted: samples }
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The least.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.quantile(0.0)
    }

    /// The samples less a constant.
    #[must_use]
    pub fn less(&self, constant: f64) -> Self {
        Self { unit: self.unit, sorted: self.sorted.iter().map(|sample| sample - constant).collect() }
    }

    /// A number in the unit of these samples, for people.
    #[must_use]
    pub fn written(&self, value: f64) -> String {
        self.unit.written(value)
    }

    /// The one below which this share of all lies.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a place below that length"
    )]
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let place = (share * last as f64).round() as usize;
        self.sorted.get(place).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Samples {
    /// `2.41 ms (min 2.32, half within 2.38–2.55)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, lower, upper] = [0.5, 0.0, 0.25, 0.75].map(|share| self.unit.written(self.quantile(share)));
        match self.sorted.len() {
            1 => f.write_str(&median),
            count => write!(f, "{median} (min {least}; {lower}–{upper}; {count})"),
        }
    }
}

impl Unit {
    /// A number with its unit, three digits.
    #[must_use]
    pub fn written(self, value: f64) -> String {
        let (scale, name) = match (self, value.abs()) {
            (Self::Memory, _) => (f64::from(1 << 20), "MiB"),
            (Self::Time, ..1e-6) => (1e-9, "ns"),
            (Self::Time, ..1e-3) => (1e-6, "µs"),
            (Self::Time, ..1.0) => (1e-3, "ms"),
            (Self::Time, _) => (1.0, "s"),
        };
        format!("{} {name}", three_digits(value / scale))
    }
}

/// A number with three significant digits, not in powers of ten.
#[must_use]
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
