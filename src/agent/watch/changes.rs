//! When files are to be read, from what was heard of them: a pure function of events and times.

use std::time::{Duration, Instant};

/// How long a writer may take until the file is read in spite of it. A writer that closes the file ends the wait, so this
/// is the delay only for one that keeps it open, and for a file that appears complete (a link).
pub(super) const WRITER_GRACE: Duration = Duration::from_millis(250);

/// Changes that follow on each other within this time are read together: a program that writes a file in two parts closes
/// it twice.
const BURST_GAP: Duration = Duration::from_millis(5);

/// A burst that lasts longer is cut.
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// What an event says about the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// All files were replaced by finished ones in one step: something was renamed over the only one, or kubelet swapped
    /// the link that leads to all of them.
    Replaced,
    /// A file is finished: its writer has closed it, or it is one of several and was replaced. More may follow.
    Finished,
    /// A file is being written.
    Written,
    /// Something that can happen while a file is being written and when it no longer is, such as a change of its owner.
    Touched,
    /// Anything else: a file is gone, or the way to it leads elsewhere.
    Other,
}

/// What was heard of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// When the first and the last of it was heard.
    span: Option<(Instant, Instant)>,
    /// When a writer was first seen at work.
    written_since: Option<Instant>,
    last_word: LastWord,
}

/// In what state a file was when something was last said about that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastWord {
    #[default]
    Changed,
    Replaced,
    Written,
}

impl Changes {
    /// Takes note of what is heard `now`.
    pub(super) fn add(&mut self, news: News, now: Instant) {
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
        self.last_word = match (news, self.last_word) {
            // What was replaced goes after that: kubelet removes the directory that it swapped out.
            (News::Replaced, _) | (News::Other, LastWord::Replaced) => LastWord::Replaced,
            (News::Finished | News::Other, _) => LastWord::Changed,
            (News::Written, _) => LastWord::Written,
            (News::Touched, before) => before,
        };
        if news == News::Written {
            self.written_since.get_or_insert(now);
        }
    }

    /// When to read the files, of which the last reading was at `last_reading`; `None` if nothing was heard.
    ///
    /// What was replaced is read at once, all else once there is silence. Readings are at least [`BURST_GAP`] apart,
    /// whatever happens to the files.
    pub(super) fn read_at(&self, last_reading: Option<Instant>) -> Option<Instant> {
        let (first, last) = self.span?;
        let gap_ends = last_reading.map(|reading| reading + BURST_GAP);
        let at = match self.last_word {
            LastWord::Replaced if gap_ends.is_none_or(|end| end <= first) => first,
            LastWord::Written => self.patience_ends().unwrap_or(last),
            LastWord::Replaced | LastWord::Changed => (last + BURST_GAP).min(first + LONGEST_BURST),
        };
        Some(gap_ends.map_or(at, |end| at.max(end)))
    }

    /// Whether what is read `now` may be half of what a writer is about to write.
    pub(super) fn may_be_half(&self, now: Instant) -> bool {
        self.last_word == LastWord::Written && self.patience_ends().is_some_and(|end| now < end)
    }

    /// Until when a writer is waited for.
    fn patience_ends(&self) -> Option<Instant> {
        self.written_since.map(|since| since + WRITER_GRACE)
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
