//! What a question finds: rows, each of which compares ours with a peer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::agent::Versions;
use crate::figures::{Figure, Samples, Unit};

/// What one question found.
#[derive(Debug)]
pub struct Section<T = Samples> {
    /// The comparisons.
    pub rows: Vec<Row<T>>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
    /// What else is to be known of this measurement.
    pub notes: Vec<String>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<T = Samples> {
    /// What is measured of ours.
    pub ours: String,
    /// The number of ranges.
    pub ranges: usize,
    /// Ours.
    pub now: T,
    /// Ours, by the binary that it is compared with.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub before: Option<T>,
    /// What it is compared with, if anything.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer<T>>,
    /// What should be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
}

/// What somebody else takes for the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer<T> {
    /// Who, or by what.
    pub name: String,
    /// Theirs.
    pub measured: T,
}

/// What the medians should reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The peer takes at least so many times ours.
    TimesLess(f64),
    /// Ours is at most so many times the peer's.
    AtMostTimes(f64),
    /// Ours is at most so much.
    AtMost(f64),
}

/// [`Default::default`] of an option asks its value for a default, too, if serde derives for any value.
const fn none<T>() -> Option<T> {
    None
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), failures: Vec::new(), notes: Vec::new() }
    }
}

impl Section {
    /// Rows that are measured together. If that fails, or panics, the others stay.
    pub fn group(&mut self, what: &str, measure: impl FnOnce() -> Result<Vec<Row>>) {
        let result = catch_unwind(AssertUnwindSafe(measure)).unwrap_or_else(|_| Err(anyhow!("a panic; see above")));
        match result {
            Ok(rows) => self.rows.extend(rows),
            Err(error) => {
                eprintln!("failed: {what}: {error:#}");
                self.failures.push(format!("{what}: {error:#}"));
            }
        }
    }

    /// The same question answered again.
    pub fn again(&mut self, other: Self) {
        for row in other.rows {
            match self.rows.iter_mut().find(|known| known.is_of_the_same(&row)) {
                Some(known) => known.again(row),
                None => self.rows.push(row),
            }
        }
        for (known, new) in [(&mut self.failures, other.failures), (&mut self.notes, other.notes)] {
            let new: Vec<String> = new.into_iter().filter(|line| !known.contains(line)).collect();
            known.extend(new);
        }
    }
}

impl Row {
    /// A row of ours alone.
    pub fn new(ours: impl Into<String>, ranges: usize, samples: impl Into<Versions<Samples>>) -> Self {
        let Versions { now, before } = samples.into();
        Self { ours: ours.into(), ranges, now, before, peer: None, goal: None }
    }

    /// The same with a peer.
    #[must_use]
    pub fn against(self, name: impl Into<String>, measured: &Samples) -> Self {
        Self { peer: Some(Peer { name: name.into(), measured: measured.clone() }), ..self }
    }

    /// The same with a goal, if it has one.
    #[must_use]
    pub fn with_goal(self, goal: impl Into<Option<Goal>>) -> Self {
        Self { goal: goal.into(), ..self }
    }

    fn is_of_the_same(&self, other: &Self) -> bool {
        let peer = |row: &Self| row.peer.as_ref().map(|peer| peer.name.clone());
        self.ours == other.ours && self.ranges == other.ranges && peer(self) == peer(other)
    }

    fn again(&mut self, other: Self) {
        self.now.again(other.now);
        if let (Some(known), Some(new)) = (&mut self.before, other.before) {
            known.again(new);
        }
        if let (Some(known), Some(new)) = (&mut self.peer, other.peer) {
            known.measured.again(new.measured);
        }
    }

    /// What is kept of it.
    #[must_use]
    pub fn figures(&self) -> Row<Figure> {
        Row {
            ours: self.ours.clone(),
            ranges: self.ranges,
            now: self.now.figure(),
            before: self.before.as_ref().map(Samples::figure),
            peer: self.peer.as_ref().map(|peer| Peer { name: peer.name.clone(), measured: peer.measured.figure() }),
            goal: self.goal,
        }
    }
}

impl Row<Figure> {
    /// Whether it reaches its goal, if it has one.
    #[must_use]
    pub fn reached(&self) -> Option<bool> {
        let ours = self.now.median;
        let theirs = self.peer.as_ref().map(|peer| peer.measured.median);
        match self.goal? {
            Goal::TimesLess(times) => theirs.map(|theirs| theirs >= times * ours),
            Goal::AtMostTimes(times) => theirs.map(|theirs| ours <= times * theirs),
            Goal::AtMost(value) => Some(ours <= value),
        }
    }

    /// How many times ours the peer takes, in each round. Nothing if either is not repeatable, so that no ratio can be given.
    #[must_use]
    pub fn ratios(&self) -> Option<Vec<f64>> {
        let theirs = &self.peer.as_ref()?.measured;
        // What is subtracted can leave nothing, and nothing is no divisor.
        let positive = |figure: &Figure| figure.rounds.iter().all(|value| *value > 0.0);
        let holds = self.now.is_repeatable() && theirs.is_repeatable() && positive(&self.now) && positive(theirs);
        holds.then(|| self.now.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| theirs / ours).collect())
    }
}

/// A peer's figure that is known, and not measured: the same in every round.
#[must_use]
pub fn known(value: f64) -> Samples {
    Samples::new(Unit::Time, vec![value])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: f64) -> Samples {
        Samples::new(Unit::Time, vec![value])
    }

    #[test]
    fn a_second_round_adds_to_the_rows_of_the_first_and_failures_lose_no_row() {
        let mut first = Section::default();
        first.group("a", || Ok(vec![Row::new("a", 4, samples(1.0)).against("peer", &samples(2.0))]));
        first.group("b", || Err(anyhow!("no such program")));
        first.group("c", || {
            let nothing: [u8; 0] = [];
            #[expect(clippy::indexing_slicing, reason = "a panic is what is wanted")]
            Ok(vec![Row::new("c", usize::from(nothing[usize::from(std::env::args().count() == 0)]), samples(1.0))])
        });
        let mut second = Section::default();
        second.group("a", || Ok(vec![Row::new("a", 4, samples(1.1)).against("peer", &samples(2.2))]));
        second.group("b", || Ok(vec![Row::new("b", 4, samples(1.0))]));
        first.again(second);
        let rows: Vec<Row<Figure>> = first.rows.iter().map(Row::figures).collect();
        let ours: Vec<&str> = rows.iter().map(|row| row.ours.as_str()).collect();
        assert_eq!(ours, ["a", "b"]);
        assert_eq!(rows.iter().map(|row| row.now.rounds.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(rows.first().and_then(Row::ratios), Some(vec![2.0, 2.0]));
        assert_eq!(rows.get(1).and_then(Row::ratios), None);
        assert_eq!(first.failures, ["b: no such program", "c: a panic; see above"]);
    }

    #[test]
    fn a_ratio_to_a_figure_that_is_not_repeatable_is_not_given() {
        let mut row = Row::new("a", 4, samples(1.0)).against("peer", &samples(2.0));
        row.again(Row::new("a", 4, samples(1.0)).against("peer", &samples(3.0)));
        assert_eq!(row.figures().ratios(), None);
    }
}
