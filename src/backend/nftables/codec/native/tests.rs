//! Rules to expressions and back.

use proptest::prelude::*;

use super::{decode, encode};
use crate::backend::nftables::codec::expression::{
    Byteorder, CmpOp, Counter, Expression, Extension, Fib, Immediate, Lookup, Masq, Meta, Numgen, VerdictCode,
};
use crate::backend::nftables::codec::rule::{self, RuleInfo};
use crate::backend::nftables::tests::{any_native_rule, cmp, load, mask, of_kernel, own_batch};
use crate::backend::nftables::{Action, Unrecognised};
use crate::net::{Family, PortRange};
use crate::netlink::{Content, Messages, nfnetlink};
use crate::rules::{Masquerade, Match, Probability, Rule, Verdict};

/// What a transaction that appends the rule says to the kernel.
fn decoded(family: Family, rule: &Rule) -> RuleInfo {
    let batch = own_batch(family, [Action::Append { chain: "C".to_owned(), rule: rule.clone() }]);
    match Messages::new(batch.as_bytes()).nth(1).unwrap().unwrap().content {
        Content::Object { kind: rule::NEW, payload } => of_kernel(nfnetlink::attributes(payload).unwrap()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_rule_survives_lowering_encoding_decoding_and_raising((family, rule) in any_native_rule()) {
        let decoded = decoded(family, &rule);
        prop_assert_eq!(&decoded.expressions, &encode(family, &rule));
        prop_assert_eq!(decode(family, &decoded.expressions, decoded.comment.as_deref()), Ok(rule));
    }
}

#[test]
fn a_comment_that_nft_would_not_take_is_cut_off_at_a_characters_end() {
    for (comment, kept) in [
        ("x".repeat(128), "x".repeat(128)),
        ("x".repeat(129), "x".repeat(128)),
        (format!("{}ß", "x".repeat(127)), "x".repeat(127)),
        (String::new(), String::new()),
    ] {
        let rule = Rule::new(Vec::new(), Some(comment.into()), Verdict::Return);
        assert_eq!(decoded(Family::Ipv4, &rule).comment, Some(kept));
    }
}

fn lookup(inverted: bool) -> Expression {
    Expression::Lookup(Lookup { set: "exempt".to_owned(), register: 1, inverted })
}

fn fib(result: u32, flags: u32) -> Expression {
    Expression::Fib(Fib { register: 1, result, flags })
}

fn numgen(kind: u32, offset: u32) -> Expression {
    Expression::Numgen(Numgen { register: 1, modulus: 10, kind, offset })
}

fn byteorder(op: u32, len: u32, size: u32) -> Expression {
    Expression::Byteorder(Byteorder { source: 1, destination: 1, op, len, size })
}

fn port(register: u32, port: u16) -> Expression {
    Expression::Immediate(Immediate { register, value: port.to_be_bytes().into() })
}

fn masq(flags: u32, ports: Option<(u32, u32)>) -> Expression {
    Expression::Masq(Masq { flags, ports })
}

fn ret() -> Expression {
    Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None })
}

#[test]
fn other_ways_to_say_the_same_are_the_same_rule() {
    let masquerade = |fully_random, ports| Verdict::Masquerade(Masquerade { fully_random, ports });
    let some = PortRange::new(7, 7);
    let range = |text: &str| vec![Match::destination(text.parse().unwrap())];
    let cases = [
        (
            "nft loads three bytes",
            vec![load(16, 3), cmp(CmpOp::EQUAL, &[192, 0, 2]), ret()],
            Rule::new(range("192.0.2.0/24"), None, Verdict::Return),
        ),
        (
            "the ports in one register",
            vec![port(1, 7), masq(2, Some((1, 1)))],
            Rule::new(vec![], None, masquerade(false, some)),
        ),
        (
            "port 0, which the kernel draws like any other",
            vec![port(1, 0), masq(2, Some((1, 1)))],
            Rule::new(vec![], None, masquerade(false, PortRange::new(0, 0))),
        ),
        (
            "in two, with a counter between",
            vec![port(3, 7), port(2, 7), Expression::Counter(Counter::default()), masq(0x12, Some((2, 3)))],
            Rule::new(vec![], None, masquerade(true, some)),
        ),
    ];
    for (why, expressions, rule) in cases {
        assert_eq!(decode(Family::Ipv4, &expressions, None), Ok(rule), "{why}");
    }
}

#[test]
fn what_our_types_cannot_say_is_opaque_with_the_reason() {
    let local = 2_u32.to_ne_bytes();
    let three = 3_u32.to_be_bytes();
    let (random, to_network) = (Numgen::RANDOM, Byteorder::TO_NETWORK);
    let extension = Extension { name: "comment".to_owned(), revision: 0, info: Vec::new() };
    let other = Expression::Other { name: "quota".to_owned(), data: Vec::new() };
    let long = Expression::Immediate(Immediate { register: 1, value: [0, 0, 0, 7].into() });

    let options = "masquerades with options other than `fully-random` and `to :PORTS`";
    let end = "ends in something other than return, jump and masquerade";
    let behind = "goes on behind its verdict";
    let comparison = "has a comparison that none of our rules has";
    let value = "compares with a value that none of our rules can name";
    let routing = "asks the routing table for something other than the destination's address type";
    let drawn = "draws numbers other than random ones from 0";
    let turned = "turns the bytes of something other than a random number around";
    let in_set = "has a lookup other than `the address is in the set`";
    let unused = "loads something that it does not compare";
    let missing = "compares something that was not loaded";
    let cases: Vec<(Vec<Expression>, &str)> = vec![
        (vec![], "is empty"),
        (vec![Expression::Counter(Counter::default())], end),
        (vec![ret(), ret()], behind),
        (vec![masq(0, None), ret()], behind),
        (vec![Expression::Match(extension.clone()), ret()], "has the match comment"),
        (vec![Expression::Target(extension)], end),
        (vec![other, ret()], "has the expression quota"),
        (vec![fib(Fib::ADDRESS_TYPE, Fib::DESTINATION), ret()], unused),
        (vec![fib(Fib::ADDRESS_TYPE, Fib::DESTINATION), cmp(CmpOp::EQUAL, &local), ret()], comparison),
        (vec![fib(Fib::ADDRESS_TYPE, Fib::DESTINATION), cmp(CmpOp::NOT_EQUAL, &[0; 4]), ret()], value),
        (vec![fib(Fib::ADDRESS_TYPE, 1), cmp(CmpOp::NOT_EQUAL, &local), ret()], routing),
        (vec![fib(1, Fib::DESTINATION), cmp(CmpOp::NOT_EQUAL, &local), ret()], routing),
        (vec![lookup(false), ret()], missing),
        (vec![load(16, 4), lookup(true), ret()], in_set),
        (vec![load(16, 3), lookup(false), ret()], in_set),
        (vec![load(16, 4), mask(&[255, 0, 255, 0]), lookup(false), ret()], "looks up bits that are no prefix"),
        (
            vec![Expression::Meta(Meta { key: Meta::L4PROTO, register: 1 }), lookup(false), ret()],
            "looks up something other than an address",
        ),
        (vec![numgen(0, 0), byteorder(to_network, 4, 4), cmp(CmpOp::LESS, &three), ret()], drawn),
        (vec![numgen(random, 1), byteorder(to_network, 4, 4), cmp(CmpOp::LESS, &three), ret()], drawn),
        (vec![numgen(random, 0), cmp(CmpOp::LESS, &three), ret()], value),
        (vec![numgen(random, 0), byteorder(to_network, 4, 4), cmp(CmpOp::EQUAL, &three), ret()], comparison),
        (vec![numgen(random, 0), byteorder(to_network, 4, 4), cmp(CmpOp::LESS, &[3]), ret()], value),
        (vec![numgen(random, 0), byteorder(to_network, 4, 4), cmp(CmpOp::LESS, &[0, 0, 0, 0]), ret()], value),
        (vec![numgen(random, 0), byteorder(to_network, 4, 4), cmp(CmpOp::LESS, &[0, 0, 0, 10]), ret()], value),
        (vec![numgen(random, 0), byteorder(to_network, 4, 2), cmp(CmpOp::LESS, &three), ret()], turned),
        (vec![numgen(random, 0), byteorder(0, 4, 4), cmp(CmpOp::LESS, &three), ret()], turned),
        (vec![numgen(random, 0), byteorder(to_network, 4, 4), byteorder(to_network, 4, 4), ret()], turned),
        (vec![load(16, 4), byteorder(to_network, 4, 4), ret()], turned),
        (vec![port(1, 7), ret()], end),
        (vec![port(1, 7), load(16, 4), masq(2, Some((1, 1)))], "loads a value before its conditions end"),
        (vec![port(1, 7), masq(0, None)], options),
        (vec![masq(2, None)], options),
        (vec![masq(4, None)], options),
        (vec![port(1, 7), masq(0, Some((1, 1)))], options),
        (vec![port(1, 7), masq(2, Some((1, 2)))], options),
        (vec![port(1, 7), port(1, 9), masq(2, Some((1, 1)))], options),
        (vec![port(1, 7), port(2, 9), masq(2, Some((1, 1)))], options),
        (vec![port(1, 9), port(2, 7), masq(2, Some((1, 2)))], options),
        (vec![port(1, 7), port(8, 9), masq(2, Some((1, 8)))], options),
        (vec![long, masq(2, Some((1, 1)))], options),
    ];
    for (expressions, why) in cases {
        assert_eq!(decode(Family::Ipv4, &expressions, None), Err(Unrecognised(why.to_owned())), "{expressions:?}");
    }
}

#[test]
fn one_port_is_loaded_once_and_two_into_registers_of_their_own() {
    let lowered = |first, last| {
        let ports = PortRange::new(first, last);
        let verdict = Verdict::Masquerade(Masquerade { fully_random: false, ports });
        encode(Family::Ipv6, &Rule::new(vec![Match::random(Probability::of(1, 2).unwrap())], None, verdict))
            .split_off(4)
    };
    assert_eq!(lowered(7, 7), [port(1, 7), masq(2, Some((1, 1)))]);
    assert_eq!(lowered(7, 9), [port(1, 7), port(2, 9), masq(2, Some((1, 2)))]);
}
