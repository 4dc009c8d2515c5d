//! Reconciling against a kernel in memory: from any state to the desired one, and no further.

use std::collections::VecDeque;

use nix::errno::Errno;
use proptest::prelude::*;

use super::*;
use crate::backend::fake::Memory;
use crate::backend::nftables::{Change, Observed, ObservedChain, ObservedRule, ObservedTable, Unrecognised};
use crate::net::{ChainName, Cidr, Family};
use crate::netlink::NetlinkError;
use crate::policy::{Origin, Policy, PortChoice};
use crate::rules::{BaseChain, Layout, Protection, Rule, TableId, Verdict, compile, jump};

fn desired(chain: &str, families: &[Family], exempt: &[Cidr]) -> Ruleset {
    let ports = PortChoice { random_fully: true, to_ports: "1024-2047,4096-8191".parse().unwrap() };
    let exempt = exempt.iter().map(|cidr| (*cidr, Origin::Default));
    let policy = Policy::keeping(chain.parse().unwrap(), families.to_vec(), exempt, ports);
    compile(&policy, Layout::IptablesNat)
}

fn ranges(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_second_pass_writes_nothing() {
    let mut kernel = Memory::default();
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8", "fd00::/8"]));
    assert!(!reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap().plan.is_empty());
    assert_eq!(reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap().plan, Plan::default());
    assert_eq!(kernel.commits, 1);
}

#[test]
fn what_was_read_back_is_not_read_again_before_a_change_but_what_is_reported_as_in_force_always_is() {
    let mut kernel = Memory::default();
    let mut known = Cache::default();
    let of = |range| desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&[range]));
    for (step, range, foreign, readings) in [
        ("nothing is known", "10.0.0.0/8", false, 2),
        ("nothing to do, and all is known", "10.0.0.0/8", false, 1),
        ("a change", "11.0.0.0/8", false, 1),
        ("nothing to do after a foreign commit", "11.0.0.0/8", true, 1),
        ("a change after a foreign commit", "10.0.0.0/8", true, 2),
    ] {
        kernel.state.generation.0 += u32::from(foreign);
        let before = kernel.readings;
        reconcile(&mut kernel, &of(range), &mut known).unwrap();
        assert_eq!(kernel.readings - before, readings, "{step}");
        assert_eq!(preview(&mut kernel, &of(range)).unwrap(), Plan::default(), "{step}");
    }
    // Somebody is quicker than our commit, which is refused.
    kernel.interference.push(|kernel| kernel.state.tables.clear());
    assert_eq!(reconcile(&mut kernel, &of("11.0.0.0/8"), &mut known).unwrap().restarts, 1);
    assert_eq!(preview(&mut kernel, &of("11.0.0.0/8")).unwrap(), Plan::default());
}

#[test]
fn a_preview_writes_nothing_and_tells_what_the_pass_then_does() {
    let mut kernel = Memory::default();
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8"]));
    let plan = preview(&mut kernel, &desired).unwrap();
    assert_eq!(kernel.commits, 0);
    assert_eq!(reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap().plan, plan);
}

#[test]
fn a_change_by_somebody_else_in_between_leads_to_a_new_look() {
    let mut kernel = Memory { interference: vec![|_| (), |_| ()], ..Memory::default() };
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &[]);
    assert_eq!(reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap().restarts, 2);
    assert_eq!(kernel.commits, 1);
}

#[test]
fn somebody_who_never_stops_is_an_error_that_names_what_is_left_to_do() {
    let mut kernel = Memory { interference: vec![|_| (); 100], ..Memory::default() };
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    let message = reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap_err().to_string();
    assert!(
        message.contains("16 times in a row")
            && message.ends_with("still to be done: 11 changes, of which the first is \"+ table ip nat\""),
        "{message}"
    );
    assert_eq!(kernel.commits, 0);
}

#[test]
fn rules_flushed_between_our_commit_and_our_reading_back_are_put_back() {
    // The interference strikes at the commit after the first look, as a flush of the whole table would.
    let mut kernel = Memory::default();
    let before = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    reconcile(&mut kernel, &before, &mut Cache::default()).unwrap();
    kernel.interference.push(|kernel| kernel.state.tables.clear());
    let after = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    reconcile(&mut kernel, &after, &mut Cache::default()).unwrap();
    assert_eq!(preview(&mut kernel, &after).unwrap(), Plan::default());
}

#[test]
fn what_somebody_undoes_while_it_is_put_in_place_is_reported_once_and_what_is_not_read_back_is_said_to_be_so() {
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    let changes = preview(&mut Memory::default(), &desired).unwrap().changes;
    for undone in [0, 1, 5] {
        let mut kernel = Memory { undoing: undone, ..Memory::default() };
        let outcome = reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap();
        assert_eq!((kernel.commits, &outcome.plan.changes), (undone + 1, &changes), "undone {undone} times");
    }
    let mut kernel = Memory { undoing: usize::MAX, ..Memory::default() };
    let message = reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap_err().to_string();
    assert!(message.ends_with("; the last commit was taken, but not read back"), "{message}");
}

#[test]
fn of_equal_changes_as_many_count_once_as_are_made_again() {
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    let change = preview(&mut Memory::default(), &desired).unwrap().changes.pop().unwrap();
    let mut outcome = Outcome::default();
    for (committed, reported) in [(2, 2), (1, 2), (3, 3)] {
        outcome.committed(&mut Plan { changes: vec![change.clone(); committed], ..Plan::default() });
        assert_eq!(outcome.plan.changes.len(), reported, "after {committed} more");
    }
}

#[test]
fn a_chain_that_a_foreign_rule_still_jumps_to_is_emptied_and_reported() {
    let mut kernel = Memory::default();
    let installed = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    reconcile(&mut kernel, &installed, &mut Cache::default()).unwrap();
    let foreign = Rule::new(Vec::new(), None, Verdict::Jump("IP-MASQ-AGENT".to_owned()));
    let handle = kernel.handle();
    kernel.state.tables[0].chains[0].rules.push(ObservedRule { handle, rule: Ok(foreign.clone()) });

    let nothing = Ruleset::nothing(ChainName::default());
    let outcome = reconcile(&mut kernel, &nothing, &mut Cache::default()).unwrap();
    let in_use = Action::DeleteChain { chain: "IP-MASQ-AGENT".to_owned() };
    assert_eq!(outcome.in_use, [Change { table: TableId::nat(Family::Ipv4), action: in_use }]);
    let [postrouting, ours] = kernel.state.tables[0].chains.as_slice() else { panic!("{:#?}", kernel.state) };
    assert!(ours.rules.is_empty());
    assert!(postrouting.rules.iter().map(|rule| rule.rule.as_ref()).eq([Ok(&foreign)]));

    let commits = kernel.commits;
    reconcile(&mut kernel, &nothing, &mut Cache::default()).unwrap();
    assert_eq!(kernel.commits, commits, "the second clean-up has nothing left to do");
}

/// A kernel whose next answers to commits and probes are errors: each with whether it was carried out all the same.
struct Failing {
    kernel: Memory,
    answers: VecDeque<(bool, BackendError)>,
    sent: usize,
}

impl Backend for Failing {
    fn generation(&mut self) -> Result<Generation, BackendError> {
        self.kernel.generation()
    }

    fn observe(&mut self, chain: &ChainName, known: &Cache) -> Result<Observed, BackendError> {
        self.kernel.observe(chain, known)
    }

    fn is_owned_by_another(&mut self, table: TableId) -> Result<bool, BackendError> {
        self.kernel.is_owned_by_another(table)
    }

    fn probe(&mut self, plan: &Plan) -> Result<(), BackendError> {
        self.sent += 1;
        self.answers.pop_front().map_or_else(|| self.kernel.probe(plan), |(_, error)| Err(error))
    }

    fn commit(&mut self, plan: &Plan, generation: Generation) -> Result<(), BackendError> {
        self.sent += 1;
        let Some((carried_out, error)) = self.answers.pop_front() else { return self.kernel.commit(plan, generation) };
        if carried_out {
            self.kernel.commit(plan, generation).unwrap();
        }
        Err(error)
    }
}

fn failed(source: NetlinkError) -> BackendError {
    BackendError::Netlink { doing: "change the rules".to_owned(), source }
}

fn rejected(errno: Errno) -> NetlinkError {
    NetlinkError::Rejected { change: Some(0), errno, text: None }
}

#[test]
fn after_a_failed_commit_all_is_read_again_which_tells_what_became_of_it_and_it_is_tried_once_more_if_need_be() {
    type Answer = fn() -> BackendError;
    let lost: Answer = || failed(NetlinkError::NoAnswer);
    let garbled: Answer = || failed(NetlinkError::Malformed("odd"));
    let endless: Answer = || failed(NetlinkError::Endless { datagrams: 1 });
    let interrupted: Answer = || failed(rejected(Errno::EINTR));
    let misread: Answer = || failed(rejected(Errno::ENOENT));
    let refused: Answer = || BackendError::Refused { doing: "add a rule".to_owned(), source: rejected(Errno::EINVAL) };
    let denied: Answer = || failed(NetlinkError::Denied);
    let too_large: Answer = || failed(NetlinkError::TooLarge { bytes: 1 });
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8", "fd00::/8"]));
    let wanted = preview(&mut Memory::default(), &desired).unwrap();
    // Of each answer: was it carried out? Then how often something is sent, and the error, if it ends with one.
    for (answers, sent, error) in [
        (vec![(true, lost)], 1, None),
        (vec![(false, lost)], 2, None),
        (vec![(false, lost), (true, garbled)], 2, Some(garbled)),
        (vec![(true, garbled)], 1, None),
        (vec![(false, endless)], 2, None),
        (vec![(false, interrupted)], 2, None),
        (vec![(false, misread)], 2, None),
        (vec![(false, misread), (false, misread)], 2, Some(misread)),
        (vec![(false, refused)], 2, None),
        (vec![(false, refused), (false, refused)], 2, Some(refused)),
        (vec![(false, denied)], 1, Some(denied)),
        (vec![(false, too_large)], 1, Some(too_large)),
    ] {
        let texts = answers.iter().map(|(_, answer)| answer().to_string());
        let (texts, failures) = (texts.collect::<Vec<_>>(), answers.len());
        let answers = answers.iter().map(|(carried_out, answer)| (*carried_out, answer())).collect();
        let mut kernel = Failing { kernel: Memory::default(), answers, sent: 0 };
        let outcome = reconcile(&mut kernel, &desired, &mut Cache::default());
        assert_eq!(kernel.sent, sent, "{texts:?}");
        match (outcome, error) {
            (Ok(outcome), None) => {
                assert_eq!((outcome.plan, outcome.failures.len()), (wanted.clone(), failures), "{texts:?}");
                assert_eq!(kernel.kernel.commits, 1, "{texts:?}");
            }
            (Err(ReconcileError::Backend(error)), Some(expected)) => {
                assert_eq!(error.to_string(), expected().to_string());
            }
            (outcome, _) => panic!("{texts:?}: {outcome:?}"),
        }
        // Whatever it ended with, the next pass ends with the desired rules.
        reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap();
        assert_eq!(preview(&mut kernel, &desired).unwrap(), Plan::default());
    }
}

#[test]
fn a_commit_that_is_never_answered_ends_the_pass_and_the_next_may_come_soon() {
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    let answers = (0..100).map(|_| (false, failed(NetlinkError::NoAnswer))).collect();
    let mut kernel = Failing { kernel: Memory::default(), answers, sent: 0 };
    let error = reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(kernel.sent, MAX_FAILURES);
    let error = preview(&mut kernel, &desired).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(kernel.sent, 2 * MAX_FAILURES);
}

#[test]
fn what_stands_is_kept_family_by_family_until_it_stands_no_more() {
    let exempt = |texts: &[&str]| desired("IP-MASQ-AGENT", &Family::ALL, &ranges(texts));
    let fallback = Ruleset { keep_standing: Family::ALL.to_vec(), ..exempt(&["10.0.0.0/8", "fd00::/8"]) };
    let table = |family| move |table: &ObservedTable| table.id == TableId::nat(family);
    let mut kernel = Memory::default();
    reconcile(&mut kernel, &exempt(&["192.0.2.0/24"]), &mut Cache::default()).unwrap();
    let [ipv4, ipv6] = Family::ALL.map(|family| kernel.state.table(TableId::nat(family)).cloned());

    assert_eq!(preview(&mut kernel, &fallback).unwrap(), Plan::default());
    let outcome = reconcile(&mut kernel, &fallback, &mut Cache::default()).unwrap();
    assert_eq!((outcome.kept, kernel.commits), (Family::ALL.to_vec(), 1), "nothing is written");

    kernel.state.tables.retain(|present| !table(Family::Ipv6)(present));
    let outcome = reconcile(&mut kernel, &fallback, &mut Cache::default()).unwrap();
    assert_eq!(outcome.kept, [Family::Ipv4]);
    assert_eq!(kernel.state.table(TableId::nat(Family::Ipv4)).cloned(), ipv4);
    let filled = kernel.state.table(TableId::nat(Family::Ipv6)).cloned();
    assert!(filled.is_some() && filled != ipv6, "{filled:?}");
    assert_eq!(
        preview(&mut kernel, &Ruleset { keep_standing: Vec::new(), ..fallback.clone() }).unwrap().changes.len(),
        2
    );
}

#[test]
fn a_family_that_does_not_stand_is_finished_although_it_stands_before_the_last_commit() {
    // The tables of our own come first, and stand; only then does what is left of the other layout go.
    let policy = crate::rules::tests::policy(&["10.0.0.0/8", "fd00::/8"], "");
    let mut kernel = Memory::default();
    reconcile(&mut kernel, &compile(&policy, Layout::IptablesNat), &mut Cache::default()).unwrap();
    for table in &mut kernel.state.tables {
        table.chains[1].rules.pop();
    }
    let native = compile(&policy, Layout::OwnTable(Protection::Off));
    let fallback = Ruleset { keep_standing: Family::ALL.to_vec(), ..native.clone() };
    assert_eq!(reconcile(&mut kernel, &fallback, &mut Cache::default()).unwrap().kept, []);
    assert_eq!(preview(&mut kernel, &native).unwrap(), Plan::default());
    assert_eq!(kernel.commits, 3);
}

/// A rule as any program might have left it in POSTROUTING or in our chain.
fn any_rule() -> impl Strategy<Value = Result<Rule, Unrecognised>> {
    let names = ["IP-MASQ-AGENT", "OLD", "FOREIGN"].map(|name| name.parse::<ChainName>().unwrap());
    let ours = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8", "172.16.0.0/12", "fd00::/8"]));
    let inner: Vec<Rule> = ours.tables.iter().flat_map(|table| table.chains[1].rules.clone()).collect();
    prop_oneof![
        proptest::sample::select(names.to_vec()).prop_map(|name| Ok(jump(&name))),
        proptest::sample::select(inner).prop_map(Ok),
        Just(Err(Unrecognised("an unknown match".to_owned()))),
        Just(Ok(Rule::new(Vec::new(), Some("foreign".into()), Verdict::Return))),
    ]
}

prop_compose! {
    fn any_kernel()(tables in proptest::collection::vec(
        (any::<bool>(), any::<bool>(), any::<bool>(), proptest::collection::vec(any_rule(), 0..6), proptest::collection::vec(any_rule(), 0..8)), 2,
    )) -> Memory {
        let mut kernel = Memory::default();
        for (family, (exists, has_postrouting, has_ours, postrouting, inner)) in Family::ALL.into_iter().zip(tables) {
            if !exists {
                continue;
            }
            let mut chains = ["OLD", "FOREIGN"].map(|name| (name, None, Vec::new())).to_vec();
            if has_ours {
                // Jumps inside our chain would make loops, which no kernel holds.
                let inner = inner.into_iter().filter(|rule| !matches!(rule.as_ref().map(Rule::verdict), Ok(Verdict::Jump(_))));
                chains.push(("IP-MASQ-AGENT", None, inner.collect()));
            }
            if has_postrouting {
                let leads_somewhere = |rule: &Result<Rule, Unrecognised>| !matches!(rule.as_ref().map(Rule::verdict),
                    Ok(Verdict::Jump(target)) if target == "IP-MASQ-AGENT" && !has_ours);
                let postrouting = postrouting.into_iter().filter(leads_somewhere).collect();
                chains.push((BaseChain::POSTROUTING, Some(BaseChain::IPTABLES_POSTROUTING), postrouting));
            }
            let chains = chains.into_iter().map(|(name, base, rules): (&str, _, Vec<_>)| ObservedChain {
                name: name.to_owned(),
                base,
                drops: false,
                uses: 0,
                rules: rules.into_iter().map(|rule| ObservedRule { handle: kernel.handle(), rule }).collect(),
            }).collect();
            kernel.state.tables.push(ObservedTable {
                id: TableId::nat(family), protection: Ok(Protection::Off), dormant: false, owner: None, sets: Vec::new(), foreign_objects: Vec::new(), chains,
            });
        }
        kernel
    }
}

/// The rules in POSTROUTING that are nobody's jump of ours, with their handles.
fn foreign(kernel: &Memory) -> Vec<ObservedRule> {
    let is_foreign = |rule: &&ObservedRule| {
        rule.rule.as_ref().ok().is_none_or(|rule| crate::backend::nftables::our_jump(rule).is_none())
    };
    let postrouting = kernel.state.tables.iter().filter_map(|table| table.chain(BaseChain::POSTROUTING));
    postrouting.flat_map(|chain| &chain.rules).filter(is_foreign).cloned().collect()
}

proptest! {
    #[test]
    fn from_any_state_one_commit_leads_to_the_desired_one_and_foreign_rules_survive(
        mut kernel in any_kernel(),
        exempt in proptest::sample::subsequence(ranges(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8", "2001:db8::/32"]), 0..5),
        families in proptest::sample::subsequence(Family::ALL.to_vec(), 0..=2),
    ) {
        let foreign_before = foreign(&kernel);
        let desired = desired("IP-MASQ-AGENT", &families, &exempt);
        let outcome = reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap();
        prop_assert!(kernel.commits <= 1);
        prop_assert_eq!(outcome.plan.is_empty(), kernel.commits == 0);
        for table in &desired.tables {
            let present = kernel.state.table(table.id).unwrap();
            let ours = present.chain("IP-MASQ-AGENT").unwrap();
            prop_assert!(ours.rules.iter().map(|rule| rule.rule.as_ref()).eq(table.chains[1].rules.iter().map(Ok)));
            let jumps = present.chain(BaseChain::POSTROUTING).unwrap().rules.iter().filter(|rule| rule.is(&jump(&desired.chain)));
            prop_assert_eq!(jumps.count(), 1);
        }
        prop_assert_eq!(foreign(&kernel), foreign_before);
        prop_assert_eq!(reconcile(&mut kernel, &desired, &mut Cache::default()).unwrap().plan, Plan::default());
        reconcile(&mut kernel, &Ruleset::nothing(desired.chain.clone()), &mut Cache::default()).unwrap();
        prop_assert!(kernel.state.tables.iter().all(|table| table.chain("IP-MASQ-AGENT").is_none()));
    }
}
