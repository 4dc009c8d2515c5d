//! Judge: rustables, a codec in pure Rust.
//!
//! It knows no expressions of xtables, neither to write them nor to look into them: what it reads of those is their
//! name, and bytes that it only shows in its `Debug` text. It reads through a socket of its own only, so what we write
//! goes through the kernel first.

use ip_masq_agent::backend::nftables::codec::compat;
use ip_masq_agent::net::{Family, Protocol};
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::policy;
use ip_masq_agent::rules::{BaseChain, Field, Match, Test, Verdict};
use rustables::expr::{
    Bitwise, Cmp, CmpOp, Counter, ExpressionVariant, Immediate, Meta, MetaType, Payload, RawExpression, Register,
    VerdictKind,
};
use rustables::{
    Batch, Chain, ChainPolicy, ChainType, Hook, HookClass, MsgType, ProtocolFamily, Rule, Table, list_chains_for_table,
    list_rules_for_chain, list_tables,
};

use crate::changes::{CHAIN, append, batch, create, every_kind, rule, to};
use crate::namespace::in_namespace;
use crate::{rules_of, tables};

fn family_of(family: Family) -> ProtocolFamily {
    match family {
        Family::Ipv4 => ProtocolFamily::Ipv4,
        Family::Ipv6 => ProtocolFamily::Ipv6,
    }
}

fn nat(family: Family) -> Table {
    Table::new(family_of(family)).with_name("nat")
}

fn destination(family: Family, len: u32) -> Payload {
    address(family, policy::Field::Destination, len)
}

fn address(family: Family, field: policy::Field, len: u32) -> Payload {
    const NETWORK_HEADER: u32 = 1;
    let offset: u32 = match (family, field) {
        (Family::Ipv4, policy::Field::Source) => 12,
        (Family::Ipv4, _) => 16,
        (Family::Ipv6, policy::Field::Source) => 8,
        (Family::Ipv6, _) => 24,
    };
    Payload::default().with_dreg(Register::Reg1).with_base(NETWORK_HEADER).with_offset(offset).with_len(len)
}

fn jump(chain: &str) -> Immediate {
    Immediate::new_verdict(VerdictKind::Jump { chain: chain.to_owned() })
}

#[test]
fn tables_chains_and_rules_that_rustables_writes_are_decoded_as_what_they_mean() {
    for family in Family::ALL {
        in_namespace(|| {
            let (range, len, masked, mask, network): (_, u32, _, Vec<u8>, Vec<u8>) = match family {
                Family::Ipv4 => ("10.0.0.0/8", 4, "172.16.0.0/12", vec![255, 240, 0, 0], vec![172, 16, 0, 0]),
                Family::Ipv6 => ("fd00::/8", 16, "fe80::/10", padded(&[0xff, 0xc0]), padded(&[0xfe, 0x80])),
            };
            let first_byte = [if family == Family::Ipv4 { 10 } else { 0xfd }];
            let xor = vec![0; mask.len()];

            let table = nat(family);
            let postrouting = Chain::new(&table)
                .with_name(BaseChain::POSTROUTING)
                .with_hook(Hook::new(HookClass::PostRouting, 100))
                .with_type(ChainType::Nat)
                .with_policy(ChainPolicy::Accept);
            let ours = Chain::new(&table).with_name(CHAIN);
            let rules = [
                Rule::new(&ours)
                    .unwrap()
                    .with_expr(destination(family, 1))
                    .with_expr(Cmp::new(CmpOp::Eq, first_byte))
                    .with_expr(Counter::default().with_nb_bytes(0_u64).with_nb_packets(0_u64))
                    .with_expr(Immediate::new_verdict(VerdictKind::Return)),
                Rule::new(&ours)
                    .unwrap()
                    .with_expr(Meta::new(MetaType::L4Proto))
                    .with_expr(Cmp::new(CmpOp::Eq, [17]))
                    .with_expr(destination(family, len))
                    .with_expr(Bitwise::new(mask, xor).unwrap())
                    .with_expr(Cmp::new(CmpOp::Eq, network))
                    .with_expr(Immediate::new_verdict(VerdictKind::Return)),
            ];
            let jump = Rule::new(&postrouting).unwrap().with_expr(jump(CHAIN));
            let mut batch = Batch::new();
            batch.add(&table, MsgType::Add);
            batch.add(&postrouting, MsgType::Add);
            batch.add(&ours, MsgType::Add);
            batch.add(&jump, MsgType::Add);
            for rule in &rules {
                batch.add(rule, MsgType::Add);
            }
            batch.send().unwrap();

            let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
            assert_eq!(tables(&mut kernel, family), ["nat"]);
            let bases: Vec<_> =
                kernel.chains(family).unwrap().into_iter().map(|chain| (chain.name, chain.base)).collect();
            let base = Some(BaseChain::IPTABLES_POSTROUTING);
            assert_eq!(bases, [(BaseChain::POSTROUTING.into(), base), (CHAIN.into(), None)]);
            let expected = [
                Ok(rule(vec![to(range)], "", Verdict::Return)),
                Ok(rule(vec![to(masked), Match::protocol(Protocol::Udp)], "", Verdict::Return)),
            ];
            assert_eq!(rules_of(&mut kernel, family, CHAIN), expected);
            let jump = Ok(rule(vec![], "", Verdict::Jump(CHAIN.to_owned())));
            assert_eq!(rules_of(&mut kernel, family, BaseChain::POSTROUTING), [jump]);
        });
    }
}

fn padded(leading: &[u8]) -> Vec<u8> {
    let mut address = leading.to_vec();
    address.resize(16, 0);
    address
}

#[test]
fn rustables_reads_the_table_and_the_chains_that_we_write() {
    for family in Family::ALL {
        in_namespace(|| {
            Connection::open(NetlinkFamily::Netfilter).unwrap().commit(&batch(None, &create(family))).unwrap();
            let tables = list_tables().unwrap();
            assert_eq!(tables.iter().map(|table| table.get_name().unwrap().as_str()).collect::<Vec<_>>(), ["nat"]);
            let chains = list_chains_for_table(&nat(family)).unwrap();
            let read: Vec<_> = chains
                .iter()
                .map(|chain| (chain.get_name().cloned(), chain.get_hook().cloned(), chain.get_type().copied()))
                .collect();
            let hook = Hook::new(HookClass::PostRouting, 100);
            assert_eq!(
                read,
                [
                    (Some(BaseChain::POSTROUTING.to_owned()), Some(hook), Some(ChainType::Nat)),
                    (Some(CHAIN.to_owned()), None, None)
                ]
            );
            assert_eq!(chains[0].get_policy(), Some(&ChainPolicy::Accept));
        });
    }
}

#[test]
fn rustables_reads_the_rules_that_we_write_but_only_carries_what_is_of_xtables() {
    for family in Family::ALL {
        in_namespace(|| {
            let kinds = every_kind(family);
            let mut changes = create(family);
            changes.extend(kinds.iter().map(|(rule, _)| append(family, BaseChain::POSTROUTING, rule.clone())));
            Connection::open(NetlinkFamily::Netfilter).unwrap().commit(&batch(None, &changes)).unwrap();

            let chain = Chain::new(&nat(family)).with_name(BaseChain::POSTROUTING);
            let rules = list_rules_for_chain(&chain).unwrap();
            assert_eq!(rules.len(), kinds.len());
            for (rule, (meant, text)) in rules.iter().zip(&kinds) {
                let read: Vec<String> = rule.get_expressions().unwrap().iter().map(shown).collect();
                assert_eq!(read, expected(family, meant), "{text}");
            }
        });
    }
}

/// The name of an interface, as long as the register in which the kernel has it.
fn interface_register(name: policy::Value) -> String {
    format!("{:\0<16}", name.to_string())
}

/// An expression that it knows in full, of others the name.
fn shown(expression: &RawExpression) -> String {
    match expression.get_data() {
        Some(ExpressionVariant::ExpressionRaw(_)) => expression.get_name().unwrap().clone(),
        known => format!("{known:?}"),
    }
}

/// What it should show, built with its own types from the meaning of the rule.
fn expected(family: Family, rule: &ip_masq_agent::rules::Rule) -> Vec<String> {
    let mut expressions: Vec<RawExpression> = Vec::new();
    let mut carried = 0;
    // iptables has the protocol in front, also that of ports.
    if let Some(protocol) = compat::protocol(rule) {
        expressions.push(Meta::new(MetaType::L4Proto).into());
        expressions.push(Cmp::new(CmpOp::Eq, [protocol.number()]).into());
    }
    let is_source_port = |condition: &Match| condition.field() == Field::Packet(policy::Field::SourcePort);
    for condition in rule.matches() {
        match (condition.field(), condition.test()) {
            (Field::Packet(policy::Field::Protocol), _) => {}
            (Field::Packet(policy::Field::OutputInterface), Test::Packet(test)) => {
                let (op, name) = match test {
                    policy::Test::Equal(value) => (CmpOp::Eq, interface_register(value)),
                    policy::Test::NotEqual(value) => (CmpOp::Neq, interface_register(value)),
                    policy::Test::NamePrefix(start) => (CmpOp::Eq, start.to_string()),
                    other => unreachable!("{other:?} is no test of an interface"),
                };
                expressions.push(Meta::new(MetaType::OifName).into());
                expressions.push(Cmp::new(op, name.into_bytes()).into());
            }
            // The extension tests both ports.
            (Field::Packet(policy::Field::DestinationPort), _) if rule.matches().iter().any(is_source_port) => {}
            (Field::Packet(policy::Field::SourcePort | policy::Field::DestinationPort | policy::Field::Mark), _) => {
                carried += 1;
            }
            (Field::Packet(field), Test::Packet(policy::Test::Prefix(range))) => {
                let octets = match range.network() {
                    std::net::IpAddr::V4(address) => address.octets().to_vec(),
                    std::net::IpAddr::V6(address) => address.octets().to_vec(),
                };
                let len = usize::from(range.prefix_len() / 8);
                let is_whole = range.prefix_len().is_multiple_of(8) && (family, len) != (Family::Ipv4, 3);
                if is_whole {
                    expressions.push(address(family, field, u32::try_from(len).unwrap()).into());
                    expressions.push(Cmp::new(CmpOp::Eq, &octets[..len]).into());
                } else {
                    let ones = u128::MAX << (128 - u32::from(range.prefix_len()));
                    let mask = &ones.to_be_bytes()[..octets.len()];
                    expressions.push(address(family, field, u32::from(family.address_len())).into());
                    expressions.push(Bitwise::new(mask, vec![0; mask.len()]).unwrap().into());
                    expressions.push(Cmp::new(CmpOp::Eq, octets).into());
                }
            }
            (Field::Packet(policy::Field::DestinationType) | Field::Random, _) => carried += 1,
            other => unreachable!("{other:?} is in no rule that is judged here"),
        }
    }
    let mut shown: Vec<String> = expressions.iter().map(shown).collect();
    carried += usize::from(rule.comment().is_some() && compat::comment_beside(rule).is_none());
    shown.extend(vec!["match".to_owned(); carried]);
    let verdict = match rule.verdict() {
        Verdict::Return => Some(Immediate::new_verdict(VerdictKind::Return)),
        Verdict::Jump(chain) => Some(jump(chain)),
        Verdict::Masquerade(_) => None,
    };
    let counter = Counter::default().with_nb_bytes(0_u64).with_nb_packets(0_u64);
    shown.push(self::shown(&counter.into()));
    shown.push(verdict.map_or("target".to_owned(), |verdict| self::shown(&verdict.into())));
    shown
}
