//! What every backend does: it reads the rules of a network namespace, finds what differs, and commits changes.

mod error;
mod watch;
mod watch_rules;

pub use error::{BackendError, ErrorKind};
pub(crate) use watch::Listen;
pub use watch::{ChangeSource, Heard, Process};
pub use watch_rules::{PollInterval, WatchRules, WatchRulesError};

use std::fmt;

use crate::net::{ChainName, Family};
use crate::rules::{Ruleset, TableId};

/// Access to the rules of a network namespace. A backend may cache what it read, in order to read less.
pub trait Backend {
    /// What was read.
    type Snapshot: Snapshot;
    /// What has to change, committed as a whole or not at all.
    type Change: Change;

    /// Begins a pass. Returns what was read last if the rules are still the same, which spares reading them before a change.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn begin(&mut self) -> Result<Option<Self::Snapshot>, BackendError>;

    /// Reads what concerns our rules, whether their chain has the name `chain` or an earlier one.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn read(&mut self, chain: &ChainName, look: Look) -> Result<Self::Snapshot, BackendError>;

    /// What has to change so that `have` becomes `want`.
    fn diff(&self, want: &Ruleset, have: &Self::Snapshot, options: &DiffOptions<'_>) -> Difference<Self::Change>;

    /// Asks the kernel whether it would carry out this change. It tries, and rolls everything back.
    ///
    /// # Errors
    ///
    /// As [`Backend::commit`].
    fn probe(&mut self, change: &Self::Change) -> Result<(), BackendError>;

    /// Carries out a change as a whole or not at all. `on` is the snapshot from which the change was made: if anybody has
    /// changed the rules since, nothing is done.
    ///
    /// # Errors
    ///
    /// [`BackendError`] says why the kernel changed nothing, or that its answer was lost. In that case it may have carried
    /// out the change all the same, which only reading shows.
    fn commit(&mut self, change: &Self::Change, on: Self::Snapshot) -> Result<Committed, BackendError>;

    /// Called when what was read is as desired. The backend may cache whatever of it spares work later.
    fn settle(&mut self, have: Self::Snapshot);

    /// Takes up what an earlier process remembered ([`Backend::remember`]), if nobody has committed anything since and the
    /// network namespace is the same. Anything else has no effect: everything is read then.
    fn recall(&mut self, memory: &[u8]);

    /// What spares a later process reading long lists, for its [`Backend::recall`]: what is in the kernel now, as far as it
    /// was read by this process or recalled. `None` if there is nothing of the kind, or if it was recalled and is still true.
    fn remember(&self) -> Option<Vec<u8>>;

    /// Removes what the first of several commits left behind when the others could not follow. It has no effect on packets,
    /// so that a failure is no error: the next pass tries again.
    fn take_back(&mut self, chain: &ChainName);

    /// Whether the rules of the network namespace are still those of this token. That costs one short request.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn is_current(&mut self, token: Token) -> Result<bool, BackendError>;

    /// Whether another process owns this table ([`Conflict::owned_by_another`]). That costs one short request.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError>;

    /// Whether there are lists that take long to read, so that [`Look::Quick`] spares time.
    fn has_long_lists(&self) -> bool;

    /// Begins to watch for the commits of others in this way; `None` if there is none. Own commits are never told of. While
    /// one is made, others' may go unannounced; that there were any is told all the same ([`Heard::lost`]).
    ///
    /// # Errors
    ///
    /// [`BackendError`], if that cannot be set up.
    fn watch(&mut self, how: WatchRules) -> Result<Option<ChangeSource>, BackendError>;
}

/// What was read of the rules.
pub trait Snapshot {
    /// The state of the rules that was read.
    fn token(&self) -> Token;

    /// Whether long lists were not read, but assumed to be what they were before another process committed.
    fn is_partly_assumed(&self) -> bool;
}

/// What is committed as a whole or not at all.
pub trait Change: Clone + Default + PartialEq {
    /// Whether there is nothing to do.
    fn is_empty(&self) -> bool;

    /// Whether another change has to follow, made from a new reading.
    fn is_followed(&self) -> bool;

    /// What it does, in order.
    fn lines(&self) -> Vec<ChangeLine>;

    /// Adds a change that was committed later. Where both do the same, another process has undone it in between: it counts
    /// once.
    fn append(&mut self, later: Self);
}

/// Identifies a state of the rules. Two tokens of one backend are equal if nobody has changed anything in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token(pub(super) u64);

/// How thoroughly the rules are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Everything.
    Fresh,
    /// Everything that others may have changed since it was last read or written.
    #[default]
    Thorough,
    /// The same, but a long list is assumed to be unchanged if the kernel says that its length is
    /// ([`Snapshot::is_partly_assumed`]). That is quick enough to notice a missing jump even if others commit all the time.
    Quick,
}

/// How the rules are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffOptions<'a> {
    /// Whether this process owns its protected tables for as long as it lives.
    pub hold: bool,
    /// The families in which our rules are left as they are if any stand, whatever they say.
    pub keep_standing: &'a [Family],
}

/// What has to change, and what stands in the way of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference<C> {
    /// What is to be committed now, in the families without a conflict.
    pub change: C,
    /// Why nothing is done in other families that have desired rules, or in any family if no rules are desired at all.
    pub conflicts: Vec<Conflict>,
    /// Why what is left of our rules stays in families that are switched off.
    pub leftovers: Vec<Conflict>,
    /// Those of [`DiffOptions::keep_standing`] in which rules of ours stand.
    pub left_standing: Vec<Family>,
    /// The removals that cannot be done in this pass because others use the object.
    pub in_use: Vec<ChangeLine>,
    /// Overlapping NAT chains: what others have that can undo what our rules decide, in sentences.
    pub overlaps: Vec<String>,
    /// The largest number of commits that each add or remove only the next part of large sets.
    pub parts: usize,
}

/// The result of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was carried out, and nothing is left to do.
    Done,
    /// It was carried out, and another change has to follow, made from a new reading.
    More,
    /// Nothing was changed: another process has changed the rules since they were read.
    Stale,
    /// Nothing was changed: others use something that it would have removed. The next difference leaves that removal out, and
    /// lists it in [`Difference::in_use`].
    InUse,
}

/// One change that was committed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeLine {
    /// Whose rules it changes.
    pub family: Family,
    /// What it does, in one line: `+` for what is added and `-` for what is removed.
    pub text: String,
    /// Whether packets may be treated otherwise after it.
    pub affects_packets: bool,
    /// What is added or removed.
    pub object: Object,
}

/// What a change adds or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A table.
    Table,
    /// A chain.
    Chain,
    /// The rule by which the kernel, or the tables' shared chain, reaches ours.
    Jump,
    /// Any other rule, or all of a chain.
    Rule,
    /// A set.
    Set,
    /// Elements of a set.
    Elements,
    /// Something of others in a table of our own.
    Foreign,
}

impl Object {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Chain => "chain",
            Self::Jump => "jump",
            Self::Rule => "rule",
            Self::Set => "set",
            Self::Elements => "elements",
            Self::Foreign => "foreign",
        }
    }
}

/// An object of another process stands where one of ours would have to stand, and it is not ours to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    family: Family,
    is_of_the_layout: bool,
    owned_by_another: Option<TableId>,
    sentence: String,
}

impl Conflict {
    /// A conflict with one layout of the rules, so that the same policy may be possible in another.
    pub(crate) const fn of_the_layout(family: Family, sentence: String) -> Self {
        Self { family, is_of_the_layout: true, owned_by_another: None, sentence }
    }

    /// A table that another process owns.
    pub(crate) const fn owned(table: TableId, sentence: String) -> Self {
        Self { family: table.family, is_of_the_layout: false, owned_by_another: Some(table), sentence }
    }

    /// The family whose rules it concerns.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether it stands in the way of the rules in one layout only.
    #[must_use]
    pub const fn is_of_the_layout(&self) -> bool {
        self.is_of_the_layout
    }

    /// The table that another process owns, if that is what is in the way.
    #[must_use]
    pub const fn owned_by_another(&self) -> Option<TableId> {
        self.owned_by_another
    }

    /// Whether it may end without anybody having repaired anything. The process that owns a table may end at any moment, as
    /// an agent does that is being replaced.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.owned_by_another.is_some()
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Display for ChangeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
