//! Which configuration the rules follow, and how that is decided.

use std::fmt;
use std::sync::Arc;

use super::{FallbackNotes, LastGoodStore};
use crate::config::{Config, Context, ReadError, Reading, SourceSet, Warning};
use crate::net::Family;
use crate::policy::Flags;

/// The configuration that the rules follow.
///
/// Until there has been a valid file, or a missing one that is not expected, rules that are found standing are better
/// than any others: an operator chose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveConfig {
    /// What the configuration file says.
    File {
        /// The configuration.
        config: Arc<Config>,
        /// Whether the file cannot be used any more, so that this is what it said when it was last valid.
        is_outdated: bool,
    },
    /// The flags' defaults, because there is no file, as upstream has it.
    NoFile {
        /// The defaults.
        config: Arc<Config>,
        /// Whether there has been a file since, which cannot be used.
        is_outdated: bool,
    },
    /// The configuration that was valid last before the start, from the state directory.
    LastKnownGood(Arc<Config>),
    /// The rules of some families are left standing as they were found in the kernel; those of the others follow a
    /// fallback.
    KernelRules {
        /// The families whose rules are left standing. A family is removed for good once no rules of it are found,
        /// because its rules are the agent's from then on. Never empty.
        standing: Vec<Family>,
        /// The other families that are treated.
        filled: Vec<Family>,
        /// What the rules of those follow.
        fallback: Fallback,
    },
    /// The flags' defaults, for want of anything better.
    Defaults(Arc<Config>),
}

/// What is active where no rules stand, while the file cannot be used and there has been no valid one since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The configuration that was valid last before the start.
    LastKnownGood(Arc<Config>),
    /// The flags' defaults.
    Defaults(Arc<Config>),
}

/// What a look at the configuration file means for the rules.
#[derive(Debug)]
pub enum FileStatus {
    /// It is valid, and active from now on.
    Valid(Vec<Warning>),
    /// There is no file: the flags' defaults are active, as upstream has it.
    Missing,
    /// It cannot be used.
    Unusable {
        /// Why.
        error: ReadError,
        /// What else is to be said if there has been no valid one since the start; `None` if there has, which stays
        /// active.
        notes: Option<FallbackNotes>,
    },
}

/// Files that were read, and what they say.
pub type ReadSources = Result<(Reading, SourceSet), ReadError>;

/// Decides which configuration is active after a look at the files, and says why; `before` is what was active, if it is not
/// the first look. What is chosen is to be saved by the store once it is in force.
pub fn choose(
    before: Option<ActiveConfig>,
    files: ReadSources,
    flags: &Flags,
    store: &mut LastGoodStore,
) -> (ActiveConfig, FileStatus) {
    let missed = |sources: &SourceSet| store.missed(sources).map(|path| ReadError::Missing(path.to_owned()));
    let error = match files.and_then(|files| missed(&files.1).map_or(Ok(files), Err)) {
        Ok((Reading { config, warnings }, sources)) => {
            let config = Arc::new(config);
            let chosen = if sources.is_absent() {
                (ActiveConfig::NoFile { config, is_outdated: false }, FileStatus::Missing)
            } else {
                (ActiveConfig::File { config, is_outdated: false }, FileStatus::Valid(warnings))
            };
            store.choose(sources);
            return chosen;
        }
        Err(error) => error,
    };
    let (active, notes) = match before {
        Some(ActiveConfig::File { config, .. }) => (ActiveConfig::File { config, is_outdated: true }, None),
        Some(ActiveConfig::NoFile { config, .. }) => (ActiveConfig::NoFile { config, is_outdated: true }, None),
        Some(active) => (active, Some(store.notes(&error))),
        None => {
            let (fallback, notes) = store.fallback(&error, &Context::from(flags));
            let standing = Family::ALL.into_iter().filter(|family| flags.treats(*family)).collect();
            (ActiveConfig::KernelRules { standing, filled: Vec::new(), fallback }, Some(notes))
        }
    };
    (active, FileStatus::Unusable { error, notes })
}

impl FileStatus {
    /// Whether the rules shall follow another configuration from now on.
    #[must_use]
    pub const fn changes_the_rules(&self) -> bool {
        matches!(self, Self::Valid(_) | Self::Missing)
    }
}

impl Fallback {
    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        match self {
            Self::LastKnownGood(config) | Self::Defaults(config) => config,
        }
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::LastKnownGood(_) => "the last valid configuration of before the start",
            Self::Defaults(_) => "the flags' defaults",
        }
    }
}

impl ActiveConfig {
    /// The configuration; of kernel rules that of the fallback.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        match self {
            Self::File { config, .. }
            | Self::NoFile { config, .. }
            | Self::LastKnownGood(config)
            | Self::Defaults(config) => config,
            Self::KernelRules { fallback, .. } => fallback.config(),
        }
    }

    /// The families whose rules are left standing.
    #[must_use]
    pub fn standing(&self) -> &[Family] {
        if let Self::KernelRules { standing, .. } = self { standing } else { &[] }
    }

    /// Of these families rules were found standing and left alone; the others follow the configuration from now on.
    #[must_use]
    pub fn settle(self, left_alone: &[Family]) -> Self {
        let Self::KernelRules { mut standing, mut filled, fallback } = self else { return self };
        filled.extend(standing.extract_if(.., |family| !left_alone.contains(family)));
        filled.sort_unstable();
        match (standing.is_empty(), fallback) {
            (false, fallback) => Self::KernelRules { standing, filled, fallback },
            (true, Fallback::LastKnownGood(config)) => Self::LastKnownGood(config),
            (true, Fallback::Defaults(config)) => Self::Defaults(config),
        }
    }

    /// Whether it is something else than what the file, or its absence, says.
    #[must_use]
    pub const fn is_degraded(&self) -> bool {
        match self {
            Self::File { is_outdated, .. } | Self::NoFile { is_outdated, .. } => *is_outdated,
            Self::LastKnownGood(_) | Self::KernelRules { .. } | Self::Defaults(_) => true,
        }
    }

    /// Whether it dates from before the start, or is the defaults in place of that.
    #[must_use]
    pub const fn is_from_before_the_start(&self) -> bool {
        matches!(self, Self::LastKnownGood(_) | Self::KernelRules { .. } | Self::Defaults(_))
    }

    /// Whether it is, for every family, the rules that the kernel held, which no configuration describes.
    #[must_use]
    pub fn is_kernel_rules_alone(&self) -> bool {
        matches!(self, Self::KernelRules { filled, .. } if filled.is_empty())
    }

    /// Its name in structured logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File { is_outdated: false, .. } => "file",
            Self::NoFile { is_outdated: false, .. } => "no_file",
            Self::File { is_outdated: true, .. } | Self::NoFile { is_outdated: true, .. } => "last_valid",
            Self::LastKnownGood(_) => "last_known_good",
            Self::KernelRules { .. } => "kernel_rules",
            Self::Defaults(_) => "defaults",
        }
    }
}

impl fmt::Display for ActiveConfig {
    /// One source for all families, or each family with its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KERNEL_RULES: &str = "the rules that stood in the kernel at the start";
        f.write_str(match self {
            Self::File { is_outdated: false, .. } => "the configuration file",
            Self::NoFile { is_outdated: false, .. } => "the flags' defaults, as there is no file",
            Self::File { is_outdated: true, .. } | Self::NoFile { is_outdated: true, .. } => {
                "the last valid configuration since the start"
            }
            Self::LastKnownGood(_) => "the last valid configuration of before the start",
            Self::Defaults(_) => "the flags' defaults",
            Self::KernelRules { filled, .. } if filled.is_empty() => KERNEL_RULES,
            Self::KernelRules { standing, filled, fallback } => {
                let standing = standing.iter().map(|family| (*family, KERNEL_RULES));
                let mut each: Vec<_> =
                    standing.chain(filled.iter().map(|family| (*family, fallback.words()))).collect();
                each.sort_unstable();
                let each: Vec<String> =
                    each.iter().map(|(family, words)| format!("{}: {words}", family.human())).collect();
                return f.write_str(&each.join("; "));
            }
        })
    }
}

#[cfg(test)]
#[path = "active_config_tests.rs"]
mod tests;
