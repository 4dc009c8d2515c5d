//! What the kernel sends back of a commit is what it lists, and where it is not whole, all is listed.

use nix::sys::socket::{setsockopt, sockopt};

use super::*;
use crate::backend::interface::{Backend as _, Committed, Look};
use crate::backend::nftables::contract_tests::in_a_network_namespace_of_its_own;
use crate::backend::nftables::fake::{Kernel, Memory};
use crate::backend::nftables::{Nftables, plan};
use crate::backend::{ReconcileOptions, reconcile};
use crate::net::{ChainName, Family};
use crate::netlink::{NetlinkSocket, Transport};
use crate::rules::tests::policy;
use crate::rules::{Layout, Rule, Ruleset, compile};

const NAT: TableId = TableId::nat(Family::Ipv4);

/// Rules with a long chain in IPv4's table, and these ranges more.
fn long(more: &[String]) -> Ruleset {
    let ranges = (0..LONG).map(|index| format!("10.{}.{}.0/24", index / 100, index % 100 * 2));
    let ranges: Vec<String> = ranges.chain(more.iter().cloned()).collect();
    compile(&policy(&ranges.iter().map(String::as_str).collect::<Vec<_>>(), ""), Layout::IptablesNat)
}

/// This many ranges that are not in the list without more.
fn more(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("172.16.{}.0/30", index * 2)).collect()
}

fn rules_of<'a>(observed: &'a Observed, chain: &ChainName) -> &'a Rules {
    &observed.table(NAT).unwrap().chain(chain.as_str()).unwrap().rules
}

/// Commits changes of every kind, and compares what is known from what came with what is listed.
fn known_and_listed<T: Transport>(mut backend: Nftables<T>) {
    let want = long(&[]);
    reconcile(&mut backend, &want, &ReconcileOptions::default()).unwrap();
    let (chain, name) = (&want.chain, want.chain.to_string());
    let wanted = long(&more(6));
    let mut new = wanted.table(NAT).unwrap().chains.iter().find(|chain| chain.name == name).unwrap().rules.clone();
    let had = backend.read(chain, Look::Fresh).unwrap();
    let standing = rules_of(&had, chain).clone();
    new.retain(|rule| !standing.iter().any(|present| present.is(rule)));
    let mut new: Vec<Rule> = new.into_iter().take(6).collect();
    assert_eq!(new.len(), 6);
    let mut next = || new.pop().unwrap();
    let insert = |rule, at: usize| Action::Insert { chain: name.clone(), rule, before: standing[at].handle };
    let delete = |at: usize| Action::Delete { chain: name.clone(), was: standing[at].clone() };
    let append = |rule| Action::Append { chain: name.clone(), rule };
    for actions in [
        vec![insert(next(), 0), insert(next(), 500), delete(500), insert(next(), 501), insert(next(), 501)],
        vec![delete(0), append(next()), append(next()), delete(999)],
        vec![delete(1), delete(700)],
    ] {
        let had = backend.read(chain, Look::Fresh).unwrap();
        let generation = had.generation.next();
        let changes = actions.into_iter().map(|action| Change { table: NAT, action }).collect();
        assert_eq!(backend.commit(&Plan { changes, more: false }, had).unwrap(), Committed::Done);
        let known: Vec<_> =
            backend.cache.echoed_in(generation).map(|(of, rules)| (of.clone(), rules.clone())).collect();
        let quickly = backend.read(chain, Look::Quick).unwrap();
        let listed = backend.read(chain, Look::Fresh).unwrap();
        assert_eq!(known, [((NAT, name.clone()), rules_of(&listed, chain).clone())]);
        assert_eq!(quickly, listed);
    }
}

#[test]
fn what_the_kernel_in_memory_sends_back_is_what_it_lists() {
    known_and_listed(Kernel::default().backend());
}

#[test]
fn what_the_real_kernel_sends_back_is_what_it_lists() {
    let name = concat!(module_path!(), "::what_the_real_kernel_sends_back_is_what_it_lists");
    in_a_network_namespace_of_its_own(name, || known_and_listed(Nftables::open().unwrap()));
}

/// A receive buffer of so many bytes, as the kernel counts them (`SO_RCVBUF`).
fn with_a_receive_buffer_of(bytes: usize) -> Nftables<NetlinkSocket> {
    let backend = Nftables::open().unwrap();
    // The kernel doubles it.
    setsockopt(backend.connection.transport(), sockopt::RcvBuf, &(bytes / 2)).unwrap();
    backend
}

#[test]
fn with_every_receive_buffer_a_commit_is_acknowledged_and_what_the_kernel_sent_back_of_it_is_what_it_lists() {
    let name = concat!(
        module_path!(),
        "::with_every_receive_buffer_a_commit_is_acknowledged_and_what_the_kernel_sent_back_of_it_is_what_it_lists"
    );
    in_a_network_namespace_of_its_own(name, || {
        let chain = long(&[]).chain;
        // The smallest that there is, some between, and what a socket has that nobody asked for another.
        for buffer in [4_608, 36_864, 212_992] {
            for count in [1, MOST] {
                let mut backend = with_a_receive_buffer_of(buffer);
                reconcile(&mut backend, &long(&[]), &ReconcileOptions::default()).unwrap();
                let want = long(&more(count));
                let outcome = reconcile(&mut backend, &want, &ReconcileOptions::default()).unwrap();
                assert_eq!(
                    (outcome.changes.len(), outcome.mishaps().next()),
                    (count, None),
                    "{count} rules, {buffer} bytes"
                );
                let quickly = backend.read(&chain, Look::Quick).unwrap();
                assert_eq!(quickly, Nftables::open().unwrap().read(&chain, Look::Fresh).unwrap());
            }
        }
    });
}

#[test]
fn rules_are_sent_back_if_there_is_room_for_them_and_for_the_acknowledgement() {
    let name = concat!(module_path!(), "::rules_are_sent_back_if_there_is_room_for_them_and_for_the_acknowledgement");
    in_a_network_namespace_of_its_own(name, || {
        for (buffer, count, is_sent_back) in [
            (4_608, 1, false),
            (32_768, 1, false),
            (34_816, 1, true),
            (34_816, 2, false),
            (163_838, MOST, false),
            (163_840, MOST, true),
        ] {
            let mut backend = with_a_receive_buffer_of(buffer);
            reconcile(&mut backend, &long(&[]), &ReconcileOptions::default()).unwrap();
            let want = long(&more(count));
            let had = backend.read(&want.chain, Look::Fresh).unwrap();
            let generation = had.generation.next();
            let plan = plan(&want, &had, &backend.cache).unwrap();
            assert_eq!(backend.commit(&plan, had).unwrap(), Committed::Done);
            let known = backend.cache.echoed_in(generation).next().is_some();
            assert_eq!(known, is_sent_back, "{count} rules, {buffer} bytes");
        }
    });
}

/// Brings more ranges into force, in a kernel that is prepared like this, and returns how many long lists were asked for,
/// and how many rules were to be sent back.
fn listings_of(count: usize, prepare: impl FnOnce(&mut Memory)) -> (usize, usize) {
    let kernel = Kernel::default();
    let mut backend = kernel.backend();
    reconcile(&mut backend, &long(&[]), &ReconcileOptions::default()).unwrap();
    let before = kernel.get().long_listings;
    prepare(&mut kernel.get());
    let want = long(&more(count));
    reconcile(&mut backend, &want, &ReconcileOptions::default()).unwrap();
    let listings = kernel.get().long_listings - before;
    let echoes = kernel.get().echoes;
    kernel.get().after_commit = None;
    let outcome = reconcile(&mut kernel.backend(), &want, &ReconcileOptions::default()).unwrap();
    assert!(outcome.changes.is_empty(), "{outcome:?}");
    (listings, echoes)
}

#[test]
fn a_few_ranges_more_are_read_back_without_listing_their_chain() {
    for count in [1, 2, MOST] {
        assert_eq!(listings_of(count, |_| ()), (0, count));
    }
}

#[test]
fn as_many_new_rules_as_may_have_no_room_are_not_sent_back_but_listed() {
    assert_eq!(listings_of(MOST + 1, |_| ()), (1, 0));
}

#[test]
fn where_what_is_sent_back_is_lost_cut_doubled_or_of_others_the_chain_is_listed() {
    type Spoil = fn(&mut Vec<Vec<u8>>);
    /// Where the attributes begin.
    const ATTRIBUTES: usize = 20;
    let cases: [(&str, Spoil); 6] = [
        ("all is lost", Vec::clear),
        ("one is lost", |echoes| drop(echoes.pop())),
        ("one comes twice", |echoes| echoes.extend(echoes.first().cloned())),
        ("one has no attributes", |echoes| {
            echoes[0].truncate(ATTRIBUTES);
            echoes[0][0] = u8::try_from(ATTRIBUTES).unwrap();
            echoes[0][1] = 0;
        }),
        ("the length of an attribute is wrong", |echoes| echoes[1][ATTRIBUTES] = 2),
        ("one is of another table", |echoes| echoes[1][ATTRIBUTES + 4] = b'x'),
    ];
    for (what, spoil) in cases {
        assert_eq!(listings_of(3, |kernel| kernel.spoils_echoes = Some(spoil)), (1, 3), "{what}");
    }
}

#[test]
fn where_another_process_commits_right_after_ours_the_chain_is_listed() {
    type After = fn(&mut Memory);
    let cases: [(&str, After); 2] = [
        ("something else", Memory::changed),
        ("a rule in the place of one of ours", |kernel| {
            kernel.after_commit = None;
            let table = kernel.state.tables.iter_mut().find(|table| table.id == NAT).unwrap();
            let chain = table.chains.iter_mut().find(|chain| chain.base.is_none()).unwrap();
            chain.rules[7].rule = Err(crate::backend::nftables::Unrecognised("of others".to_owned()));
            kernel.changed();
        }),
    ];
    for (what, after_commit) in cases {
        let (listings, _) = listings_of(1, |kernel| kernel.after_commit = Some(after_commit));
        assert!(listings > 0, "{what}");
    }
}

#[test]
fn a_commit_of_others_while_the_rest_is_read_makes_nothing_of_it_an_assumption() {
    let kernel = Kernel::default();
    let mut backend = kernel.backend();
    reconcile(&mut backend, &long(&[]), &ReconcileOptions::default()).unwrap();
    let before = kernel.get().long_listings;
    kernel.get().after_commit = Some(|kernel| {
        kernel.after_commit = None;
        kernel.while_listing = Some(Memory::changed);
    });
    let options = ReconcileOptions { look: Look::Quick, ..ReconcileOptions::default() };
    let outcome = reconcile(&mut backend, &long(&more(1)), &options).unwrap();
    assert_eq!((kernel.get().long_listings - before, outcome.is_partly_assumed), (1, false));
}

#[test]
fn nothing_is_sent_back_of_what_was_assumed_replaced_or_short() {
    let kernel = Kernel::default();
    let mut backend = kernel.backend();
    let want = long(&[]);
    reconcile(&mut backend, &want, &ReconcileOptions::default()).unwrap();
    let observed = backend.read(&want.chain, Look::Fresh).unwrap();
    let rule = rules_of(&observed, &want.chain)[0].rule.clone().unwrap();
    let ours = || want.chain.to_string();
    let append = Change { table: NAT, action: Action::Append { chain: ours(), rule } };
    let wants = |others: &[Action], on: &Observed| {
        let others = others.iter().map(|action| Change { table: NAT, action: action.clone() });
        let plan = Plan { changes: others.chain([append.clone()]).collect(), more: false };
        Echoes::wanted(&plan, on, || usize::MAX).wants(&append)
    };
    assert!(wants(&[], &observed));
    assert!(!wants(&[], &Observed { is_partly_assumed: true, ..observed.clone() }));
    for action in [Action::Flush { chain: ours() }, Action::DeleteTable, Action::DeleteChain { chain: ours() }] {
        assert!(!wants(std::slice::from_ref(&action), &observed), "{action:?}");
    }
    let mut short = observed;
    short.tables.iter_mut().flat_map(|table| &mut table.chains).for_each(|chain| chain.rules.truncate(LONG - 1));
    assert!(!wants(&[], &short));
}
