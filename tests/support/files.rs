//! How configuration files change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Replaces a file as editors do: a new one is renamed over it.
pub(crate) fn rename_over(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, path).unwrap();
}

/// A ConfigMap's volume as kubelet writes it: `KEY -> ..data/KEY`, `..data -> ..VERSION`.
#[derive(Debug)]
pub(crate) struct ConfigMap {
    root: PathBuf,
}

impl ConfigMap {
    /// The key, and so the file's name, that the agent reads by default.
    const KEY: &str = "ip-masq-agent";

    /// The first version.
    pub(crate) fn create(root: PathBuf, content: &str) -> Self {
        fs::create_dir(&root).unwrap();
        let map = Self { root };
        map.write_version("..2024_01_01", content);
        symlink("..2024_01_01", map.root.join("..data")).unwrap();
        symlink(Path::new("..data").join(Self::KEY), map.file()).unwrap();
        map
    }

    /// As kubelet's AtomicWriter updates it: a new version, a link renamed over `..data`, the file's own link if it was
    /// replaced or removed, the old version removed.
    pub(crate) fn update(&self, version: &str, content: &str) {
        let old = fs::read_link(self.root.join("..data")).unwrap();
        self.write_version(version, content);
        symlink(version, self.root.join("..data_tmp")).unwrap();
        fs::rename(self.root.join("..data_tmp"), self.root.join("..data")).unwrap();
        if fs::read_link(self.file()).is_err() {
            symlink(Path::new("..data").join(Self::KEY), self.root.join("link")).unwrap();
            fs::rename(self.root.join("link"), self.file()).unwrap();
        }
        fs::remove_dir_all(self.root.join(old)).unwrap();
    }

    fn write_version(&self, version: &str, content: &str) {
        fs::create_dir(self.root.join(version)).unwrap();
        fs::write(self.root.join(version).join(Self::KEY), content).unwrap();
    }

    /// What the agent is told to read.
    pub(crate) fn file(&self) -> PathBuf {
        self.root.join(Self::KEY)
    }
}
