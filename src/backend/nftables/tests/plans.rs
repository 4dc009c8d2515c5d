//! Plans from made-up states of the kernel.

use crate::backend::nftables::{
    Action, Cache, Change, Conflict, Generation, Handle, Observed, ObservedChain, ObservedRule, ObservedSet,
    ObservedTable, Plan, Unrecognised, plan, plan_lines,
};
use crate::net::{ChainName, Family};
use crate::policy::Policy;
use crate::rules::render::iptables_rule;
use crate::rules::tests::policy;
use crate::rules::{BaseChain, Layout, Match, Rule, Ruleset, TableId, Verdict, compile, jump};

fn compat(policy: &Policy) -> Ruleset {
    compile(policy, Layout::IptablesNat)
}

/// The state of a kernel with exactly these rules in it, and these rules of others around the jump.
pub(crate) fn standing(ruleset: &Ruleset) -> Observed {
    let mut last = 0;
    let mut observe = |rule: &Rule| {
        last += 1;
        ObservedRule { handle: Handle(last), rule: Ok(rule.clone()) }
    };
    let tables = ruleset.tables.iter().map(|table| ObservedTable {
        id: table.id,
        protection: Ok(table.protection),
        dormant: false,
        owner: None,
        sets: table
            .sets
            .iter()
            .map(|set| ObservedSet { name: set.name.clone(), kind: Ok(set.kind), elements: set.elements.clone() })
            .collect(),
        foreign_objects: Vec::new(),
        chains: table
            .chains
            .iter()
            .map(|chain| ObservedChain {
                name: chain.name.clone(),
                base: chain.base.clone(),
                drops: false,
                uses: 0,
                rules: chain.rules.iter().map(&mut observe).collect(),
            })
            .collect(),
    });
    Observed { generation: Generation(1), tables: tables.collect(), ..Observed::default() }
}

fn lines(desired: &Ruleset, observed: &Observed) -> Vec<String> {
    plan_lines(&plan(desired, observed, &Cache::default()).unwrap()).collect()
}

fn chain_mut<'a>(observed: &'a mut Observed, family: Family, name: &str) -> &'a mut ObservedChain {
    let table = observed.tables.iter_mut().find(|table| table.id.family == family).unwrap();
    table.chains.iter_mut().find(|chain| chain.name == name).unwrap()
}

const RETURN_10_8: &str = "+ ip nat -A IP-MASQ-AGENT -d 10.0.0.0/8 -m comment --comment \"ip-masq-agent: local traffic \
                           is not subject to MASQUERADE\" -j RETURN";

#[test]
fn nothing_changes_where_everything_stands() {
    let desired = compat(&policy(&["10.0.0.0/8", "fd00::/8"], "1024-2047"));
    assert_eq!(plan(&desired, &standing(&desired), &Cache::default()), Ok(Plan::default()));
}

#[test]
fn an_empty_kernel_gets_tables_chains_rules_and_jumps_in_an_order_that_it_accepts() {
    let desired = compat(&policy(&["10.0.0.0/8"], ""));
    let lines = lines(&desired, &Observed::default());
    assert_eq!(
        lines[..4],
        [
            "+ table ip nat",
            "+ ip nat chain POSTROUTING (type nat, hook postrouting, priority 100)",
            "+ ip nat chain IP-MASQ-AGENT",
            RETURN_10_8,
        ]
    );
    assert!(lines[5].starts_with("+ ip nat -A POSTROUTING "), "the jump comes last: {lines:#?}");
    assert_eq!(lines.len(), 6 + 5);
}

#[test]
fn only_the_middle_that_differs_is_replaced() {
    let before = compat(&policy(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], ""));
    let after = compat(&policy(&["10.0.0.0/8", "100.64.0.0/10", "192.168.0.0/16"], ""));
    let plan = plan(&after, &standing(&before), &Cache::default()).unwrap();
    let [Change { action: Action::Delete { was, .. }, .. }, Change { action: Action::Insert { rule, before, .. }, .. }] =
        plan.changes.as_slice()
    else {
        panic!("{plan:#?}")
    };
    assert_eq!(was.rule.as_ref().unwrap().matches(), [Match::destination("172.16.0.0/12".parse().unwrap())]);
    assert_eq!(rule.matches(), [Match::destination("100.64.0.0/10".parse().unwrap())]);
    assert_eq!(before.0, was.handle.0 + 1, "it takes the place of the one that goes");
}

#[test]
fn a_rule_repeated_in_the_list_is_kept_as_often_as_the_list_has_it() {
    let twice = compat(&policy(&["10.0.0.0/8", "10.0.0.0/8"], ""));
    let once = compat(&policy(&["10.0.0.0/8"], ""));
    assert_eq!(lines(&twice, &standing(&once)), [RETURN_10_8]);
    assert_eq!(lines(&once, &standing(&twice)), [RETURN_10_8.replacen('+', "-", 1)]);
}

#[test]
fn a_jump_that_stands_twice_is_left_once_and_other_peoples_rules_are_left_alone() {
    let desired = compat(&policy(&[], ""));
    let mut observed = standing(&desired);
    let postrouting = chain_mut(&mut observed, Family::Ipv4, BaseChain::POSTROUTING);
    let foreign = ObservedRule { handle: Handle(98), rule: Err(Unrecognised("an unknown match".to_owned())) };
    let again = ObservedRule { handle: Handle(99), ..postrouting.rules[0].clone() };
    postrouting.rules.extend([foreign, again]);
    let plan = plan(&desired, &observed, &Cache::default()).unwrap();
    let [Change { action: Action::Delete { was, .. }, .. }] = plan.changes.as_slice() else { panic!("{plan:#?}") };
    assert_eq!(was.handle, Handle(99));
}

#[test]
fn a_jump_that_somebody_moved_comes_back_behind_the_rules_behind_which_it_stood() {
    let desired = compat(&policy(&[], ""));
    let foreign =
        |handle| ObservedRule { handle: Handle(handle), rule: Err(Unrecognised("an unknown match".to_owned())) };
    let mut observed = standing(&desired);
    let jump = chain_mut(&mut observed, Family::Ipv4, BaseChain::POSTROUTING).rules.remove(0);
    let moved = ObservedRule { handle: Handle(90), ..jump.clone() };
    let rules = |before: Vec<ObservedRule>, after: Vec<ObservedRule>| {
        let mut observed = observed.clone();
        chain_mut(&mut observed, Family::Ipv4, BaseChain::POSTROUTING).rules = [before, after].concat().into();
        observed
    };
    let cache = Cache::of(rules(vec![foreign(50), foreign(51), jump.clone()], vec![foreign(52)]));
    let planned = |observed: &Observed| {
        plan_lines(&plan(&desired, observed, &cache).unwrap()).map(|line| line[..20].to_owned()).collect::<Vec<_>>()
    };
    let (taken, back) = ("- ip nat -A POSTROUT", "+ ip nat -A POSTROUT");
    for (what, observed, expected, before) in [
        ("where it was", rules(vec![foreign(50), foreign(51), jump.clone()], vec![foreign(52)]), vec![], None),
        (
            "to the front",
            rules(vec![moved.clone(), foreign(50), foreign(51)], vec![foreign(52)]),
            vec![taken, back],
            Some(52),
        ),
        ("between two", rules(vec![foreign(50), moved.clone(), foreign(51)], vec![]), vec![taken, back], None),
        ("to the end", rules(vec![foreign(50), foreign(51), foreign(52), moved.clone()], vec![]), vec![], None),
        (
            "others came in front",
            rules(vec![foreign(60), foreign(50), foreign(51), jump.clone()], vec![]),
            vec![],
            None,
        ),
        ("all rules are new", rules(vec![moved.clone(), foreign(70), foreign(71)], vec![]), vec![], None),
        (
            "also doubled",
            rules(vec![moved.clone(), foreign(50), foreign(51), jump.clone()], vec![foreign(52)]),
            vec![taken],
            None,
        ),
        ("it is gone", rules(vec![foreign(50), foreign(51)], vec![foreign(52)]), vec![back], None),
    ] {
        assert_eq!(planned(&observed), expected, "{what}");
        let plan = plan(&desired, &observed, &cache).unwrap();
        let place = plan.changes.iter().find_map(|change| match &change.action {
            Action::Insert { before, .. } => Some(before.0),
            _ => None,
        });
        assert_eq!(place, before, "{what}");
    }
}

#[test]
fn a_foreign_rule_in_our_chain_goes() {
    let desired = compat(&policy(&["10.0.0.0/8"], ""));
    let mut observed = standing(&desired);
    let foreign = ObservedRule { handle: Handle(99), rule: Err(Unrecognised("an unknown match".to_owned())) };
    chain_mut(&mut observed, Family::Ipv6, "IP-MASQ-AGENT").rules.insert(0, foreign);
    assert_eq!(
        lines(&desired, &observed),
        ["- ip6 nat chain IP-MASQ-AGENT: a rule that is not ours (an unknown match; handle 99)"]
    );
}

#[test]
fn a_renamed_chain_takes_the_old_one_out_in_the_same_plan() {
    let old = compat(&Policy { chain: "OLD".parse().unwrap(), ..policy(&["10.0.0.0/8"], "") });
    let lines = lines(&compat(&policy(&["10.0.0.0/8"], "")), &standing(&old));
    let ipv4: Vec<&String> = lines.iter().filter(|line| line.contains(" ip nat ")).collect();
    assert_eq!(ipv4.len(), 7, "{ipv4:#?}");
    assert!(ipv4[3].starts_with("- ip nat -A POSTROUTING ") && ipv4[3].ends_with(" -j OLD"));
    assert!(ipv4[4].starts_with("+ ip nat -A POSTROUTING ") && ipv4[4].ends_with(" -j IP-MASQ-AGENT"));
    assert_eq!(ipv4[5..], ["- ip nat all rules of chain OLD", "- ip nat chain OLD"]);
}

#[test]
fn a_family_that_is_no_longer_treated_loses_our_rules_and_only_them() {
    let mut desired = compat(&policy(&["10.0.0.0/8"], ""));
    let observed = standing(&desired);
    desired.tables.truncate(1);
    let jump = iptables_rule("POSTROUTING", &jump(&desired.chain));
    assert_eq!(
        lines(&desired, &observed),
        [
            format!("- ip6 nat {jump}"),
            "- ip6 nat all rules of chain IP-MASQ-AGENT".to_owned(),
            "- ip6 nat chain IP-MASQ-AGENT".to_owned(),
        ]
    );
}

#[test]
fn a_jump_with_another_comment_is_somebody_elses() {
    let desired = compat(&policy(&[], ""));
    let mut observed = standing(&desired);
    let other = Rule::new(vec![Match::DESTINATION_NOT_LOCAL], Some("mine".into()), Verdict::Jump("OTHER".to_owned()));
    let observed_rule = ObservedRule { handle: Handle(99), rule: Ok(other) };
    chain_mut(&mut observed, Family::Ipv4, BaseChain::POSTROUTING).rules.push(observed_rule);
    assert_eq!(plan(&desired, &observed, &Cache::default()), Ok(Plan::default()));
    let nothing = Ruleset::nothing(ChainName::default());
    assert!(!lines(&nothing, &observed).iter().any(|line| line.contains("OTHER")));
}

#[test]
fn a_postrouting_that_is_not_iptables_own_is_a_conflict_with_a_way_out() {
    let desired = compat(&policy(&[], ""));
    let mut observed = standing(&desired);
    chain_mut(&mut observed, Family::Ipv4, BaseChain::POSTROUTING).base =
        Some(BaseChain { priority: 50, ..BaseChain::IPTABLES_POSTROUTING });
    let message = plan(&desired, &observed, &Cache::default()).unwrap_err().to_string();
    assert!(message.contains("table ip nat is a base chain (type nat, hook postrouting, priority 50)"), "{message}");
    let mut observed = standing(&desired);
    chain_mut(&mut observed, Family::Ipv4, "IP-MASQ-AGENT").base = Some(BaseChain::IPTABLES_POSTROUTING);
    let conflict = Conflict::OurName { table: TableId::nat(Family::Ipv4), chain: ChainName::default() };
    assert_eq!(plan(&desired, &observed, &Cache::default()), Err(conflict));
    // If no rules of ours are desired, the table does not concern us.
    let jumps_alone = lines(&Ruleset::nothing(ChainName::default()), &observed);
    assert!(!jumps_alone.contains(&"- ip nat chain IP-MASQ-AGENT".to_owned()), "{jumps_alone:#?}");
}

#[test]
fn a_table_of_others_that_is_switched_off_is_a_conflict_that_names_the_command_which_ends_it() {
    let desired = compat(&policy(&[], ""));
    let mut observed = standing(&desired);
    observed.tables[0].dormant = true;
    let message = plan(&desired, &observed, &Cache::default()).unwrap_err().to_string();
    assert!(message.contains("flags dormant") && message.contains("`nft add table ip nat`"), "{message}");
    // Rules that have no effect are removed all the same.
    let nothing = Ruleset::nothing(ChainName::default());
    assert!(lines(&nothing, &observed).contains(&"- ip nat chain IP-MASQ-AGENT".to_owned()));
}
