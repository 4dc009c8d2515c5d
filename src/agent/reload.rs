//! The reload that the operator asks for by SIGHUP: when it has ended, which a service manager wants to know.
//!
//! It ends with the pass over what the file's thread answered, for then what the file said at SIGHUP, or why it cannot be used,
//! is known. A further SIGHUP before that begins it anew.

use std::time::{Duration, Instant};

/// How long the answer of the file's thread is waited for: as long as at the start.
const PATIENCE: Duration = super::state::FIRST_LOOK;

/// The reload that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Reload {
    /// How many were asked for. The file's thread is asked with that number, as it may still be at an earlier one.
    number: u64,
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// The file is read, which is waited for until then.
    Reading(Instant),
    /// What was read waits for a pass.
    Read,
    /// That pass is under way.
    Passing,
}

impl Reload {
    /// The operator asks for one.
    pub(super) fn begin(&mut self, now: Instant) {
        self.number += 1;
        self.progress = Some(Progress::Reading(now + PATIENCE));
    }

    /// The number of the last one.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The file's thread has answered the ones up to this number.
    pub(super) fn answered(&mut self, number: u64) {
        if number == self.number && matches!(self.progress, Some(Progress::Reading(_))) {
            self.progress = Some(Progress::Read);
        }
    }

    /// A pass over what was read last begins.
    pub(super) fn pass_begins(&mut self) {
        if matches!(self.progress, Some(Progress::Read)) {
            self.progress = Some(Progress::Passing);
        }
    }

    /// A pass ends. Returns whether the reload ends with it.
    pub(super) fn pass_ends(&mut self) -> bool {
        self.progress.take_if(|progress| matches!(progress, Progress::Passing)).is_some()
    }

    /// When it is given up, if nothing happens before.
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.progress {
            Some(Progress::Reading(until)) => Some(until),
            _ => None,
        }
    }

    /// Gives it up, if that is due. The answer will be news of its own. Returns whether that is so.
    pub(super) fn is_given_up(&mut self, now: Instant) -> bool {
        self.progress.take_if(|progress| matches!(progress, Progress::Reading(until) if *until <= now)).is_some()
    }
}
