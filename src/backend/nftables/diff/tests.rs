//! Never a third answer: whatever a packet meets while the plans that lead from one policy to another are committed, it is
//! treated as either the old or the new policy has it.

#[path = "parts_tests.rs"]
mod parts_tests;
#[path = "two_addresses_tests.rs"]
mod two_addresses_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::any::{any_ruleset, interesting};
use super::model::Commit;
use super::parts::PART;
use super::*;
use crate::backend::nftables::fake::Memory;
use crate::net::{AddressRange, ChainName};
use crate::policy::Packet;
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, Rule, SetKind, Verdict, compile, trace};

/// The most commits that a change takes: for additions, rules, removals and the rules of the table that is left, and for
/// the parts in which large sets are added and removed.
const MOST_COMMITS: usize = 20;

pub(super) const SEVEN_LENGTHS: [&str; 7] =
    ["10.0.0.0/8", "20.0.0.0/9", "30.0.0.0/10", "40.0.0.0/11", "50.0.0.0/12", "60.0.0.0/13", "70.0.0.0/14"];

#[test]
fn a_change_takes_as_many_commits_as_it_needs_and_no_more() {
    let native = Layout::OwnTable(Protection::Off);
    // A set for one range has room for 64. No two of these touch, so that they are not merged.
    let many: Vec<String> = (0..65).map(|number| format!("10.0.{}.0/24", number * 2)).collect();
    for (what, old, new, commits) in [
        ("the same", (native, &["10.0.0.0/8"][..]), (native, &["10.0.0.0/8"][..]), 0),
        ("a range is added", (native, &["10.0.0.0/8"]), (native, &["10.0.0.0/8", "12.0.0.0/8"]), 1),
        ("a range of a new length is added", (native, &["10.0.0.0/8"]), (native, &["10.0.0.0/8", "12.0.0.0/16"]), 1),
        ("the last of a length is removed", (native, &["10.0.0.0/8", "12.0.0.0/16"]), (native, &["10.0.0.0/8"]), 1),
        (
            "a range moves to another set: additions, removals",
            (native, &["10.0.0.0/8", "12.1.0.0/16"]),
            (native, &["10.1.0.0/16", "12.0.0.0/8"]),
            2,
        ),
        ("it moves to a new set: additions, rules", (native, &["10.0.0.0/8"]), (native, &["10.1.0.0/16"]), 2),
        (
            "it moves from a set that stays to a new one: additions, rules, removals",
            (native, &["10.0.0.0/8", "12.0.0.0/8"]),
            (native, &["10.1.0.0/16", "12.0.0.0/8"]),
            3,
        ),
        ("an interval set is added: the set, the rules", (native, &["10.0.0.0/8"]), (native, &SEVEN_LENGTHS), 2),
        ("it comes alone: the set, the rules", (native, &[]), (native, &SEVEN_LENGTHS), 2),
        ("it grows", (native, &SEVEN_LENGTHS), (native, &[&SEVEN_LENGTHS[..], &["80.0.0.0/8"]].concat()), 1),
        (
            "an interval of it becomes wider: sets for what stays, the intervals, an end to these sets",
            (native, &SEVEN_LENGTHS),
            (native, &[&SEVEN_LENGTHS[..], &["10.0.0.0/7"]].concat()),
            3,
        ),
        (
            "it outgrows its set: all sets and rules anew",
            (native, &["10.0.0.0/24"]),
            (native, &many.iter().map(String::as_str).collect::<Vec<_>>()),
            1,
        ),
        ("to a table of our own", (Layout::IptablesNat, &["10.0.0.0/8"]), (native, &["10.0.0.0/8"]), 2),
        ("from a table of our own", (native, &["10.0.0.0/8"]), (Layout::IptablesNat, &["10.0.0.0/8"]), 2),
        (
            "another protection: a new table",
            (native, &["10.0.0.0/8"]),
            (Layout::OwnTable(Protection::OwnerPersist), &["10.0.0.0/8"]),
            1,
        ),
        (
            "another protection, and an interval set: sets of addresses first, the interval set, the rules",
            (native, &SEVEN_LENGTHS),
            (Layout::OwnTable(Protection::OwnerPersist), &SEVEN_LENGTHS),
            3,
        ),
    ] {
        let ruleset = |(layout, exempt): (Layout, &[&str])| compile(&policy(exempt, ""), layout);
        let mut kernel = Memory::default();
        become_(&mut kernel, &ruleset(old), &mut |_, _, _| ());
        let mut taken = 0;
        become_(&mut kernel, &ruleset(new), &mut |_, _, _| taken += 1);
        assert_eq!(taken, commits, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_packet_meets_the_old_policy_or_the_new_one(old in any_ruleset(), new in any_ruleset()) {
        let mut kernel = Memory::default();
        if let Some(old) = &old {
            become_(&mut kernel, old, &mut |_, _, _| ());
        }
        assert_no_third_answer(&mut kernel, &old.unwrap_or_else(nothing), &new.unwrap_or_else(nothing));
    }

    #[test]
    fn after_a_crash_between_two_commits_every_packet_meets_what_stood_or_the_policy_that_comes(
        first in any_ruleset(), second in any_ruleset(), third in any_ruleset(),
    ) {
        let rulesets = [first, second, third].map(|ruleset| ruleset.unwrap_or_else(nothing));
        let [first, second, third] = &rulesets;
        let addresses = interesting(&[first, second, third]);
        let mut kernel = Memory::default();
        become_(&mut kernel, first, &mut |_, _, _| ());
        let mut left = Vec::new();
        become_(&mut kernel, second, &mut |_, after, _| left.push(after.clone()));
        for stood in left {
            let nothing_changes = Plan::default();
            let mut crashed = Memory { state: stood.clone(), last_handle: kernel.last_handle, ..Memory::default() };
            become_(&mut crashed, third, &mut |before, after, plan| {
                for packet in addresses.iter().copied().map(Packet::to) {
                    let mut allowed = Commit { states: [&stood, &stood], plan: &nothing_changes }.answers(&packet);
                    allowed.insert(trace(third, &packet).outcome);
                    Commit { states: [before, after], plan }.assert_answers(&packet, &allowed);
                }
            });
        }
    }
}

#[test]
fn addresses_in_an_interval_that_becomes_wider_or_narrower_are_never_lost_sight_of() {
    let native = |wide: &str| {
        let exempt = [&SEVEN_LENGTHS[1..], &["100.0.0.0/30", "100.0.1.0/29", wide]].concat();
        compile(&policy(&exempt, ""), Layout::OwnTable(Protection::Off))
    };
    for (one, other) in [("10.0.0.0/8", "10.200.0.0/24"), ("10.0.0.0/8", "10.0.0.0/7"), ("19.0.0.0/8", "20.128.0.0/9")]
    {
        for (old, new) in [(one, other), (other, one)] {
            let mut kernel = Memory::default();
            become_(&mut kernel, &native(old), &mut |_, _, _| ());
            assert_no_third_answer(&mut kernel, &native(old), &native(new));
        }
    }
}

#[test]
fn bridge_sets_under_the_name_that_an_older_version_gave_them_are_removed() {
    let native = |wide: &str| {
        let exempt = [&SEVEN_LENGTHS[1..], &["100.0.0.0/30", "100.0.1.0/29", wide]].concat();
        compile(&policy(&exempt, ""), Layout::OwnTable(Protection::Off))
    };
    let (old, new) = (native("10.0.0.0/8"), native("10.200.0.0/24"));
    let mut kernel = Memory::default();
    become_(&mut kernel, &old, &mut |_, _, _| ());
    let mut left = Vec::new();
    become_(&mut kernel, &new, &mut |_, after, _| left.push(after.clone()));
    let older = |name: &str| name.replace("-bridge-", "-meanwhile-");
    let mut found = 0;
    for mut state in left {
        // What an older version leaves that is stopped in between.
        for table in &mut state.tables {
            for set in table.sets.iter_mut().filter(|set| set.name.contains("-bridge-")) {
                found += 1;
                set.name = older(&set.name);
            }
            for observed in table.chains.iter_mut().flat_map(|chain| chain.rules.iter_mut()) {
                let rule = observed.rule.as_mut().unwrap();
                let set = rule.lookups().next().map(|lookup| lookup.set.to_owned());
                if let Some(set) = set {
                    *rule = rule.with_set_named(&set, &older(&set));
                }
            }
        }
        let mut kernel = Memory { state, last_handle: kernel.last_handle, ..Memory::default() };
        assert_no_third_answer(&mut kernel, &old, &new);
    }
    assert!(found > 0);
}

/// Asserts that every packet gets the answer of either the old or the new rules, whatever it meets while the kernel is
/// brought from the old ones to the new ones.
fn assert_no_third_answer(kernel: &mut Memory, old: &Ruleset, new: &Ruleset) {
    let packets: Vec<Packet> = interesting(&[old, new]).into_iter().map(Packet::to).collect();
    assert_no_third_answer_for(kernel, old, new, &packets);
}

fn assert_no_third_answer_for(kernel: &mut Memory, old: &Ruleset, new: &Ruleset, packets: &[Packet]) {
    become_(kernel, new, &mut |before, after, plan| {
        for packet in packets {
            let allowed = [old, new].map(|ruleset| trace(ruleset, packet).outcome).into();
            Commit { states: [before, after], plan }.assert_answers(packet, &allowed);
        }
    });
}

/// Commits plans until nothing differs, and shows each of them to `seen`. Asserts that each says whether another follows,
/// and that the desired rules are there then.
pub(super) fn become_(kernel: &mut Memory, desired: &Ruleset, seen: &mut dyn FnMut(&Observed, &Observed, &Plan)) {
    let mut said_more = None;
    for _ in 0..=MOST_COMMITS {
        let before = kernel.state.clone();
        let plan = plan(desired, &before, &Cache::default()).unwrap();
        assert_eq!(said_more.unwrap_or(!plan.is_empty()), !plan.is_empty(), "{plan:#?}");
        said_more = Some(plan.more);
        if plan.is_empty() {
            assert!(!plan.more);
            return assert_stands(&before, desired);
        }
        kernel.commit(&plan, before.generation).unwrap();
        seen(&before, &kernel.state, &plan);
    }
    panic!("more than {MOST_COMMITS} commits");
}

/// Asserts that the desired rules are there, without the code that makes plans.
fn assert_stands(kernel: &Observed, desired: &Ruleset) {
    let tables = kernel.tables.iter().filter(|table| table.id.name == TableName::Own).map(|table| table.id);
    let wanted = desired.tables.iter().filter(|table| table.id.name == TableName::Own).map(|table| table.id);
    assert_eq!(tables.collect::<BTreeSet<_>>(), wanted.collect());
    for table in &desired.tables {
        let present = kernel.table(table.id).unwrap();
        let sets = present.sets.iter().map(|set| (first_name(&set.name), &set.elements)).collect::<BTreeMap<_, _>>();
        assert_eq!(sets, table.sets.iter().map(|set| (set.name.as_str(), &set.elements)).collect(), "{}", table.id);
        assert_eq!(present.sets.len(), table.sets.len(), "{}", table.id);
        for chain in &table.chains {
            let rules =
                present.chain(&chain.name).unwrap().rules.iter().map(|rule| rule.rule.as_ref().map(by_first_name));
            assert!(rules.eq(chain.rules.iter().cloned().map(Ok)), "{} {}", table.id, chain.name);
        }
        assert!(table.id.name == TableName::Nat || present.chains.len() == table.chains.len(), "{}", table.id);
    }
}

/// The first of the two names that each set has.
fn first_name(name: &str) -> &str {
    name.strip_suffix("-b").unwrap_or(name)
}

fn by_first_name(rule: &Rule) -> Rule {
    let sets: Vec<&str> = rule.lookups().map(|lookup| lookup.set).collect();
    sets.into_iter().fold(rule.clone(), |rule, set| rule.with_set_named(set, first_name(set)))
}

fn nothing() -> Ruleset {
    Ruleset::nothing(ChainName::default())
}
