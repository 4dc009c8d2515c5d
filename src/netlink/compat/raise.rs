//! Expressions as our rules, by meaning.

use std::borrow::Cow;

use crate::net::Family;
use crate::netlink::expression::{Expression, Extension};
use crate::netlink::reading::{self, Reading, misplaced, opaque};
use crate::netlink::xt;
use crate::ruleset::{Match, Opaque, Rule, Verdict};

/// The rule that these expressions, in a table of `family`, and the comment beside them amount to.
///
/// All matches of a rule have to hold, so their order does not matter; counters change nothing.
///
/// # Errors
///
/// What cannot be said in our types, in words that follow on “the rule”.
pub fn raise(family: Family, expressions: &[Expression], beside: Option<&str>) -> Result<Rule, Opaque> {
    let (last, conditions) = expressions.split_last().ok_or_else(|| opaque("is empty"))?;
    let verdict = verdict(family, last)?;
    let mut reading = Reading::new(family);
    let mut comment = beside.map(Cow::Borrowed);
    for expression in conditions {
        match expression {
            Expression::Payload(payload) => reading.payload(payload)?,
            Expression::Meta(meta) => reading.meta(*meta)?,
            Expression::Bitwise(bitwise) => reading.bitwise(bitwise)?,
            Expression::Cmp(cmp) => reading.cmp(cmp)?,
            Expression::Counter(_) => {}
            Expression::Match(extension) if extension.name == xt::comment::NAME => {
                if comment.replace(Cow::Owned(xt::comment::parse(extension)?)).is_some() {
                    return Err(opaque("has two comments"));
                }
            }
            Expression::Match(extension) => reading.condition(condition(extension)?),
            // Whatever iptables itself does not write.
            other => return Err(misplaced(other)),
        }
    }
    reading.finish(comment.as_deref(), verdict)
}

fn verdict(family: Family, expression: &Expression) -> Result<Verdict, Opaque> {
    match expression {
        Expression::Target(target) if target.name == xt::masquerade::NAME => {
            xt::masquerade::parse(family, target).map(Verdict::Masquerade)
        }
        Expression::Target(target) => Err(Opaque(format!("has the target {}", target.name))),
        other => {
            reading::verdict(other).ok_or_else(|| opaque("ends in something other than return, jump and MASQUERADE"))
        }
    }
}

fn condition(extension: &Extension) -> Result<Match, Opaque> {
    match extension.name.as_str() {
        xt::addrtype::NAME => xt::addrtype::parse(extension).map(|()| Match::DestinationNotLocal),
        xt::statistic::NAME => xt::statistic::parse(extension).map(Match::Chance),
        name => Err(Opaque(format!("has the match {name}"))),
    }
}
