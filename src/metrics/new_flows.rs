//! New flows, by what the rules decided about them: numbers that only grow, although the rules that count are replaced.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::backend::nftables::{CountedRule, FlowCounts, Handle};
use crate::net::{ChainName, Cidr, Family};
use crate::netlink::{NetlinkError, NetlinkSocket};
use crate::rules::TableId;

/// Reading the counters takes at most one part in so many of the time: a list of many thousand rules is not read at every
/// scrape.
const SHARE: u32 = 20;

/// So many ranges have a number of their own, the first in the order of the rules.
const MOST_RANGES: usize = 128;

/// Reads the counters of the agent's rules when it is asked, and adds them up.
#[derive(Debug)]
pub(super) struct NewFlows {
    chain: ChainName,
    /// `None` before the first reading, and after one that failed.
    counts: Option<FlowCounts<NetlinkSocket>>,
    not_before: Option<Instant>,
    totals: FlowTotals,
}

/// New flows since the first reading, and those that the rules had counted until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowTotals {
    pub(super) by_verdict: BTreeMap<(Family, &'static str), u64>,
    /// `None` if they are not told (`--metrics-ranges`).
    pub(super) by_range: Option<BTreeMap<Cidr, u64>>,
    /// What each rule had counted at the last reading.
    pub(super) seen: BTreeMap<(TableId, Handle), u64>,
}

impl NewFlows {
    pub(super) fn new(chain: ChainName, families: &[Family], tells_ranges: bool) -> Self {
        let totals = FlowTotals::new(families, tells_ranges);
        Self { chain, counts: None, not_before: None, totals }
    }

    /// The totals as they are now, or as they were at the last reading if that was a short time ago, or fails.
    pub(super) fn read(&mut self) -> &FlowTotals {
        let began = Instant::now();
        if self.not_before.is_some_and(|at| began < at) {
            return &self.totals;
        }
        match self.counted() {
            Ok(rules) => self.totals.add(&rules),
            Err(error) => {
                self.counts = None;
                debug!(event = "counters_not_read", %error, "the counters of the rules could not be read: {error}");
            }
        }
        self.not_before =
            Some(Instant::now() + began.elapsed().saturating_mul(SHARE - 1).min(Duration::from_secs(600)));
        &self.totals
    }

    fn counted(&mut self) -> Result<Vec<CountedRule>, NetlinkError> {
        let mut counts = match self.counts.take() {
            Some(counts) => counts,
            None => FlowCounts::open()?,
        };
        let rules = counts.read(&self.chain);
        self.counts = Some(counts);
        rules
    }
}

impl FlowTotals {
    fn new(families: &[Family], tells_ranges: bool) -> Self {
        let verdicts = families.iter().flat_map(|family| [(*family, "kept"), (*family, "masqueraded")]);
        Self {
            by_verdict: verdicts.map(|verdict| (verdict, 0)).collect(),
            by_range: tells_ranges.then(BTreeMap::new),
            seen: BTreeMap::new(),
        }
    }

    /// Adds what the rules have counted since the last reading. A rule that is new, or has counted less than before, began
    /// at 0 in between.
    fn add(&mut self, rules: &[CountedRule]) {
        let mut seen = BTreeMap::new();
        let before = self.by_range.take();
        let mut by_range = before.as_ref().map(|_| BTreeMap::new());
        for rule in rules {
            let key = (rule.table, rule.handle);
            let counted = self.seen.get(&key).and_then(|seen| rule.flows.checked_sub(*seen)).unwrap_or(rule.flows);
            seen.insert(key, rule.flows);
            let verdict = if rule.is_masqueraded { "masqueraded" } else { "kept" };
            *self.by_verdict.entry((rule.table.family, verdict)).or_default() += counted;
            if let (Some(range), Some(before), Some(by_range)) = (rule.range, &before, &mut by_range)
                && (by_range.contains_key(&range) || by_range.len() < MOST_RANGES)
            {
                let total = by_range.entry(range).or_insert_with(|| before.get(&range).copied().unwrap_or_default());
                *total += counted;
            }
        }
        (self.seen, self.by_range) = (seen, by_range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(handle: u64, is_masqueraded: bool, flows: u64, range: Option<&str>) -> CountedRule {
        let range = range.map(|range| range.parse().unwrap());
        CountedRule { table: TableId::nat(Family::Ipv4), handle: Handle(handle), is_masqueraded, range, flows }
    }

    #[test]
    fn the_numbers_grow_by_what_each_rule_counted_also_over_rules_that_are_replaced() {
        let mut totals = FlowTotals::new(&[Family::Ipv4], true);
        let read = |totals: &FlowTotals| {
            let ranges = totals.by_range.as_ref().unwrap();
            let range = ranges.get(&"10.0.0.0/8".parse().unwrap()).copied();
            (totals.by_verdict[&(Family::Ipv4, "kept")], totals.by_verdict[&(Family::Ipv4, "masqueraded")], range)
        };
        assert_eq!(read(&totals), (0, 0, None));
        for (rules, expected) in [
            (vec![rule(1, false, 5, Some("10.0.0.0/8")), rule(2, true, 7, None)], (5, 7, Some(5))),
            (vec![rule(1, false, 6, Some("10.0.0.0/8")), rule(2, true, 7, None)], (6, 7, Some(6))),
            // The same rules anew, under other numbers.
            (vec![rule(3, false, 2, Some("10.0.0.0/8")), rule(4, true, 1, None)], (8, 8, Some(8))),
            // A table anew, which begins to number again.
            (vec![rule(3, false, 1, Some("10.0.0.0/8")), rule(4, true, 1, None)], (9, 8, Some(9))),
            (vec![], (9, 8, None)),
        ] {
            totals.add(&rules);
            assert_eq!(read(&totals), expected, "after {rules:?}");
        }
    }

    #[test]
    fn no_more_than_the_first_ranges_have_a_number_of_their_own_and_none_if_they_are_not_asked_for() {
        let rules: Vec<CountedRule> =
            (0..200).map(|number| rule(number, false, 1, Some(&format!("10.0.{number}.0/24")))).collect();
        let mut totals = FlowTotals::new(&[Family::Ipv4], true);
        totals.add(&rules);
        assert_eq!(totals.by_range.as_ref().unwrap().len(), MOST_RANGES);
        assert_eq!(totals.by_verdict[&(Family::Ipv4, "kept")], 200);
        let mut totals = FlowTotals::new(&[Family::Ipv4], false);
        totals.add(&rules);
        assert_eq!(totals.by_range, None);
    }
}
