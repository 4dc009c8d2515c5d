//! How the node is, from what was reported: for probes, for `/status`, and for metrics.
//!
//! [`NodeState`] is a plain value that reports are added to, one after the other; what is asked of it are pure functions.

pub(crate) mod json;
mod problem;
mod pulse;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod totals;
mod verdict;
mod watchdog;

pub(crate) use json::{Status, status};
pub use problem::Problem;
pub use pulse::Pulse;
pub use shared::Health;
pub use totals::{Histogram, Totals};
pub use verdict::{Kind, Reason, Surroundings, live, ready};
pub use watchdog::Watchdog;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backend::Process;
use crate::config::{Location, ReadError, SourcePaths};
use crate::last_good::{ActiveConfig, FileStatus};
use crate::net::Family;
use crate::policy::Fingerprint;
use crate::report::{ConflictNews, Counters, PassReport, PassResult, Report};
use crate::rules::{Layout, Protection};

/// What stays the same for the agent's life.
#[derive(Debug)]
pub struct Setup {
    /// The configuration files.
    pub paths: SourcePaths,
    /// The families that are treated.
    pub families: Vec<Family>,
    /// An address of the host (`HOST_IP`), if it is known.
    pub host: Option<IpAddr>,
    /// When the agent was started.
    pub started: SystemTime,
}

/// All that is known of the node.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub(crate) setup: Arc<Setup>,
    /// What the files were when they were last read; `None` before that.
    pub(crate) file: Option<FileState>,
    /// What the rules shall follow; `None` before the first pass has ended.
    pub(crate) policy: Option<PolicyState>,
    /// What they followed when they were last in force: the fingerprint and the origin of a policy. `None` if this agent
    /// has not brought any into force so far.
    pub(crate) followed: Option<(Option<Fingerprint>, &'static str)>,
    /// What carried the rules when they were last in force.
    pub(crate) backend: Option<BackendState>,
    /// Why the rules are not in force, or not known to be.
    pub(crate) failure: Option<FailureState>,
    /// A conflict that is under way.
    pub(crate) conflict: Option<ConflictState>,
    /// When the rules of each family were last seen to be in force.
    pub(crate) verified: BTreeMap<Family, SystemTime>,
    /// The last failure, over or not.
    pub(crate) last_error: Option<(SystemTime, String)>,
    pub(crate) counters: Counters,
    pub(crate) totals: Totals,
}

/// What a reading of the files came to.
#[derive(Clone, Debug)]
pub(crate) struct FileState {
    /// `valid`, `missing` or `invalid`.
    pub(crate) state: &'static str,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Something that is wrong with the files, or odd.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    pub(crate) is_error: bool,
    pub(crate) file: String,
    pub(crate) line: Option<u32>,
    /// The whole of it, with file and line.
    pub(crate) text: String,
}

/// The policy that the rules shall follow.
#[derive(Clone, Debug)]
pub(crate) struct PolicyState {
    pub(crate) origin: &'static str,
    /// In words.
    pub(crate) words: String,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Whether it is something else than what the file, or its absence, says.
    pub(crate) is_degraded: bool,
    /// Since when it has been in force; `None` if it has not come into force.
    pub(crate) in_force_since: Option<SystemTime>,
    /// How often the rules are looked at.
    pub(crate) resync_interval: Duration,
    /// How many ranges the configuration lists, of each family that is treated.
    pub(crate) ranges: BTreeMap<Family, usize>,
}

/// What carries the rules.
#[derive(Clone, Debug)]
pub(crate) struct BackendState {
    pub(crate) name: &'static str,
    pub(crate) is_protected: bool,
    pub(crate) why: String,
    pub(crate) refused: Vec<String>,
}

/// Why the rules are not in force.
#[derive(Clone, Debug)]
pub(crate) struct FailureState {
    pub(crate) result: &'static str,
    pub(crate) text: String,
    /// Whether they could not be read, so that it is not known whether they are in force.
    pub(crate) is_of_reading: bool,
    /// Whether the kernel did not take them, although nobody else was in the way.
    pub(crate) is_refusal: bool,
}

/// Somebody undoes our rules again and again.
#[derive(Clone, Debug)]
pub(crate) struct ConflictState {
    pub(crate) since: SystemTime,
    pub(crate) repairs: u32,
    pub(crate) suspects: Vec<String>,
}

impl NodeState {
    /// Nothing was reported so far.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup: Arc::new(setup),
            file: None,
            policy: None,
            followed: None,
            backend: None,
            failure: None,
            conflict: None,
            verified: BTreeMap::new(),
            last_error: None,
            counters: Counters::default(),
            totals: Totals::default(),
        }
    }

    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        self.totals.add(report);
        match report {
            Report::Pass(report) => self.passed(report),
            Report::Stopping(counters) => self.counters = *counters,
            Report::Flows { .. } | Report::Save(_) | Report::Reloading | Report::Reloaded { .. } => {}
        }
    }

    fn passed(&mut self, report: &PassReport) {
        self.counters = report.counters;
        if let Some(status) = &report.file {
            self.file = Some(FileState::of(status, &self.setup.paths));
        }
        let policy = self.policy_after(report);
        if report.is_in_force() {
            self.followed = Some((policy.fingerprint, policy.origin));
        }
        self.policy = Some(policy);
        if let Some(backend) = &report.rules.backend {
            let (name, is_protected) = match backend.layout {
                Layout::IptablesNat => ("nft-compat", false),
                Layout::OwnTable(protection) => ("nft", protection == Protection::OwnerPersist),
            };
            let (why, refused) = (backend.text.clone(), backend.refused.clone());
            self.backend = Some(BackendState { name, is_protected, why, refused });
        }
        let failure = report.rules.failure.as_ref();
        for family in &self.setup.families {
            if failure.is_none_or(|failure| failure.unaffected.contains(family)) {
                self.verified.insert(*family, report.at);
            }
        }
        self.failure = failure.map(|failure| FailureState {
            result: report.result.name(),
            text: failure.text.clone(),
            is_of_reading: failure.is_of_reading,
            is_refusal: matches!(report.result, PassResult::Failed | PassResult::Stuck)
                && !failure.is_of_reading
                && failure.in_conflict.is_empty(),
        });
        // That others were faster is nothing to look into.
        if let (Some(failure), false) = (failure, report.result == PassResult::Overtaken) {
            self.last_error = Some((report.at, failure.text.clone()));
        }
        match &report.conflict {
            None => {}
            Some(ConflictNews::Ended) => self.conflict = None,
            Some(ConflictNews::Started { repairs, suspects, .. }) => {
                let suspects = suspects.iter().map(Process::to_string).collect();
                self.conflict = Some(ConflictState { since: report.at, repairs: *repairs, suspects });
            }
        }
    }

    fn policy_after(&self, report: &PassReport) -> PolicyState {
        let (active, fingerprint) = (&report.active, report.fingerprint);
        let origin = origin(active);
        let before = self.policy.as_ref();
        let same = before.filter(|before| (before.fingerprint, before.origin) == (fingerprint, origin));
        let began = report.is_in_force().then_some(report.at);
        let ranges = match before.filter(|_| report.file.is_none() && same.is_some()) {
            Some(before) => before.ranges.clone(),
            None => ranges(active, &self.setup.families),
        };
        PolicyState {
            origin,
            words: active.to_string(),
            fingerprint,
            is_degraded: active.is_degraded(),
            in_force_since: same.and_then(|same| same.in_force_since).or(began),
            resync_interval: active.config().resync_interval.value.into(),
            ranges,
        }
    }
}

/// Where a policy comes from, in the words of metrics.
const fn origin(active: &ActiveConfig) -> &'static str {
    match active {
        ActiveConfig::File { is_outdated: false, .. } => "file",
        ActiveConfig::File { is_outdated: true, .. } | ActiveConfig::LastKnownGood(_) => "last_known_good",
        ActiveConfig::KernelRules { .. } => "standing",
        ActiveConfig::NoFile { .. } | ActiveConfig::Defaults(_) => "defaults",
    }
}

fn ranges(active: &ActiveConfig, families: &[Family]) -> BTreeMap<Family, usize> {
    let mut counts: BTreeMap<Family, usize> = families.iter().map(|family| (*family, 0)).collect();
    // No configuration says what the kernel held.
    if !active.is_kernel_rules_alone() {
        for entry in &active.config().non_masquerade_cidrs {
            if let Some(count) = counts.get_mut(&entry.cidr.family()) {
                *count += 1;
            }
        }
    }
    counts
}

impl FileState {
    /// The state of a file that is not there.
    pub(crate) const MISSING: &'static str = "missing";

    fn of(status: &FileStatus, paths: &SourcePaths) -> Self {
        let diagnostic = |is_error, location: Option<Location>, text| {
            let (file, line) = paths.file_and_line(location);
            Diagnostic { is_error, file, line, text }
        };
        match status {
            FileStatus::Valid(warnings) => Self {
                state: "valid",
                diagnostics: warnings
                    .iter()
                    .map(|warning| diagnostic(false, warning.location(), warning.in_files(paths)))
                    .collect(),
            },
            FileStatus::Missing => Self { state: Self::MISSING, diagnostics: Vec::new() },
            FileStatus::Unusable { error, .. } => Self {
                state: if matches!(error, ReadError::Missing(_)) { Self::MISSING } else { "invalid" },
                diagnostics: error
                    .problems()
                    .into_iter()
                    .map(|(location, problem)| diagnostic(true, location, problem))
                    .collect(),
            },
        }
    }
}
