//! Large sets are added and removed in parts.

use super::*;

/// This many addresses from this number on, of which no two touch.
fn addresses(first: u32, count: u32) -> Vec<String> {
    (0..count).map(|index| std::net::Ipv4Addr::from((10 << 24) + first + 2 * index).to_string() + "/32").collect()
}

fn slash_30s(count: u32) -> Vec<String> {
    (0..count).map(|index| std::net::Ipv4Addr::from((11 << 24) + 8 * index).to_string() + "/30").collect()
}

#[test]
fn a_large_set_comes_and_goes_in_parts_and_no_packet_meets_half_of_it() {
    let native = |lists: &[Vec<String>]| {
        let exempt: Vec<String> = lists.concat();
        let exempt: Vec<&str> = exempt.iter().map(String::as_str).collect();
        compile(&policy(&exempt, ""), Layout::OwnTable(Protection::Off))
    };
    let part = u32::try_from(PART).unwrap();
    let large = 4 * part;
    let whole = native(&[addresses(0, large)]);
    let intervals: Vec<String> = SEVEN_LENGTHS.map(str::to_owned).to_vec();
    for (what, old, new, commits) in [
        ("an empty kernel: the table, four parts", nothing(), whole.clone(), 5),
        (
            "two sets for an empty kernel: the table, four parts",
            nothing(),
            native(&[addresses(0, 2 * part), slash_30s(2 * part)]),
            5,
        ),
        ("a part comes at once into a set in use", whole.clone(), native(&[addresses(0, large + part)]), 1),
        (
            "more is a new set beside the old one, which then goes: four parts, the last of them with the rules; three \
             that go, and the last with the set",
            whole.clone(),
            native(&[addresses(1_000, large)]),
            8,
        ),
        ("what has outgrown its room", whole.clone(), native(&[addresses(0, 9 * part)]), 13),
        ("all but one goes: its new set, the rules, four parts", whole.clone(), native(&[addresses(0, 1)]), 6),
        (
            "to an interval set: the set, the rules, four parts",
            whole.clone(),
            native(std::slice::from_ref(&intervals)),
            6,
        ),
        ("from an interval set: four parts, the rules", native(&[intervals]), whole.clone(), 5),
        ("nothing is left: the rules, three parts, the table", whole, nothing(), 5),
        (
            "nothing is left of two sets: the rules, two parts of each, the table",
            native(&[addresses(0, 3 * part), slash_30s(3 * part)]),
            nothing(),
            6,
        ),
    ] {
        let mut kernel = Memory::default();
        become_(&mut kernel, &old, &mut |_, _, _| ());
        assert_no_third_answer(&mut kernel.clone(), &old, &new);
        let mut taken = 0;
        become_(&mut kernel, &new, &mut |before, after, plan| {
            taken += 1;
            let moved: usize = plan
                .changes
                .iter()
                .map(|change| match &change.action {
                    Action::AddElements { elements, .. } | Action::DeleteElements { elements, .. } => elements.len(),
                    Action::DeleteSet { set } => before.table(change.table).unwrap().set(set).unwrap().elements.len(),
                    _ => 0,
                })
                .sum();
            let removed = plan.changes.iter().map(|change| match &change.action {
                Action::DeleteElements { elements, .. } => elements.len(),
                _ => 0,
            });
            assert!(removed.sum::<usize>() <= PART, "{what}: {plan:#?}");
            assert!(moved <= 2 * PART, "{what}: {moved} elements in one commit: {plan:#?}");
            // Either all new rules or all old ones: no set is looked up that is not complete.
            for set in after
                .tables
                .iter()
                .flat_map(|table| table.sets.iter().filter(|set| step::is_looked_up(table, &set.name)))
            {
                let is_of = |ruleset: &Ruleset| {
                    ruleset.tables.iter().flat_map(|table| &table.sets).any(|whole| whole.elements == set.elements)
                };
                assert!(is_of(&old) || is_of(&new), "{what}: {} has {}", set.name, set.elements.len());
            }
        });
        assert_eq!(taken, commits, "{what}");
    }
}
