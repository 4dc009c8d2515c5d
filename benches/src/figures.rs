//! Samples, what is said of them, and measuring several things in turn.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::agent::Versions;

/// What was measured of one thing, in one unit, in one round or in several. No round is empty.
#[derive(Clone, Debug)]
pub struct Samples {
    unit: Unit,
    /// Each in ascending order.
    rounds: Vec<Vec<f64>>,
}

/// What the numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Time,
    /// Bytes.
    Memory,
}

/// What is kept of samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    unit: Unit,
    /// The one in the middle of all rounds' samples.
    pub median: f64,
    least: f64,
    lower_quartile: f64,
    upper_quartile: f64,
    count: usize,
    /// The median of each round.
    pub rounds: Vec<f64>,
}

/// Medians of two rounds that differ by more than this share of the smaller one say that the figure is not repeatable.
pub const REPEATABLE: f64 = 0.25;

type Measure<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Things that are measured in turn. Each call prepares what it needs and gives one sample.
pub struct Turns<'a> {
    unit: Unit,
    contenders: Vec<(String, Measure<'a>)>,
}

/// The samples of each contender, by the number that [`Turns::add`] gave it.
#[derive(Debug)]
pub struct Taken(Vec<Samples>);

impl<'a> Turns<'a> {
    /// Nothing yet, of which durations are taken.
    #[must_use]
    pub const fn of_time() -> Self {
        Self { unit: Unit::Time, contenders: Vec::new() }
    }

    /// Nothing yet, of which numbers of bytes are taken.
    #[must_use]
    pub const fn of_memory() -> Self {
        Self { unit: Unit::Memory, contenders: Vec::new() }
    }

    /// One contender more.
    pub fn add(&mut self, name: impl Into<String>, mut measure: impl FnMut() -> Result<Duration> + 'a) -> usize {
        self.add_number(name, move || Ok(measure()?.as_secs_f64()))
    }

    /// One contender more, whose samples are numbers of the unit.
    pub fn add_number(&mut self, name: impl Into<String>, measure: impl FnMut() -> Result<f64> + 'a) -> usize {
        self.contenders.push((name.into(), Box::new(measure)));
        self.contenders.len() - 1
    }

    /// The same of each version, each with what belongs to it.
    pub fn add_each<T>(
        &mut self,
        name: &str,
        versions: &'a Versions<T>,
        measure: impl Fn(&T) -> Result<Duration> + Copy + 'a,
    ) -> Versions<usize> {
        self.add_numbers(name, versions, move |of| Ok(measure(of)?.as_secs_f64()))
    }

    /// The same with numbers of the unit.
    pub fn add_numbers<T>(
        &mut self,
        name: &str,
        versions: &'a Versions<T>,
        measure: impl Fn(&T) -> Result<f64> + Copy + 'a,
    ) -> Versions<usize> {
        let mut add = |version: &str, of: &'a T| self.add_number(format!("{name}{version}"), move || measure(of));
        Versions { now: add("", &versions.now), before: versions.before.as_ref().map(|of| add(", before", of)) }
    }

    /// Measures them in turn, so many times each, after one turn that does not count.
    pub fn take(mut self, repetitions: usize) -> Result<Taken> {
        let mut taken = vec![Vec::new(); self.contenders.len()];
        for turn in 0..=repetitions {
            for ((name, measure), taken) in self.contenders.iter_mut().zip(&mut taken) {
                let sample = measure().with_context(|| format!("measuring {name}"))?;
                if turn > 0 {
                    taken.push(sample);
                }
            }
        }
        Ok(Taken(taken.into_iter().map(|taken| Samples::new(self.unit, taken)).collect()))
    }
}

impl Taken {
    /// Those of one contender.
    pub fn of(&self, contender: usize) -> Result<Samples> {
        self.0.get(contender).cloned().context("no such contender")
    }

    /// Those of each version.
    pub fn of_each(&self, contenders: &Versions<usize>) -> Result<Versions<Samples>> {
        contenders.each(|contender| self.of(*contender))
    }
}

impl Samples {
    /// Samples of one round, in any order.
    #[must_use]
    pub fn new(unit: Unit, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { unit, rounds: vec![samples] }
    }

    /// The same thing measured again at another time.
    pub fn again(&mut self, other: Self) {
        self.rounds.extend(other.rounds);
    }

    /// The one in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The samples less a constant.
    #[must_use]
    pub fn less(&self, constant: f64) -> Self {
        self.each(|sample| sample - constant)
    }

    /// The samples divided by a constant.
    #[must_use]
    pub fn divided(&self, constant: f64) -> Self {
        self.each(|sample| sample / constant)
    }

    fn each(&self, of: impl Fn(f64) -> f64) -> Self {
        let rounds = self.rounds.iter().map(|round| round.iter().copied().map(&of).collect());
        Self { unit: self.unit, rounds: rounds.collect() }
    }

    /// The one of all rounds below which this share of all lies.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut all = self.rounds.concat();
        all.sort_by(f64::total_cmp);
        quantile(&all, share)
    }

    /// What is kept of them.
    #[must_use]
    pub fn figure(&self) -> Figure {
        Figure {
            unit: self.unit,
            median: rounded(self.median()),
            least: rounded(self.quantile(0.0)),
            lower_quartile: rounded(self.quantile(0.25)),
            upper_quartile: rounded(self.quantile(0.75)),
            count: self.rounds.iter().map(Vec::len).sum(),
            rounds: self.rounds.iter().map(|round| rounded(quantile(round, 0.5))).collect(),
        }
    }
}

/// To five digits, which are more than hold.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The one of sorted samples below which this share of them lies.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a place below it")]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

impl Figure {
    /// Whether it was taken in two rounds that agree.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.rounds.len() > 1 && most - least <= REPEATABLE * least.abs()
    }

    /// A number in the unit of this figure, for people.
    #[must_use]
    pub fn written(&self, value: f64) -> String {
        self.unit.written(value)
    }

    /// The median, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.written(self.median)
    }
}

impl fmt::Display for Figure {
    /// `2.41 ms (min 2.32 ms; 2.38 ms–2.55 ms; 18; rounds 2.40 ms, 2.44 ms)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, lower, upper] =
            [self.median, self.least, self.lower_quartile, self.upper_quartile].map(|value| self.written(value));
        let rounds: Vec<String> = self.rounds.iter().map(|value| self.written(*value)).collect();
        let rounds = match self.rounds.len() {
            1 => "one round only".to_owned(),
            _ => format!("rounds {}", rounds.join(", ")),
        };
        if self.count == self.rounds.len() {
            write!(f, "{median} ({rounds})")?;
        } else {
            write!(f, "{median} (min {least}; {lower}–{upper}; {}; {rounds})", self.count)?;
        }
        if self.rounds.len() > 1 && !self.is_repeatable() {
            f.write_str(" **not repeatable**")?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_rounds(rounds: &[&[f64]]) -> Figure {
        let mut all = rounds.iter().map(|round| Samples::new(Unit::Time, round.to_vec()));
        let mut first = all.next().unwrap_or_else(|| Samples::new(Unit::Time, Vec::new()));
        all.for_each(|again| first.again(again));
        first.figure()
    }

    #[test]
    fn a_figure_is_repeatable_if_the_medians_of_its_rounds_are_within_a_quarter() {
        for (rounds, repeatable) in [
            (&[&[1.0, 2.0, 3.0][..], &[2.4, 2.5, 9.0]][..], true),
            (&[&[1.0, 2.0, 3.0], &[2.6, 2.6, 2.6]], false),
            (&[&[2.6, 2.6, 2.6], &[1.0, 2.0, 3.0]], false),
            (&[&[2.0, 2.0, 2.0]], false),
            (&[&[-1.0], &[1.0]], false),
        ] {
            let figure = in_rounds(rounds);
            assert_eq!(figure.is_repeatable(), repeatable, "{figure}");
        }
    }

    #[test]
    fn a_figure_says_its_spread_and_the_median_of_each_round() {
        let figure = in_rounds(&[&[1e-3, 2e-3, 3e-3], &[4e-3, 5e-3, 6e-3]]);
        let text = "4.00 ms (min 1.00 ms; 2.00 ms–5.00 ms; 6; rounds 2.00 ms, 5.00 ms) **not repeatable**";
        assert_eq!(figure.to_string(), text);
        assert_eq!(in_rounds(&[&[1.0]]).to_string(), "1.00 s (one round only)");
    }

    #[test]
    fn contenders_are_measured_in_turn_and_the_first_turn_does_not_count() -> Result<()> {
        let order = std::cell::RefCell::new(String::new());
        let versions = Versions { now: 'n', before: Some('b') };
        let mut turns = Turns::of_time();
        let ours = turns.add_each("ours", &versions, |version| {
            order.borrow_mut().push(*version);
            Ok(Duration::from_secs(1))
        });
        let peer = turns.add("peer", || {
            order.borrow_mut().push('p');
            Ok(Duration::from_secs(u64::try_from(order.borrow().len())?))
        });
        let taken = turns.take(2)?;
        assert_eq!(*order.borrow(), "nbpnbpnbp");
        assert_eq!(taken.of_each(&ours)?.before.map(|samples| samples.figure().count), Some(2));
        assert_eq!(taken.of(peer)?.figure().least.to_string(), "6");
        Ok(())
    }
}
