//! What the kernel and iptables-nft make of our transactions, and we of theirs.

use ip_masq_agent::backend::nftables::decode;
use ip_masq_agent::backend::nftables::{Action, Handle, ObservedRule, Unrecognised};
use ip_masq_agent::net::Family;
use ip_masq_agent::netlink::{Connection, NetlinkError, NetlinkFamily, Transport};
use ip_masq_agent::rules::{BaseChain, Rule, TableId, Verdict};
use nix::errno::Errno;

use crate::changes::{CHAIN, append, batch, change, create, every_kind, rule, to};
use crate::support::netns::Netns;
use crate::support::ran::Ran;

fn iptables(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables-nft",
        Family::Ipv6 => "ip6tables-nft",
    }
}

/// Runs `test` inside a network namespace of its own.
pub(crate) fn in_namespace(test: impl FnOnce(&Netns) + Send) {
    if let Some(netns) = Netns::new("netlink") {
        netns.inside(|| test(&netns));
    }
}

pub(crate) fn run(netns: &Netns, line: &str) -> String {
    try_run(netns, line, "").stdout()
}

/// Runs a command line whose words are separated by spaces, less those between two quotes.
fn try_run(netns: &Netns, line: &str, input: &str) -> Ran {
    let parts = line.split('"').enumerate();
    let words: Vec<&str> = parts
        .flat_map(|(index, part)| if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect();
    netns.try_run(words[0], &words[1..], input)
}

fn rules_of<T: Transport>(kernel: &mut Connection<T>, family: Family, chain: &str) -> Vec<Result<Rule, Unrecognised>> {
    let rules = kernel.rules(family, "nat", chain).unwrap();
    rules.iter().map(|rule| decode(TableId::nat(family), rule)).collect()
}

/// The names of the tables of a family.
pub(crate) fn tables<T: Transport>(kernel: &mut Connection<T>, family: Family) -> Vec<String> {
    kernel.tables(family).unwrap().into_iter().map(|table| table.name).collect()
}

fn handle_of<T: Transport>(kernel: &mut Connection<T>, index: usize) -> Handle {
    kernel.rules(Family::Ipv4, "nat", CHAIN).unwrap()[index].handle
}

#[test]
fn what_we_commit_is_read_back_and_iptables_lists_checks_and_deletes_it_as_its_own() {
    for family in Family::ALL {
        in_namespace(|netns| {
            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            let kinds = every_kind(family);
            let mut changes = create(family);
            changes.extend(kinds.iter().map(|(rule, _)| append(family, BaseChain::POSTROUTING, rule.clone())));
            kernel.commit(&batch(None, &changes)).unwrap();

            let read: Vec<_> = rules_of(&mut kernel, family, BaseChain::POSTROUTING);
            let written: Vec<_> = kinds.iter().map(|(rule, _)| Ok(rule.clone())).collect();
            assert_eq!(read, written);

            let tool = iptables(family);
            let listed = run(netns, &format!("{tool} -t nat -S POSTROUTING"));
            let mut expected = "-P POSTROUTING ACCEPT\n".to_owned();
            expected.extend(kinds.iter().map(|(_, text)| format!("-A POSTROUTING {text}\n")));
            assert_eq!(listed, expected);

            for (_, text) in &kinds {
                run(netns, &format!("{tool} -t nat -C POSTROUTING {text}"));
                run(netns, &format!("{tool} -t nat -D POSTROUTING {text}"));
                try_run(netns, &format!("{tool} -t nat -C POSTROUTING {text}"), "").ended_with(1);
            }
            assert_eq!(rules_of(&mut kernel, family, BaseChain::POSTROUTING), []);
        });
    }
}

#[test]
fn what_iptables_restore_writes_is_raised_to_the_equal_rule() {
    for family in Family::ALL {
        in_namespace(|netns| {
            let kinds = every_kind(family);
            let lines: Vec<_> = kinds.iter().map(|(_, text)| format!("-A POSTROUTING {text}")).collect();
            let input = format!("*nat\n:{CHAIN} - [0:0]\n{}\nCOMMIT\n", lines.join("\n"));
            try_run(netns, &format!("{}-restore", iptables(family)), &input).ended_with(0);
            let read =
                rules_of(&mut Connection::open(NetlinkFamily::Netfilter).unwrap(), family, BaseChain::POSTROUTING);
            assert_eq!(read, kinds.into_iter().map(|(rule, _)| Ok(rule)).collect::<Vec<_>>());
        });
    }
}

#[test]
fn tables_and_chains_are_listed_per_family_with_what_makes_a_base_chain() {
    in_namespace(|netns| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        assert_eq!(tables(&mut kernel, Family::Ipv4), [""; 0]);
        assert_eq!(kernel.chains(Family::Ipv4).unwrap(), []);
        assert_eq!(kernel.rules(Family::Ipv4, "nat", CHAIN).unwrap(), [], "no table, no rules, no error");

        kernel.commit(&batch(None, &create(Family::Ipv6))).unwrap();
        netns.nft("table ip6 other { chain forward { type filter hook forward priority -150; }; }");
        assert_eq!(tables(&mut kernel, Family::Ipv4), [""; 0]);
        assert_eq!(tables(&mut kernel, Family::Ipv6), ["nat", "other"]);
        let chains = kernel.chains(Family::Ipv6).unwrap();
        let names: Vec<_> = chains.iter().map(|chain| (&*chain.table, &*chain.name)).collect();
        assert_eq!(names, [("nat", "POSTROUTING"), ("nat", CHAIN), ("other", "forward")]);
        assert_eq!(chains[0].base, Some(BaseChain::IPTABLES_POSTROUTING));
        assert_eq!(chains[1].base, None);
        assert_eq!(chains[2].base, Some(BaseChain { kind: "filter".into(), hook: 2, priority: -150 }));
        assert_eq!(kernel.rules(Family::Ipv6, "nat", "NO-SUCH-CHAIN").unwrap(), []);
    });
}

#[test]
fn rules_are_inserted_before_a_handle_deleted_by_handle_and_flushed_by_chain() {
    in_namespace(|_| {
        let family = Family::Ipv4;
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let [a, b, c] =
            ["10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24"].map(|range| rule(vec![to(range)], "", Verdict::Return));
        let mut changes = create(family);
        changes.extend([append(family, CHAIN, a.clone()), append(family, CHAIN, c.clone())]);
        kernel.commit(&batch(None, &changes)).unwrap();

        let before = handle_of(&mut kernel, 1);
        let insert = Action::Insert { chain: CHAIN.to_owned(), rule: b.clone(), before };
        kernel.commit(&batch(None, &[change(family, insert)])).unwrap();
        assert_eq!(rules_of(&mut kernel, family, CHAIN), [Ok(a.clone()), Ok(b), Ok(c.clone())]);

        let was = ObservedRule { handle: handle_of(&mut kernel, 1), rule: Err(Unrecognised(String::new())) };
        let delete = Action::Delete { chain: CHAIN.to_owned(), was };
        kernel.commit(&batch(None, &[change(family, delete)])).unwrap();
        assert_eq!(rules_of(&mut kernel, family, CHAIN), [Ok(a), Ok(c)]);

        let chain = CHAIN.to_owned();
        let flush = [Action::Flush { chain: chain.clone() }, Action::DeleteChain { chain }];
        kernel.commit(&batch(None, &flush.map(|action| change(family, action)))).unwrap();
        assert_eq!(kernel.chains(family).unwrap().len(), 1, "POSTROUTING is left");
    });
}

#[test]
fn a_transaction_of_both_families_fails_as_a_whole_and_the_error_names_the_change() {
    in_namespace(|_| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let mut changes = create(Family::Ipv4);
        changes.extend(create(Family::Ipv6));
        changes.push(change(Family::Ipv6, Action::Flush { chain: "NO-SUCH-CHAIN".to_owned() }));
        changes.push(append(Family::Ipv4, "NO-SUCH-CHAIN-EITHER", rule(vec![], "", Verdict::Return)));
        match kernel.commit(&batch(None, &changes)) {
            Err(NetlinkError::Rejected { change: Some(6), errno: Errno::ENOENT, .. }) => {}
            other => panic!("{other:?}"),
        }
        for family in Family::ALL {
            assert_eq!(tables(&mut kernel, family), [""; 0]);
        }
        changes.truncate(6);
        kernel.commit(&batch(None, &changes)).unwrap();
        for family in Family::ALL {
            assert_eq!(tables(&mut kernel, family), ["nat"]);
        }
    });
}

#[test]
fn a_transaction_on_a_stale_generation_changes_nothing_and_a_current_one_goes_through() {
    in_namespace(|netns| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let stale = kernel.generation().unwrap();
        netns.nft("add table ip other");
        let current = kernel.generation().unwrap();
        assert_ne!(stale, current);
        match kernel.commit(&batch(Some(stale), &create(Family::Ipv4))) {
            Err(NetlinkError::StaleGeneration) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.generation().unwrap(), current);
        assert_eq!(tables(&mut kernel, Family::Ipv4), ["other"]);
        kernel.commit(&batch(Some(current), &create(Family::Ipv4))).unwrap();
        assert_eq!(tables(&mut kernel, Family::Ipv4), ["other", "nat"]);
    });
}

#[test]
fn an_empty_transaction_is_no_new_generation() {
    in_namespace(|_| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let before = kernel.generation().unwrap();
        kernel.commit(&batch(None, &[])).unwrap();
        assert_eq!(kernel.generation().unwrap(), before);
    });
}

#[test]
fn a_transaction_larger_than_the_usual_send_buffer_goes_through_as_one() {
    in_namespace(|_| {
        let family = Family::Ipv4;
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let before = kernel.generation().unwrap().0;
        let rules: Vec<Rule> = (0..=u8::MAX)
            .flat_map(|a| (0..8).map(move |b| rule(vec![to(&format!("10.{a}.{b}.0/24"))], "kept", Verdict::Return)))
            .collect();
        let mut changes = create(family);
        changes.extend(rules.iter().map(|rule| append(family, CHAIN, rule.clone())));
        let batch = batch(None, &changes);
        // net.core.wmem_default; the kernel gives a socket that much where nothing else is asked for.
        assert!(batch.as_bytes().len() > 212_992);
        kernel.commit(&batch).unwrap();
        assert_eq!(kernel.generation().unwrap().0, before + 1);
        assert_eq!(rules_of(&mut kernel, family, CHAIN), rules.into_iter().map(Ok).collect::<Vec<_>>());
    });
}

#[test]
fn of_more_errors_than_the_receive_buffer_holds_the_first_is_reported() {
    in_namespace(|_| {
        let family = Family::Ipv4;
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        kernel.commit(&batch(None, &create(family))).unwrap();
        let generation = kernel.generation().unwrap();
        let missing = |handle| {
            let was = ObservedRule { handle: Handle(handle), rule: Err(Unrecognised(String::new())) };
            change(family, Action::Delete { chain: CHAIN.to_owned(), was })
        };
        let mut changes = vec![append(family, CHAIN, rule(vec![], "", Verdict::Return))];
        changes.extend((1_000..6_000).map(missing));
        match kernel.commit(&batch(None, &changes)) {
            Err(NetlinkError::Rejected { change: Some(1), errno: Errno::ENOENT, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.generation().unwrap(), generation, "the connection works on, and nothing was changed");
    });
}
