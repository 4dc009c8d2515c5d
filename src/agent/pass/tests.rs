//! What holds from the start on, over a kernel in memory and a real file: the file, the kernel's rules, what was kept, or
//! the defaults.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::agent::{ConfigFiles, Look};
use crate::backend::fake::Memory;
use crate::backend::nftables::ObservedTable;
use crate::config::{SourcePaths, SourceSet};
use crate::last_good::{InForce, LastKnownGood, StateDir};
use crate::net::Family;
use crate::rules::Rule;

const FILE: &str = "nonMasqueradeCIDRs: [10.1.0.0/16, \"fd01::/16\"]\n";
const KEPT: &str = "nonMasqueradeCIDRs: [10.2.0.0/16, \"fd02::/16\"]\n";
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

    /// What is kept: a file's content, or `None` if there was no file.
    fn kept(&self) -> Option<LastKnownGood> {
        self.state().load().unwrap()
    }

    fn keep(&self, content: Option<&str>) {
        self.state().save(&self.good(content)).unwrap();
    }

    fn good(&self, content: Option<&str>) -> LastKnownGood {
        LastKnownGood::new(SourceSet::one(self.config(), content.map(|text| text.as_bytes().to_vec())))
    }

    fn start(&self, kernel: Memory, wanted: Wanted) -> Running {
        self.start_with(kernel, wanted, flags())
    }

    fn start_with(&self, kernel: Memory, wanted: Wanted, flags: Flags) -> Running {
        let keeper = Keeper::new(self.state(), self.kept());
        let file = ConfigFiles::new(SourcePaths::one(self.config()), Context::from(&flags));
        Running { agent: Agent::new(kernel, wanted, Protect::Off, flags, keeper), file }
    }
}

/// An agent and its file, without a thread between them.
struct Running {
    agent: Agent<Memory>,
    file: ConfigFiles,
}

/// Has a file that is missing or empty been so for a while?
const AWAY: bool = true;
const THERE: bool = false;

impl Running {
    /// A look at the file, and a pass with what is new about it.
    fn next_pass(&mut self, has_been_away: bool) -> Pass {
        match self.file.look(has_been_away) {
            Look::News(news) => self.agent.pass(Event::Tick, Some(news)),
            Look::Same | Look::Away => self.agent.pass(Event::Tick, None),
        }
    }
}

impl Deref for Running {
    type Target = Agent<Memory>;

    fn deref(&self) -> &Agent<Memory> {
        &self.agent
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Agent<Memory> {
        &mut self.agent
    }
}

/// Keeps what a pass said is to be kept.
fn keep(pass: &Pass) {
    if let Some(save) = &pass.keep {
        save.here().unwrap();
    }
}

fn flags() -> Flags {
    Flags { ipv6: true, ..Flags::default() }
}

/// The kernel as an agent with this file, and this way of keeping its rules, left it.
fn kernel_with(config: &str, wanted: Wanted) -> Memory {
    let node = Node::new();
    node.write(Some(config));
    let mut agent = node.start(Memory::default(), wanted);
    agent.next_pass(THERE).rules.unwrap();
    agent.agent.backend
}

/// What was found for each family: the exempt private ranges in the kernel's rules, whatever their layout.
fn exempt(kernel: &Memory, family: Family) -> Vec<String> {
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
    let tables = kernel.state.tables.iter().filter(|table| table.id.family == family);
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
fn assert_holds(agent: &Agent<Memory>, pass: &Pass, expected: InForce) {
    let holding = Holding(Family::ALL.map(|family| (family, expected)).to_vec());
    assert_eq!(pass.holding, Some(holding), "{pass:?}");
    let (ipv4, ipv6) = match expected {
        InForce::File => ("10.1.0.0", &["fd01::"][..]),
        InForce::LastKnownGood => ("10.2.0.0", &["fd02::"][..]),
        InForce::KernelRules => ("10.3.0.0", &["fd03::"][..]),
        InForce::Defaults | InForce::NoFile => ("10.0.0.0", &[][..]),
        InForce::LastValid => panic!("which one?"),
    };
    assert_eq!(exempt(&agent.backend, Family::Ipv4), [ipv4], "{expected:?}");
    assert_eq!(exempt(&agent.backend, Family::Ipv6), ipv6, "{expected:?}");
}

#[test]
fn the_first_of_file_kernel_last_known_good_and_defaults_that_there_is_holds() {
    let (valid, bad, missing) = (Some(FILE), Some(BAD), None);
    let (file, no_file, nothing) = (Some(Some(KEPT)), Some(None), None);
    for (config, kept, stands, expected) in [
        (valid, file, true, InForce::File),
        (valid, nothing, false, InForce::File),
        (bad, file, true, InForce::KernelRules),
        (bad, file, false, InForce::LastKnownGood),
        (bad, nothing, true, InForce::KernelRules),
        (bad, nothing, false, InForce::Defaults),
        (missing, file, true, InForce::KernelRules),
        (missing, file, false, InForce::LastKnownGood),
        (missing, no_file, true, InForce::NoFile),
        (missing, no_file, false, InForce::NoFile),
        (missing, nothing, true, InForce::NoFile),
        (missing, nothing, false, InForce::NoFile),
    ] {
        for wanted in [Wanted::NftCompat, Wanted::Nft] {
            let node = Node::new();
            node.write(config);
            if let Some(content) = kept {
                node.keep(content);
            }
            let before = node.kept();
            let kernel = if stands { kernel_with(STANDING, wanted) } else { Memory::default() };
            let generation = kernel.state.generation;
            // Rules that stand are kept in whatever layout they are.
            for start_with in [Wanted::NftCompat, Wanted::Nft] {
                let mut agent = node.start(kernel.clone(), start_with);
                let pass = agent.next_pass(THERE);
                keep(&pass);
                assert_holds(&agent, &pass, expected);
                if expected == InForce::KernelRules {
                    assert_eq!(agent.backend.state.generation, generation, "nothing is written");
                }
                let is_valid = !expected.is_degraded();
                let chosen = if is_valid { Some(node.good(config)) } else { before.clone() };
                assert_eq!(node.kept(), chosen, "what is not chosen is not kept");
            }
        }
    }
}

#[test]
fn no_file_before_the_start_means_the_defaults_also_where_the_file_is_bad_now() {
    let node = Node::new();
    node.write(Some(BAD));
    node.keep(None);
    let mut agent = node.start(Memory::default(), Wanted::NftCompat);
    let pass = agent.next_pass(THERE);
    assert_eq!(pass.holding.unwrap().to_string(), InForce::LastKnownGood.to_string());
    assert_eq!(exempt(&agent.backend, Family::Ipv4), ["10.0.0.0"]);
}

#[test]
fn rules_kept_in_the_kernel_are_replaced_when_somebody_takes_them_out_and_then_kept_as_ours() {
    let node = Node::new();
    node.write(Some(BAD));
    node.keep(Some(KEPT));
    let mut agent = node.start(kernel_with(STANDING, Wanted::NftCompat), Wanted::NftCompat);
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, InForce::KernelRules);
    assert!(agent.next_pass(THERE).rules.unwrap().is_none(), "nobody has changed anything");

    let flush = |agent: &mut Running, family| {
        agent.backend.state.tables.retain(|table| table.id.family != family);
        agent.backend.state.generation = agent.backend.state.generation.next();
    };
    flush(&mut agent, Family::Ipv6);
    let mixed = Holding(vec![(Family::Ipv4, InForce::KernelRules), (Family::Ipv6, InForce::LastKnownGood)]);
    assert_eq!(agent.next_pass(THERE).holding, Some(mixed.clone()));
    assert_eq!(exempt(&agent.backend, Family::Ipv4), ["10.3.0.0"]);
    assert_eq!(exempt(&agent.backend, Family::Ipv6), ["fd02::"]);

    // What is ours now is repaired where it drifts, although it stands all the same; what is not is left alone.
    for table in &mut agent.backend.state.tables {
        table.chains[1].rules.remove(0);
    }
    agent.backend.state.generation = agent.backend.state.generation.next();
    node.write(Some(OTHERWISE_BAD));
    let pass = agent.next_pass(THERE);
    assert!(matches!(pass.config, Some(ConfigNews::Refused { instead: Instead::OfBefore(_), .. })), "{pass:?}");
    assert_eq!(pass.holding, Some(mixed), "another mistake is no start");
    let repaired = pass.rules.unwrap().unwrap().result.plan;
    assert!(repaired.changes.iter().all(|change| change.table.family == Family::Ipv6), "{repaired:?}");
    assert_eq!(repaired.changes.len(), 1);

    flush(&mut agent, Family::Ipv4);
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, InForce::LastKnownGood);
    node.write(Some(FILE));
    let pass = agent.next_pass(THERE);
    keep(&pass);
    assert_holds(&agent, &pass, InForce::File);
    assert_eq!(node.kept(), Some(node.good(Some(FILE))));
}

#[test]
fn after_a_valid_file_a_bad_one_changes_nothing_and_the_absence_of_one_is_an_answer() {
    let node = Node::new();
    node.write(Some(FILE));
    let mut agent = node.start(Memory::default(), Wanted::NftCompat);
    let pass = agent.next_pass(THERE);
    keep(&pass);
    pass.rules.unwrap();
    agent.kept(true);
    node.write(Some(BAD));
    let pass = agent.next_pass(THERE);
    assert!(pass.keep.is_none(), "{pass:?}");
    assert!(matches!(pass.config, Some(ConfigNews::Refused { instead: Instead::LastValid, .. })), "{pass:?}");
    assert_eq!(pass.holding.unwrap().to_string(), InForce::LastValid.to_string());
    assert_eq!(node.kept(), Some(node.good(Some(FILE))));

    node.write(None);
    let pass = agent.next_pass(AWAY);
    keep(&pass);
    assert_holds(&agent, &pass, InForce::NoFile);
    assert_eq!(node.kept(), Some(node.good(None)));
    let mut next = node.start(kernel_with(STANDING, Wanted::NftCompat), Wanted::NftCompat);
    let pass = next.next_pass(THERE);
    assert_holds(&next, &pass, InForce::NoFile);
}

#[test]
fn a_file_that_is_missing_or_empty_changes_nothing_until_it_has_been_so_for_a_while() {
    for (away, instead) in [(None, InForce::NoFile), (Some(""), InForce::File)] {
        let node = Node::new();
        node.write(Some(FILE));
        let mut agent = node.start(Memory::default(), Wanted::NftCompat);
        assert!(agent.next_pass(THERE).config.is_some());
        for _ in 0..3 {
            node.write(away);
            assert!(matches!(agent.file.look(THERE), Look::Away));
            let pass = agent.next_pass(THERE);
            assert!(pass.config.is_none(), "{pass:?}");
            assert_holds(&agent, &pass, InForce::File);
            // What comes back is what was there.
            node.write(Some(FILE));
            assert!(matches!(agent.file.look(THERE), Look::Same));
        }
        node.write(away);
        assert!(agent.next_pass(AWAY).config.is_some());
        assert_eq!(agent.basis.source(), Some(instead));
        assert_eq!(exempt(&agent.backend, Family::Ipv4), ["10.0.0.0"], "the defaults");
        // It is known by now.
        assert!(matches!(agent.file.look(THERE), Look::Same));
    }
}

#[test]
fn a_file_missed_at_the_start_is_missed_until_it_comes_and_a_bad_one_in_between_changes_nothing() {
    let node = Node::new();
    node.keep(Some(KEPT));
    let mut agent = node.start(Memory::default(), Wanted::Nft);
    for config in [None, Some(BAD), None] {
        node.write(config);
        let pass = agent.next_pass(AWAY);
        let Some(ConfigNews::Refused { error, instead: Instead::OfBefore(notes) }) = &pass.config else {
            panic!("{pass:?}")
        };
        assert_eq!(matches!(error, ReadError::Missing(_)), config.is_none());
        assert_eq!(notes.to_string().contains("came from it"), config.is_none(), "{notes}");
        assert_holds(&agent, &pass, InForce::LastKnownGood);
    }
    node.write(Some(FILE));
    let pass = agent.next_pass(THERE);
    assert_holds(&agent, &pass, InForce::File);
}

#[test]
fn a_configuration_is_kept_only_once_its_rules_are_in_force() {
    let node = Node::new();
    node.write(Some(FILE));
    let kernel = Memory { interference: vec![|_| (); 100], ..Memory::default() };
    let mut agent = node.start(kernel, Wanted::NftCompat);
    let pass = agent.next_pass(THERE);
    assert!(
        matches!(&pass.rules, Err(SelectError::Reconcile(error)) if error.to_string().contains("16 times")),
        "{pass:?}"
    );
    assert!(pass.keep.is_none() && pass.holding.is_none(), "{pass:?}");
    assert_eq!(node.kept(), None);

    agent.backend.interference.clear();
    for is_kept in [false, true] {
        let pass = agent.next_pass(THERE);
        assert!(pass.keep.is_some(), "{pass:?}");
        assert!(agent.next_pass(THERE).keep.is_none(), "it is under way");
        keep(&pass);
        agent.kept(is_kept);
    }
    assert_eq!(node.kept(), Some(node.good(Some(FILE))));
    assert!(agent.next_pass(THERE).keep.is_none(), "an idle agent writes nothing");
}

#[test]
fn a_family_that_is_not_treated_loses_its_rules_also_at_a_degraded_start() {
    let node = Node::new();
    node.write(Some(BAD));
    let kernel = kernel_with(STANDING, Wanted::NftCompat);
    let mut agent = node.start_with(kernel, Wanted::NftCompat, Flags { ipv6: false, ..flags() });
    let pass = agent.next_pass(THERE);
    assert_eq!(pass.holding, Some(Holding(vec![(Family::Ipv4, InForce::KernelRules)])));
    assert_eq!(exempt(&agent.backend, Family::Ipv4), ["10.3.0.0"]);
    assert_eq!(exempt(&agent.backend, Family::Ipv6), [""; 0]);
}
