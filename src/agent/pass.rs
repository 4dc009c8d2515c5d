//! One pass of the agent: the policy made of what the file was found to say, the rules brought in line, and what there is to
//! say of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::config_files::{Content, FileNews};
use super::flow_worker::{FlowWorker, Report};
use super::flows::EarlierFlows;
use super::timed::{Timed, Took};
use super::{Counters, Event};
use crate::backend::nftables::{Generation, Plan};
use crate::backend::{Backend, Outcome, Protect, SelectError, Selected, Selection, Wanted};
use crate::config::{Config, Context, ReadError, Reading, Warning};
use crate::conntrack::Decisions;
use crate::conntrack::{ConntrackError, Fixed};
use crate::last_good::{Basis, Holding, Instead, Keeper, Save};
use crate::net::Family;
use crate::policy::{Flags, Policy};
use crate::rules::{Layout, Ruleset, TableId, compile};

/// The agent's memory between two passes.
#[derive(Debug)]
pub struct Agent<B> {
    backend: B,
    flags: Flags,
    /// The configuration in force, and the rules that follow from it.
    config: Config,
    selection: Selection,
    /// Where that configuration comes from, and what is done about rules that stand without it.
    basis: Basis,
    /// The generation in which the rules were last seen to be as they shall be.
    settled: Option<Generation>,
    /// The families of which the rules of the configuration in force were ever seen to be as they shall be.
    stood: BTreeSet<Family>,
    long_lists: LongLists,
    counters: Counters,
    /// What follows the policy beside the rules, and who does it; `None` if flows keep what they began with.
    flows: Option<(EarlierFlows, FlowWorker)>,
}

/// What one pass found and did.
#[derive(Debug)]
pub struct Pass {
    /// What is new about the file; `None` if it says what it said before.
    pub config: Option<ConfigNews>,
    /// What was done to the rules; `None` if they were not even looked at, because nobody has changed any.
    pub rules: Result<Option<Selected<Outcome>>, SelectError>,
    /// The time that this took.
    pub took: Took,
    /// Were rules that had been in force put back?
    pub repaired: bool,
    /// What the rules in force come from, if they are in force.
    pub holding: Option<Holding>,
    /// What is to be kept for the next start, of which [`Agent::kept`] is to hear. `None` if it is so already, is under way,
    /// or shall not be.
    pub keep: Option<Save>,
}

impl Pass {
    /// Are the rules of one family in force, and others have something in the way of the other's?
    pub(super) fn is_partly_in_force(&self) -> bool {
        let partial = self.rules.as_ref().err().and_then(SelectError::partial);
        partial.is_some_and(|partial| !partial.others.is_empty())
    }
}

/// Reading long lists takes at most one part in so many of the time while others commit.
const SHARE_OF_LONG_LISTS: u32 = 20;

/// When lists are read again that take long.
#[derive(Debug, Default)]
struct LongLists {
    /// Not before.
    not_before: Option<Instant>,
    /// Are they to be read again, because others committed since?
    is_due: bool,
}

/// What is new about the configuration file.
#[derive(Debug)]
pub enum ConfigNews {
    /// It is valid, and in force from this pass on.
    Valid(Vec<Warning>),
    /// There is no file: the flags' defaults are in force, as upstream has it.
    Missing,
    /// It cannot be used.
    Refused {
        /// Why.
        error: ReadError,
        /// What holds instead.
        instead: Instead,
    },
}

impl ConfigNews {
    /// Shall the rules be others from now on?
    #[must_use]
    pub const fn changes_the_rules(&self) -> bool {
        matches!(self, Self::Valid(_) | Self::Missing)
    }
}

impl<B: Backend> Agent<B> {
    /// An agent that has not looked at its file yet: the flags' defaults would be in force. What it is to know of the time
    /// before its start, and what is to be known of it later, the keeper has.
    pub fn new(backend: B, wanted: Wanted, protect: Protect, flags: Flags, keeper: Keeper) -> Self {
        let config = Config::defaults(&Context::from(&flags));
        let basis = Basis::new(&flags, keeper);
        let selection = Selection::new(wanted, protect, &|layout| ruleset(&config, &flags, &basis, layout));
        let counters = Counters::default();
        let (stood, long_lists) = (BTreeSet::new(), LongLists::default());
        Self { backend, flags, config, selection, basis, settled: None, stood, long_lists, counters, flows: None }
    }

    /// The same agent, which has flows that began under another policy begin anew.
    #[must_use]
    pub fn with_flows(mut self, worker: FlowWorker) -> Self {
        self.flows = Some((EarlierFlows::new(), worker));
        self
    }

    /// Where it is heard what became of flows; for the first caller.
    pub(super) fn flow_reports(&mut self) -> Option<UnboundedReceiver<Report>> {
        self.flows.as_mut().and_then(|(_, worker)| worker.reports())
    }

    /// What became of the flows that began under another policy; `None` if that is being done anew.
    pub(super) fn flows_ended(&mut self, report: Report) -> Option<Result<Fixed, ConntrackError>> {
        self.flows.as_mut().and_then(|(flows, _)| flows.ended(report))
    }

    /// Does another process own this table still? What cannot be told is for a pass to find out.
    pub(super) fn is_owned_by_another(&mut self, table: TableId) -> bool {
        self.backend.is_owned_by_another(table).unwrap_or(false)
    }

    /// The time until the next pass, if nothing happens before.
    #[must_use]
    pub fn resync_interval(&self) -> Duration {
        self.config.resync_interval.value.into()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What was done since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When long lists are to be read again, because others committed since.
    pub(super) fn verify_at(&self) -> Option<Instant> {
        self.long_lists.is_due.then(|| self.long_lists.not_before.unwrap_or_else(Instant::now))
    }

    /// Somebody was heard to commit so often.
    pub(super) const fn count_foreign_commits(&mut self, commits: u64) {
        self.counters.foreign_commits += commits;
    }

    /// From now on repairs wait.
    pub(super) const fn count_conflict(&mut self) {
        self.counters.conflicts += 1;
    }

    /// What a pass said is to be kept, the latest of it, is kept now; or is not, and a later pass says so again.
    pub fn kept(&mut self, is_kept: bool) {
        self.basis.kept(is_kept);
    }

    /// Takes over what is new about the file, and brings the rules in line with that, or with what holds instead. If nothing
    /// is new, and nobody has changed any rule since they were as they shall be, nothing is read.
    pub fn pass(&mut self, event: Event, news: Option<FileNews>) -> Pass {
        self.counters.passes += 1;
        let config = news.map(|news| self.take_over(news));
        if config.is_some() {
            self.settled = None;
            self.renew_flows();
        }
        let quickly = event == Event::RulesChanged && config.is_none();
        let (rules, took) = match self.settled {
            Some(settled) if self.backend.generation().is_ok_and(|now| now == settled) => (Ok(None), Took::default()),
            _ => self.reconcile(quickly),
        };
        let repaired = outcome(&rules).is_some_and(|outcome| self.is_repair(&outcome.plan));
        self.take_note_of_what_stands(&rules);
        self.counters.repairs += u64::from(repaired);
        let failed_look = rules.as_ref().is_err_and(SelectError::is_of_looking);
        self.counters.failed_looks += u64::from(failed_look);
        self.counters.failures += u64::from(rules.is_err() && !failed_look);
        let (holding, keep) = match rules {
            Ok(_) => (Some(self.basis.holding()), self.basis.keep()),
            Err(_) => (None, None),
        };
        self.follow(&rules);
        Pass { config, rules, took, repaired, holding, keep }
    }

    /// Does a plan put back what stood already?
    fn is_repair(&self, plan: &Plan) -> bool {
        plan.changes.iter().any(|change| self.stood.contains(&change.table.family))
    }

    fn take_note_of_what_stands(&mut self, rules: &Result<Option<Selected<Outcome>>, SelectError>) {
        match rules {
            Ok(_) => self.stood.extend(Family::ALL),
            Err(error) => self.stood.extend(error.partial().iter().flat_map(|partial| &partial.others)),
        }
    }

    /// After the rules, the flows that began before them.
    fn follow(&mut self, rules: &Result<Option<Selected<Outcome>>, SelectError>) {
        if self.flows.as_ref().is_some_and(|(flows, _)| !flows.knows_a_policy()) {
            self.renew_flows();
        }
        if let Some((flows, worker)) = self.flows.as_mut().filter(|_| self.basis.keep_standing().is_empty())
            && let Some(job) = flows.follow(rules)
        {
            worker.put(job);
        }
    }

    /// The policy is another, or was not known so far. Rules that are kept as they were found follow one that is not known.
    fn renew_flows(&mut self) {
        if let Some((flows, _)) = self.flows.as_mut().filter(|_| self.basis.keep_standing().is_empty()) {
            flows.renew(Decisions::of(&Policy::new(&self.config, &self.flags)));
        }
    }

    /// After a commit of others first what is quickly read is looked at, and put right.
    fn reconcile(&mut self, quickly: bool) -> (Result<Option<Selected<Outcome>>, SelectError>, Took) {
        let compile = |layout| ruleset(&self.config, &self.flags, &self.basis, layout);
        let mut backend = Timed::new(&mut self.backend);
        let selected = if quickly {
            self.selection.reconcile_quickly(&mut backend, &compile)
        } else {
            self.selection.reconcile(&mut backend, &compile)
        };
        let mut took = backend.took();
        if !quickly && self.selection.has_long_lists() {
            let reading = backend.longest_reading();
            self.long_lists.not_before = Some(Instant::now() + reading.saturating_mul(SHARE_OF_LONG_LISTS - 1));
            // That has its own pause, and what is quickly read none that is so long.
            took.looking = took.looking.saturating_sub(backend.reading());
        }
        if selected.as_ref().is_ok_and(|selected| self.basis.settle(&selected.result.kept)) {
            self.renew();
        }
        let generation = selected.as_ref().ok().map(|selected| selected.result.generation);
        let rules = selected.map(Some);
        self.long_lists.is_due = outcome(&rules).is_some_and(|outcome| outcome.is_partly_assumed);
        self.settled = generation.filter(|_| !self.long_lists.is_due);
        (rules, took)
    }

    /// A valid file is in force from here on, and so is its absence, unless it is missed.
    fn take_over(&mut self, news: FileNews) -> ConfigNews {
        let context = Context::from(&self.flags);
        let news = news.and_then(|content| match self.basis.missed(&content.sources) {
            Some(path) => Err(ReadError::Missing(path.to_owned())),
            None => Ok(content),
        });
        match news {
            Ok(Content { sources, reading: Reading { config, warnings } }) => {
                let is_absent = sources.is_absent();
                self.basis.choose(sources);
                self.choose(config);
                if is_absent { ConfigNews::Missing } else { ConfigNews::Valid(warnings) }
            }
            Err(error) => {
                let (instead, config) = self.basis.fall_back(&error, &context);
                if let Some(config) = config {
                    self.choose(config);
                }
                ConfigNews::Refused { error, instead }
            }
        }
    }

    fn choose(&mut self, config: Config) {
        self.config = config;
        self.stood.clear();
        self.renew();
    }

    fn renew(&mut self) {
        self.selection.renew(&|layout| ruleset(&self.config, &self.flags, &self.basis, layout));
    }
}

/// What was done to the rules, be it that another family's could not be brought into force.
pub(super) fn outcome(rules: &Result<Option<Selected<Outcome>>, SelectError>) -> Option<&Outcome> {
    match rules {
        Ok(selected) => selected.as_ref().map(|selected| &selected.result),
        Err(error) => error.partial().map(|partial| &partial.outcome),
    }
}

/// What shall be in the kernel, and be ours while we live.
fn ruleset(config: &Config, flags: &Flags, basis: &Basis, layout: Layout) -> Ruleset {
    let keep_standing = basis.keep_standing().to_vec();
    Ruleset { hold: true, keep_standing, ..compile(&Policy::new(config, flags), layout) }
}

#[cfg(test)]
mod tests;
