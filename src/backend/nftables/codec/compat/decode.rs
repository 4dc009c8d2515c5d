//! Decodes expressions to our rules, by their meaning.

use std::borrow::Cow;

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::{Expression, Extension};
use crate::backend::nftables::codec::reading;
use crate::backend::nftables::codec::reading::{Reading, misplaced, unrecognised};
use crate::backend::nftables::codec::xt;
use crate::net::{Family, PortRange};
use crate::policy::{Condition, PortField};
use crate::rules::{Match, Rule, Verdict};

/// The rule that these expressions, in a table of `family`, and the comment beside them mean.
///
/// All matches of a rule have to hold, so their order does not matter; counters change nothing.
///
/// # Errors
///
/// What cannot be expressed in our types, in words that follow on “the rule”.
pub fn decode(family: Family, expressions: &[Expression], beside: Option<&str>) -> Result<Rule, Unrecognised> {
    let (last, conditions) = expressions.split_last().ok_or_else(|| unrecognised("is empty"))?;
    let verdict = verdict(family, last)?;
    let mut reading = Reading::new(family);
    let mut comment = beside.map(Cow::Borrowed);
    for expression in conditions {
        match expression {
            Expression::Payload(payload) => reading.payload(payload)?,
            Expression::Meta(meta) => reading.meta(*meta)?,
            Expression::Bitwise(bitwise) => reading.bitwise(bitwise)?,
            Expression::Cmp(cmp) => reading.cmp(cmp)?,
            Expression::Range(range) => reading.range(range)?,
            Expression::Counter(_) => {}
            Expression::Match(extension) if extension.name == xt::comment::NAME => {
                if comment.replace(Cow::Owned(xt::comment::parse(extension)?)).is_some() {
                    return Err(unrecognised("has two comments"));
                }
            }
            Expression::Match(extension) => reading.conditions(of_extension(extension)?),
            // Whatever iptables itself does not write.
            other => return Err(misplaced(other)),
        }
    }
    reading.finish(comment.as_deref(), verdict)
}

fn verdict(family: Family, expression: &Expression) -> Result<Verdict, Unrecognised> {
    match expression {
        Expression::Target(target) if target.name == xt::masquerade::NAME => {
            xt::masquerade::parse(family, target).map(Verdict::Masquerade)
        }
        Expression::Target(target) => Err(Unrecognised(format!("has the target {}", target.name))),
        other => reading::verdict(other)
            .ok_or_else(|| unrecognised("ends in something other than return, jump and MASQUERADE")),
    }
}

fn of_extension(extension: &Extension) -> Result<Vec<Match>, Unrecognised> {
    match extension.name.as_str() {
        xt::addrtype::NAME => xt::addrtype::parse(extension).map(|()| vec![Match::DESTINATION_NOT_LOCAL]),
        xt::statistic::NAME => xt::statistic::parse(extension).map(|probability| vec![Match::random(probability)]),
        xt::mark::NAME => xt::mark::parse(extension).map(|condition| vec![condition.into()]),
        name => {
            let protocol = xt::ports::protocol(name);
            let protocol = protocol.ok_or_else(|| Unrecognised(format!("has the match {name}")))?;
            let [source, destination] = xt::ports::parse(protocol, extension)?;
            let of =
                |field, ports: Option<PortRange>| ports.map(|ports| Condition::port(field, protocol, ports).into());
            Ok(of(PortField::Source, source).into_iter().chain(of(PortField::Destination, destination)).collect())
        }
    }
}
