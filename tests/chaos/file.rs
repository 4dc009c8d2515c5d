//! The configuration file, and how it changes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::event::How;
use super::oracle::Moment;
use super::support::files::{ConfigMap, rename_over};

/// The agent gives a file that is missing or empty half a second to come back.
const GRACE: Duration = Duration::from_millis(400);

const HUGE: u64 = 10 << 30;

/// The file.
#[derive(Debug)]
pub(crate) struct File {
    map: ConfigMap,
    version: u32,
    /// Whether an agent can apply it.
    pub(crate) is_good: bool,
    /// Since when it is missing.
    missing: Option<Moment>,
}

impl File {
    pub(crate) fn new(root: PathBuf, text: &str) -> Self {
        let map = ConfigMap::create(root, text);
        Self { map, version: 0, is_good: true, missing: None }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.map.file()
    }

    /// Writes it, with something in it.
    pub(crate) fn write(&mut self, how: How, text: &str, is_good: bool) {
        match how {
            How::InPlace => fs::write(self.path(), text).unwrap(),
            How::RenamedOver => rename_over(&self.path(), text),
            How::Swapped => {
                self.version += 1;
                self.map.update(&format!("..{}", self.version), text);
            }
        }
        (self.is_good, self.missing) = (is_good, None);
    }

    /// Makes it far larger than any configuration is. It takes no room on the disk.
    pub(crate) fn grow(&mut self, how: How) {
        let path = self.path();
        let place = if how == How::InPlace { path.clone() } else { path.with_extension("huge") };
        fs::File::create(&place).and_then(|file| file.set_len(HUGE)).unwrap();
        if place != path {
            fs::rename(&place, &path).unwrap();
        }
        (self.is_good, self.missing) = (false, None);
    }

    /// Deletes it now.
    pub(crate) fn delete(&mut self, now: Moment) {
        // It may have been deleted before.
        let _ = fs::remove_file(self.path());
        self.is_good = false;
        self.missing.get_or_insert(now);
    }

    /// The moment from which it may count as missing.
    pub(crate) fn counts_as_missing(&self) -> Option<Moment> {
        self.missing.map(|since| since + GRACE)
    }
}
