//! Reconciling against a kernel in memory: any state becomes the desired one, and nothing else changes.

use nix::errno::Errno;
use proptest::prelude::*;

use super::*;
use crate::backend::nftables::fake::{Kernel, Memory, Trouble};
use crate::backend::nftables::{ObservedChain, ObservedRule, ObservedTable, Unrecognised, our_jump};
use crate::net::{ChainName, Cidr, Family};
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

fn pass(kernel: &Kernel, desired: &Ruleset) -> Result<Outcome, ReconcileError> {
    reconcile(&mut kernel.backend(), desired, &ReconcileOptions::default())
}

fn previewed(kernel: &Kernel, desired: &Ruleset) -> Result<Vec<ChangeLine>, ReconcileError> {
    preview(&mut kernel.backend(), desired, &ReconcileOptions::default()).map(|preview| preview.changes)
}

fn keeping_standing() -> ReconcileOptions {
    ReconcileOptions { keep_standing: Family::ALL.to_vec(), ..ReconcileOptions::default() }
}

#[test]
fn the_second_pass_writes_nothing() {
    let kernel = Kernel::default();
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8", "fd00::/8"]));
    assert!(!pass(&kernel, &desired).unwrap().changes.is_empty());
    assert_eq!(pass(&kernel, &desired).unwrap().changes, []);
    assert_eq!(kernel.get().commits, 1);
}

#[test]
fn what_was_read_back_is_not_read_again_before_a_change_but_what_is_reported_as_in_force_always_is() {
    let kernel = Kernel::default();
    let mut backend = kernel.backend();
    let mut pass = |desired| reconcile(&mut backend, &desired, &ReconcileOptions::default());
    let of = |range| desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&[range]));
    for (step, range, foreign, readings) in [
        ("nothing is known", "10.0.0.0/8", false, 2),
        ("nothing to do, and all is known", "10.0.0.0/8", false, 1),
        ("a change", "11.0.0.0/8", false, 1),
        ("nothing to do after a foreign commit", "11.0.0.0/8", true, 1),
        ("a change after a foreign commit", "10.0.0.0/8", true, 2),
    ] {
        if foreign {
            kernel.get().changed();
        }
        let before = kernel.get().readings;
        pass(of(range)).unwrap();
        assert_eq!(kernel.get().readings - before, readings, "{step}");
        assert_eq!(previewed(&kernel, &of(range)).unwrap(), [], "{step}");
    }
    // Another process commits before we do, so that our commit is refused.
    kernel.get().interference.push(|kernel| kernel.state.tables.clear());
    assert_eq!(pass(of("11.0.0.0/8")).unwrap().restarts, 1);
    assert_eq!(previewed(&kernel, &of("11.0.0.0/8")).unwrap(), []);
}

#[test]
fn a_preview_writes_nothing_and_tells_what_the_pass_then_does() {
    let kernel = Kernel::default();
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8"]));
    let changes = previewed(&kernel, &desired).unwrap();
    assert_eq!(kernel.get().commits, 0);
    assert_eq!(pass(&kernel, &desired).unwrap().changes, changes);
}

#[test]
fn a_change_by_somebody_else_in_between_leads_to_a_new_look() {
    let kernel = Kernel::from(Memory { interference: vec![|_| (), |_| ()], ..Memory::default() });
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &[]);
    assert_eq!(pass(&kernel, &desired).unwrap().restarts, 2);
    assert_eq!(kernel.get().commits, 1);
}

#[test]
fn somebody_who_never_stops_is_an_error_that_names_what_is_left_to_do() {
    let kernel = Kernel::from(Memory { interference: vec![|_| (); 100], ..Memory::default() });
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    let message = pass(&kernel, &desired).unwrap_err().to_string();
    assert!(
        message.contains("16 times in a row")
            && message.ends_with("still to be done: 11 changes, of which the first is \"+ table ip nat\""),
        "{message}"
    );
    assert_eq!(kernel.get().commits, 0);
}

#[test]
fn rules_flushed_between_our_commit_and_our_reading_back_are_put_back() {
    // The interference happens at the commit after the first look, as a flush of the whole table would.
    let kernel = Kernel::default();
    let before = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    pass(&kernel, &before).unwrap();
    kernel.get().interference.push(|kernel| kernel.state.tables.clear());
    let after = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    pass(&kernel, &after).unwrap();
    assert_eq!(previewed(&kernel, &after).unwrap(), []);
}

#[test]
fn what_somebody_undoes_while_it_is_put_in_place_is_reported_once_and_what_is_not_read_back_is_said_to_be_so() {
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    let changes = previewed(&Kernel::default(), &desired).unwrap();
    for undone in [0, 1, 5] {
        let kernel = Kernel::from(Memory { undoing: undone, ..Memory::default() });
        let outcome = pass(&kernel, &desired).unwrap();
        assert_eq!((kernel.get().commits, &outcome.changes), (undone + 1, &changes), "undone {undone} times");
    }
    let kernel = Kernel::from(Memory { undoing: usize::MAX, ..Memory::default() });
    let message = pass(&kernel, &desired).unwrap_err().to_string();
    assert!(message.ends_with("; the last commit was taken, but not read back"), "{message}");
}

#[test]
fn a_chain_that_a_foreign_rule_still_jumps_to_is_emptied_and_reported() {
    let kernel = Kernel::default();
    let installed = desired("IP-MASQ-AGENT", &[Family::Ipv4], &ranges(&["10.0.0.0/8"]));
    pass(&kernel, &installed).unwrap();
    let foreign = Rule::new(Vec::new(), None, Verdict::Jump("IP-MASQ-AGENT".to_owned()));
    let handle = kernel.get().handle();
    kernel.get().state.tables[0].chains[0].rules.push(ObservedRule { handle, rule: Ok(foreign.clone()) });

    let nothing = Ruleset::nothing(ChainName::default());
    let outcome = pass(&kernel, &nothing).unwrap();
    let in_use: Vec<String> = outcome.in_use.iter().map(ToString::to_string).collect();
    assert_eq!(in_use, ["- ip nat chain IP-MASQ-AGENT"]);
    let tables = kernel.get().state.tables.clone();
    let [postrouting, ours] = tables[0].chains.as_slice() else { panic!("{tables:#?}") };
    assert!(ours.rules.is_empty());
    assert!(postrouting.rules.iter().map(|rule| rule.rule.as_ref()).eq([Ok(&foreign)]));

    let commits = kernel.get().commits;
    pass(&kernel, &nothing).unwrap();
    assert_eq!(kernel.get().commits, commits, "the second clean-up has nothing left to do");
}

#[test]
fn after_a_failed_commit_all_is_read_again_which_tells_what_became_of_it_and_it_is_tried_once_more_if_need_be() {
    let (lost, garbled, endless) = (Trouble::Lost, Trouble::Garbled, Trouble::Endless);
    let interrupted = Trouble::Refused(Some(0), Errno::EINTR);
    let misread = Trouble::Refused(Some(0), Errno::EEXIST);
    let refused = Trouble::Refused(Some(0), Errno::EINVAL);
    let denied = Trouble::Refused(None, Errno::EPERM);
    let too_large = Trouble::Unsendable(Errno::EMSGSIZE);
    let desired = desired("IP-MASQ-AGENT", &Family::ALL, &ranges(&["10.0.0.0/8", "fd00::/8"]));
    let wanted = previewed(&Kernel::default(), &desired).unwrap();
    let make = "could not make the change \"+ table ip nat\": the kernel refused the request at change 0: ";
    // For each trouble: whether the change was carried out, how many messages are sent, and the error, if the pass ends
    // with one.
    for (troubles, sent, error) in [
        (vec![(true, lost)], 1, None),
        (vec![(false, lost)], 2, None),
        (
            vec![(false, lost), (true, garbled)],
            2,
            Some("could not change the rules: the kernel's answer cannot be read"),
        ),
        (vec![(true, garbled)], 1, None),
        (vec![(false, endless)], 2, None),
        (vec![(false, interrupted)], 2, None),
        (vec![(false, misread)], 2, None),
        (vec![(false, misread), (false, misread)], 2, Some(make)),
        (vec![(false, refused)], 2, None),
        (vec![(false, refused), (false, refused)], 2, Some(make)),
        (vec![(false, denied)], 1, Some("could not change the rules: the kernel does not permit it")),
        (vec![(false, too_large)], 1, Some("could not change the rules: a transaction of ")),
    ] {
        let failures = troubles.len();
        let kernel = Kernel::from(Memory { troubles: troubles.clone().into(), ..Memory::default() });
        let mut backend = kernel.backend();
        let outcome = reconcile(&mut backend, &desired, &ReconcileOptions::default());
        assert_eq!(kernel.get().sent, sent, "{troubles:?}");
        match (outcome, error) {
            (Ok(outcome), None) => {
                assert_eq!((outcome.changes, outcome.failures.len()), (wanted.clone(), failures), "{troubles:?}");
                assert_eq!(kernel.get().commits, 1, "{troubles:?}");
            }
            (Err(ReconcileError::Backend(error)), Some(expected)) => {
                assert!(error.to_string().starts_with(expected), "{troubles:?}: {error}");
            }
            (outcome, _) => panic!("{troubles:?}: {outcome:?}"),
        }
        // Whatever the result, the next pass ends with the desired rules.
        reconcile(&mut backend, &desired, &ReconcileOptions::default()).unwrap();
        assert_eq!(previewed(&kernel, &desired).unwrap(), []);
    }
}

#[test]
fn a_commit_that_is_never_answered_ends_the_pass_and_the_next_may_come_soon() {
    let desired = desired("IP-MASQ-AGENT", &[Family::Ipv4], &[]);
    let kernel = Kernel::from(Memory { ignores_changes: true, ..Memory::default() });
    let error = pass(&kernel, &desired).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(kernel.get().sent, MAX_FAILURES);
    let error = previewed(&kernel, &desired).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(kernel.get().sent, 2 * MAX_FAILURES);
}

#[test]
fn what_stands_is_left_family_by_family_until_it_stands_no_more() {
    let exempt = |texts: &[&str]| desired("IP-MASQ-AGENT", &Family::ALL, &ranges(texts));
    let fallback = exempt(&["10.0.0.0/8", "fd00::/8"]);
    let falls_back = |kernel: &Kernel| reconcile(&mut kernel.backend(), &fallback, &keeping_standing()).unwrap();
    let table = |family| move |table: &ObservedTable| table.id == TableId::nat(family);
    let kernel = Kernel::default();
    pass(&kernel, &exempt(&["192.0.2.0/24"])).unwrap();
    let [ipv4, ipv6] = Family::ALL.map(|family| kernel.get().state.table(TableId::nat(family)).cloned());

    assert_eq!(preview(&mut kernel.backend(), &fallback, &keeping_standing()).unwrap(), Preview::default());
    let outcome = falls_back(&kernel);
    assert_eq!((outcome.left_standing, kernel.get().commits), (Family::ALL.to_vec(), 1), "nothing is written");

    kernel.get().state.tables.retain(|present| !table(Family::Ipv6)(present));
    let outcome = falls_back(&kernel);
    assert_eq!(outcome.left_standing, [Family::Ipv4]);
    assert_eq!(kernel.get().state.table(TableId::nat(Family::Ipv4)).cloned(), ipv4);
    let filled = kernel.get().state.table(TableId::nat(Family::Ipv6)).cloned();
    assert!(filled.is_some() && filled != ipv6, "{filled:?}");
    assert_eq!(previewed(&kernel, &fallback).unwrap().len(), 2);
}

#[test]
fn a_family_that_does_not_stand_is_finished_although_it_stands_before_the_last_commit() {
    // The tables of our own are added first; only when they stand is what is left of the other layout removed.
    let policy = crate::rules::tests::policy(&["10.0.0.0/8", "fd00::/8"], "");
    let kernel = Kernel::default();
    pass(&kernel, &compile(&policy, Layout::IptablesNat)).unwrap();
    for table in &mut kernel.get().state.tables {
        table.chains[1].rules.pop();
    }
    let native = compile(&policy, Layout::OwnTable(Protection::Off));
    let outcome = reconcile(&mut kernel.backend(), &native, &keeping_standing()).unwrap();
    assert_eq!(outcome.left_standing, []);
    assert_eq!(previewed(&kernel, &native).unwrap(), []);
    assert_eq!(kernel.get().commits, 3);
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

/// The rules in POSTROUTING that are not a jump of ours, with their handles.
fn foreign(kernel: &Memory) -> Vec<ObservedRule> {
    let is_foreign = |rule: &&ObservedRule| rule.rule.as_ref().ok().is_none_or(|rule| our_jump(rule).is_none());
    let postrouting = kernel.state.tables.iter().filter_map(|table| table.chain(BaseChain::POSTROUTING));
    postrouting.flat_map(|chain| &chain.rules).filter(is_foreign).cloned().collect()
}

proptest! {
    #[test]
    fn from_any_state_one_commit_leads_to_the_desired_one_and_foreign_rules_survive(
        kernel in any_kernel(),
        exempt in proptest::sample::subsequence(ranges(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8", "2001:db8::/32"]), 0..5),
        families in proptest::sample::subsequence(Family::ALL.to_vec(), 0..=2),
    ) {
        let kernel = Kernel::from(kernel);
        let foreign_before = foreign(&kernel.get());
        let desired = desired("IP-MASQ-AGENT", &families, &exempt);
        let outcome = pass(&kernel, &desired).unwrap();
        prop_assert!(kernel.get().commits <= 1);
        prop_assert_eq!(outcome.changes.is_empty(), kernel.get().commits == 0);
        for table in &desired.tables {
            let memory = kernel.get();
            let present = memory.state.table(table.id).unwrap();
            let ours = present.chain("IP-MASQ-AGENT").unwrap();
            prop_assert!(ours.rules.iter().map(|rule| rule.rule.as_ref()).eq(table.chains[1].rules.iter().map(Ok)));
            let jumps = present.chain(BaseChain::POSTROUTING).unwrap().rules.iter().filter(|rule| rule.is(&jump(&desired.chain)));
            prop_assert_eq!(jumps.count(), 1);
        }
        prop_assert_eq!(foreign(&kernel.get()), foreign_before);
        prop_assert_eq!(pass(&kernel, &desired).unwrap().changes, []);
        pass(&kernel, &Ruleset::nothing(desired.chain.clone())).unwrap();
        prop_assert!(kernel.get().state.tables.iter().all(|table| table.chain("IP-MASQ-AGENT").is_none()));
    }
}
