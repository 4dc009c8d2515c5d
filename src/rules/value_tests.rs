//! What equality, names and sizes of the rules' values mean, and what rules of other policies than ours would do.

use super::render::iptables_rule;
use super::tests::policy;
use super::*;
use crate::net::{AddressRange, Cidr};
use crate::policy::{AddressField, Packet};

fn range(text: &str) -> AddressRange {
    text.parse::<Cidr>().unwrap().into()
}

#[test]
fn rules_are_equal_if_conditions_comment_and_verdict_are_and_differ_if_one_of_these_does() {
    let matches = || vec![Match::destination_in("set", None)];
    let rule = Rule::new(matches(), Some("comment".into()), Verdict::Return);
    assert_eq!(rule, rule.clone());
    for other in [
        Rule::new(Vec::new(), Some("comment".into()), Verdict::Return),
        Rule::new(matches(), Some("another".into()), Verdict::Return),
        Rule::new(matches(), None, Verdict::Return),
        Rule::new(matches(), Some("comment".into()), Verdict::Jump("chain".to_owned())),
    ] {
        assert_ne!(rule, other);
    }
}

#[test]
fn elements_are_equal_by_content_and_a_change_of_one_value_leaves_the_values_that_shared_them_as_they_were() {
    let (one, both) = (vec![range("10.0.0.0/8")], vec![range("10.0.0.0/8"), range("192.0.2.0/24")]);
    let elements = Elements::from(one.clone());
    let mut changed = elements.clone();
    assert_eq!(elements, changed, "shared");
    assert_eq!(elements, Elements::from(one.clone()), "of their own");
    changed.to_mut().push(both[1]);
    assert_ne!(elements, changed);
    assert_eq!((elements.to_vec(), changed.to_vec()), (one, both.clone()));
    assert!((&changed).into_iter().eq(&both));
}

#[test]
fn parts_of_the_same_elements_are_joined_without_a_copy_if_one_follows_on_the_other() {
    let all: Vec<AddressRange> = (0..6).map(|number| range(&format!("10.{}.0.0/16", 2 * number))).collect();
    let elements = Elements::from(all.clone());
    let equal = |part: &Elements, expected: &[AddressRange]| assert_eq!(part.to_vec(), expected);
    let mut part = elements.part(1..3);
    equal(&part, &all[1..3]);
    equal(&part.part(1..9), &all[2..3]);
    equal(&elements.part(6..usize::MAX), &[]);

    assert!(!part.join(&elements.part(4..5)) && !part.join(&elements.part(2..4)) && !part.join(&elements));
    assert!(!part.join(&Elements::from(all[3..].to_vec())), "the same values elsewhere");
    equal(&part, &all[1..3]);
    assert!(part.join(&elements.part(3..6)));
    equal(&part, &all[1..]);
    let mut whole = elements.part(0..2);
    assert!(whole.join(&elements.part(2..6)));
    assert_eq!(whole, elements);

    // Both are changed as values of their own.
    part.to_mut().push(all[0]);
    assert_eq!(part.to_vec(), [&all[1..], &all[..1]].concat());
    equal(&elements, &all);
}

#[test]
fn so_many_are_the_same_as_are_equal_from_the_beginning_whether_they_are_shared_or_not() {
    let all: Vec<AddressRange> = (0..6).map(|number| range(&format!("10.{}.0.0/16", 2 * number))).collect();
    let elements = Elements::from(all.clone());
    let own = |elements: &Elements| Elements::from(elements.to_vec());
    for (one, other, same) in
        [((0, 3), (0, 6), 3), ((0, 6), (0, 0), 0), ((1, 4), (0, 6), 0), ((1, 4), (1, 3), 2), ((2, 2), (2, 2), 0)]
    {
        let [one, other] = [one, other].map(|(start, end)| elements.part(start..end));
        for [one, other] in [[&one, &other], [&other, &one], [&own(&one), &other], [&one, &own(&other)]] {
            assert_eq!(one.same_as_in(other), same, "{one:?} {other:?}");
            assert_eq!(one == other, one.to_vec() == other.to_vec());
        }
    }
}

#[test]
fn a_share_that_iptables_cannot_tell_from_all_or_from_none_is_the_nearest_that_it_can_express() {
    let almost = |part, whole| Probability::of(part, whole).map(Probability::for_statistic);
    assert_eq!(almost(u32::MAX - 1, u32::MAX), Probability::from_statistic((1 << 31) - 1));
    assert_eq!(almost(1, u32::MAX), Probability::from_statistic(1));
}

#[test]
fn hooks_have_the_names_that_nft_gives_them() {
    let names = ["prerouting", "input", "forward", "output", "postrouting", "ingress", "unknown"];
    for (hook, name) in (0..).zip(names) {
        let base = BaseChain { hook, ..BaseChain::AFTER_IPTABLES };
        assert_eq!(base.to_string(), format!("type nat, hook {name}, priority 105"));
    }
}

#[test]
fn layouts_have_the_names_that_messages_give_them() {
    let names = [Layout::IptablesNat, Layout::OwnTable(Protection::Off), Layout::OwnTable(Protection::OwnerPersist)]
        .map(|layout| layout.to_string());
    assert_eq!(names, ["nft-compat", "nft", "nft with protected tables"]);
}

#[test]
fn six_prefix_lengths_each_have_a_hash_set_and_more_share_one_set_of_intervals() {
    let ranges = ["1.0.0.0/8", "2.0.0.0/9", "3.0.0.0/10", "4.0.0.0/11", "5.0.0.0/12", "6.0.0.0/13", "7.0.0.0/14"];
    let names = |ranges: &[&str]| -> Vec<String> {
        let ruleset = compile(&policy(ranges, ""), Layout::OwnTable(Protection::Off));
        ruleset.tables[0].sets.iter().map(|set| set.name.clone()).collect()
    };
    let of_each = ["exempt-8", "exempt-9", "exempt-10", "exempt-11", "exempt-12", "exempt-13"];
    assert_eq!(names(&ranges[..6]), of_each);
    assert_eq!(names(&ranges), ["exempt"]);
}

#[test]
fn a_hash_set_has_room_for_twice_its_elements_and_for_64_at_least() {
    for (elements, room) in [(1_u32, 64), (32, 64), (33, 128), (64, 128), (65, 256)] {
        // None touches the next, so that none is merged with it.
        let ranges: Vec<String> = (0..elements).map(|number| format!("10.{}.0.0/16", 2 * number)).collect();
        let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
        let ruleset = compile(&policy(&ranges, ""), Layout::OwnTable(Protection::Off));
        assert_eq!(ruleset.tables[0].sets[0].kind, SetKind::Addresses { size: room }, "{elements}");
    }
}

#[test]
fn a_list_is_spread_over_sets_of_addresses_one_for_each_prefix_length_that_it_has() {
    let (sets, parts) =
        sets_of_addresses("name", &[range("10.0.0.0/8"), range("192.0.2.0/24"), range("198.51.100.0/24")]);
    let sets: Vec<(&str, usize)> = sets.iter().map(|set| (set.name.as_str(), set.elements.len())).collect();
    assert_eq!(sets, [("name-8", 1), ("name-24", 2)]);
    let part = |name: &str, len| SetPart { name: name.to_owned(), prefix_len: Some(len) };
    assert_eq!(parts, [part("name-8", 8), part("name-24", 24)]);
}

#[test]
fn a_rule_tells_its_lookups_and_iptables_words_tell_those_of_sources_from_those_of_destinations() {
    for (field, expected) in [(AddressField::Source, "src"), (AddressField::Destination, "dst")] {
        let rule = Rule::new(vec![Match::in_set(field, "name", None)], None, Verdict::Return);
        assert!(rule.lookups().eq([Lookup { field, set: "name", prefix_len: None }]));
        assert_eq!(iptables_rule("C", &rule), format!("-A C -m set --match-set name {expected} -j RETURN"));
    }
}

/// A table of base chains and others, each with its verdicts for all packets.
fn chains(chains: &[(&str, bool, &[Verdict])]) -> Ruleset {
    let mut ruleset = compile(&policy(&[], ""), Layout::IptablesNat);
    let table = &mut ruleset.tables[0];
    table.chains = chains
        .iter()
        .map(|(name, is_base, verdicts)| Chain {
            name: (*name).to_owned(),
            base: is_base.then_some(BaseChain::AFTER_IPTABLES),
            rules: verdicts.iter().map(|verdict| Rule::new(Vec::new(), None, verdict.clone())).collect(),
        })
        .collect();
    ruleset
}

/// A chain: its name, whether it is a base chain, and the verdicts of its rules.
type Described<'a> = (&'a str, bool, &'a [Verdict]);

#[test]
fn the_first_masquerade_decides_and_what_lets_a_packet_pass_leads_on_to_the_next_rule_and_the_next_base_chain() {
    let masquerade = || Verdict::Masquerade(Masquerade { fully_random: true, ports: None });
    let jump = |name: &str| Verdict::Jump(name.to_owned());
    let cases: [(&[Described<'_>], Outcome, &[&str]); 4] = [
        (&[("one", true, &[Verdict::Return]), ("two", true, &[masquerade()])], Outcome::Masqueraded, &["two"]),
        (&[("one", true, &[masquerade()]), ("two", true, &[masquerade()])], Outcome::Masqueraded, &["one"]),
        (&[("base", true, &[jump("empty"), masquerade()]), ("empty", false, &[])], Outcome::Masqueraded, &["base"]),
        (
            &[("base", true, &[jump("other"), masquerade()]), ("other", false, &[masquerade()])],
            Outcome::Masqueraded,
            &["other"],
        ),
    ];
    for (of, outcome, by) in cases {
        let ruleset = chains(of);
        let trace = trace(&ruleset, &Packet::to([192, 0, 2, 1].into()));
        let decided_in: Vec<&str> = trace.by.iter().map(|by| by.chain).collect();
        assert_eq!((trace.outcome, decided_in.as_slice()), (outcome, by), "{of:?}");
    }
}
