//! Never a third answer: whatever a packet can see while the plans that lead from one policy to another are committed, it
//! is treated as the old policy has it or as the new one.

#[path = "parts_tests.rs"]
mod parts_tests;
#[path = "two_addresses_tests.rs"]
mod two_addresses_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::any::{any_ruleset, interesting};
use super::parts::PART;
use super::*;
use crate::backend::nftables::ObservedSet;
use crate::backend::nftables::fake::Memory;
use crate::net::{AddressRange, ChainName, Cidr};
use crate::policy::{Holds, Packet, Value};
use crate::rules::tests::policy;
use crate::rules::{Field, Layout, Lookup, Outcome, Protection, Rule, SetKind, Test, Verdict, compile, trace};

/// The most commits that a change takes: additions, rules, removals, and the rules of the table that is left; and in parts what
/// comes and what goes.
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
        ("a range comes", (native, &["10.0.0.0/8"]), (native, &["10.0.0.0/8", "12.0.0.0/8"]), 1),
        ("a range of a new length comes", (native, &["10.0.0.0/8"]), (native, &["10.0.0.0/8", "12.0.0.0/16"]), 1),
        ("the last of a length goes", (native, &["10.0.0.0/8", "12.0.0.0/16"]), (native, &["10.0.0.0/8"]), 1),
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
        ("an interval set comes: the set, the rules", (native, &["10.0.0.0/8"]), (native, &SEVEN_LENGTHS), 2),
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
        // As an older version leaves it that is stopped in between.
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

/// Whatever a packet can see while the kernel, in which the old rules are, comes to have the new ones, it gets the answer of
/// the one or of the other.
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

/// Commits plans until nothing differs, and shows each of them. What there is then is what shall be there.
pub(super) fn become_(kernel: &mut Memory, desired: &Ruleset, seen: &mut dyn FnMut(&Observed, &Observed, &Plan)) {
    for _ in 0..=MOST_COMMITS {
        let before = kernel.state.clone();
        let plan = plan(desired, &before, &Cache::default()).unwrap();
        if plan.is_empty() {
            assert!(!plan.more);
            return assert_stands(&before, desired);
        }
        kernel.commit(&plan, before.generation).unwrap();
        seen(&before, &kernel.state, &plan);
    }
    panic!("more than {MOST_COMMITS} commits");
}

/// Without asking the code that makes plans.
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

/// Each set has two names.
fn first_name(name: &str) -> &str {
    name.strip_suffix("-b").unwrap_or(name)
}

fn by_first_name(rule: &Rule) -> Rule {
    let sets: Vec<&str> = rule.lookups().map(|lookup| lookup.set).collect();
    sets.into_iter().fold(rule.clone(), |rule, set| rule.with_set_named(set, first_name(set)))
}

/// A commit: what was there before it, what is there after it, and how it came about.
struct Commit<'a> {
    states: [&'a Observed; 2],
    plan: &'a Plan,
}

/// Before a commit or after it: an index into its states.
type Moment = usize;

impl Commit<'_> {
    fn assert_answers(&self, packet: &Packet, allowed: &BTreeSet<Outcome>) {
        let seen = self.answers(packet);
        assert!(
            seen.is_subset(allowed),
            "{packet:?}: {seen:?} of {allowed:?} by {:#?} on {:#?}",
            self.plan,
            self.states
        );
    }

    /// All answers that a packet can meet whose way through the rules begins before the commit or after it, and may go on
    /// after it.
    fn answers(&self, packet: &Packet) -> BTreeSet<Outcome> {
        let family = packet.family;
        let mut bases: Vec<(i32, TableId, &str)> = Vec::new();
        for table in self.states.iter().flat_map(|state| &state.tables).filter(|table| table.id.family == family) {
            bases.extend(
                table
                    .chains
                    .iter()
                    .filter_map(|chain| chain.base.as_ref().map(|base| (base.priority, table.id, chain.name.as_str()))),
            );
        }
        bases.sort_unstable();
        bases.dedup();
        let mut answers = BTreeSet::new();
        let mut on_the_way = BTreeSet::from([0]);
        for (_, table, chain) in bases {
            // The rules are taken when the packet enters the base chain.
            let entries: BTreeSet<Moment> = on_the_way.iter().flat_map(|moment| *moment..2).collect();
            on_the_way.clear();
            for moment in entries {
                for (masqueraded, moment) in self.walk(packet, table, chain, moment, moment) {
                    if masqueraded {
                        answers.insert(Outcome::Masqueraded);
                    } else {
                        on_the_way.insert(moment);
                    }
                }
            }
        }
        if !on_the_way.is_empty() {
            answers.insert(Outcome::Kept);
        }
        answers
    }

    /// The ends of a packet's way through a chain, whose rules are of one moment: is it masqueraded, and when is that?
    fn walk(
        &self,
        packet: &Packet,
        table: TableId,
        chain: &str,
        rules: Moment,
        now: Moment,
    ) -> BTreeSet<(bool, Moment)> {
        let mut ends = BTreeSet::new();
        let mut on_the_way = BTreeSet::from([now]);
        let present = self.states[rules].table(table).and_then(|table| table.chain(chain));
        for rule in present.map_or(&[][..], |chain| &chain.rules) {
            let rule = rule.rule.as_ref().unwrap();
            for now in std::mem::take(&mut on_the_way) {
                for (holds, now) in self.match_(packet, table, rule, rules, now) {
                    match rule.verdict() {
                        _ if !holds => _ = on_the_way.insert(now),
                        Verdict::Return => _ = ends.insert((false, now)),
                        Verdict::Masquerade(_) => _ = ends.insert((true, now)),
                        Verdict::Jump(target) => {
                            for (masqueraded, now) in self.walk(packet, table, target, rules, now) {
                                if masqueraded {
                                    ends.insert((true, now));
                                } else {
                                    on_the_way.insert(now);
                                }
                            }
                        }
                    }
                }
            }
        }
        ends.extend(on_the_way.into_iter().map(|now| (false, now)));
        ends
    }

    fn match_(
        &self,
        packet: &Packet,
        table: TableId,
        rule: &Rule,
        rules: Moment,
        now: Moment,
    ) -> BTreeSet<(bool, Moment)> {
        let mut states = BTreeSet::from([(true, now)]);
        for condition in rule.matches() {
            states = states
                .into_iter()
                .flat_map(|(holds, now)| match (condition.lookup(), condition.test(), condition.field()) {
                    _ if !holds => vec![(false, now)],
                    (Some(Lookup { field, set, prefix_len }), ..) => {
                        let Some(Value::Address(address)) = packet.value(field.into()) else { panic!("{packet:?}") };
                        let key = prefix_len.map_or(Some(address), |len| Some(Cidr::around(address, len)?.network()));
                        let found = |now| {
                            self.elements(table, set, rules, now)
                                .into_iter()
                                .map(move |elements| (key.is_some_and(|key| is_element(&elements, key)), now))
                        };
                        (now..2).flat_map(found).collect()
                    }
                    (_, Test::Packet(test), Field::Packet(field)) => {
                        vec![(test.holds(field, packet) == Holds::Yes, now)]
                    }
                    _ => panic!("{rule:?} is not in these rulesets"),
                })
                .collect();
        }
        states
    }

    /// What a lookup can find in the set that a rule of one moment names, in another.
    fn elements(&self, table: TableId, set: &str, rules: Moment, now: Moment) -> Vec<Vec<AddressRange>> {
        let of = |moment: Moment| -> &ObservedSet { self.states[moment].table(table).unwrap().set(set).unwrap() };
        let does = |done: &dyn Fn(&Action) -> bool| {
            self.plan.changes.iter().any(|change| change.table == table && done(&change.action))
        };
        let made_anew = does(&|action| matches!(action, Action::CreateSet { set: created, .. } if created == set));
        let deleted = does(&|action| match action {
            Action::DeleteTable => true,
            Action::DeleteSet { set: deleted } => deleted == set,
            _ => false,
        });
        match (rules, now) {
            (0, 0) => vec![of(0).elements.to_vec()],
            // It keeps its elements for whoever has still to look.
            (0, _) if deleted => vec![of(0).elements.to_vec()],
            _ if of(1).kind != Ok(SetKind::Intervals) => vec![of(1).elements.to_vec()],
            // The array is exchanged for the new one at the end of the commit.
            _ if made_anew => vec![Vec::new(), of(1).elements.to_vec()],
            _ => {
                // Where there is no array, intervals that go and come are both out of sight for a while.
                let (before, after) = (&of(0).elements, &of(1).elements);
                let stay = before.iter().filter(|element| after.contains(element)).copied().collect();
                vec![before.to_vec(), after.to_vec(), stay]
            }
        }
    }
}

fn is_element(elements: &[AddressRange], address: IpAddr) -> bool {
    let behind = elements.partition_point(|element| element.first() <= address);
    behind.checked_sub(1).is_some_and(|at| elements[at].contains(address))
}

fn nothing() -> Ruleset {
    Ruleset::nothing(ChainName::default())
}
