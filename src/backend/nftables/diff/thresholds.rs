//! The sizes from which on a table is changed in another way.

use super::parts::{PART, under_present_names};
use super::step::{Delta, Step};
use super::tests::{SEVEN_LENGTHS, become_};
use super::*;
use crate::backend::interface;
use crate::backend::nftables::fake::Memory;
use crate::backend::nftables::tests::plans::standing;
use crate::backend::nftables::{Handle, ObservedRule, ObservedSet, Unrecognised};
use crate::net::{AddressRange, Cidr};
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, SetKind, compile, jump};

const NATIVE: Layout = Layout::OwnTable(Protection::Off);

/// The kernel with these rules.
fn kernel_with(desired: &Ruleset) -> Memory {
    let mut kernel = Memory::default();
    become_(&mut kernel, desired, &mut |_, _, _| ());
    kernel
}

fn exempting(ranges: &[String]) -> Ruleset {
    compile(&policy(&ranges.iter().map(String::as_str).collect::<Vec<_>>(), ""), NATIVE)
}

/// Ranges of which no two touch, so that they are not merged.
fn slash_24s(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("10.{}.{}.0/24", number / 128, number % 128 * 2)).collect()
}

#[test]
fn a_chain_is_made_anew_where_that_is_cheaper_than_to_touch_so_many_of_its_rules() {
    for (staying, touched, chain, anew) in [
        (0, 0, 0, false),
        (0, 1, 1, true),
        (1, 1, 1_600, false),
        (1, 1, 1_601, true),
        (1_999, 1, 2_000, false),
        (10_000, 1, 10_000, false),
        (10_000, 1_600, 10_000, false),
        (10_000, 1_601, 10_000, true),
        (usize::MAX, usize::MAX, usize::MAX, false),
    ] {
        assert_eq!(is_cheaper_anew(staying, touched, chain), anew, "{staying} {touched} {chain}");
    }
}

#[test]
fn a_chain_of_which_little_differs_keeps_its_other_rules_and_one_of_which_much_differs_is_flushed() {
    let compat = |ranges: &[String]| {
        compile(&policy(&ranges.iter().map(String::as_str).collect::<Vec<_>>(), ""), Layout::IptablesNat)
    };
    let long = slash_24s(0..3_000);
    let kernel = kernel_with(&compat(&long)).state;
    let flushes = |ranges: &[String]| {
        let plan = plan(&compat(ranges), &kernel, &Cache::default()).unwrap();
        let count = |is: fn(&Action) -> bool| plan.changes.iter().filter(|change| is(&change.action)).count();
        (count(|action| matches!(action, Action::Flush { .. })), plan.changes.len())
    };
    assert_eq!(flushes(&long[1..]), (0, 1));
    let half: Vec<String> = long.iter().step_by(2).cloned().collect();
    // The flush, and the rules of the new chain: those of the ranges and the one that masquerades.
    assert_eq!(flushes(&half), (1, 1 + 1_500 + 1));
}

#[test]
fn a_list_that_outgrows_its_set_or_the_sets_room_for_both_lists_has_all_made_anew() {
    // A set for up to 32 ranges has room for 64.
    let kernel = kernel_with(&exempting(&slash_24s(0..32))).state;
    for (what, ranges, anew, room) in [
        ("as many as there is room for", slash_24s(0..64), false, 64),
        ("one more", slash_24s(0..65), true, 256),
        ("many more", slash_24s(0..PART), true, 256),
        ("others, within the room for both", slash_24s(32..64), false, 64),
        ("others, of which room is for the new ones only", slash_24s(31..95), false, 64),
    ] {
        let desired = exempting(&ranges);
        let plan = plan(&desired, &kernel, &Cache::default()).unwrap();
        let made = |change: &Change| matches!(&change.action, Action::CreateSet { set, .. } if set == "exempt-24");
        assert_eq!(plan.changes.iter().any(made), anew, "{what}: {plan:#?}");
        let mut memory = Memory { state: kernel.clone(), last_handle: 1_000, ..Memory::default() };
        become_(&mut memory, &desired, &mut |_, _, _| ());
        let set = memory.state.table(TableId::own(Family::Ipv4)).unwrap().set("exempt-24").unwrap();
        assert_eq!((set.elements.len(), &set.kind), (ranges.len(), &Ok(SetKind::Addresses { size: room })), "{what}");
    }
}

#[test]
fn what_moves_between_sets_comes_first_if_both_lists_fit_and_else_all_is_made_anew() {
    // A /16 is replaced with /24s in it, or the other way round, in sets that both lists look up.
    let with = |sixteens: &[&str], ranges: Vec<String>| {
        exempting(&[sixteens.iter().map(|text| (*text).to_owned()).collect(), ranges].concat())
    };
    let old = with(&["11.0.0.0/16", "12.0.0.0/16"], slash_24s(0..20));
    let elevens = |count: usize| (0..count).map(|number| format!("11.0.{}.0/24", number * 2));
    for (what, added, anew) in [("fits beside what is removed", 44, false), ("does not", 45, true)] {
        // 20 are removed, this many are added, and 64 have room.
        let new = with(&["12.0.0.0/16"], elevens(added).collect());
        let plan = plan(&new, &kernel_with(&old).state, &Cache::default()).unwrap();
        let makes = |change: &Change| matches!(change.action, Action::CreateSet { .. });
        let removes = |change: &Change| matches!(change.action, Action::DeleteElements { .. });
        assert_eq!(plan.changes.iter().any(makes), anew, "{what}: {plan:#?}");
        assert!(!plan.changes.iter().any(removes), "{what}: {plan:#?}");
        assert_eq!(plan.more, !anew, "{what}");
    }
}

#[test]
fn intervals_are_changed_in_place_while_nobody_looks_them_up_or_while_they_only_come() {
    let long = exempting(&SEVEN_LENGTHS.map(str::to_owned));
    let short = exempting(&["10.0.0.0/8".to_owned()]);
    let range = |text: &str| AddressRange::from(text.parse::<Cidr>().unwrap());
    let (with_intervals, with_addresses) = (&standing(&long).tables[0], &standing(&short).tables[0]);
    let (addresses, lookup) = (&with_addresses.sets[0], &with_addresses.chains[1].rules[0]);
    assert_eq!((long.tables[0].sets[0].kind, addresses.name.as_str()), (SetKind::Intervals, "exempt-8"));

    // What an agent leaves that is stopped between two commits, with another list: old intervals that no rule looks up yet.
    let mut unused = with_addresses.clone();
    let stale = ObservedSet { elements: vec![range("99.0.0.0/8")].into(), ..with_intervals.sets[0].clone() };
    unused.sets.push(stale);
    // 10.0.0.0/8 is found in its own set, which is to be removed, and is not yet among the intervals.
    let mut both_used = with_intervals.clone();
    both_used.sets.push(addresses.clone());
    both_used.chains[1].rules.insert(0, lookup.clone());
    both_used.sets[0].elements.to_mut().retain(|element| *element != range("10.0.0.0/8"));
    // The same, and an interval has to be removed.
    let mut one_goes = both_used.clone();
    one_goes.sets[0].elements.to_mut().push(range("99.0.0.0/8"));

    for (what, present, step) in [
        ("unused", unused, Step::Additions),
        ("used, and something is added", both_used, Step::Additions),
        ("used, and something is added and removed", one_goes, Step::Exchange),
    ] {
        let desired = &long.tables[0];
        let deltas: Vec<Delta> = desired.sets.iter().map(|set| Delta::of(present.set(&set.name), set)).collect();
        assert_eq!(Step::next(&present, desired, &deltas), step, "{what}");
    }
}

#[test]
fn a_table_of_our_own_that_somebody_switched_off_is_made_anew() {
    for protection in [Protection::Off, Protection::OwnerPersist] {
        let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::OwnTable(protection));
        let mut kernel = kernel_with(&desired);
        kernel.state.tables[0].dormant = true;
        let plan = plan(&desired, &kernel.state, &Cache::default()).unwrap();
        assert!(plan.changes.iter().all(|change| change.table == TableId::own(Family::Ipv4)), "{plan:#?}");
        kernel.commit(&plan, kernel.state.generation).unwrap();
        assert!(!kernel.state.tables[0].dormant);
        assert_eq!(super::plan(&desired, &kernel.state, &Cache::default()), Ok(Plan::default()));
    }
}

#[test]
fn rules_under_an_older_versions_chain_name_in_a_table_of_our_own_are_replaced_in_one_plan() {
    let desired = compile(&policy(&["10.0.0.0/8"], ""), NATIVE);
    for name in ["CUSTOM", "postrouting2", "1a", "drop"] {
        let mut old = desired.clone();
        for table in &mut old.tables {
            table.chains[0].rules = vec![jump(&name.parse().unwrap())];
            name.clone_into(&mut table.chains[1].name);
        }
        let mut kernel = kernel_with(&old);
        let plan = plan(&desired, &kernel.state, &Cache::default()).unwrap();
        assert!(!plan.more);
        kernel.commit(&plan, kernel.state.generation).unwrap();
        for table in &kernel.state.tables {
            let chains: Vec<&str> = table.chains.iter().map(|chain| chain.name.as_str()).collect();
            assert_eq!(chains, ["postrouting", "IP-MASQ-AGENT"]);
        }
        assert_eq!(super::plan(&desired, &kernel.state, &Cache::default()), Ok(Plan::default()));
    }
}

#[test]
fn chains_in_tables_of_our_own_have_names_that_are_never_the_users() {
    for name in ["postrouting", "1a", "a+b", "drop"] {
        let mut with_name = policy(&["10.0.0.0/8"], "");
        with_name.chain = name.parse().unwrap();
        assert_eq!(compile(&with_name, NATIVE).tables, compile(&policy(&["10.0.0.0/8"], ""), NATIVE).tables, "{name}");
    }
}

/// What another process made of the table in which our rules stand or are to stand.
type Meddling = fn(&mut ObservedTable);

#[test]
fn what_is_in_the_way_in_one_family_is_in_nobodys_way_in_the_other() {
    let desired = compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), Layout::IptablesNat);
    let conflicts: [(&str, Meddling); 4] = [
        ("is switched off (flags dormant)", |table| table.dormant = true),
        ("plain chain that only jumps lead to", |table| table.chains[0].base = None),
        ("IP-MASQ-AGENT of table", |table| table.chains[1].base = table.chains[0].base.clone()),
        ("belongs to another process", |table| table.owner = Some(Owner::Other(7))),
    ];
    for (family, other) in [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)] {
        for (told, change) in conflicts {
            let mut kernel = kernel_with(&desired).state;
            for table in &mut kernel.tables {
                // There is something to do in both.
                table.chains[1].rules.insert(0, foreign());
                if table.id.family == family {
                    change(table);
                }
            }
            let Planned { plan, conflicts, leftovers } =
                plan_for(&Family::ALL, &desired, &kernel, &Cache::default(), false);
            let [conflict] = conflicts.as_slice() else { panic!("{told}: {conflicts:#?}") };
            assert_eq!(interface::Conflict::from(conflict.clone()).family(), family);
            assert!(conflict.to_string().contains(told), "{conflict}");
            assert!(!plan.is_empty() && plan.changes.iter().all(|change| change.table.family == other), "{plan:#?}");
            assert_eq!(leftovers, []);

            // In a family that is switched off it is in nobody's way.
            let mut only_other = desired.clone();
            only_other.tables.retain(|table| table.id.family == other);
            let Planned { plan, conflicts, leftovers } =
                plan_for(&Family::ALL, &only_other, &kernel, &Cache::default(), false);
            assert_eq!(conflicts, [], "{told}");
            assert_eq!(leftovers.len(), usize::from(told.contains("another process")), "{told}: {leftovers:#?}");
            assert!(plan.changes.iter().any(|change| change.table.family == other), "{plan:#?}");
        }
    }
}

fn foreign() -> ObservedRule {
    ObservedRule { handle: Handle(999), rule: Err(Unrecognised("an unknown match".to_owned())) }
}

#[test]
fn rules_that_only_go_are_worth_a_new_chain_if_they_are_many_and_none_if_they_are_three_in_its_middle() {
    let compat = |ranges: &[String]| {
        compile(&policy(&ranges.iter().map(String::as_str).collect::<Vec<_>>(), ""), Layout::IptablesNat)
    };
    let long = slash_24s(0..3_000);
    let kernel = kernel_with(&compat(&long)).state;
    for (what, gone, flushes, changes) in [
        // The flush, and the rules of the new chain: those of the ranges and the one that masquerades.
        ("two thirds, from the first on", 0..2_000, 1, 1 + 1_000 + 1),
        ("three in the middle", 1_500..1_503, 0, 3),
    ] {
        let mut ranges = long.clone();
        ranges.drain(gone);
        let plan = plan(&compat(&ranges), &kernel, &Cache::default()).unwrap();
        let flushed = plan.changes.iter().filter(|change| matches!(change.action, Action::Flush { .. })).count();
        assert_eq!((flushed, plan.changes.len()), (flushes, changes), "{what}");
    }
}

#[test]
fn a_protected_table_that_nobody_owns_is_adopted_by_a_process_that_holds_it_and_no_other_is() {
    let (off, protected) = (Protection::Off, Protection::OwnerPersist);
    for (hold, protection, owner, adopted) in [
        (true, protected, None, true),
        (true, protected, Some(Owner::Us), false),
        (false, protected, None, false),
        (true, off, None, false),
    ] {
        let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::OwnTable(protection));
        let mut kernel = standing(&desired);
        kernel.tables.iter_mut().for_each(|table| table.owner = owner);
        let Planned { plan, .. } = plan_for(&[Family::Ipv4], &desired, &kernel, &Cache::default(), hold);
        let adopts = Change { table: TableId::own(Family::Ipv4), action: Action::CreateTable { protection } };
        let changes = if adopted { vec![adopts] } else { Vec::new() };
        assert_eq!(plan, Plan { changes, more: false }, "{hold} {protection:?} {owner:?}");
    }
}

#[test]
fn the_commit_that_adopts_a_table_adds_no_base_chain_but_any_other_chain() {
    let desired = compile(&policy(&["10.0.0.0/8"], ""), Layout::OwnTable(Protection::OwnerPersist));
    for (lacking, is_alone) in [("postrouting", true), ("IP-MASQ-AGENT", false)] {
        let mut kernel = standing(&desired);
        for table in &mut kernel.tables {
            table.chains.retain(|chain| chain.name != lacking);
            table.chains.iter_mut().for_each(|chain| chain.rules.clear());
        }
        let Planned { plan, .. } = plan_for(&[Family::Ipv4], &desired, &kernel, &Cache::default(), true);
        assert!(matches!(plan.changes[0].action, Action::CreateTable { .. }), "{lacking}: {plan:#?}");
        assert_eq!((plan.changes.len() == 1, plan.more), (is_alone, is_alone), "{lacking}: {plan:#?}");
    }
}

#[test]
fn a_large_set_in_use_without_room_for_what_comes_beside_what_goes_is_made_anew_under_its_other_name() {
    let (count, room) = (PART + 50, PART + 60);
    let mut kernel = standing(&exempting(&slash_24s(0..count)));
    kernel.tables[0].sets[0].kind = Ok(SetKind::Addresses { size: u32::try_from(room).unwrap() });
    for (replaced, name) in [(10, "exempt-24"), (11, "exempt-24-b")] {
        let desired = exempting(&slash_24s(replaced..count + replaced));
        assert_eq!(under_present_names(&kernel.tables[0], &desired.tables[0]).sets[0].name, name, "{replaced}");
    }
}

#[test]
fn as_many_parts_are_allowed_as_it_takes_to_add_what_is_desired_and_to_remove_what_is_there() {
    let kernel = |count| standing(&exempting(&slash_24s(0..count)));
    for (desired, present, parts) in [(0, 0, 0), (1, 0, 1), (PART, 0, 1), (2 * PART + 1, PART, 3 + 1), (0, PART + 1, 2)]
    {
        let desired_rules = exempting(&slash_24s(0..desired));
        assert_eq!(most_parts(&desired_rules, &kernel(present)), parts, "{desired} {present}");
    }
}

#[test]
fn whoever_finds_a_table_owned_by_another_process_reads_how_that_process_protects_it() {
    for (table, told) in [
        (TableId::own(Family::Ipv4), "(flags owner, persist); a running agent does that: stop it first"),
        (TableId::nat(Family::Ipv4), "(flag owner); find that process"),
    ] {
        let conflict = Conflict::Owned(table).to_string();
        assert!(conflict.contains(told), "{conflict}");
    }
}

#[test]
fn a_set_that_nobody_looks_up_and_that_has_no_room_is_deleted_before_a_large_one_of_its_name_is_filled() {
    let desired = exempting(&slash_24s(0..PART + 50));
    let mut kernel = standing(&desired);
    kernel.tables[0].chains[1].rules.clear();
    kernel.tables[0].sets[0].kind = Ok(SetKind::Addresses { size: 64 });
    let Planned { plan, .. } = plan_for(&[Family::Ipv4], &desired, &kernel, &Cache::default(), false);
    let [
        Action::DeleteSet { set: deleted },
        Action::CreateSet { set: created, .. },
        Action::AddElements { elements, .. },
    ] = &plan.changes.iter().map(|change| change.action.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{plan:#?}")
    };
    assert_eq!((deleted.as_str(), created.as_str(), elements.len()), ("exempt-24", "exempt-24", PART));
}
