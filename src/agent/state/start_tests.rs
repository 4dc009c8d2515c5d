//! What holds from the start on: the file, the kernel's rules, what was saved, or the defaults.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use tempfile::TempDir;

use super::support::Passed;
use super::*;
use crate::agent::{ConfigFiles, Look, SteppedAgent};
use crate::backend::nftables::ObservedTable;
use crate::backend::nftables::fake::{Kernel, Memory};
use crate::backend::{BackendOption, Protect};
use crate::config::{Context, ReadError, SourcePaths, SourceSet, parse};
use crate::last_good::{LastKnownGood, StateDir};
use crate::net::Family;
use crate::policy::Policy;
use crate::rules::Rule;

const FILE: &str = "nonMasqueradeCIDRs: [10.1.0.0/16, \"fd01::/16\"]\n";
const SAVED: &str = "nonMasqueradeCIDRs: [10.2.0.0/16, \"fd02::/16\"]\n";
const STANDING: &str = "nonMasqueradeCIDRs: [10.3.0.0/16, \"fd03::/16\"]\n";
const BAD: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";
const OTHERWISE_BAD: &str = "nonMasqueradeCIDRs: 7\n";

/// A node's disk: the configuration file and the state directory.
struct Node {
    scratch: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> PathBuf {
        self.scratch.path().join("config")
    }

    fn state(&self) -> StateDir {
        StateDir::new(&self.scratch.path().join("state"))
    }

    fn write(&self, config: Option<&str>) {
        match config {
            Some(text) => fs::write(self.config(), text).unwrap(),
            None => drop(fs::remove_file(self.config())),
        }
    }

    /// What is saved: a file's content, or `None` if there was no file.
    fn saved(&self) -> Option<LastKnownGood> {
        self.state().load().unwrap()
    }

    fn save(&self, content: Option<&str>) {
        self.state().save(&self.good(content)).unwrap();
    }

    fn good(&self, content: Option<&str>) -> LastKnownGood {
        LastKnownGood::new(SourceSet::one(self.config(), content.map(|text| text.as_bytes().to_vec())))
    }

    fn start(&self, kernel: &Kernel, option: BackendOption) -> Running {
        self.start_with(kernel, option, flags())
    }

    fn start_with(&self, kernel: &Kernel, option: BackendOption, flags: Flags) -> Running {
        let store = LastGoodStore::new(self.state(), self.saved());
        let file = ConfigFiles::new(SourcePaths::one(self.config()), Context::from(&flags));
        Running {
            agent: SteppedAgent::new(
                kernel.backends(),
                option,
                Protect::Off,
                flags,
                SourcePaths::one(self.config()),
                store,
            ),
            kernel: kernel.clone(),
            file,
        }
    }
}

/// An agent and its file, without a thread between them.
struct Running {
    agent: SteppedAgent,
    kernel: Kernel,
    file: ConfigFiles,
}

/// Whether a file that is missing or empty has been so for a while.
const AWAY: bool = true;
const THERE: bool = false;

impl Running {
    /// A look at the file, and a pass with what is new about it.
    fn next_pass(&mut self, has_been_away: bool) -> Passed {
        match self.file.look(has_been_away) {
            Look::News(news) => self.agent.pass(Some(news)),
            Look::Same | Look::Away => self.agent.pass(None),
        }
    }
}

impl Deref for Running {
    type Target = SteppedAgent;

    fn deref(&self) -> &SteppedAgent {
        &self.agent
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut SteppedAgent {
        &mut self.agent
    }
}

/// Saves what a pass said is to be saved.
fn save(pass: &Passed) {
    if let Some(save) = &pass.save {
        save.here().unwrap();
    }
}

fn flags() -> Flags {
    Flags { ipv6: true, ..Flags::default() }
}

/// The kernel as an agent with this file, and this way of keeping its rules, left it.
fn kernel_with(config: &str, option: BackendOption) -> Kernel {
    let node = Node::new();
    node.write(Some(config));
    let mut agent = node.start(&Kernel::default(), option);
    assert!(agent.next_pass(THERE).is_in_force());
    agent.kernel.clone()
}

/// What was found for each family: the exempt private ranges in the kernel's rules, whatever their layout.
fn exempt(kernel: &Kernel, family: Family) -> Vec<String> {
    let of_rule = |table: &ObservedTable, rule: &Rule| -> Vec<String> {
        rule.matches()
            .iter()
            .flat_map(|condition| match (condition.destinations(), condition.lookup()) {
                (Some(cidr), _) => vec![cidr.network().to_string()],
                (_, Some(lookup)) => {
                    table.set(lookup.set).unwrap().elements.iter().map(|range| range.first().to_string()).collect()
                }
                _ => Vec::new(),
            })
            .collect()
    };
    let memory = kernel.get();
    let tables = memory.state.tables.iter().filter(|table| table.id.family == family);
    let mut found: Vec<String> = tables
        .flat_map(|table| {
            let rules = table.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.rule.as_ref().ok());
            rules.flat_map(|rule| of_rule(table, rule)).collect::<Vec<_>>()
        })
        .filter(|address| address.starts_with("10.") || address.starts_with("fd"))
        .collect();
    found.sort();
    found
}

/// For both families the same: where the rules come from, and what tells them in the kernel.
fn assert_holds(agent: &Running, pass: &Passed, expected: &str) {
    assert!(pass.is_in_force(), "{pass:?}");
    let active = &pass.active;
    assert_eq!(active.name(), expected, "{pass:?}");
    assert!(active.standing().is_empty() || active.is_kernel_rules_alone(), "{pass:?}");
    let (ipv4, ipv6, says) = match expected {
        "file" => ("10.1.0.0", &["fd01::"][..], Some(FILE)),
        "last_known_good" => ("10.2.0.0", &["fd02::"][..], Some(SAVED)),
        "kernel_rules" => ("10.3.0.0", &["fd03::"][..], None),
        "defaults" | "no_file" => ("10.0.0.0", &[][..], Some("")),
        other => panic!("{other}: which one?"),
    };
    assert_eq!(exempt(&agent.kernel, Family::Ipv4), [ipv4], "{expected}");
    assert_eq!(exempt(&agent.kernel, Family::Ipv6), ipv6, "{expected}");
    assert_eq!(pass.fingerprint, says.map(fingerprint_of), "{expected}");
}

fn fingerprint_of(file: &str) -> Fingerprint {
    let reading = parse(file.as_bytes(), &Context::from(&flags())).unwrap();
    Fingerprint::of(&Policy::new(&reading.config, &flags()))
}

#[test]
fn the_first_of_file_kernel_last_known_good_and_defaults_that_there_is_holds() {
    let (valid, bad, missing) = (Some(FILE), Some(BAD), None);
    let (file, no_file, nothing) = (Some(Some(SAVED)), Some(None), None);
    for (config, saved, stands, expected) in [
        (valid, file, true, "file"),
        (valid, nothing, false, "file"),
        (bad, file, true, "kernel_rules"),
        (bad, file, false, "last_known_good"),
        (bad, nothing, true, "kernel_rules"),
        (bad, nothing, false, "defaults"),
        (missing, file, true, "kernel_rules"),
        (missing, file, false, "last_known_good"),
        (missing, no_file, true, "no_file"),
        (missing, no_file, false, "no_file"),
        (missing, nothing, true, "no_file"),
        (missing, nothing, false, "no_file"),
    ] {
        for option in [BackendOption::NftCompat, BackendOption::Nft] {
            let node = Node::new();
            node.write(config);
            if let Some(content) = saved {
                node.save(content);
            }
            let before = node.saved();
            let kernel = if stands { kernel_with(STANDING, option) } else { Kernel::default() };
            let generation = kernel.get().state.generation;
            // Rules that stand stay in whatever layout they are.
            for start_with in [BackendOption::NftCompat, BackendOption::Nft] {
                let mut agent = node.start(&Kernel::from(kernel.get().clone()), start_with);
                let pass = agent.next_pass(THERE);
                save(&pass);
                assert_holds(&agent, &pass, expected);
                if expected == "kernel_rules" {
                    assert_eq!(agent.kernel.get().state.generation, generation, "nothing is written");
                }
                let is_valid = ["file", "no_file"].contains(&expected);
                let chosen = if is_valid { Some(node.good(config)) } else { before.clone() };
                assert_eq!(node.saved(), chosen, "what is not chosen is not saved");
            }
        }
    }
}

#[test]
fn no_file_before_the_start_means_the_defaults_also_where_the_file_is_bad_now() {
    let node = Node::new();
    node.write(Some(BAD));
    node.save(None);
    let mut agent = node.start(&Kernel::default(), BackendOption::NftCompat);
    let pass = agent.next_pass(THERE);
    assert!(pass.is_in_force());
    assert_eq!(pass.active.name(), "last_known_good");
    assert_eq!(exempt(&agent.kernel, Family::Ipv4), ["10.0.0.0"]);
}

#[test]
fn rules_that_stay_as_found_are_replaced_when_somebody_takes_them_out_and_then_stay_as_ours() {
    let node = Node::new();
    node.write(Some(BAD));
    node.save(Some(SAVED));
    let mut agent = node.start(&kernel_with(STANDING, BackendOption::NftCompat), BackendOption::NftCompat);
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, "kernel_rules");
    let pass = agent.next_pass(THERE);
    assert!(pass.is_in_force() && !pass.rules.was_read, "nobody has changed anything");

    let flush = |agent: &mut Running, family| {
        agent.kernel.get().state.tables.retain(|table| table.id.family != family);
        agent.kernel.get().changed();
    };
    flush(&mut agent, Family::Ipv6);
    let mixed =
        "IPv4: the rules that stood in the kernel at the start; IPv6: the last valid configuration of before the start";
    let pass = agent.next_pass(THERE);
    assert!(pass.is_in_force());
    assert_eq!(pass.active.to_string(), mixed);
    assert_eq!(exempt(&agent.kernel, Family::Ipv4), ["10.3.0.0"]);
    assert_eq!(exempt(&agent.kernel, Family::Ipv6), ["fd02::"]);

    // What is ours now is repaired where it drifts, although it stands all the same; what is not is left alone.
    for table in &mut agent.kernel.get().state.tables {
        table.chains[1].rules.remove(0);
    }
    agent.kernel.get().changed();
    node.write(Some(OTHERWISE_BAD));
    let pass = agent.next_pass(THERE);
    assert!(matches!(pass.file, Some(FileStatus::Unusable { notes: Some(_), .. })), "{pass:?}");
    assert!(pass.is_in_force());
    assert_eq!(pass.active.to_string(), mixed, "another mistake is no start");
    let families: Vec<Family> = pass.rules.change_lines.iter().map(|change| change.family).collect();
    assert_eq!((families, pass.rules.changes), (vec![Family::Ipv6], 1), "{pass:?}");

    flush(&mut agent, Family::Ipv4);
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, "last_known_good");
    node.write(Some(FILE));
    let pass = agent.next_pass(THERE);
    save(&pass);
    assert_holds(&agent, &pass, "file");
    assert_eq!(node.saved(), Some(node.good(Some(FILE))));
}

#[test]
fn after_a_valid_file_a_bad_one_changes_nothing_and_the_absence_of_one_is_an_answer() {
    let node = Node::new();
    node.write(Some(FILE));
    let mut agent = node.start(&Kernel::default(), BackendOption::NftCompat);
    let pass = agent.next_pass(THERE);
    save(&pass);
    assert!(pass.is_in_force());
    agent.saved(true);
    node.write(Some(BAD));
    let pass = agent.next_pass(THERE);
    assert!(pass.save.is_none(), "{pass:?}");
    assert!(matches!(pass.file, Some(FileStatus::Unusable { notes: None, .. })), "{pass:?}");
    assert!(pass.is_in_force());
    assert_eq!(pass.active.name(), "last_valid");
    assert_eq!(node.saved(), Some(node.good(Some(FILE))));

    node.write(None);
    let pass = agent.next_pass(AWAY);
    save(&pass);
    assert_holds(&agent, &pass, "no_file");
    assert_eq!(node.saved(), Some(node.good(None)));
    let mut next = node.start(&kernel_with(STANDING, BackendOption::NftCompat), BackendOption::NftCompat);
    let pass = next.next_pass(THERE);
    assert_holds(&next, &pass, "no_file");
}

#[test]
fn a_file_that_is_missing_or_empty_changes_nothing_until_it_has_been_so_for_a_while() {
    for (away, instead) in [(None, "no_file"), (Some(""), "file")] {
        let node = Node::new();
        node.write(Some(FILE));
        let mut agent = node.start(&Kernel::default(), BackendOption::NftCompat);
        assert!(agent.next_pass(THERE).report.file.is_some());
        for _ in 0..3 {
            node.write(away);
            assert!(matches!(agent.file.look(THERE), Look::Away));
            let pass = agent.next_pass(THERE);
            assert!(pass.report.file.is_none(), "{pass:?}");
            assert_holds(&agent, &pass, "file");
            // What comes back is what was there.
            node.write(Some(FILE));
            assert!(matches!(agent.file.look(THERE), Look::Same));
        }
        node.write(away);
        assert!(agent.next_pass(AWAY).report.file.is_some());
        assert_eq!(agent.state.active.as_ref().unwrap().name(), instead);
        assert_eq!(exempt(&agent.kernel, Family::Ipv4), ["10.0.0.0"], "the defaults");
        // It is known by now.
        assert!(matches!(agent.file.look(THERE), Look::Same));
    }
}

#[test]
fn a_file_missed_at_the_start_is_missed_until_it_comes_and_a_bad_one_in_between_changes_nothing() {
    let node = Node::new();
    node.save(Some(SAVED));
    let mut agent = node.start(&Kernel::default(), BackendOption::Nft);
    for config in [None, Some(BAD), None] {
        node.write(config);
        let pass = agent.next_pass(AWAY);
        let Some(FileStatus::Unusable { error, notes: Some(notes) }) = &pass.report.file else { panic!("{pass:?}") };
        assert_eq!(matches!(error, ReadError::Missing(_)), config.is_none());
        assert_eq!(notes.to_string().contains("came from it"), config.is_none(), "{notes}");
        assert_holds(&agent, &pass, "last_known_good");
    }
    node.write(Some(FILE));
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, "file");
}

#[test]
fn a_configuration_is_saved_only_once_its_rules_are_in_force() {
    let node = Node::new();
    node.write(Some(FILE));
    let kernel = Kernel::from(Memory { interference: vec![|_| (); 100], ..Memory::default() });
    let mut agent = node.start(&kernel, BackendOption::NftCompat);
    let pass = agent.next_pass(THERE);
    assert!(pass.rules.failure.as_ref().unwrap().text.contains("16 times"), "{pass:?}");
    assert!(pass.save.is_none() && !pass.is_in_force(), "{pass:?}");
    assert_eq!(node.saved(), None);

    agent.kernel.get().interference.clear();
    for is_saved in [false, true] {
        let pass = agent.next_pass(THERE);
        assert!(pass.save.is_some(), "{pass:?}");
        assert!(agent.next_pass(THERE).save.is_none(), "it is under way");
        save(&pass);
        agent.saved(is_saved);
    }
    assert_eq!(node.saved(), Some(node.good(Some(FILE))));
    assert!(agent.next_pass(THERE).save.is_none(), "an idle agent writes nothing");
}

#[test]
fn a_family_that_is_not_treated_loses_its_rules_also_at_a_degraded_start() {
    let node = Node::new();
    node.write(Some(BAD));
    let kernel = kernel_with(STANDING, BackendOption::NftCompat);
    let mut agent = node.start_with(&kernel, BackendOption::NftCompat, Flags { ipv6: false, ..flags() });
    let pass = agent.next_pass(THERE);
    assert!(pass.is_in_force() && pass.active.is_kernel_rules_alone());
    assert_eq!(pass.active.standing(), [Family::Ipv4]);
    assert_eq!(exempt(&agent.kernel, Family::Ipv4), ["10.3.0.0"]);
    assert_eq!(exempt(&agent.kernel, Family::Ipv6), [""; 0]);
}
