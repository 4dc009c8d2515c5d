//! Lines that wait to be written: so many at most; lines beyond that are dropped and counted.

use std::collections::VecDeque;

/// So many lines wait at most.
const MOST_LINES: usize = 8 * 1024;
/// So many bytes wait at most, but for a single line that is longer.
const MOST_BYTES: usize = 1 << 20;

/// Lines in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// So many were dropped behind the last line.
    lost: u64,
}

/// A line, or nothing but a loss.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// So many lines before this one were dropped.
    pub(super) lost_before: u64,
    /// Empty if lines were dropped and none was added since.
    pub(super) entry: Entry,
}

/// What is written as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// For stderr.
    pub(super) text: Vec<u8>,
    /// For the journal, which is tried first; empty if it is not meant for that.
    pub(super) journal: Vec<u8>,
}

impl Queue {
    /// Whether there is room for a line of so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.lines.is_empty() || self.lines.len() < MOST_LINES && self.bytes + bytes <= MOST_BYTES
    }

    /// Takes a line in, or drops and counts it if there is no room.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.has_room(entry.len()) {
            self.bytes += entry.len();
            self.lines.push_back(Line { lost_before: std::mem::take(&mut self.lost), entry });
        } else {
            self.lost += 1;
        }
    }

    /// The oldest line; or, behind the last one, how many were dropped.
    pub(super) fn pop(&mut self) -> Option<Line> {
        match self.lines.pop_front() {
            Some(line) => {
                self.bytes -= line.entry.len();
                Some(line)
            }
            None if self.lost > 0 => {
                Some(Line { lost_before: std::mem::take(&mut self.lost), entry: Entry::default() })
            }
            None => {
                // The memory of a burst is returned.
                self.lines = VecDeque::new();
                None
            }
        }
    }
}

impl Entry {
    /// A line for stderr alone.
    pub(super) fn text(text: &[u8]) -> Self {
        Self { text: text.to_vec(), journal: Vec::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.text.len() + self.journal.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped_and_counted_where_it_is_missing() {
        for (text, room) in [("line\n".to_owned(), MOST_LINES), ("x".repeat(MOST_BYTES / 8), 8)] {
            let entry = Entry::text(text.as_bytes());
            let line = |lost_before| Line { lost_before, entry: entry.clone() };
            let mut queue = Queue::default();
            for _ in 0..room + 3 {
                queue.push(entry.clone());
            }
            assert_eq!(queue.pop(), Some(line(0)));
            queue.push(entry.clone());
            queue.push(entry.clone());
            for _ in 1..room {
                assert_eq!(queue.pop(), Some(line(0)));
            }
            assert_eq!(queue.pop(), Some(line(3)), "the three that are missing before it");
            assert_eq!(
                queue.pop(),
                Some(Line { lost_before: 1, entry: Entry::default() }),
                "the one that is missing behind it"
            );
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn a_single_line_of_any_length_has_room() {
        let mut queue = Queue::default();
        queue.push(Entry { journal: vec![b'x'; MOST_BYTES], text: vec![b'x'] });
        queue.push(Entry::text(b"another\n"));
        assert_eq!(queue.pop().unwrap().entry.len(), MOST_BYTES + 1);
        assert_eq!(queue.pop(), Some(Line { lost_before: 1, entry: Entry::default() }));
        queue.push(Entry::text(b"a third\n"));
        assert_eq!(queue.pop().unwrap().entry.text, b"a third\n");
    }
}
