//! What the rules in force are based on: the file, or what there is to go by without it.

use std::fmt;
use std::path::Path;

use super::{Holding, InForce, Keeper, Notes, Save};
use crate::config::{Config, Context, ReadError, SourceSet};
use crate::net::Family;
use crate::policy::Flags;

/// What the rules are based on. Until there has been a valid file, or a missing one that is not missed, rules that are
/// found standing are better than any others: somebody chose them.
#[derive(Debug)]
pub struct Basis {
    keeper: Keeper,
    /// The families that are treated.
    families: Vec<Family>,
    /// Where the configuration comes from; `None` before the first look at the file.
    source: Option<InForce>,
    /// The families of which rules that stand are kept. A family leaves for good once its rules are seen not to stand,
    /// because they are ours from then on.
    keep_standing: Vec<Family>,
}

/// What holds while the file cannot be used. In words, it follows what is wrong with the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Instead {
    /// The configuration that was valid last.
    LastValid,
    /// There has been no valid one since the start, so it is something of before, or the flags' defaults
    /// ([`Basis::holding`]).
    OfBefore(Notes),
}

impl Basis {
    /// What a start with these flags has to go by, before it looks at the file.
    #[must_use]
    pub fn new(flags: &Flags, keeper: Keeper) -> Self {
        let families = Family::ALL.into_iter().filter(|family| flags.treats(*family)).collect();
        Self { keeper, families, source: None, keep_standing: Vec::new() }
    }

    /// The families of which rules that stand are kept.
    #[must_use]
    pub fn keep_standing(&self) -> &[Family] {
        &self.keep_standing
    }

    /// The first of these files that is not there although it shall be ([`Keeper::missed`]).
    #[must_use]
    pub fn missed<'a>(&self, sources: &'a SourceSet) -> Option<&'a Path> {
        self.keeper.missed(sources)
    }

    /// The files held this and were valid, or there is none and none is missed.
    pub fn choose(&mut self, sources: SourceSet) {
        self.source = Some(if sources.is_absent() { InForce::NoFile } else { InForce::File });
        self.keeper.choose(sources);
        self.keep_standing.clear();
    }

    /// The file cannot be used. The configuration that holds instead, if it is another than before.
    pub fn fall_back(&mut self, error: &ReadError, context: &Context) -> (Instead, Option<Config>) {
        match self.source {
            None => {
                let fallback = self.keeper.fallback(error, context);
                self.keep_standing.clone_from(&self.families);
                self.source = Some(fallback.in_force);
                (Instead::OfBefore(fallback.notes), Some(fallback.config))
            }
            Some(InForce::File | InForce::NoFile | InForce::LastValid) => {
                self.source = Some(InForce::LastValid);
                (Instead::LastValid, None)
            }
            Some(InForce::KernelRules | InForce::LastKnownGood | InForce::Defaults) => {
                (Instead::OfBefore(self.keeper.notes(error)), None)
            }
        }
    }

    /// Of these families rules were found standing and left alone; the others have ours. Is that news?
    pub fn settle(&mut self, kept: &[Family]) -> bool {
        let before = self.keep_standing.len();
        self.keep_standing.retain(|family| kept.contains(family));
        before != self.keep_standing.len()
    }

    /// Where the configuration comes from; `None` before the first look at the file.
    #[must_use]
    pub const fn source(&self) -> Option<InForce> {
        self.source
    }

    /// What the rules in force come from, after they were seen to be in force.
    #[must_use]
    pub fn holding(&self) -> Holding {
        let in_force = |family: &Family| match self.source {
            _ if self.keep_standing.contains(family) => InForce::KernelRules,
            source => source.unwrap_or(InForce::Defaults),
        };
        Holding(self.families.iter().map(|family| (*family, in_force(family))).collect())
    }

    /// What was chosen is in force, and is to be kept for the next start ([`Keeper::keep`]).
    pub fn keep(&mut self) -> Option<Save> {
        self.keeper.keep()
    }

    /// What was to be kept last is kept now, or is not ([`Keeper::kept`]).
    pub fn kept(&mut self, is_kept: bool) {
        self.keeper.kept(is_kept);
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastValid => Ok(()),
            Self::OfBefore(notes) => notes.fmt(f),
        }
    }
}
