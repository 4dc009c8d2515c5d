//! How far a word is from another, for guessing what was meant.

/// The letters to insert, remove or replace until one word is the other (Levenshtein).
pub(crate) fn distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut above_left = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right) {
            let best = (before + 1).min(*cell + 1).min(above_left + usize::from(a != b));
            above_left = std::mem::replace(cell, best);
            before = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
