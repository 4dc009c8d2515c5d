//! Rules that look up two addresses, or have other conditions beside a lookup: their sets cannot be compared with each other.

use super::*;
use crate::backend::nftables::diff::step::{Delta, Step, can_be_compared};
use crate::backend::nftables::tests::plans::standing;
use crate::net::Protocol;
use crate::policy::AddressField;
use crate::rules::{Match, Set, Table};

/// The address of this number, and all packets from and to such addresses.
fn address(number: u8) -> IpAddr {
    [10, 0, 0, number].into()
}

const ADDRESSES: u8 = 6;

fn packets() -> Vec<Packet> {
    let pairs = (0..ADDRESSES).flat_map(|from| (0..ADDRESSES).map(move |to| (address(from), address(to))));
    pairs.map(|(source, destination)| Packet { source: Some(source), ..Packet::to(destination) }).collect()
}

/// In which way the two sets are looked up.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Packets whose addresses are in both sets keep their source.
    Both,
    /// Packets with an address in either set keep their source.
    Either,
    /// Packets with an address in the second set keep their source, unless one is in the first.
    Unless,
}

/// A table with a set of sources and one of destinations.
fn ruleset(way: Way, kind: SetKind, sources: &[u8], destinations: &[u8]) -> Ruleset {
    let mut ruleset = compile(&policy(&[], ""), Layout::OwnTable(Protection::Off));
    ruleset.tables.truncate(1);
    let table: &mut Table = &mut ruleset.tables[0];
    let set = |name: &str, numbers: &[u8]| {
        let elements = numbers.iter().map(|number| AddressRange::single(address(*number)));
        let elements: Vec<AddressRange> = match kind {
            SetKind::Addresses { .. } => elements.collect(),
            SetKind::Intervals => AddressRange::merged(elements.collect()),
        };
        Set { name: name.to_owned(), kind, elements: elements.into() }
    };
    table.sets = vec![set("sources", sources), set("destinations", destinations)];
    let source = Match::in_set(AddressField::Source, "sources", None);
    let destination = Match::in_set(AddressField::Destination, "destinations", None);
    let rules = &mut table.chains[1].rules;
    let masquerade = rules[0].verdict().clone();
    let rule = |matches, verdict| Rule::new(matches, None, verdict);
    let lookups = match way {
        Way::Both => vec![rule(vec![source, destination], Verdict::Return)],
        Way::Either => vec![rule(vec![source], Verdict::Return), rule(vec![destination], Verdict::Return)],
        Way::Unless => vec![rule(vec![source], masquerade), rule(vec![destination], Verdict::Return)],
    };
    rules.splice(0..0, lookups);
    ruleset
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_packet_meets_the_old_rules_or_the_new_ones_whatever_they_look_up(
        ways in (any_way(), any_way()), kinds in (any_kind(), any_kind()),
        old in (any_numbers(), any_numbers()), new in (any_numbers(), any_numbers()),
    ) {
        let old = ruleset(ways.0, kinds.0, &old.0, &old.1);
        let new = ruleset(ways.1, kinds.1, &new.0, &new.1);
        let mut kernel = Memory::default();
        become_(&mut kernel, &old, &mut |_, _, _| ());
        assert_no_third_answer_for(&mut kernel, &old, &new, &packets());
    }
}

fn any_way() -> impl Strategy<Value = Way> {
    proptest::sample::select(&[Way::Both, Way::Either, Way::Unless][..])
}

fn any_kind() -> impl Strategy<Value = SetKind> {
    proptest::sample::select(&[SetKind::Addresses { size: 64 }, SetKind::Intervals][..])
}

fn any_numbers() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::subsequence((0..ADDRESSES).collect::<Vec<u8>>(), 0..=usize::from(ADDRESSES))
}

#[test]
fn a_pair_of_which_one_address_is_old_and_the_other_new_is_never_met() {
    for kind in [SetKind::Addresses { size: 64 }, SetKind::Intervals] {
        // No pair is in both sets at once, neither before nor after.
        let (old, new) = (ruleset(Way::Both, kind, &[1], &[2]), ruleset(Way::Both, kind, &[3], &[4]));
        let mut kernel = Memory::default();
        become_(&mut kernel, &old, &mut |_, _, _| ());
        assert_no_third_answer_for(&mut kernel.clone(), &old, &new, &packets());
        let present = &kernel.state.tables[0];
        let deltas: Vec<Delta> = new.tables[0].sets.iter().map(|set| Delta::of(present.set(&set.name), set)).collect();
        assert_eq!(Step::next(present, &new.tables[0], &deltas), Step::Exchange, "{kind:?}");
    }
}

#[test]
fn only_lookups_of_destinations_that_are_all_that_their_rules_ask_for_are_compared() {
    let native = compile(&policy(&["10.0.0.0/8", "11.0.0.0/16"], ""), Layout::OwnTable(Protection::Off));
    let plain = &native.tables[0];
    let with = |change: &dyn Fn(&mut Vec<Rule>)| {
        let mut table = plain.clone();
        change(&mut table.chains[1].rules);
        table
    };
    let rule = |matches, verdict: &Verdict| Rule::new(matches, None, verdict.clone());
    let lookup = || Match::destination_in("exempt-8", Some(8));
    let masquerade = plain.chains[1].rules[2].verdict().clone();
    let cases: [(&str, Table, bool); 8] = [
        ("as ever", plain.clone(), true),
        ("one set twice", with(&|rules| rules.insert(0, rule(vec![lookup()], &Verdict::Return))), true),
        ("no lookup at all", with(&|rules| drop(rules.drain(..2))), true),
        (
            "a rule of a source that looks nothing up",
            with(&|rules| rules.insert(0, rule(vec![Match::source("10.0.0.0/8".parse().unwrap())], &masquerade))),
            true,
        ),
        (
            "a source",
            with(&|rules| {
                rules[0] = rule(vec![Match::in_set(AddressField::Source, "exempt-8", Some(8))], &Verdict::Return);
            }),
            false,
        ),
        (
            "of one protocol",
            with(&|rules| rules[0] = rule(vec![lookup(), Match::protocol(Protocol::Tcp)], &Verdict::Return)),
            false,
        ),
        ("one that masquerades", with(&|rules| rules[0] = rule(vec![lookup()], &masquerade)), false),
        (
            "one set in two ways",
            with(&|rules| rules.insert(0, rule(vec![Match::destination_in("exempt-8", None)], &Verdict::Return))),
            false,
        ),
    ];
    let present = |table: &Table| standing(&Ruleset { tables: vec![table.clone()], ..native.clone() }).tables.remove(0);
    for (what, table, expected) in &cases {
        assert_eq!(can_be_compared(&present(table), plain), *expected, "{what}, found");
        assert_eq!(can_be_compared(&present(plain), table), *expected, "{what}, desired");
    }
}

#[test]
fn small_sets_of_pairs_are_made_anew_under_the_names_that_they_have() {
    let with = |sources: &[u8]| ruleset(Way::Both, SetKind::Addresses { size: 64 }, sources, &[2]);
    let mut kernel = Memory::default();
    become_(&mut kernel, &with(&[1]), &mut |_, _, _| ());
    become_(&mut kernel, &with(&[3]), &mut |_, _, plan| {
        let made = plan.changes.iter().filter_map(|change| match &change.action {
            Action::CreateSet { set, .. } => Some(set.as_str()),
            _ => None,
        });
        assert_eq!(made.collect::<Vec<_>>(), ["sources", "destinations"], "{plan:#?}");
    });
}

#[test]
fn sets_of_pairs_that_stay_the_same_are_left_alone_when_another_rule_changes() {
    let old = ruleset(Way::Both, SetKind::Addresses { size: 64 }, &[1], &[2]);
    let mut new = old.clone();
    new.tables[0].chains[1].rules.remove(1);
    let mut kernel = Memory::default();
    become_(&mut kernel, &old, &mut |_, _, _| ());
    let plan = plan(&new, &kernel.state, &Cache::default()).unwrap();
    assert!(matches!(plan.changes[..], [Change { action: Action::Delete { .. }, .. }]), "{plan:#?}");
}

#[test]
fn large_sets_of_pairs_come_beside_the_old_ones_in_parts() {
    let many = |first: u32| -> Vec<AddressRange> {
        (0..u32::try_from(3 * PART).unwrap())
            .map(|n| AddressRange::single(IpAddr::V4((first + 2 * n).into())))
            .collect()
    };
    let with = |sources: Vec<AddressRange>| {
        let mut ruleset = ruleset(Way::Both, SetKind::Addresses { size: 1 << 16 }, &[], &[2]);
        ruleset.tables[0].sets[0].elements = sources.into();
        ruleset
    };
    let (old, new) = (with(many(0)), with([many(0), vec![AddressRange::single(address(1))]].concat()));
    let mut kernel = Memory::default();
    become_(&mut kernel, &old, &mut |_, _, _| ());
    become_(&mut kernel, &new, &mut |_, _, plan| {
        let moved = plan.changes.iter().map(|change| match &change.action {
            Action::AddElements { elements, .. } | Action::DeleteElements { elements, .. } => elements.len(),
            _ => 0,
        });
        assert!(moved.sum::<usize>() <= 2 * PART, "{plan:#?}");
    });
}
