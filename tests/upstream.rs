//! What upstream did with a hundred configurations (`testdata/upstream/`), held against what we do with them: the same
//! outcome and the same rules, as text and in the kernel, but for the differences in the table below.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic in a test is a failed test")]

#[cfg(test)]
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ip_masq_agent::net::Family;
use serde::Deserialize;

use support::decode_base64;
use support::netns::{AGENT, Netns};
use support::ran::{Ran, without_privileges};
use support::tables::{FAMILIES, chains_and_rules, saved, without_counters};

/// A case as it was recorded.
#[derive(Deserialize)]
struct Case {
    name: String,
    flags: Vec<String>,
    file: String,
    config: Option<String>,
    config_base64: Option<String>,
    outcome: String,
    nat_v4: Vec<String>,
    nat_v6: Vec<String>,
}

/// How a run ends, of upstream's and of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The rules are in force; ours ends with status 0.
    Applied,
    /// The file is refused, nothing is touched; ours ends with status 3.
    ConfigRefused,
    /// The flags are refused, nothing is touched; ours ends with status 2.
    FlagsRefused,
    /// Upstream got halfway. Ours never does.
    HalfApplied,
}

use Ending::{Applied, ConfigRefused, FlagsRefused, HalfApplied};

/// Where we differ on purpose: the case, upstream's ending, ours, and why.
const DIFFERENCES: &[(&str, Ending, Ending, &str)] = &[
    ("cidr-null-element", Applied, ConfigRefused, "upstream puts one of its default ranges where null stands"),
    ("mask-08", HalfApplied, ConfigRefused, "upstream leaves a jump to a chain without rules"),
    ("flag-bool-separate", Applied, FlagsRefused, "upstream turns IPv6 on and ignores the flags after it"),
    ("to-ports-70000", HalfApplied, FlagsRefused, "upstream leaves a jump to a chain without rules"),
    ("masq-chain-29", HalfApplied, FlagsRefused, "upstream fails at every pass"),
    ("masq-chain-empty", HalfApplied, FlagsRefused, "upstream fails at every pass"),
    ("masq-chain-postrouting", HalfApplied, FlagsRefused, "upstream fails at every pass"),
    ("masq-chain-space", HalfApplied, FlagsRefused, "upstream fails at every pass"),
];

#[test]
fn every_case_ends_as_upstreams_did_or_as_the_table_of_differences_says() {
    let cases = cases();
    for (name, ..) in DIFFERENCES {
        assert!(cases.iter().any(|case| case.name == *name), "the table names {name}, which is no case");
    }
    for case in &cases {
        assert_eq!(case.run_unprivileged("render").0, case.expected_ending(), "render, {}", case.name);
    }
}

#[test]
fn every_applied_case_renders_to_upstreams_rules() {
    for case in cases() {
        if case.expected_ending() != Applied {
            continue;
        }
        for (family, format) in FAMILIES.into_iter().zip(["iptables", "ip6tables"]) {
            let (_, ran) = case.run_unprivileged(&format!("render --format {format}"));
            assert_eq!(chains_and_rules(&without_counters(&ran.stdout)), case.rules(family), "{} {format}", case.name);
        }
    }
}

#[test]
fn every_case_leaves_upstreams_rules_in_the_kernel_or_touches_nothing() {
    for case in cases() {
        let Some(netns) = Netns::new("upstream") else { return };
        if case.file == "unreadable" {
            // Root reads everything; the unprivileged run above covers this case.
            continue;
        }
        let path = case.lay_out(netns.scratch());
        let mut arguments = vec!["apply", "--config", path.to_str().unwrap()];
        arguments.extend(case.flags.iter().map(String::as_str));
        let ran = netns.try_run(AGENT, &arguments, "");
        let expected = case.expected_ending();
        assert_eq!(ending(&ran), expected, "apply, {}: {}", case.name, ran.stderr);
        for family in FAMILIES {
            let wanted = if expected == Applied { case.rules(family) } else { Vec::new() };
            let saved = saved(&netns, family);
            assert_eq!(chains_and_rules(&saved), wanted, "{} {family:?}", case.name);
        }
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/upstream/cases.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 100, "the recording has a hundred cases");
    cases
}

fn ending(ran: &Ran) -> Ending {
    match ran.status {
        Some(0) => Applied,
        Some(2) => FlagsRefused,
        Some(3) => ConfigRefused,
        _ => panic!("no case ends so: {ran:?}"),
    }
}

impl Case {
    /// How ours ends: as upstream did, or as the table says.
    fn expected_ending(&self) -> Ending {
        let upstream = match self.outcome.as_str() {
            "applied" | "defaults" => Applied,
            "config-error" => ConfigRefused,
            "rules-error" => HalfApplied,
            "exited rc=1" | "exited rc=2" => FlagsRefused,
            other => panic!("{}: unknown outcome {other:?}", self.name),
        };
        match DIFFERENCES.iter().find(|(name, ..)| *name == self.name) {
            Some((name, theirs, ours, _)) => {
                assert_eq!(*theirs, upstream, "the table is wrong about upstream's {name}");
                *ours
            }
            None => upstream,
        }
    }

    /// The chains and rules that upstream left for a family.
    fn rules(&self, family: Family) -> Vec<&str> {
        let lines = match family {
            Family::Ipv4 => &self.nat_v4,
            Family::Ipv6 => &self.nat_v6,
        };
        lines.iter().map(|line| line.strip_suffix(" [0:0]").unwrap_or(line)).collect()
    }

    fn content(&self) -> Vec<u8> {
        match (&self.config, &self.config_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (_, Some(base64)) => decode_base64(base64),
            (None, None) => Vec::new(),
        }
    }

    /// Puts into `root` what stood at upstream's configuration path, and says where it is.
    fn lay_out(&self, root: &Path) -> PathBuf {
        let path = root.join("etc/ip-masq-agent");
        if self.file != "nodir" {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        match self.file.as_str() {
            "absent" | "nodir" => {}
            "file" => fs::write(&path, self.content()).unwrap(),
            "unreadable" => {
                fs::write(&path, self.content()).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            }
            "k8s" => {
                // As kubelet's AtomicWriter lays out a ConfigMap volume.
                let volume = path.parent().unwrap();
                fs::create_dir(volume.join("..2026_01_01")).unwrap();
                fs::write(volume.join("..2026_01_01/ip-masq-agent"), self.content()).unwrap();
                symlink("..2026_01_01", volume.join("..data")).unwrap();
                symlink("..data/ip-masq-agent", &path).unwrap();
            }
            other => panic!("{}: unknown kind of file {other:?}", self.name),
        }
        path
    }

    /// Runs a verb that needs no privilege, without one.
    fn run_unprivileged(&self, verb: &str) -> (Ending, Ran) {
        let root = tempfile::tempdir().unwrap();
        let path = self.lay_out(root.path());
        let mut agent = without_privileges(AGENT);
        agent.args(verb.split_whitespace()).arg("--config").arg(path).args(&self.flags);
        let ran = Ran::of(agent);
        (ending(&ran), ran)
    }
}
