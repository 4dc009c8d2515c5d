//! Our rules as expressions.

use crate::backend::nftables::codec::destination;
use crate::backend::nftables::codec::expression::{
    Byteorder, Cmp, CmpOp, Counter, Expression, Fib, Immediate, Masq, Meta, Numgen, REGISTER, VerdictCode,
};
use crate::net::{Family, PortRange};
use crate::rules::{Masquerade, Match, Rule, Verdict};

/// The register of the last port, behind that of the first (`NFT_REG_2`).
const REGISTER_LAST_PORT: u32 = REGISTER + 1;

/// The expressions of a rule in a table of `family`: its matches in their order, a counter, and what is to happen. The
/// comment is no expression; it goes into the rule beside them.
#[must_use]
pub fn encode(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    for condition in rule.matches() {
        push_match(&mut expressions, family, condition);
    }
    expressions.push(Expression::Counter(Counter::default()));
    match rule.verdict() {
        Verdict::Return => {
            expressions.push(Expression::Verdict(VerdictCode { code: VerdictCode::RETURN, chain: None }));
        }
        Verdict::Jump(chain) => {
            let chain = Some(chain.clone());
            expressions.push(Expression::Verdict(VerdictCode { code: VerdictCode::JUMP, chain }));
        }
        Verdict::Masquerade(masquerade) => push_masquerade(&mut expressions, *masquerade),
    }
    expressions
}

fn push_match(expressions: &mut Vec<Expression>, family: Family, condition: &Match) {
    let compare = |op, value| Expression::Cmp(Cmp { register: REGISTER, op, value });
    match condition {
        Match::Destination(range) => destination::push_in_range(expressions, *range),
        Match::DestinationIn { set, prefix_len } => destination::push_in_set(expressions, family, set, *prefix_len),
        Match::Protocol(protocol) => {
            expressions.push(Expression::Meta(Meta { key: Meta::L4PROTO, register: REGISTER }));
            expressions.push(compare(CmpOp::EQUAL, [protocol.number()].into()));
        }
        Match::DestinationNotLocal => {
            let (result, flags) = (Fib::ADDRESS_TYPE, Fib::DESTINATION);
            expressions.push(Expression::Fib(Fib { register: REGISTER, result, flags }));
            expressions.push(compare(CmpOp::NOT_EQUAL, Fib::LOCAL.to_ne_bytes().into()));
        }
        Match::Probability(probability) => {
            let (modulus, kind) = (probability.whole(), Numgen::RANDOM);
            expressions.push(Expression::Numgen(Numgen { register: REGISTER, modulus, kind, offset: 0 }));
            expressions.push(Expression::Byteorder(Byteorder {
                source: REGISTER,
                destination: REGISTER,
                op: Byteorder::TO_NETWORK,
                len: 4,
                size: 4,
            }));
            expressions.push(compare(CmpOp::LESS, probability.part().to_be_bytes().into()));
        }
    }
}

fn push_masquerade(expressions: &mut Vec<Expression>, masquerade: Masquerade) {
    let mut flags = 0;
    if masquerade.fully_random {
        flags |= Masq::RANDOM_FULLY;
    }
    if masquerade.ports.is_some() {
        flags |= Masq::PORTS;
    }
    let ports = masquerade.ports.map(|ports| push_ports(expressions, ports));
    expressions.push(Expression::Masq(Masq { flags, ports }));
}

/// Loads the first and the last port; gives their registers, which for one port are the same.
fn push_ports(expressions: &mut Vec<Expression>, ports: PortRange) -> (u32, u32) {
    let mut load = |register, port: u16| {
        expressions.push(Expression::Immediate(Immediate { register, value: port.to_be_bytes().into() }));
        register
    };
    let first = load(REGISTER, ports.first());
    let last = if ports.size() == 1 { first } else { load(REGISTER_LAST_PORT, ports.last()) };
    (first, last)
}
