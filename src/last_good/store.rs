//! What is known of the last valid configuration, and when the next one is to be saved.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Fallback, LastKnownGood, Save, StateDir};
use crate::config::{Config, Context, ReadError, SourceSet};
use crate::text::Shown;

/// Saves the last valid configuration over restarts; or, without a state directory, does nothing.
#[derive(Debug, Default)]
pub struct LastGoodStore {
    dir: Option<StateDir>,
    /// What was saved before the start. Forgotten when a configuration is chosen.
    before: Option<LastKnownGood>,
    /// What was chosen, until it is in force and saved.
    chosen: Option<Arc<LastKnownGood>>,
    /// Whether that is being written.
    is_under_way: bool,
}

/// Notes on the time before the start, in words that follow what is wrong with the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FallbackNotes {
    /// The state file, if it holds the content of the configuration file that is missing.
    missed_by: Option<PathBuf>,
    /// The state file, if it is not valid under the flags of now, and why.
    unusable: Option<(PathBuf, String)>,
}

impl LastGoodStore {
    /// What was saved in the directory, as [`StateDir::load`] found it.
    #[must_use]
    pub const fn new(dir: StateDir, before: Option<LastKnownGood>) -> Self {
        Self { dir: Some(dir), before, chosen: None, is_under_way: false }
    }

    /// The first of these files that is missing although it is expected. Until a configuration is chosen, a file is
    /// expected if the last valid configuration from before the start was made of it.
    #[must_use]
    pub fn missed<'a>(&self, sources: &'a SourceSet) -> Option<&'a Path> {
        self.before.as_ref()?.missed(sources)
    }

    /// The fallback for a file that cannot be used for this reason, and the notes on it.
    #[must_use]
    pub fn fallback(&self, error: &ReadError, context: &Context) -> (Fallback, FallbackNotes) {
        let mut notes = self.notes(error);
        let fallback = match self.before.as_ref().map(|before| before.config(context)) {
            Some(Ok(config)) => Fallback::LastKnownGood(Arc::new(config)),
            unusable => {
                notes.unusable = self.state_file().zip(unusable.and_then(Result::err));
                Fallback::Defaults(Arc::new(Config::defaults(context)))
            }
        };
        (fallback, notes)
    }

    /// The notes on a file that cannot be used.
    #[must_use]
    pub fn notes(&self, error: &ReadError) -> FallbackNotes {
        let is_missed = |path: &Path| self.missed(&SourceSet::one(path, None)).is_some();
        let missed = matches!(error, ReadError::Missing(path) if is_missed(path));
        FallbackNotes { missed_by: self.state_file().filter(|_| missed), unusable: None }
    }

    /// A configuration has been chosen: by files that held this, or by their absence. What was before the start does not count
    /// any more. It is saved once it is in force.
    pub fn choose(&mut self, sources: SourceSet) {
        self.before = None;
        self.chosen = self.dir.is_some().then(|| LastKnownGood::new(sources).into());
        self.is_under_way = false;
    }

    /// What was chosen is in force: this is to be written now. `None` if there is nothing to save, or if it is under way.
    pub fn due(&mut self) -> Option<Save> {
        let save = Save { dir: self.dir.clone()?, good: Arc::clone(self.chosen.as_ref()?) };
        (!std::mem::replace(&mut self.is_under_way, true)).then_some(save)
    }

    /// The save that was under way has ended. If it failed, it is due again.
    pub fn ended(&mut self, is_saved: bool) {
        if std::mem::take(&mut self.is_under_way) && is_saved {
            self.chosen = None;
        }
    }

    fn state_file(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(StateDir::file)
    }
}

impl fmt::Display for FallbackNotes {
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
                "; the last valid configuration of before, saved in {}, cannot be used with the flags of now ({error})",
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

    fn store(content: Option<&[u8]>) -> LastGoodStore {
        LastGoodStore::new(StateDir::new(Path::new("/nowhere")), Some(LastKnownGood::new(set(CONFIG, content))))
    }

    fn set(path: &str, content: Option<&[u8]>) -> SourceSet {
        SourceSet::one(path, content.map(<[u8]>::to_vec))
    }

    fn missing(path: &str) -> ReadError {
        ReadError::Missing(path.into())
    }

    #[test]
    fn a_missing_file_is_missed_only_where_the_last_valid_configuration_came_from() {
        for (store, path, missed) in [
            (store(Some(IPV6)), CONFIG, true),
            (store(Some(IPV6)), "/etc/config/other", false),
            (store(None), CONFIG, false),
            (LastGoodStore::default(), CONFIG, false),
        ] {
            assert_eq!(store.missed(&set(path, None)).is_some(), missed, "{path} {store:?}");
            assert_eq!(store.missed(&set(path, Some(IPV6))), None, "it is there");
            let words = store.notes(&missing(path)).to_string();
            assert_eq!(words.contains("delete /nowhere/last-known-good and start again"), missed, "{words}");
        }
        let mut store = store(Some(IPV6));
        store.choose(set(CONFIG, Some(IPV6)));
        assert!(store.missed(&set(CONFIG, None)).is_none(), "from now on a file that goes is an answer");
    }

    #[test]
    fn the_last_valid_configuration_holds_if_the_flags_of_now_allow_it_and_else_the_defaults() {
        let with_ipv6 = Context { ipv6: true, ..Context::default() };
        let without = Context::default();
        for (store, context, is_saved_one, ranges, said) in [
            (store(Some(IPV6)), with_ipv6, true, 1, ""),
            (store(None), with_ipv6, true, 3, ""),
            (store(Some(IPV6)), without, false, 3, "cannot be used with the flags of now (line 2: "),
            (LastGoodStore::default(), with_ipv6, false, 3, ""),
        ] {
            let (fallback, notes) = store.fallback(&missing("/elsewhere"), &context);
            assert_eq!(matches!(fallback, Fallback::LastKnownGood(_)), is_saved_one, "{fallback:?}");
            assert_eq!(fallback.config().non_masquerade_cidrs.len(), ranges);
            let words = notes.to_string();
            assert_eq!(words.is_empty(), said.is_empty(), "{words}");
            assert!(words.contains(said), "{words}");
        }
    }

    #[test]
    fn what_was_chosen_is_to_be_saved_once_and_again_after_a_failure() {
        let mut store = LastGoodStore::new(StateDir::new(Path::new("/nowhere")), None);
        assert!(store.due().is_none());
        store.choose(set(CONFIG, Some(IPV6)));
        for _ in 0..2 {
            let save = store.due().unwrap();
            assert_eq!(*save.good, LastKnownGood::new(set(CONFIG, Some(IPV6))));
            assert!(store.due().is_none(), "it is under way");
            store.ended(false);
        }
        assert!(store.due().is_some());
        store.ended(true);
        assert!(store.due().is_none());
        let mut off = LastGoodStore::default();
        off.choose(set(CONFIG, Some(IPV6)));
        assert!(off.due().is_none());
    }

    #[test]
    fn what_was_chosen_since_is_to_be_saved_though_what_was_chosen_before_has_been_written_only_now() {
        let mut store = LastGoodStore::new(StateDir::new(Path::new("/nowhere")), None);
        store.choose(set(CONFIG, None));
        assert!(store.due().is_some());
        store.choose(set(CONFIG, Some(IPV6)));
        store.ended(true);
        assert_eq!(*store.due().unwrap().good, LastKnownGood::new(set(CONFIG, Some(IPV6))));
    }
}
