//! The report of a pass over the rules, as one value for all observers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::backend::{ChangeLine, Commits, Heard, Object, PassTimes, Process};
use crate::last_good::{ActiveConfig, FileStatus};
use crate::net::Family;
use crate::policy::Fingerprint;
use crate::rules::{Layout, TableId};

/// Everything that there is to say of one pass. It borrows nothing, so that an observer may keep it for as long as it
/// likes.
#[derive(Debug)]
pub struct PassReport {
    /// Why the pass was made.
    pub cause: Cause,
    /// When it ended.
    pub at: SystemTime,
    /// What was new about the configuration file; `None` if it is unchanged.
    pub file: Option<FileStatus>,
    /// What was done to the rules, or why that failed.
    pub rules: RulesReport,
    /// How the pass ended.
    pub result: PassResult,
    /// The time that it took.
    pub took: PassTimes,
    /// The families of which rules that had been in force were put back.
    pub repaired: Vec<Family>,
    /// What the rules shall follow after it.
    pub active: ActiveConfig,
    /// The fingerprint of the policy of that; `None` while rules of an unknown origin are left standing.
    pub fingerprint: Option<Fingerprint>,
    /// When the rules were last read and found in force.
    pub last_in_force: Option<LastInForce>,
    /// Whether a conflict started or ended with it.
    pub conflict: Option<ConflictNews>,
    /// Who committed since the pass before.
    pub heard: Heard,
    /// The time from hearing of others' commits until what they had undone was read back.
    pub repair_delay: Option<Duration>,
    /// What the pass committed.
    pub commits: Commits,
    /// What was done since the start, this pass included.
    pub counters: Counters,
}

/// Why a pass was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The agent starts.
    Start,
    /// Something is new about the configuration file.
    FileChanged,
    /// The operator asked for the configuration file to be read again, and it is unchanged.
    FileUnchanged,
    /// The operator wants everything looked at again (SIGHUP).
    Reload,
    /// The resync interval is over.
    Tick,
    /// It is time to try again what failed.
    Retry,
    /// It is time to read long lists again, which were taken to be what they were when others committed.
    Verify,
    /// Another program has committed rules.
    RulesChanged,
}

/// What was done to the rules, or why that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesReport {
    /// Whether it is known what was found and done. It is not if nothing was read, because no rule was changed since
    /// ours were last seen in force, and not if reading failed for all families.
    pub was_read: bool,
    /// Which layout the kernel takes.
    pub backend: Option<BackendReport>,
    /// How many changes were committed.
    pub changes: usize,
    /// The first of them, a line each; all of them if the log is at the debug level.
    pub change_lines: Vec<ChangeLine>,
    /// How many of them there are of each kind of object of each family.
    pub objects: BTreeMap<(Family, Object), usize>,
    /// What was in the way or went wrong, and was overcome, in sentences.
    pub mishaps: Vec<String>,
    /// What was left undone, in sentences.
    pub left_undone: Vec<String>,
    /// What the operator should know of others' rules in the kernel, in sentences that stay the same while that does.
    pub warnings: Vec<String>,
    /// Why the rules of a family, or of all, are not in force.
    pub failure: Option<Failure>,
}

/// Which layout of rules the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendReport {
    /// The layout.
    pub layout: Layout,
    /// The backend selection in words.
    pub text: String,
    /// Whether the kernel was asked to take anything in that layout; not if all rules were left standing.
    pub was_asked: bool,
    /// Why layouts tried before it in this pass were refused.
    pub refused: Vec<String>,
}

/// Why the rules of a family, or of all, are not in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub text: String,
    /// Whether the rules could not even be read. Nothing is known of them then.
    pub is_of_reading: bool,
    /// Whether a privilege is missing, so that trying again is of no use.
    pub is_denied: bool,
    /// The families in whose way others have something, if that is the reason.
    pub in_conflict: Vec<Family>,
    /// The families that are in force all the same.
    pub unaffected: Vec<Family>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassResult {
    /// The rules are as they shall be: they were so already, or were brought in line with a new configuration.
    InForce,
    /// Somebody had changed them, and they are in force again.
    Repaired,
    /// Each repair was undone by another program before it was read back.
    Undone,
    /// Others committed so often that nothing could be put in place, or read. Nothing was undone, and nothing is wrong.
    Overtaken,
    /// The attempt failed; another may fare better.
    Failed,
    /// Another process owns a table that has to be changed, and may end at any moment.
    Owned(TableId),
    /// The attempt failed, and so will every other until the file, the rules or the system are changed.
    Stuck,
}

/// When the rules were last read and found in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastInForce {
    /// When.
    pub at: SystemTime,
    /// Whether the configuration has changed since.
    pub was_another_config: bool,
}

/// A conflict with a program that undoes the rules again and again starts or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictNews {
    /// From now on there are pauses between repairs.
    Started {
        /// How often they were repaired.
        repairs: u32,
        /// In which time.
        time: Duration,
        /// Who committed before.
        suspects: Vec<Process>,
    },
    /// The rules were left alone for a while. There are no more pauses.
    Ended,
}

/// What an agent has done since its start, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passes that were made, whatever for.
    pub passes: u64,
    /// Passes that repaired rules which another program had removed or changed.
    pub repairs: u64,
    /// Passes that could not bring the rules into force.
    pub failures: u64,
    /// Passes that could not read the rules, so that it is not known whether they are in force.
    pub failed_looks: u64,
    /// Commits of others that were heard of. When the kernel has more to tell than it can queue, it tells less.
    pub foreign_commits: u64,
    /// How often a conflict started: the rules were undone so often that repairs began to wait.
    pub conflicts: u64,
}

impl PassReport {
    /// Whether the rules of all families were read and found in force.
    #[must_use]
    pub const fn is_in_force(&self) -> bool {
        self.rules.failure.is_none()
    }

    /// Whether the rules of at least one family are in force.
    #[must_use]
    pub fn is_partly_in_force(&self) -> bool {
        self.rules.failure.as_ref().is_none_or(|failure| !failure.unaffected.is_empty())
    }
}

impl RulesReport {
    /// So many changes are reported line by line, and all of them at the debug level.
    pub(crate) const LINES: usize = 100;
}

impl Cause {
    /// Whether the resync interval begins anew with such a pass.
    #[must_use]
    pub const fn begins_the_interval(self) -> bool {
        matches!(self, Self::Start | Self::FileChanged | Self::Tick | Self::Reload)
    }

    /// Its name in structured logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::FileChanged => "file_changed",
            Self::FileUnchanged => "file_unchanged",
            Self::Reload => "reload",
            Self::Tick => "tick",
            Self::Retry => "retry",
            Self::Verify => "verify",
            Self::RulesChanged => "rules_changed",
        }
    }
}

impl PassResult {
    /// Its name in structured logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::Repaired => "repaired",
            Self::Undone => "undone",
            Self::Overtaken => "overtaken",
            Self::Failed => "failed",
            Self::Owned(_) => "owned",
            Self::Stuck => "stuck",
        }
    }
}
