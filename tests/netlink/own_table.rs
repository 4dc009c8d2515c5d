//! What the kernel and nft make of a table of our own, and we of theirs.

use ip_masq_agent::backend::nftables::decode;
use ip_masq_agent::backend::nftables::{Action, Unrecognised};
use ip_masq_agent::net::{AddressRange, Family};
use ip_masq_agent::netlink::{Connection, NetlinkError, NetlinkFamily, Transport};
use ip_masq_agent::rules::{BaseChain, Protection, Rule, SetKind, TableId};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::changes::{CHAIN, batch};
use crate::kernel::{in_namespace, run, tables};
use crate::own::{
    INTERVALS, POSTROUTING, TABLE, add, addresses, append_own, create_own, create_set, create_table, delete, intervals,
    own, own_rules, singles,
};

/// Name, hook, rules.
type ReadChain = (String, Option<BaseChain>, Vec<Result<Rule, Unrecognised>>);

/// What is in the table: its sets with their elements, its rules.
#[derive(Debug, PartialEq)]
struct Found {
    sets: Vec<(String, SetKind, Vec<AddressRange>)>,
    chains: Vec<ReadChain>,
}

fn find<T: Transport>(kernel: &mut Connection<T>, family: Family) -> Found {
    let sets = kernel.sets(family, TABLE).unwrap();
    let sets = sets.into_iter().map(|set| {
        let kind = set.kind.unwrap();
        let elements = kernel.elements(family, TABLE, &set.name, kind).unwrap().unwrap();
        (set.name, kind, elements)
    });
    let sets = sets.collect();
    let chains = kernel.chains(family).unwrap();
    let chains = chains.into_iter().map(|chain| {
        let rules = kernel.rules(family, TABLE, &chain.name).unwrap();
        let rules = rules.iter().map(|rule| decode(TableId::own(family), rule)).collect();
        (chain.name, chain.base, rules)
    });
    Found { sets, chains: chains.collect() }
}

#[test]
fn what_we_commit_is_read_back_and_listed_by_nft_as_text_that_makes_the_same_table() {
    for family in Family::ALL {
        in_namespace(|netns| {
            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            let mut changes = create_own(family, Protection::Off);
            changes.extend(append_own(family));
            kernel.commit(&batch(None, &changes)).unwrap();

            let rules: Vec<_> = own_rules(family).into_iter().map(|(rule, _)| Ok(rule)).collect();
            let (set, _) = addresses(family);
            let base = BaseChain { kind: "nat".into(), hook: 4, priority: 110 };
            let written = Found {
                sets: vec![
                    (INTERVALS.to_owned(), SetKind::Intervals, intervals(family)),
                    (set.to_owned(), SetKind::Addresses { size: 64 }, singles(family)),
                ],
                chains: vec![
                    (CHAIN.to_owned(), None, rules[1..].to_vec()),
                    (POSTROUTING.to_owned(), Some(base), rules[..1].to_vec()),
                ],
            };
            assert_eq!(find(&mut kernel, family), written);

            let list = format!("nft list table {family} {TABLE}");
            let listed = run(netns, &list);
            let texts: Vec<_> = own_rules(family).into_iter().map(|(_, text)| text).collect();
            let of_chain = |from: &str| {
                let block = listed.split_once(from).unwrap().1.split_once("\n\t}").unwrap().0;
                block.lines().skip(1).map(|line| line.trim().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(of_chain(&format!("chain {CHAIN} {{")), texts[1..]);
            assert_eq!(of_chain(&format!("chain {POSTROUTING} {{"))[1..], texts[..1]);

            run(netns, &format!("nft delete table {family} {TABLE}"));
            netns.nft(&listed);
            assert_eq!(run(netns, &list), listed);
            assert_eq!(find(&mut kernel, family), written);
        });
    }
}

#[test]
fn elements_come_and_go_and_sets_and_table_after_them() {
    for family in Family::ALL {
        in_namespace(|_| {
            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            kernel.commit(&batch(None, &create_own(family, Protection::Off))).unwrap();
            let (set, _) = addresses(family);
            for (set, kind, all) in [
                (INTERVALS, SetKind::Intervals, intervals(family)),
                (set, SetKind::Addresses { size: 64 }, singles(family)),
            ] {
                let mut read = |changes: &[_]| {
                    kernel.commit(&batch(None, changes)).unwrap();
                    kernel.elements(family, TABLE, set, kind).unwrap().unwrap()
                };
                // One by one, each end of the address space and each neighbour being removed and added in turn.
                for gone in &all {
                    let rest: Vec<_> = all.iter().filter(|range| *range != gone).copied().collect();
                    assert_eq!(read(&[delete(family, set, kind, &[*gone])]), rest);
                    assert_eq!(read(&[add(family, set, kind, &[*gone])]), all);
                }
                assert_eq!(read(&[delete(family, set, kind, &all)]), []);
                match kernel.commit(&batch(None, &[delete(family, set, kind, &all[..1])])) {
                    Err(NetlinkError::Rejected { change: Some(0), errno: Errno::ENOENT, .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            kernel.commit(&batch(None, &[own(family, Action::DeleteSet { set: set.to_owned() })])).unwrap();
            let names: Vec<_> = kernel.sets(family, TABLE).unwrap().into_iter().map(|set| set.name).collect();
            assert_eq!(names, [INTERVALS]);
            assert_eq!(kernel.elements(family, TABLE, set, SetKind::Addresses { size: 64 }).unwrap(), Ok(vec![]));
            kernel.commit(&batch(None, &[own(family, Action::DeleteTable)])).unwrap();
            assert_eq!(tables(&mut kernel, family), [""; 0]);
            assert_eq!(kernel.sets(family, TABLE).unwrap(), []);
        });
    }
}

#[test]
fn a_hundred_thousand_elements_are_read_back_the_same_at_once() {
    for family in Family::ALL {
        in_namespace(|_| {
            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            let every_other = |at: u32| match family {
                Family::Ipv4 => AddressRange::single(std::net::IpAddr::V4((2 * at).into())),
                Family::Ipv6 => AddressRange::single(std::net::IpAddr::V6((u128::from(at) << 65).into())),
            };
            let elements: Vec<_> = (1..=100_000).map(every_other).collect();
            for (set, kind) in [("addresses", SetKind::Addresses { size: 100_000 }), ("intervals", SetKind::Intervals)]
            {
                let changes = [
                    create_table(family, Protection::Off),
                    create_set(family, set, kind),
                    add(family, set, kind, &elements),
                ];
                kernel.commit(&batch(None, &changes)).unwrap();
                let read = kernel.elements(family, TABLE, set, kind).unwrap().unwrap();
                assert!(read == elements, "{set}: {} elements", read.len());
            }
        });
    }
}

#[test]
fn sets_of_another_make_and_elements_with_more_than_an_address_are_opaque() {
    in_namespace(|netns| {
        netns.nft(&format!(
            "table ip {TABLE} {{
                 set ports {{ type inet_service; }}
                 set boundless {{ type ipv4_addr; }}
                 set limited {{ type ipv4_addr; flags interval; size 100; }}
                 set timed {{ type ipv4_addr; flags timeout; }}
                 set counted {{ type ipv4_addr; counter; }}
                 map mapped {{ type ipv4_addr : verdict; }}
                 set concatenated {{ type ipv4_addr . inet_service; flags interval; }}
                 set merged {{ type ipv4_addr; flags interval; auto-merge; elements = {{ 10.0.0.0/8, 10.3.0.0/16 }}; }}
                 set typed {{ typeof ip daddr; size 64; elements = {{ 192.0.2.1 }}; }}
                 set commented {{ type ipv4_addr; size 64; elements = {{ 192.0.2.1 comment \"x\" }}; }}
             }}"
        ));
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let sets = kernel.sets(Family::Ipv4, TABLE).unwrap();
        let shown = sets.into_iter().map(|set| {
            let elements = match set.kind {
                Ok(kind) => kernel.elements(Family::Ipv4, TABLE, &set.name, kind).unwrap(),
                Err(opaque) => Err(opaque),
            };
            (set.name, elements.map_or_else(|opaque| opaque.0, |elements| format!("{elements:?}")))
        });
        let shown: Vec<_> = shown.collect();
        let expected = [
            ("ports", "has keys other than IPv4 addresses"),
            ("boundless", "has the flags 0x0 and room without bounds"),
            ("limited", "has the flags 0x4 and room for 100"),
            ("timed", "has the flags 0x10 and room without bounds"),
            ("counted", "does something for each element"),
            ("mapped", "has the flags 0x8 and room without bounds"),
            ("concatenated", "has keys other than IPv4 addresses"),
            ("merged", "[10.0.0.0/8]"),
            ("typed", "[192.0.2.1]"),
            ("commented", "has an element with a comment"),
        ];
        assert_eq!(shown, expected.map(|(name, shown)| (name.to_owned(), shown.to_owned())));
    });
}

/// Hears of everything that is committed (`NFNLGRP_NFTABLES`), if there is anything queued.
fn notifications() -> Socket {
    const NFNLGRP_NFTABLES: u32 = 7;
    let mut socket = Socket::new(NETLINK_NETFILTER).unwrap();
    socket.bind(&SocketAddr::new(0, 0)).unwrap();
    socket.add_membership(NFNLGRP_NFTABLES).unwrap();
    socket.set_non_blocking(true).unwrap();
    socket
}

#[test]
fn a_probe_finds_what_the_kernel_refuses_and_leaves_nothing_behind() {
    in_namespace(|_| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let heard = notifications();
        let queued = || heard.recv_from_full().map_err(|error| error.kind());
        let generation = kernel.generation().unwrap();
        let mut changes = Vec::new();
        for family in Family::ALL {
            changes.extend(create_own(family, Protection::OwnerPersist));
            changes.extend(append_own(family));
        }
        let probe = |changes: &[_]| {
            let mut transaction = ip_masq_agent::backend::nftables::Transaction::begin(Some(generation));
            for change in changes {
                transaction.push(change);
            }
            transaction.seal_as_probe().unwrap()
        };
        kernel.probe(&probe(&changes)).unwrap();
        let refused = changes.len();
        changes.push(own(Family::Ipv6, Action::Flush { chain: "NO-SUCH-CHAIN".to_owned() }));
        match kernel.probe(&probe(&changes)) {
            Err(NetlinkError::Rejected { change: Some(change), errno: Errno::ENOENT, .. }) => {
                assert_eq!(change, refused);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.generation().unwrap(), generation);
        for family in Family::ALL {
            assert_eq!(tables(&mut kernel, family), [""; 0]);
        }
        assert_eq!(queued().unwrap_err(), std::io::ErrorKind::WouldBlock);

        // The listener does listen, and the generation does count.
        kernel.commit(&batch(Some(generation), &changes[..refused])).unwrap();
        assert!(!queued().unwrap().0.is_empty());
        assert_eq!(kernel.generation().unwrap().0, generation.0 + 1);
    });
}
