//! What every backend is: reads the rules of a network namespace, tells what differs, commits.

mod error;
mod watch;

pub use error::{BackendError, ErrorKind};
pub(crate) use watch::Listen;
pub use watch::{ChangeSource, Heard, Process};

use std::fmt;

use crate::net::{ChainName, Family};
use crate::rules::{Ruleset, TableId};

/// A way to the rules of a network namespace. What it remembers to read less is its own affair.
pub trait Backend {
    /// What was read.
    type Snapshot: Snapshot;
    /// What has to change, committed as a whole or not at all.
    type Change: Change;

    /// A pass begins. What was read or written last, if the rules are so still: that spares reading them before a change.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn begin(&mut self) -> Result<Option<Self::Snapshot>, BackendError>;

    /// Reads what concerns the rules of ours that go by `chain` or did so before.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn read(&mut self, chain: &ChainName, look: Look) -> Result<Self::Snapshot, BackendError>;

    /// What has to change so that what there is becomes what shall be.
    fn diff(&self, want: &Ruleset, have: &Self::Snapshot, options: &DiffOptions<'_>) -> Difference<Self::Change>;

    /// Would the kernel carry out this change? It tries, and takes everything back.
    ///
    /// # Errors
    ///
    /// As [`Backend::commit`].
    fn probe(&mut self, change: &Self::Change) -> Result<(), BackendError>;

    /// Carries out a change as a whole or not at all, if nobody has changed the rules since `on` was read, from which it was
    /// made.
    ///
    /// # Errors
    ///
    /// [`BackendError`] says why the kernel took nothing, or that its answer went missing. Then it may have taken the change all
    /// the same, which only reading tells.
    fn commit(&mut self, change: &Self::Change, on: Self::Snapshot) -> Result<Committed, BackendError>;

    /// What was read is as it shall be. What of it spares work later may be remembered.
    fn settle(&mut self, have: Self::Snapshot);

    /// Takes back what commits of ours have begun that were to be followed by others. It is without effect on packets, so that
    /// it is no error if that fails: the next pass tries again.
    fn take_back(&mut self, chain: &ChainName);

    /// Are the rules of the network namespace those of this token still? That costs one short request.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn is_current(&mut self, token: Token) -> Result<bool, BackendError>;

    /// Does another process own this table ([`Conflict::owned_by_another`])? That costs one short request.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if the kernel does not answer, or not to us.
    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError>;

    /// Are there lists that take long to read, so that [`Look::Quick`] spares time?
    fn has_long_lists(&self) -> bool;

    /// Begins to listen to what others commit; `None` if nobody tells of it.
    ///
    /// # Errors
    ///
    /// [`BackendError`], if that cannot be set up.
    fn watch(&self) -> Result<Option<ChangeSource>, BackendError>;
}

/// What was read of the rules.
pub trait Snapshot {
    /// Says as of when.
    fn token(&self) -> Token;

    /// Were long lists not read, but taken to be what they were before somebody else committed?
    fn is_partly_assumed(&self) -> bool;
}

/// What is committed as a whole or not at all.
pub trait Change: Clone + Default + PartialEq {
    /// Is there nothing to do?
    fn is_empty(&self) -> bool;

    /// Is it to be followed by another, made from what is there then?
    fn is_followed(&self) -> bool;

    /// What it does, in order.
    fn lines(&self) -> Vec<ChangeLine>;

    /// Adds what was committed after it. What that does again, somebody has undone in between: it counts once.
    fn append(&mut self, later: Self);
}

/// Stands for a state of the rules. Two tokens of one backend are equal if nobody has changed anything in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Token(pub(super) u64);

/// How thoroughly the rules are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Everything.
    Fresh,
    /// Everything that others can have changed since it was read or written last.
    #[default]
    Thorough,
    /// The same, but long lists are taken to be what they were as long as the kernel says that they are as long: that is quick
    /// enough to find between two commits of others that a jump is missing ([`Snapshot::is_partly_assumed`]).
    Quick,
}

/// How the rules are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffOptions<'a> {
    /// Shall this process own its protected tables for as long as it lives?
    pub hold: bool,
    /// The families of which rules of ours that stand stay as they are, whatever they say.
    pub keep_standing: &'a [Family],
}

/// What has to change, and what stands in the way of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference<C> {
    /// What is to be committed now, in the families without a conflict.
    pub change: C,
    /// Why nothing is done in other families, of which something shall be there, or nothing of any family.
    pub conflicts: Vec<Conflict>,
    /// Why what is left of ours stays in families that are off.
    pub leftovers: Vec<Conflict>,
    /// Those of [`DiffOptions::keep_standing`] of which rules of ours stand.
    pub left_standing: Vec<Family>,
    /// The removals that cannot be done in this pass because others use what would go.
    pub in_use: Vec<ChangeLine>,
    /// What others have that can undo what ours decide, in sentences.
    pub overlaps: Vec<String>,
    /// Of how many commits that are only the next part of a large change it takes at most.
    pub parts: usize,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was carried out, and nothing is left to do.
    Done,
    /// It was carried out, and is followed by another, made from what is there then.
    More,
    /// Nothing was changed: somebody else changed the rules since they were read.
    Stale,
    /// Nothing was changed: others use something that it would have removed. The next difference leaves that out, and names it
    /// ([`Difference::in_use`]).
    InUse,
}

/// One change that was committed, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeLine {
    /// Whose rules it changes.
    pub family: Family,
    /// What it does, in one line: `+` for what is added and `-` for what is removed.
    pub text: String,
    /// Can packets fare otherwise after it?
    pub affects_packets: bool,
}

/// Something of somebody else stands where ours would have to stand, and it is not ours to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    family: Family,
    is_of_the_layout: bool,
    owned_by_another: Option<TableId>,
    sentence: String,
}

impl Conflict {
    /// Something in the way of one layout of the rules, so that the same policy may stand in another.
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

    /// Does it hinder the rules in one layout only?
    #[must_use]
    pub const fn is_of_the_layout(&self) -> bool {
        self.is_of_the_layout
    }

    /// The table that another process owns, if that is what is in the way.
    #[must_use]
    pub const fn owned_by_another(&self) -> Option<TableId> {
        self.owned_by_another
    }

    /// May it end without anybody having mended anything? An owner may end at any moment, as an agent does that is being
    /// replaced.
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
