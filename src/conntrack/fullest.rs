//! Which remote end has the most flows, of any number of flows to any number of remote ends, in bounded memory.

use std::collections::BTreeMap;

/// Counts flows by what distinguishes them, the key.
///
/// As long as there are no more keys than `most`, every count is exact. With more, the smaller half of the counters is
/// dropped each time the table is full, after as much as the largest of that half has counted was taken from all (Misra and
/// Gries, "Finding repeated elements", 1982, done for many at a time). So no key has lost more than [`Fullest::lost`], and
/// that is at most twice the number of flows divided by `most`: a key with more flows than that is surely still in the table.
/// [`Fullest::recount`] then counts these anew, and exactly.
#[derive(Debug)]
pub(super) struct Fullest<K> {
    counts: BTreeMap<K, u32>,
    most: usize,
    lost: u32,
    takes_new: bool,
}

impl<K: Copy + Ord> Fullest<K> {
    /// Nothing is counted; at most so many keys will be.
    pub(super) const fn new(most: usize) -> Self {
        Self { counts: BTreeMap::new(), most, lost: 0, takes_new: true }
    }

    /// Counts one.
    pub(super) fn add(&mut self, key: K) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count = count.saturating_add(1);
        } else if self.takes_new {
            if self.counts.len() >= self.most {
                self.drop_half();
            }
            self.counts.insert(key, 1);
        }
    }

    /// How many of its flows a key has lost at most: if none, all counts are exact.
    pub(super) const fn lost(&self) -> u32 {
        self.lost
    }

    /// Begins again, with the keys that are in the table and no others.
    pub(super) fn recount(&mut self) {
        self.takes_new = false;
        self.counts.values_mut().for_each(|count| *count = 0);
    }

    /// The keys with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&K, u32)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }

    fn drop_half(&mut self) {
        let mut counts: Vec<u32> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, taken, _) = counts.select_nth_unstable(middle);
        let taken = *taken;
        self.lost = self.lost.saturating_add(taken);
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(taken);
            *count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn with_room_for_all_keys_every_count_is_exact() {
        let mut fullest = Fullest::new(4);
        for key in [1, 2, 1, 3, 1, 4] {
            fullest.add(key);
        }
        assert_eq!(fullest.counts().collect::<Vec<_>>(), [(&1, 3), (&2, 1), (&3, 1), (&4, 1)]);
        assert_eq!(fullest.lost(), 0);
    }

    #[test]
    fn one_full_remote_end_is_found_and_counted_among_half_a_million_others() {
        let mut fullest = Fullest::new(1_024);
        // Those with many are spread over all, and each of the others comes once.
        let keys = || (0..500_000_u32).map(|number| if number % 500 == 0 { 7 } else { number | 1 << 24 });
        keys().for_each(|key| fullest.add(key));
        assert!((1..1_000).contains(&fullest.lost()), "{}", fullest.lost());
        assert!(fullest.counts.len() <= 1_024);
        fullest.recount();
        keys().for_each(|key| fullest.add(key));
        assert_eq!(fullest.counts().max_by_key(|(_, count)| *count), Some((&7, 1_000)));
    }

    proptest! {
        #[test]
        fn a_key_loses_no_more_than_is_said_and_a_recount_is_exact(
            keys in proptest::collection::vec(0_u16..60, 0..2_000), most in 2_usize..40,
        ) {
            let mut fullest = Fullest::new(most);
            for key in &keys {
                fullest.add(*key);
            }
            let counted: BTreeMap<u16, u32> = fullest.counts().map(|(key, count)| (*key, count)).collect();
            prop_assert!(counted.len() <= most);
            prop_assert!(fullest.lost() as usize <= 2 * keys.len() / most);
            let lost = fullest.lost();
            fullest.recount();
            for key in &keys {
                fullest.add(*key);
            }
            let exact: BTreeMap<u16, u32> = fullest.counts().map(|(key, count)| (*key, count)).collect();
            for key in 0..60 {
                let times = u32::try_from(keys.iter().filter(|other| **other == key).count()).unwrap();
                let known = counted.get(&key).copied().unwrap_or_default();
                prop_assert!(known <= times && times <= known + lost, "{}: {} of {}, {} lost", key, known, times, lost);
                prop_assert!(exact.get(&key).is_none_or(|count| *count == times));
            }
        }
    }
}
