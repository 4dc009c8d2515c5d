//! Rules to expressions and back.

use proptest::prelude::*;

use super::{comment_beside, decode, encode};
use crate::backend::nftables::codec::expression::{
    CmpOp, Counter, Expression, Extension, Fib, Immediate, Masq, Meta, Payload, PayloadBase, Range, VerdictCode,
};
use crate::backend::nftables::codec::xt;
use crate::backend::nftables::tests::{any_rule, batch, cmp, expressions, load, mask};
use crate::backend::nftables::{Action, Unrecognised};
use crate::net::{Family, Mark, MarkBits, PortRange, Protocol};
use crate::policy::{Condition, PortField};
use crate::rules::{Masquerade, Match, Probability, Rule, Verdict};

proptest! {
    #[test]
    fn a_rule_survives_lowering_encoding_decoding_and_raising((family, rule) in any_rule()) {
        let batch = batch(family, [Action::Append { chain: "C".to_owned(), rule: rule.clone() }]);
        let decoded = expressions(batch.as_bytes());
        prop_assert_eq!(&decoded, &[encode(family, &rule)]);
        prop_assert_eq!(decode(family, &decoded[0], comment_beside(&rule)), Ok(rule));
    }

    #[test]
    fn the_order_of_matches_does_not_matter((family, rule) in any_rule(), by in 0..8_usize) {
        let mut lowered = encode(family, &rule);
        let verdict = lowered.pop().unwrap();
        // What is loaded and compared stays together.
        let mut parts: Vec<Vec<Expression>> = Vec::new();
        let mut part = Vec::new();
        for expression in lowered {
            let is_end = !matches!(expression, Expression::Payload(_) | Expression::Meta(_) | Expression::Bitwise(_));
            part.push(expression);
            if is_end {
                parts.push(std::mem::take(&mut part));
            }
        }
        let by = by % parts.len();
        parts.rotate_left(by);
        let turned: Vec<_> = parts.into_iter().flatten().chain([verdict]).collect();
        prop_assert_eq!(decode(family, &turned, comment_beside(&rule)), Ok(rule));
    }
}

fn equal(value: &[u8]) -> Expression {
    cmp(CmpOp::EQUAL, value)
}

fn protocol() -> Expression {
    meta(Meta::L4PROTO)
}

fn meta(key: u32) -> Expression {
    Expression::Meta(Meta { key, register: 1 })
}

/// Two bytes at this offset of the transport header.
fn load_port(offset: u32) -> Expression {
    Expression::Payload(Payload { register: 1, base: PayloadBase::TRANSPORT, offset, len: 2 })
}

fn load_both_ports() -> Expression {
    Expression::Payload(Payload { register: 1, base: PayloadBase::TRANSPORT, offset: 0, len: 4 })
}

fn range(op: CmpOp, first: u16, last: u16) -> Expression {
    let [first, last] = [first, last].map(|port| port.to_be_bytes().into());
    Expression::Range(Range { register: 1, op, first, last })
}

fn verdict(code: i32) -> Expression {
    Expression::Verdict(VerdictCode { code, chain: None })
}

fn extension(name: &str, revision: u32, info: Vec<u8>) -> Extension {
    Extension { name: name.to_owned(), revision, info }
}

#[test]
fn both_encodings_of_a_range_are_the_same_rule() {
    let range = |text: &str| vec![Match::destination(text.parse().unwrap())];
    let bytes_of = |len: usize, bytes: &[u8]| [bytes, &[0; 16]].concat()[..len].to_vec();
    for (family, text, as_bytes, as_mask) in [
        (Family::Ipv4, "192.0.2.0/24", vec![load(16, 3), equal(&[192, 0, 2])], {
            vec![load(16, 4), mask(&[255, 255, 255, 0]), equal(&[192, 0, 2, 0])]
        }),
        (Family::Ipv6, "fd00::/8", vec![load(24, 1), equal(&[0xfd])], {
            vec![load(24, 16), mask(&bytes_of(16, &[255])), equal(&bytes_of(16, &[0xfd]))]
        }),
    ] {
        for mut expressions in [as_bytes, as_mask] {
            expressions.push(verdict(VerdictCode::RETURN));
            assert_eq!(decode(family, &expressions, None), Ok(Rule::new(range(text), None, Verdict::Return)));
        }
    }
}

#[test]
fn what_iptables_1_8_9_writes_of_ports_and_marks_is_the_same_rule_as_the_extensions_that_we_write() {
    let (source, destination) = (PortField::Source, PortField::Destination);
    let port = |field, first, last| Condition::port(field, Protocol::Tcp, PortRange::new(first, last).unwrap()).into();
    let bits = MarkBits::new(0x4000, 0xc000).unwrap();
    let [mark, mask_of_mark] = [0x4000_u32, 0xc000].map(u32::to_ne_bytes);
    let tcp = || vec![protocol(), equal(&[6])];
    let cases: Vec<(Vec<Match>, Vec<Expression>)> = vec![
        (vec![port(destination, 80, 80)], [tcp(), vec![load_port(2), equal(&[0, 80])]].concat()),
        (vec![port(destination, 80, 80)], [vec![load_port(2), equal(&[0, 80])], tcp()].concat()),
        (vec![port(source, 80, 90)], [tcp(), vec![load_port(0), range(CmpOp::EQUAL, 80, 90)]].concat()),
        (vec![port(source, 0, 9)], [tcp(), vec![load_port(0), cmp(CmpOp::AT_MOST, &[0, 9])]].concat()),
        (
            vec![port(source, 1, 2), port(destination, 256, 65535)],
            [
                tcp(),
                vec![load_port(0), cmp(CmpOp::AT_LEAST, &[0, 1]), cmp(CmpOp::AT_MOST, &[0, 2])],
                vec![load_port(2), range(CmpOp::EQUAL, 256, 65535)],
            ]
            .concat(),
        ),
        (
            vec![port(source, 7, 7), port(destination, 8, 8)],
            [tcp(), vec![load_both_ports(), equal(&[0, 7, 0, 8])]].concat(),
        ),
        (vec![Condition::mark(Mark::new(0x4000)).into()], vec![meta(Meta::MARK), equal(&mark)]),
        (
            vec![Condition::mark_other_than(Mark::new(0x4000)).into()],
            vec![meta(Meta::MARK), cmp(CmpOp::NOT_EQUAL, &mark)],
        ),
        (vec![Condition::mark_bits(bits).into()], vec![meta(Meta::MARK), mask(&mask_of_mark), equal(&mark)]),
        (
            vec![Condition::output_interface("eth0".parse().unwrap()).into()],
            vec![meta(Meta::OUTPUT_INTERFACE), equal(b"eth0\0")],
        ),
    ];
    for (matches, mut expressions) in cases {
        let rule = Rule::new(matches, None, Verdict::Return);
        expressions.push(verdict(VerdictCode::RETURN));
        assert_eq!(decode(Family::Ipv4, &expressions, None), Ok(rule.clone()), "{expressions:?}");
        assert_eq!(decode(Family::Ipv4, &encode(Family::Ipv4, &rule), None), Ok(rule));
    }
}

#[test]
fn an_ipv4_24_is_loaded_as_4_bytes_and_other_whole_bytes_as_they_are() {
    for (family, text, len) in [
        (Family::Ipv4, "10.0.0.0/8", 1),
        (Family::Ipv4, "192.168.0.0/16", 2),
        (Family::Ipv4, "192.0.2.0/24", 4),
        (Family::Ipv4, "192.0.2.0/25", 4),
        (Family::Ipv4, "192.0.2.1/32", 4),
        (Family::Ipv6, "2001:d00::/24", 3),
        (Family::Ipv6, "2001:db8::/32", 4),
        (Family::Ipv6, "2001:db8::/33", 16),
    ] {
        let rule = Rule::new(vec![Match::destination(text.parse().unwrap())], None, Verdict::Return);
        match encode(family, &rule).first() {
            Some(Expression::Payload(payload)) => assert_eq!(payload.len, len, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_our_types_cannot_say_is_opaque_with_the_reason() {
    let half = Probability::of(1, 2).unwrap();
    let mut inverted = xt::statistic::emit(half);
    inverted.info[2] = 1;
    let mut nth = xt::statistic::emit(half);
    nth.info[0] = 1;
    let mut local = xt::addrtype::destination_not_local();
    local.info[4] = 0;
    let mut longer = xt::addrtype::destination_not_local();
    longer.info.extend([0; 8]);
    let mut random = xt::masquerade::emit(Family::Ipv4, Masquerade { fully_random: false, ports: None });
    random.info[4] = 4;
    let mut mapped = xt::masquerade::emit(Family::Ipv4, Masquerade { fully_random: false, ports: None });
    mapped.info[8] = 10;
    let of_ipv6 = xt::masquerade::emit(Family::Ipv6, Masquerade { fully_random: false, ports: None });
    let mut broken = xt::comment::emit("x");
    broken.info[0] = 0xff;
    let comment = || Expression::Match(xt::comment::emit("x"));
    let other = Expression::Other { name: "quota".to_owned(), data: Vec::new() };
    let of_nft = Expression::Fib(Fib { register: 1, result: Fib::ADDRESS_TYPE, flags: Fib::DESTINATION });
    let ret = || verdict(VerdictCode::RETURN);
    let m = Expression::Match;
    let t = Expression::Target;

    let bytes = "tests bytes of the packet other than its addresses and ports";
    let none = "compares with a value that none of our rules can name";
    let equality = "has a comparison that none of our rules has";
    let unused = "loads something that it does not compare";
    let end = "ends in something other than return, jump and MASQUERADE";
    let statistic = "has a statistic match other than a plain `--mode random --probability`";
    let options = "masquerades with options other than --random-fully and --to-ports";
    let masking = "has a bitwise operation other than a mask on an address or a mark";
    let cases: Vec<(Vec<Expression>, &str)> = vec![
        (vec![], "is empty"),
        (vec![Expression::Counter(Counter::default())], end),
        (vec![verdict(0)], end),
        (vec![verdict(VerdictCode::JUMP)], end),
        (vec![ret(), ret()], "goes on behind its verdict"),
        (vec![load(8, 4), equal(&[10, 0, 0, 0]), ret()], bytes),
        (vec![load(16, 5), equal(&[10, 0, 0, 0, 0]), ret()], bytes),
        (vec![load(16, 0), equal(&[]), ret()], bytes),
        (vec![load(16, 4), cmp(CmpOp::NOT_EQUAL, &[10, 0, 0, 0]), ret()], equality),
        (vec![load(16, 4), equal(&[10, 0, 0]), ret()], none),
        (vec![load(16, 4), mask(&[255, 0, 255, 0]), equal(&[10, 0, 0, 0]), ret()], none),
        (vec![load(16, 4), mask(&[254, 255, 0, 0]), equal(&[10, 0, 0, 0]), ret()], none),
        (vec![load(16, 4), mask(&[0, 0, 0, 0]), equal(&[0, 0, 0, 0]), ret()], none),
        (vec![load(16, 4), mask(&[255, 0, 0, 0]), equal(&[10, 1, 0, 0]), ret()], none),
        (vec![load(16, 4), mask(&[255, 0]), equal(&[10, 0]), ret()], masking),
        (vec![protocol(), mask(&[255]), equal(&[6]), ret()], masking),
        (vec![load(16, 4), ret()], unused),
        (vec![load(16, 4), protocol(), equal(&[6]), ret()], unused),
        (vec![equal(&[6]), ret()], "compares something that was not loaded"),
        (vec![protocol(), equal(&[1]), ret()], none),
        (vec![protocol(), equal(&[6, 0]), ret()], none),
        (vec![Expression::Meta(Meta { key: 6, register: 1 }), ret()], "tests the packet's meta key 6"),
        (
            vec![Expression::Immediate(Immediate { register: 1, value: [0].into() }), ret()],
            "has the expression immediate",
        ),
        (vec![other, ret()], "has the expression quota"),
        (vec![of_nft, ret()], "has the expression fib"),
        (vec![Expression::Masq(Masq { flags: 0, ports: None })], end),
        (vec![m(extension("multiport", 1, vec![0; 48])), ret()], "has the match multiport"),
        (vec![t(extension("SNAT", 0, vec![0; 24]))], "has the target SNAT"),
        (vec![comment(), comment(), ret()], "has two comments"),
        (vec![m(broken), ret()], "has a comment that is not UTF-8"),
        (vec![m(inverted), ret()], statistic),
        (vec![m(nth), ret()], statistic),
        (vec![m(local), ret()], "tests address types other than `! --dst-type LOCAL`"),
        (vec![m(longer), ret()], "has the xtables extension addrtype in revision 1 with 16 bytes of parameters"),
        (vec![t(random)], options),
        (vec![t(mapped)], options),
        (vec![t(of_ipv6)], "has the xtables extension MASQUERADE in revision 0 with 40 bytes of parameters"),
    ];
    for (expressions, why) in cases {
        assert_eq!(decode(Family::Ipv4, &expressions, None), Err(Unrecognised(why.to_owned())), "{expressions:?}");
    }
}

#[test]
fn what_our_types_cannot_say_of_ports_marks_and_interfaces_is_opaque_with_the_reason() {
    // With one bit that is not set in what we write.
    let altered = |protocol: Protocol, at: usize| {
        let mut extension = xt::ports::emit(protocol, [PortRange::new(1, 2), PortRange::new(3, 4)]);
        extension.info[at] ^= 1;
        extension
    };
    let inverted_mark = |value: u32, mask: u32| {
        let info = [&value.to_ne_bytes()[..], &mask.to_ne_bytes(), &[1, 0, 0, 0]].concat();
        extension("mark", 1, info)
    };
    let bit = 0x4000_u32.to_ne_bytes();
    let ports = "tests ports, and not one protocol of which they are";
    let marks = "has a mark match other than `--mark` and `! --mark` of a whole mark";
    let bytes = "tests bytes of the packet other than its addresses and ports";
    let none = "compares with a value that none of our rules can name";
    let equality = "has a comparison that none of our rules has";
    let unused = "loads something that it does not compare";
    let masking = "has a bitwise operation other than a mask on an address or a mark";
    let ret = || verdict(VerdictCode::RETURN);
    let m = Expression::Match;
    let cases: Vec<(Vec<Expression>, &str)> = vec![
        (vec![m(altered(Protocol::Tcp, 11)), ret()], "has a tcp match other than a plain `--sport` and `--dport`"),
        (vec![m(altered(Protocol::Udp, 8)), ret()], "has a udp match other than a plain `--sport` and `--dport`"),
        (vec![m(altered(Protocol::Sctp, 10)), ret()], "has a sctp match other than a plain `--sport` and `--dport`"),
        (vec![m(altered(Protocol::Tcp, 1)), ret()], "has a tcp match other than a plain `--sport` and `--dport`"),
        (
            vec![m(xt::ports::emit(Protocol::Udp, [None; 2])), ret()],
            "has a udp match other than a plain `--sport` and `--dport`",
        ),
        (
            vec![m(extension("sctp", 0, vec![0; 16])), ret()],
            "has the xtables extension sctp in revision 0 with 16 bytes of parameters",
        ),
        (vec![m(inverted_mark(0x4000, 0x4000)), ret()], marks),
        (vec![m(inverted_mark(0, 0)), ret()], marks),
        (vec![load_port(2), equal(&[0, 80]), ret()], ports),
        (vec![protocol(), equal(&[6]), protocol(), equal(&[17]), load_port(2), equal(&[0, 80]), ret()], ports),
        (vec![load_port(4), equal(&[0, 80]), ret()], bytes),
        (vec![protocol(), equal(&[6]), load_port(2), cmp(CmpOp::NOT_EQUAL, &[0, 80]), ret()], equality),
        (vec![protocol(), equal(&[6]), load_port(2), equal(&[80]), ret()], none),
        (vec![protocol(), equal(&[6]), load_port(2), cmp(CmpOp::AT_LEAST, &[0, 80]), ret()], unused),
        (vec![protocol(), equal(&[6]), load_port(2), range(CmpOp::NOT_EQUAL, 80, 90), ret()], equality),
        (vec![protocol(), equal(&[6]), load_port(2), range(CmpOp::EQUAL, 90, 80), ret()], none),
        (vec![load(16, 4), range(CmpOp::EQUAL, 80, 90), ret()], "compares something other than a port with a range"),
        (vec![protocol(), equal(&[6]), load_both_ports(), equal(&[0, 7]), ret()], none),
        (vec![protocol(), equal(&[6]), load_both_ports(), equal(&[0, 7, 0]), ret()], none),
        (vec![protocol(), equal(&[6]), load_both_ports(), cmp(CmpOp::NOT_EQUAL, &[0, 7, 0, 8]), ret()], equality),
        (vec![load_port(2), mask(&[255, 0]), equal(&[0, 80]), ret()], masking),
        (vec![meta(Meta::MARK), mask(&bit), cmp(CmpOp::NOT_EQUAL, &bit), ret()], equality),
        (vec![meta(Meta::MARK), mask(&bit), equal(&7_u32.to_ne_bytes()), ret()], none),
        (vec![meta(Meta::MARK), mask(&[0; 4]), equal(&[0; 4]), ret()], none),
        (vec![meta(Meta::MARK), equal(&[1, 2]), ret()], none),
        (vec![meta(Meta::OUTPUT_INTERFACE), cmp(CmpOp::NOT_EQUAL, b"eth"), ret()], none),
        (vec![meta(Meta::OUTPUT_INTERFACE), cmp(CmpOp::LESS, b"eth"), ret()], equality),
        (vec![meta(Meta::OUTPUT_INTERFACE), equal(b"\0\0"), ret()], none),
        (vec![meta(Meta::OUTPUT_INTERFACE), equal(b"eth+\0"), ret()], none),
        (vec![meta(Meta::OUTPUT_INTERFACE), equal(b"eth0\0eth1\0"), ret()], none),
        (vec![meta(Meta::OUTPUT_INTERFACE), mask(&[255]), equal(b"e"), ret()], masking),
    ];
    for (expressions, why) in cases {
        assert_eq!(decode(Family::Ipv4, &expressions, None), Err(Unrecognised(why.to_owned())), "{expressions:?}");
    }
}
