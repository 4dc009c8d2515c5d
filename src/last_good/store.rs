//! What is known of the last valid configuration, and when the next one is to be kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{InForce, LastKnownGood, Save, StateDir};
use crate::config::{Config, Context, ReadError, SourceSet};
use crate::text::Shown;

/// Keeps the last valid configuration over restarts; or, without a state directory, does nothing.
#[derive(Debug, Default)]
pub struct Keeper {
    dir: Option<StateDir>,
    /// What was kept before the start. Forgotten when a configuration is chosen.
    before: Option<LastKnownGood>,
    /// What was chosen, until it is in force and written.
    chosen: Option<Arc<LastKnownGood>>,
    /// Is that being written?
    is_under_way: bool,
}

/// What holds while the file cannot be used and there has been no valid one since the start, for families of which no
/// rules stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The configuration.
    pub config: Config,
    /// Where it comes from: [`InForce::LastKnownGood`] or [`InForce::Defaults`].
    pub in_force: InForce,
    /// What else there is to say.
    pub notes: Notes,
}

/// What there is to say of the time before the start, in words that follow what is wrong with the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// The state file which says that there was a configuration file, if it is that which is missing.
    missed_by: Option<PathBuf>,
    /// The state file of which the flags of now make no configuration, and why.
    unusable: Option<(PathBuf, String)>,
}

impl Keeper {
    /// What was kept in the directory, as [`StateDir::load`] found it.
    #[must_use]
    pub const fn new(dir: StateDir, before: Option<LastKnownGood>) -> Self {
        Self { dir: Some(dir), before, chosen: None, is_under_way: false }
    }

    /// The first of these files that is not there although it shall be. Until a configuration is chosen, that is so if the
    /// last one before the start was made of it.
    #[must_use]
    pub fn missed<'a>(&self, sources: &'a SourceSet) -> Option<&'a Path> {
        self.before.as_ref()?.missed(sources)
    }

    /// What holds instead of a file that cannot be used, and for which reason.
    #[must_use]
    pub fn fallback(&self, error: &ReadError, context: &Context) -> Fallback {
        let mut notes = self.notes(error);
        let (config, in_force) = match self.before.as_ref().map(|before| before.config(context)) {
            Some(Ok(config)) => (config, InForce::LastKnownGood),
            unusable => {
                notes.unusable = self.state_file().zip(unusable.and_then(Result::err));
                (Config::defaults(context), InForce::Defaults)
            }
        };
        Fallback { config, in_force, notes }
    }

    /// What there is to say of a file that cannot be used.
    #[must_use]
    pub fn notes(&self, error: &ReadError) -> Notes {
        let is_missed = |path: &Path| self.missed(&SourceSet::one(path, None)).is_some();
        let missed = matches!(error, ReadError::Missing(path) if is_missed(path));
        Notes { missed_by: self.state_file().filter(|_| missed), unusable: None }
    }

    /// A configuration has been chosen: by files that held this, or by their absence. What was before the start does not count
    /// any more. It is saved once it is in force.
    pub fn choose(&mut self, sources: SourceSet) {
        self.before = None;
        self.chosen = self.dir.is_some().then(|| LastKnownGood::new(sources).into());
        self.is_under_way = false;
    }

    /// What was chosen is in force: this is to be kept from now on. `None` if there is nothing to keep, or if it is under way.
    pub fn keep(&mut self) -> Option<Save> {
        let save = Save { dir: self.dir.clone()?, good: Arc::clone(self.chosen.as_ref()?) };
        (!std::mem::replace(&mut self.is_under_way, true)).then_some(save)
    }

    /// What was to be kept last is kept now, or is not; then it is to be kept still.
    pub fn kept(&mut self, is_kept: bool) {
        if std::mem::take(&mut self.is_under_way) && is_kept {
            self.chosen = None;
        }
    }

    fn state_file(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(StateDir::file)
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(state) = &self.missed_by {
            write!(
                f,
                ", but the last valid configuration came from it; bring it back, or, if there shall be none, delete {} \
                 and start again",
                Shown(&**state)
            )?;
        }
        if let Some((state, error)) = &self.unusable {
            write!(
                f,
                "; the last valid configuration of before, kept in {}, cannot be used with the flags of now ({error})",
                Shown(&**state)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "/etc/config/ip-masq-agent";
    const IPV6: &[u8] = b"nonMasqueradeCIDRs:\n- fd00::/8\n";

    fn keeper(content: Option<&[u8]>) -> Keeper {
        Keeper::new(StateDir::new(Path::new("/nowhere")), Some(LastKnownGood::new(set(CONFIG, content))))
    }

    fn set(path: &str, content: Option<&[u8]>) -> SourceSet {
        SourceSet::one(path, content.map(<[u8]>::to_vec))
    }

    fn missing(path: &str) -> ReadError {
        ReadError::Missing(path.into())
    }

    #[test]
    fn a_missing_file_is_missed_only_where_the_last_valid_configuration_came_from() {
        for (keeper, path, missed) in [
            (keeper(Some(IPV6)), CONFIG, true),
            (keeper(Some(IPV6)), "/etc/config/other", false),
            (keeper(None), CONFIG, false),
            (Keeper::default(), CONFIG, false),
        ] {
            assert_eq!(keeper.missed(&set(path, None)).is_some(), missed, "{path} {keeper:?}");
            assert_eq!(keeper.missed(&set(path, Some(IPV6))), None, "it is there");
            let words = keeper.notes(&missing(path)).to_string();
            assert_eq!(words.contains("delete /nowhere/last-known-good and start again"), missed, "{words}");
        }
        let mut keeper = keeper(Some(IPV6));
        keeper.choose(set(CONFIG, Some(IPV6)));
        assert!(keeper.missed(&set(CONFIG, None)).is_none(), "from now on a file that goes is an answer");
    }

    #[test]
    fn the_last_valid_configuration_holds_if_the_flags_of_now_allow_it_and_else_the_defaults() {
        let with_ipv6 = Context { ipv6: true, ..Context::default() };
        let without = Context::default();
        for (keeper, context, in_force, ranges, said) in [
            (keeper(Some(IPV6)), with_ipv6, InForce::LastKnownGood, 1, ""),
            (keeper(None), with_ipv6, InForce::LastKnownGood, 3, ""),
            (keeper(Some(IPV6)), without, InForce::Defaults, 3, "cannot be used with the flags of now (line 2: "),
            (Keeper::default(), with_ipv6, InForce::Defaults, 3, ""),
        ] {
            let fallback = keeper.fallback(&missing("/elsewhere"), &context);
            assert_eq!((fallback.in_force, fallback.config.non_masquerade_cidrs.len()), (in_force, ranges));
            let words = fallback.notes.to_string();
            assert_eq!(words.is_empty(), said.is_empty(), "{words}");
            assert!(words.contains(said), "{words}");
        }
    }

    #[test]
    fn what_was_chosen_is_to_be_kept_once_and_again_after_a_failure() {
        let mut keeper = Keeper::new(StateDir::new(Path::new("/nowhere")), None);
        assert!(keeper.keep().is_none());
        keeper.choose(set(CONFIG, Some(IPV6)));
        for _ in 0..2 {
            let save = keeper.keep().unwrap();
            assert_eq!(*save.good, LastKnownGood::new(set(CONFIG, Some(IPV6))));
            assert!(keeper.keep().is_none(), "it is under way");
            keeper.kept(false);
        }
        assert!(keeper.keep().is_some());
        keeper.kept(true);
        assert!(keeper.keep().is_none());
        let mut off = Keeper::default();
        off.choose(set(CONFIG, Some(IPV6)));
        assert!(off.keep().is_none());
    }

    #[test]
    fn what_was_chosen_since_is_to_be_kept_though_what_was_chosen_before_has_been_written_only_now() {
        let mut keeper = Keeper::new(StateDir::new(Path::new("/nowhere")), None);
        keeper.choose(set(CONFIG, None));
        assert!(keeper.keep().is_some());
        keeper.choose(set(CONFIG, Some(IPV6)));
        keeper.kept(true);
        assert_eq!(*keeper.keep().unwrap().good, LastKnownGood::new(set(CONFIG, Some(IPV6))));
    }
}
