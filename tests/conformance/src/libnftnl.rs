//! Judge: libnftnl, through the crates `nftnl` and `mnl`.
//!
//! The crate `nftnl` has no functions that read; those of the C library are called in `ffi.rs`.

use std::ffi::CStr;
use std::net::IpAddr;

use ip_masq_agent::net::{Family, Protocol};
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::policy::PortField;
use ip_masq_agent::rules::{BaseChain, Match, Probability, Rule, Verdict};
use nftnl::expr::{Bitwise, Cmp, CmpOp, Counter, Immediate, Meta, NetworkHeaderField, Payload};
use nftnl::{Batch, Chain, ChainType, Hook, MsgType, Policy, ProtoFamily, Table};

use crate::changes::{CHAIN, append, batch, create, every_kind, marked_in, masquerade, port, rule, to};
use crate::ffi::{ReadRule, Xtables};
use crate::namespace::in_namespace;
use crate::replay::Replay;
use crate::{messages, rules_of, tables};

pub(crate) fn family_of(family: Family) -> ProtoFamily {
    match family {
        Family::Ipv4 => ProtoFamily::Ipv4,
        Family::Ipv6 => ProtoFamily::Ipv6,
    }
}

/// Loads `len` bytes of the destination. The crate calls the two numbers bits, and uses them as bytes.
fn destination(family: Family, len: u32) -> Payload {
    let offset_bits = match family {
        Family::Ipv4 => 16,
        Family::Ipv6 => 24,
    };
    Payload::Network(NetworkHeaderField::Raw { offset_bits, length_bits: len })
}

fn xt_match(name: &'static str, revision: u32, info: Vec<u8>) -> Xtables {
    Xtables { kind: c"match", name, revision, info }
}

/// The parameters as the kernel's headers have them, written down without our codec.
fn comment(text: &str) -> Xtables {
    let mut info = text.as_bytes().to_vec();
    info.resize(256, 0);
    xt_match("comment", 0, info)
}

fn not_local() -> Xtables {
    xt_match("addrtype", 1, vec![0, 0, 4, 0, 2, 0, 0, 0])
}

fn half() -> Xtables {
    let mut info = vec![0; 24];
    info[7] = 0x40;
    xt_match("statistic", 0, info)
}

/// `--to-ports 1024-2000 --random-fully`.
fn masquerade_target(family: Family) -> Xtables {
    let info = match family {
        Family::Ipv4 => {
            vec![1, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x04, 0x00, 0x07, 0xd0, 0, 0, 0, 0]
        }
        Family::Ipv6 => [&[0x12, 0, 0, 0][..], &[0; 32], &[0x04, 0x00, 0x07, 0xd0]].concat(),
    };
    Xtables { kind: c"target", name: "MASQUERADE", revision: 0, info }
}

pub(crate) fn send(batch: Batch) {
    let batch = batch.finalize();
    let socket = mnl::Socket::new(mnl::Bus::Netfilter).unwrap();
    let portid = socket.portid();
    socket.send_all(&batch).unwrap();
    let mut buffer = vec![0; nftnl::nft_nlmsg_maxsize() as usize];
    let mut expected = batch.sequence_numbers();
    while !expected.is_empty() {
        for message in socket.recv(&mut buffer).unwrap() {
            mnl::cb_run(message.unwrap(), expected.next().unwrap(), portid).unwrap();
        }
    }
}

/// Rules written with libnftnl, with what they mean.
fn fill<'a>(family: Family, chain: &'a Chain<'a>) -> Vec<(nftnl::Rule<'a>, Rule)> {
    let (text, prefix, address, mask) = match family {
        Family::Ipv4 => ("172.16.0.0/12", "10.0.0.0/8", "172.16.0.0", "255.240.0.0"),
        Family::Ipv6 => ("fe80::/10", "fd00::/8", "fe80::", "ffc0::"),
    };
    let [address, mask]: [IpAddr; 2] = [address, mask].map(|text| text.parse().unwrap());
    let first_byte = match family {
        Family::Ipv4 => 10_u8,
        Family::Ipv6 => 0xfd,
    };
    let address_len = u32::from(family.address_len());
    let mut rules = Vec::new();

    let mut whole_bytes = nftnl::Rule::new(chain);
    whole_bytes.add_expr(&destination(family, 1));
    whole_bytes.add_expr(&Cmp::new(CmpOp::Eq, first_byte));
    whole_bytes.add_expr(&Counter);
    whole_bytes.add_expr(&nftnl::expr::Verdict::Return);
    rules.push((whole_bytes, rule(vec![to(prefix)], "", Verdict::Return)));

    let mut masked = nftnl::Rule::new(chain);
    masked.add_expr(&destination(family, address_len));
    let zero = vec![0_u8; family.address_len().into()];
    masked.add_expr(&Bitwise::new(mask, zero.as_slice()));
    masked.add_expr(&Cmp::new(CmpOp::Eq, address));
    masked.add_expr(&nftnl::expr::Verdict::Return);
    rules.push((masked, rule(vec![to(text)], "", Verdict::Return)));

    let mut jump = nftnl::Rule::new(chain);
    jump.add_expr(&comment("a jump"));
    jump.add_expr(&not_local());
    jump.add_expr(&nftnl::expr::Verdict::Jump { chain: CHAIN_C.to_owned() });
    let meaning = rule(vec![Match::DESTINATION_NOT_LOCAL], "a jump", Verdict::Jump(CHAIN.to_owned()));
    rules.push((jump, meaning));

    let mut ports = nftnl::Rule::new(chain);
    ports.add_expr(&Meta::L4Proto);
    ports.add_expr(&Cmp::new(CmpOp::Eq, Protocol::Tcp.number()));
    ports.add_expr(&half());
    ports.add_expr(&masquerade_target(family));
    let matches = vec![Match::protocol(Protocol::Tcp), Match::random(Probability::of(1, 2).unwrap().for_statistic())];
    rules.push((ports, rule(matches, "", masquerade(true, Some((1024, 2000))))));
    rules
}

const CHAIN_C: &CStr = c"IP-MASQ-AGENT";

#[test]
fn tables_chains_and_rules_that_libnftnl_writes_are_decoded_as_what_they_mean() {
    for family in Family::ALL {
        in_namespace(|| {
            let table = Table::new(c"nat", family_of(family));
            let mut postrouting = Chain::new(c"POSTROUTING", &table);
            postrouting.set_hook(Hook::PostRouting, 100);
            postrouting.set_type(ChainType::Nat);
            postrouting.set_policy(Policy::Accept);
            let ours = Chain::new(CHAIN_C, &table);
            let rules = fill(family, &postrouting);
            let mut batch = Batch::new();
            batch.add(&table, MsgType::Add);
            batch.add(&postrouting, MsgType::Add);
            batch.add(&ours, MsgType::Add);
            for (rule, _) in &rules {
                batch.add(rule, MsgType::Add);
            }
            send(batch);

            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            assert_eq!(tables(&mut kernel, family), ["nat"]);
            let chains: Vec<_> =
                kernel.chains(family).unwrap().into_iter().map(|chain| (chain.table, chain.name, chain.base)).collect();
            let base = Some(BaseChain::IPTABLES_POSTROUTING);
            assert_eq!(
                chains,
                [("nat".into(), BaseChain::POSTROUTING.into(), base), ("nat".into(), CHAIN.into(), None)]
            );
            let meanings: Vec<_> = rules.into_iter().map(|(_, meaning)| Ok(meaning)).collect();
            assert_eq!(rules_of(&mut kernel, family, BaseChain::POSTROUTING), meanings);
        });
    }
}

#[test]
fn a_comment_that_libnftnl_keeps_beside_the_expressions_is_read() {
    in_namespace(|| {
        let table = Table::new(c"nat", ProtoFamily::Ipv4);
        let chain = Chain::new(CHAIN_C, &table);
        let mut rule = nftnl::Rule::new(&chain);
        rule.set_comment(c"kept by nft").unwrap();
        // A value in a register, which none of our rules has.
        rule.add_expr(&Immediate::new(7_u32, nftnl::expr::Register::Reg1));
        rule.add_expr(&nftnl::expr::Verdict::Return);
        let mut batch = Batch::new();
        batch.add(&table, MsgType::Add);
        batch.add(&chain, MsgType::Add);
        batch.add(&rule, MsgType::Add);
        send(batch);
        let rules = Connection::open(NetlinkFamily::Netfilter).unwrap().rules(Family::Ipv4, "nat", CHAIN).unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].comment.as_deref(), Some("kept by nft"));
        let immediate = ip_masq_agent::backend::nftables::Immediate { register: 1, value: 7_u32.to_ne_bytes().into() };
        assert_eq!(rules[0].expressions[0], ip_masq_agent::backend::nftables::Expression::Immediate(immediate));
    });
}

/// The messages of our transactions that create a rule, one for each kind of rule.
fn written_by_us(family: Family) -> Vec<(Vec<u8>, Rule, String)> {
    let kinds = every_kind(family).into_iter();
    let written = kinds.map(|(rule, text)| {
        let batch = batch(None, &[append(family, CHAIN, rule.clone())]);
        (messages(batch.as_bytes())[1].to_vec(), rule, text)
    });
    written.collect()
}

#[test]
fn libnftnl_reads_what_we_write_as_the_expressions_that_are_meant() {
    for (family, text, expressions) in [
        (Family::Ipv4, "-j RETURN", &["counter pkts 0 bytes 0", "immediate reg 0 return"][..]),
        (
            Family::Ipv4,
            "-d 198.51.100.0/24 -p sctp -j RETURN",
            &[
                "meta load l4proto => reg 1",
                "cmp eq reg 1 0x00000084",
                "payload load 4b @ network header + 16 => reg 1",
                "bitwise reg 1 = ( reg 1 & 0x00ffffff ) ^ 0x00000000",
                "cmp eq reg 1 0x006433c6",
                "counter pkts 0 bytes 0",
                "immediate reg 0 return",
            ],
        ),
        (
            Family::Ipv6,
            "-d 64:ff9b::/96 -m comment --comment kept -j RETURN",
            // The comment goes beside the expressions.
            &[
                "payload load 12b @ network header + 24 => reg 1",
                "cmp eq reg 1 0x9bff6400 0x00000000 0x00000000",
                "counter pkts 0 bytes 0",
                "immediate reg 0 return",
            ],
        ),
        (
            Family::Ipv6,
            "-m comment --comment \"ip-masq-agent: a jump\" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT",
            &[
                "match name comment rev 0",
                "match name addrtype rev 1",
                "counter pkts 0 bytes 0",
                "immediate reg 0 jump -> IP-MASQ-AGENT",
            ],
        ),
        (
            Family::Ipv4,
            "-m addrtype ! --dst-type LOCAL -j MASQUERADE --random-fully",
            &["match name addrtype rev 1", "counter pkts 0 bytes 0", "target name MASQUERADE rev 0"],
        ),
    ] {
        let written = written_by_us(family);
        let (message, ..) = written.iter().find(|(_, _, kind)| kind == text).expect(text);
        assert_eq!(ReadRule::parse(message).text(), expressions, "{text}");
    }
}

#[test]
fn libnftnl_reads_our_xtables_parameters_as_the_kernels_headers_have_them() {
    let of = |xtables: Xtables| (xtables.name.to_owned(), xtables.revision, xtables.info);
    for family in Family::ALL {
        let half_chance = Match::random(Probability::of(1, 2).unwrap().for_statistic());
        let (of_udp, mark) = (port(PortField::Destination, Protocol::Udp, 80, 90), marked_in(0x4000, 0xc000));
        let matches = vec![of_udp, mark, Match::DESTINATION_NOT_LOCAL, half_chance];
        let rule = rule(matches, "all of them", masquerade(true, Some((1024, 2000))));
        let batch = batch(None, &[append(family, CHAIN, rule)]);
        let mut read = ReadRule::parse(messages(batch.as_bytes())[1]).extensions();
        // The fourth number is the other mode's; iptables fills it in, the kernel reads it in that mode only.
        read[4].2[12..16].fill(0);
        let expected = [
            comment("all of them"),
            xt_match("udp", 0, vec![0, 0, 0xff, 0xff, 80, 0, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            xt_match("mark", 1, vec![0, 0x40, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            not_local(),
            half(),
            masquerade_target(family),
        ];
        assert_eq!(read, expected.map(of));
    }
}

#[test]
fn what_libnftnl_read_of_ours_it_writes_again_as_the_same_rules() {
    for family in Family::ALL {
        let number = family_of(family) as u16;
        let written = written_by_us(family);
        let again =
            written.iter().zip(1..).map(|((message, ..), handle)| ReadRule::parse(message).write(number, handle));
        let mut replay = Connection::new(Replay::new(again.collect()));
        let meant: Vec<_> = written.iter().map(|(_, rule, _)| Ok(rule.clone())).collect();
        assert_eq!(rules_of(&mut replay, family, CHAIN), meant);
    }
}

#[test]
fn libnftnl_reads_our_rules_from_the_kernel_as_it_read_them_from_us() {
    for family in Family::ALL {
        in_namespace(|| {
            let mut changes = create(family);
            let kinds = every_kind(family);
            changes.extend(kinds.iter().map(|(rule, _)| append(family, BaseChain::POSTROUTING, rule.clone())));
            Connection::open(NetlinkFamily::Netfilter).unwrap().commit(&batch(None, &changes)).unwrap();

            let dumped: Vec<_> = dump_rules(family).iter().map(|message| ReadRule::parse(message).text()).collect();
            let written: Vec<_> =
                written_by_us(family).iter().map(|(message, ..)| ReadRule::parse(message).text()).collect();
            assert_eq!(dumped, written);
        });
    }
}

/// All rules of a family, as the kernel dumps them to a socket of libmnl.
fn dump_rules(family: Family) -> Vec<Vec<u8>> {
    const GET_RULE: [u8; 2] = [7, 10];
    const DONE: u8 = 3;
    let family = u8::try_from(family_of(family) as u16).unwrap();
    // REQUEST | DUMP, sequence number 1.
    let header = [&[20, 0, 0, 0][..], &GET_RULE, &[1, 3], &[1, 0, 0, 0], &[0; 4], &[family, 0, 0, 0]];
    let socket = mnl::Socket::new(mnl::Bus::Netfilter).unwrap();
    socket.send(&header.concat()).unwrap();
    let mut rules = Vec::new();
    loop {
        let mut buffer = vec![0; nftnl::nft_nlmsg_maxsize() as usize];
        let len = socket.recv_raw(&mut buffer).unwrap();
        for message in messages(&buffer[..len]) {
            if message[4..6] == [DONE, 0] {
                return rules;
            }
            rules.push(message.to_vec());
        }
    }
}
