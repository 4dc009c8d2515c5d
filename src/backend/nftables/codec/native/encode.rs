//! Encodes our rules as expressions.

use crate::backend::nftables::codec::expression::{Counter, Expression, Immediate, Masq, REGISTER, VerdictCode};
use crate::backend::nftables::codec::field;
use crate::net::{Family, PortRange};
use crate::rules::{Masquerade, Rule, Verdict};

/// The register of the last port, behind that of the first (`NFT_REG_2`).
const REGISTER_LAST_PORT: u32 = REGISTER + 1;

/// The expressions of a rule in a table of `family`: its matches in their order, a counter, and the verdict. The comment is
/// no expression; it is in the rule beside them.
#[must_use]
pub fn encode(family: Family, rule: &Rule) -> Vec<Expression> {
    let mut expressions = Vec::with_capacity(8);
    for condition in rule.matches() {
        field::push(&mut expressions, family, condition);
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

/// Loads the first and the last port, and returns their registers, which are the same for a single port.
fn push_ports(expressions: &mut Vec<Expression>, ports: PortRange) -> (u32, u32) {
    let mut load = |register, port: u16| {
        expressions.push(Expression::Immediate(Immediate { register, value: port.to_be_bytes().into() }));
        register
    };
    let first = load(REGISTER, ports.first());
    let last = if ports.size() == 1 { first } else { load(REGISTER_LAST_PORT, ports.last()) };
    (first, last)
}
