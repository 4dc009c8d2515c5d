//! What outlasts a restart and a reboot: `--state-dir`, in a real kernel and with real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test with a line number"
)]

mod apply;
mod frozen;
mod interrupted;
mod planted;
mod remembered;
mod service_user;
mod start;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use ip_masq_agent::config::SourceSet;
use ip_masq_agent::last_good::{LastKnownGood, StateDir};

use support::native::listed;
use support::netns::Netns;
use support::tables::saved_text;

/// The backends, each with the flags that choose it and treat both families.
const BACKENDS: [&[&str]; 2] = [&["--backend=nft-compat", "--enable-ipv6"], &["--backend=nft", "--enable-ipv6"]];

/// Exempt in no file of these tests.
const BY_DEFAULT: &str = "172.16.0.0";

/// A range whose host bits are set, and what is said about it.
const BAD: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";
const BAD_MESSAGE: &str = "has host bits set behind its prefix";

/// A file that exempts one range of each family.
fn exempting(number: u8) -> String {
    format!("nonMasqueradeCIDRs: [10.{number}.0.0/16, \"fd{number}::/16\"]\nresyncInterval: 1h\n")
}

/// The two addresses that tell such a file's rules.
fn signs(number: u8) -> [String; 2] {
    [format!("10.{number}.0.0"), format!("fd{number}::")]
}

/// What is in the kernel that is ours, in either layout.
fn rules(netns: &Netns) -> String {
    saved_text(netns) + &listed(netns)
}

/// Whether the rules are those of such a file, for both families.
fn exempts(netns: &Netns, number: u8) -> bool {
    let rules = rules(netns);
    signs(number).iter().all(|sign| rules.contains(sign))
}

/// A node's disk, which outlasts what is in its kernel.
struct Disk {
    scratch: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> PathBuf {
        self.scratch.path().join("config")
    }

    /// Replaces the configuration file as editors do.
    fn write(&self, text: &str) -> PathBuf {
        support::files::rename_over(&self.config(), text);
        self.config()
    }

    fn state(&self) -> PathBuf {
        self.scratch.path().join("lib/state")
    }

    fn state_file(&self) -> PathBuf {
        StateDir::new(&self.state()).file()
    }

    /// The flag that names the state directory, behind others.
    fn flags<'a>(&self, flags: &[&'a str], with: &'a mut String) -> Vec<&'a str> {
        *with = format!("--state-dir={}", self.state().display());
        [flags, &[with.as_str()]].concat()
    }

    /// What is saved there, as the product reads it.
    fn saved(&self) -> Option<LastKnownGood> {
        StateDir::new(&self.state()).load().unwrap()
    }

    /// What is to be saved of a file with this text, or of none.
    fn good(&self, content: Option<&str>) -> LastKnownGood {
        LastKnownGood::new(SourceSet::one(self.config(), content.map(|text| text.as_bytes().to_vec())))
    }

    /// Saves it.
    fn save(&self, content: Option<&str>) {
        StateDir::new(&self.state()).save(&self.good(content)).unwrap();
    }

    /// The names in the state directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.state()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
