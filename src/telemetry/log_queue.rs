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
    pub(super) text: Vec<u8>,
}

impl Queue {
    /// Whether there is room for a line of so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.lines.is_empty() || self.lines.len() < MOST_LINES && self.bytes + bytes <= MOST_BYTES
    }

    /// Takes a line in, or drops and counts it if there is no room.
    pub(super) fn push(&mut self, text: &[u8]) {
        if self.has_room(text.len()) {
            self.bytes += text.len();
            self.lines.push_back(Line { lost_before: std::mem::take(&mut self.lost), text: text.to_vec() });
        } else {
            self.lost += 1;
        }
    }

    /// The oldest line; or, behind the last one, how many were dropped.
    pub(super) fn pop(&mut self) -> Option<Line> {
        match self.lines.pop_front() {
            Some(line) => {
                self.bytes -= line.text.len();
                Some(line)
            }
            None if self.lost > 0 => Some(Line { lost_before: std::mem::take(&mut self.lost), text: Vec::new() }),
            None => {
                // The memory of a burst is returned.
                self.lines = VecDeque::new();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped_and_counted_where_it_is_missing() {
        for (text, room) in [("line\n".to_owned(), MOST_LINES), ("x".repeat(MOST_BYTES / 8), 8)] {
            let line = |lost_before| Line { lost_before, text: text.clone().into_bytes() };
            let mut queue = Queue::default();
            for _ in 0..room + 3 {
                queue.push(text.as_bytes());
            }
            assert_eq!(queue.pop(), Some(line(0)));
            queue.push(text.as_bytes());
            queue.push(text.as_bytes());
            for _ in 1..room {
                assert_eq!(queue.pop(), Some(line(0)));
            }
            assert_eq!(queue.pop(), Some(line(3)), "the three that are missing before it");
            assert_eq!(
                queue.pop(),
                Some(Line { lost_before: 1, text: Vec::new() }),
                "the one that is missing behind it"
            );
            assert_eq!(queue.pop(), None);
        }
    }

    #[test]
    fn a_single_line_of_any_length_has_room() {
        let mut queue = Queue::default();
        queue.push(&vec![b'x'; MOST_BYTES + 1]);
        queue.push(b"another\n");
        assert_eq!(queue.pop().unwrap().text.len(), MOST_BYTES + 1);
        assert_eq!(queue.pop(), Some(Line { lost_before: 1, text: Vec::new() }));
        queue.push(b"a third\n");
        assert_eq!(queue.pop().unwrap().text, b"a third\n");
    }
}
