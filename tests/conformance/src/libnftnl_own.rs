//! Judge: libnftnl, of a table of our own: native rules, sets and their elements.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_masq_agent::backend::nftables::Unrecognised;
use ip_masq_agent::backend::nftables::{SetInfo, decode};
use ip_masq_agent::net::{AddressRange, Family};
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::rules::{Match, Rule, SetKind, TableId, Verdict};
use nftnl::expr::{Counter, Lookup, Masquerade, NetworkHeaderField, Payload};
use nftnl::set::{Set, SetKey};
use nftnl::{Batch, Chain, MsgType, Table};

use crate::changes::{CHAIN, batch, masquerade, rule};
use crate::ffi::{ReadRule, ReadSet};
use crate::libnftnl::{family_of, send};
use crate::messages;
use crate::namespace::in_namespace;
use crate::own::{INTERVALS, TABLE, add, addresses, append_own, create_set, intervals, own_rules, singles};
use crate::replay::Replay;

/// The messages of our transaction that create the rules.
fn rule_messages(family: Family) -> Vec<Vec<u8>> {
    let batch = batch(None, &append_own(family));
    let all = messages(batch.as_bytes());
    all[1..all.len() - 1].iter().map(|message| message.to_vec()).collect()
}

/// The expressions of the last rules, which are the same in both families but for how an address is looked up in ranges.
fn of_interfaces_marks_and_ports<'a>(in_ranges: &[&'a str]) -> Vec<Vec<&'a str>> {
    let verdict = ["counter pkts 0 bytes 0", "immediate reg 0 return"];
    let tcp = ["meta load l4proto => reg 1", "cmp eq reg 1 0x00000006"];
    vec![
        [
            &["meta load oifname => reg 1", "cmp eq reg 1 0x30687465 0x00000000 0x00000000 0x00000000"][..],
            &["meta load mark => reg 1", "cmp eq reg 1 0x00004000"],
            &verdict,
        ]
        .concat(),
        [
            &["meta load oifname => reg 1", "cmp eq reg 1 0x68746576", "meta load mark => reg 1"][..],
            &["bitwise reg 1 = ( reg 1 & 0x0000c000 ) ^ 0x00000000", "cmp eq reg 1 0x00004000"],
            &verdict,
        ]
        .concat(),
        [&["meta load oifname => reg 1", "cmp neq reg 1 0x302d7262 0x34333231 0x38373635 0x00626139"][..], &verdict]
            .concat(),
        vec!["meta load mark => reg 1", "cmp neq reg 1 0x00000005", "counter pkts 0 bytes 0", "masq"],
        [
            &["meta load l4proto => reg 1", "cmp eq reg 1 0x00000084"][..],
            &["payload load 2b @ transport header + 2 => reg 1", "cmp eq reg 1 0x00005000"],
            &verdict,
        ]
        .concat(),
        [
            &tcp[..],
            &["payload load 2b @ transport header + 0 => reg 1", "cmp eq reg 1 0x00000700"],
            &["payload load 2b @ transport header + 2 => reg 1", "cmp eq reg 1 0x00000800"],
            &verdict,
        ]
        .concat(),
        [
            &["meta load l4proto => reg 1", "cmp eq reg 1 0x00000011"][..],
            &["payload load 2b @ transport header + 0 => reg 1", "range eq reg 1 0x00000000 0x00000900"],
            &["payload load 2b @ transport header + 2 => reg 1", "cmp eq reg 1 0x00003500"],
            &verdict,
        ]
        .concat(),
        [
            in_ranges,
            &tcp,
            &["payload load 2b @ transport header + 2 => reg 1", "range eq reg 1 0x00000004 0x0000ffff"],
            &["counter pkts 0 bytes 0", "immediate reg 1 0x00000004", "immediate reg 2 0x00002f75"],
            &["masq proto_min reg 1 proto_max reg 2 flags 0x12"],
        ]
        .concat(),
    ]
}

#[test]
fn libnftnl_reads_every_native_rule_that_we_write_as_the_expressions_that_are_meant() {
    let verdict = ["counter pkts 0 bytes 0", "immediate reg 0 return"];
    for family in Family::ALL {
        let (load, mask, wide, masked) = match family {
            Family::Ipv4 => (
                "payload load 4b @ network header + 16 => reg 1",
                "bitwise reg 1 = ( reg 1 & 0x00ffffff ) ^ 0x00000000",
                ["payload load 1b @ network header + 16 => reg 1", "cmp eq reg 1 0x0000000a"],
                ["bitwise reg 1 = ( reg 1 & 0x00ffffff ) ^ 0x00000000", "cmp eq reg 1 0x006433c6"],
            ),
            Family::Ipv6 => (
                "payload load 16b @ network header + 24 => reg 1",
                "bitwise reg 1 = ( reg 1 & 0xffffffff 0xffffffff 0x00000000 0x00000000 ) ^ 0x00000000 0x00000000 \
                 0x00000000 0x00000000",
                ["payload load 1b @ network header + 24 => reg 1", "cmp eq reg 1 0x000000fd"],
                [
                    "bitwise reg 1 = ( reg 1 & 0x0000c0ff 0x00000000 0x00000000 0x00000000 ) ^ 0x00000000 0x00000000 \
                     0x00000000 0x00000000",
                    "cmp eq reg 1 0x000080fe 0x00000000 0x00000000 0x00000000",
                ],
            ),
        };
        let load_source = match family {
            Family::Ipv4 => "payload load 4b @ network header + 12 => reg 1",
            Family::Ipv6 => "payload load 16b @ network header + 8 => reg 1",
        };
        let (set, _) = addresses(family);
        let lookup = |set| format!("lookup reg 1 set {set}");
        let (in_intervals, in_addresses) = (lookup(INTERVALS), lookup(set));
        let tcp = ["meta load l4proto => reg 1", "cmp eq reg 1 0x00000006"];
        let expected: Vec<Vec<&str>> = vec![
            vec![
                "fib daddr type => reg 1",
                "cmp neq reg 1 0x00000002",
                "counter pkts 0 bytes 0",
                "immediate reg 0 jump -> IP-MASQ-AGENT",
            ],
            [&[load, &in_intervals][..], &verdict].concat(),
            [&[load, mask, &in_addresses][..], &verdict].concat(),
            [&wide[..], &verdict].concat(),
            [&[load_source, mask, &in_addresses][..], &verdict].concat(),
            [&[load_source][..], &masked, &[load, &in_intervals, "counter pkts 0 bytes 0", "masq flags 0x10"]].concat(),
            [&[load][..], &masked, &tcp, &verdict].concat(),
            [
                &tcp[..],
                &[
                    "numgen reg 1 = random mod 61744",
                    "byteorder reg 1 = hton(reg 1, 4, 4)",
                    "cmp lt reg 1 0x30710000",
                    "counter pkts 0 bytes 0",
                    "immediate reg 1 0x00000004",
                    "immediate reg 2 0x00002f75",
                    "masq proto_min reg 1 proto_max reg 2 flags 0x12",
                ],
            ]
            .concat(),
            vec![
                "meta load l4proto => reg 1",
                "cmp eq reg 1 0x00000011",
                "counter pkts 0 bytes 0",
                "immediate reg 1 0x00000700",
                "masq proto_min reg 1 flags 0x2",
            ],
            vec!["counter pkts 0 bytes 0", "masq flags 0x10"],
            vec!["counter pkts 0 bytes 0", "masq"],
        ];
        let expected = [expected, of_interfaces_marks_and_ports(&[load, &in_intervals])].concat();
        let read: Vec<Vec<String>> = rule_messages(family)
            .iter()
            .map(|message| ReadRule::parse(message).text().iter().map(|text| text.trim().to_owned()).collect())
            .collect();
        assert_eq!(read, expected);
    }
}

#[test]
fn the_rules_that_libnftnl_read_of_ours_it_writes_again_as_the_same() {
    for family in Family::ALL {
        let number = family_of(family) as u16;
        // The first is of another chain.
        let again = rule_messages(family).into_iter().zip(1..).skip(1);
        let again = again.map(|(message, handle)| ReadRule::parse(&message).write(number, handle));
        let mut replay = Connection::new(Replay::new(again.collect()));
        let read = replay.rules(family, TABLE, CHAIN).unwrap();
        let read: Vec<Rule> = read.iter().map(|rule| decode(TableId::own(family), rule).unwrap()).collect();
        let meant: Vec<Rule> = own_rules(family).into_iter().skip(1).map(|(rule, _)| rule).collect();
        assert_eq!(read, meant);
    }
}

#[test]
fn libnftnl_reads_our_sets_and_elements_and_what_it_writes_of_them_we_read_the_same() {
    for family in Family::ALL {
        let (of_prefix, _) = addresses(family);
        for (name, kind, elements) in [
            (INTERVALS, SetKind::Intervals, intervals(family)),
            (of_prefix, SetKind::Addresses { size: 64 }, singles(family)),
        ] {
            let batch = batch(None, &[create_set(family, name, kind), add(family, name, kind, &elements)]);
            let all = messages(batch.as_bytes());
            let read = ReadSet::parse(all[1], all[2]);
            let made = if kind == SetKind::Intervals { "4" } else { "0 size 64" };
            assert_eq!(read.text(), format!("{name} {TABLE} {made} {}", printed(&elements, kind)));
            assert_eq!(read.key(), if family == Family::Ipv4 { (7, 4) } else { (8, 16) });

            let again = read.write(family_of(family) as u16);
            let mut replay = Connection::new(Replay::new(again.to_vec()));
            assert_eq!(
                replay.sets(family, TABLE).unwrap(),
                [SetInfo { name: name.to_owned(), kind: Ok(kind), count: None }]
            );
            assert_eq!(replay.elements(family, TABLE, name, kind).unwrap(), Ok(elements));
        }
    }
}

/// The elements as libnftnl prints them: words of the key in host order, and whether an interval ends there.
fn printed(elements: &[AddressRange], kind: SetKind) -> String {
    let mut printed = Vec::new();
    let mut print = |address: IpAddr, flags| {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let words = octets.as_chunks::<4>().0.iter().map(|word| format!("{:08x}", u32::from_ne_bytes(*word)));
        printed.push(format!("element {} : {flags} [end]", words.collect::<Vec<_>>().join(" ")));
    };
    for element in elements {
        print(element.first(), 0);
        if let (SetKind::Intervals, Some(next)) = (kind, element.next()) {
            print(next, 1);
        }
    }
    printed.join(" ")
}

#[test]
fn a_set_with_elements_and_the_rules_that_look_it_up_are_read_as_libnftnl_means_them() {
    in_namespace(|| {
        libnftnl_writes(Family::Ipv4, [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(203, 0, 113, 9)]);
    });
    in_namespace(|| {
        let [a, b]: [Ipv6Addr; 2] = ["2001:db8::1", "2001:db8:1::"].map(|text| text.parse().unwrap());
        libnftnl_writes(Family::Ipv6, [a, b]);
    });
}

fn libnftnl_writes<K: SetKey + Copy + Into<IpAddr>>(family: Family, keys: [K; 2]) {
    let table = Table::new(c"ip-masq-agent", family_of(family));
    let chain = Chain::new(c"IP-MASQ-AGENT", &table);
    let mut set: Set<'_, K> = Set::new_named(c"exempt-32", 7, &table, family_of(family));
    for key in &keys {
        set.add(key);
    }
    let mut kept = nftnl::Rule::new(&chain);
    let (offset_bits, length_bits) = match family {
        Family::Ipv4 => (16, 4),
        Family::Ipv6 => (24, 16),
    };
    kept.add_expr(&Payload::Network(NetworkHeaderField::Raw { offset_bits, length_bits }));
    kept.add_expr(&Lookup::new(&set));
    kept.add_expr(&Counter);
    kept.add_expr(&nftnl::expr::Verdict::Return);
    kept.set_comment(c"kept").unwrap();
    let mut masqueraded = nftnl::Rule::new(&chain);
    masqueraded.add_expr(&Counter);
    masqueraded.add_expr(&Masquerade);

    let mut batch = Batch::new();
    batch.add(&table, MsgType::Add);
    batch.add(&chain, MsgType::Add);
    batch.add(&set, MsgType::Add);
    batch.add_iter(set.elems_iter(), MsgType::Add);
    batch.add(&kept, MsgType::Add);
    batch.add(&masqueraded, MsgType::Add);
    send(batch);

    let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
    let kind = SetKind::Addresses { size: 64 };
    // The crate has no way to give a set room, without which it is none of ours; its elements can be read all the same.
    let boundless = Err(Unrecognised("has the flags 0x0 and room without bounds".to_owned()));
    let info = SetInfo { name: "exempt-32".to_owned(), kind: boundless, count: u32::try_from(keys.len()).ok() };
    assert_eq!(kernel.sets(family, TABLE).unwrap(), [info]);
    let elements = keys.map(|key| AddressRange::single(key.into())).to_vec();
    assert_eq!(kernel.elements(family, TABLE, "exempt-32", kind).unwrap(), Ok(elements));
    let rules = kernel.rules(family, TABLE, CHAIN).unwrap();
    let rules: Vec<_> = rules.iter().map(|rule| decode(TableId::own(family), rule)).collect();
    let in_set = Match::destination_in("exempt-32", None);
    let meant = [rule(vec![in_set], "kept", Verdict::Return), rule(vec![], "", masquerade(false, None))];
    assert_eq!(rules, meant.map(Ok));
}
