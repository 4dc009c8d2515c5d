//! Decodes expressions to our rules, by their meaning.

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::{Expression, Immediate, Masq};
use crate::backend::nftables::codec::reading;
use crate::backend::nftables::codec::reading::{Reading, misplaced, unrecognised};
use crate::net::{Family, PortRange};
use crate::rules::{Masquerade, Rule, Verdict};

/// The registers of 16 bytes (`NFT_REG_1` to `NFT_REG_4`), none of which shares bytes with another. The numbers behind
/// them name quarters of the same bytes.
const WHOLE_REGISTERS: std::ops::RangeInclusive<u32> = 1..=4;

/// The rule that these expressions, in a table of `family`, and the comment beside them mean.
///
/// All matches of a rule have to hold, so their order does not matter; counters change nothing.
///
/// # Errors
///
/// What cannot be expressed in our types, in words that follow on “the rule”.
pub fn decode(family: Family, expressions: &[Expression], comment: Option<&str>) -> Result<Rule, Unrecognised> {
    let (last, conditions) = expressions.split_last().ok_or_else(|| unrecognised("is empty"))?;
    let mut reading = Reading::new(family);
    let mut ports: Vec<&Immediate> = Vec::new();
    for expression in conditions {
        match expression {
            Expression::Counter(_) => {}
            Expression::Immediate(immediate) => ports.push(immediate),
            // A later load may overwrite the register of a port.
            _ if !ports.is_empty() => return Err(unrecognised("loads a value before its conditions end")),
            Expression::Payload(payload) => reading.payload(payload)?,
            Expression::Meta(meta) => reading.meta(*meta)?,
            Expression::Fib(fib) => reading.fib(*fib)?,
            Expression::Numgen(numgen) => reading.numgen(*numgen)?,
            Expression::Byteorder(byteorder) => reading.byteorder(*byteorder)?,
            Expression::Bitwise(bitwise) => reading.bitwise(bitwise)?,
            Expression::Cmp(cmp) => reading.cmp(cmp)?,
            Expression::Range(range) => reading.range(range)?,
            Expression::Lookup(lookup) => reading.lookup(lookup)?,
            other => return Err(misplaced(other)),
        }
    }
    let verdict = match last {
        Expression::Masq(masq) => masquerade(*masq, &ports).map(Verdict::Masquerade)?,
        other => reading::verdict(other)
            .filter(|_| ports.is_empty())
            .ok_or_else(|| unrecognised("ends in something other than return, jump and masquerade"))?,
    };
    reading.finish(comment, verdict)
}

fn masquerade(masq: Masq, loaded: &[&Immediate]) -> Result<Masquerade, Unrecognised> {
    let unknown = || unrecognised("masquerades with options other than `fully-random` and `to :PORTS`");
    if masq.flags & !(Masq::PORTS | Masq::RANDOM_FULLY) != 0 {
        return Err(unknown());
    }
    let port = |register: u32| {
        let mut of_register = loaded.iter().filter(|immediate| immediate.register == register);
        let immediate = of_register.next().filter(|_| WHOLE_REGISTERS.contains(&register))?;
        let port = u16::from_be_bytes((*immediate.value).try_into().ok()?);
        of_register.next().is_none().then_some(port)
    };
    let (has_ports, registers) = (masq.flags & Masq::PORTS != 0, masq.ports);
    let ports = match (has_ports, registers) {
        (false, None) if loaded.is_empty() => None,
        (true, Some((first, last))) if loaded.iter().all(|immediate| [first, last].contains(&immediate.register)) => {
            let ports = port(first).zip(port(last)).and_then(|(first, last)| PortRange::new(first, last));
            Some(ports.ok_or_else(unknown)?)
        }
        _ => return Err(unknown()),
    };
    Ok(Masquerade { fully_random: masq.flags & Masq::RANDOM_FULLY != 0, ports })
}
