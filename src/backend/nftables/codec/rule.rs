//! Rules (`enum nft_rule_attributes`).

use crate::backend::nftables::Handle;
use crate::net::Protocol;
use crate::netlink::{Attributes, Kind, Malformed, Writer};

use super::expression::Expression;
use super::kind;

/// `NFT_MSG_NEWRULE`.
pub(crate) const NEW: Kind = kind(6);
/// `NFT_MSG_GETRULE`.
pub(crate) const GET: Kind = kind(7);
/// `NFT_MSG_DELRULE`.
pub(crate) const DELETE: Kind = kind(8);

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_COMPAT: u16 = 5;
const NFTA_RULE_POSITION: u16 = 6;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_RULE_COMPAT_PROTO: u16 = 1;
const NFTA_RULE_COMPAT_FLAGS: u16 = 2;
/// `NFTNL_UDATA_RULE_COMMENT` of libnftnl.
const USERDATA_COMMENT: u8 = 0;
/// `NFTNL_UDATA_COMMENT_MAXLEN`, the NUL at the end not included.
const COMMENT_LEN: usize = 128;

/// A rule that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// The number by which the kernel knows it.
    pub handle: Handle,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
    /// The comment beside its expressions, where nft puts it; iptables puts comments among the expressions.
    pub comment: Option<String>,
}

impl RuleInfo {
    /// Whether it is the same rule. Its counters may have counted further.
    pub(crate) fn is_same_but_for_counters(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Expression, &Expression)| {
            one == other || matches!((one, other), (Expression::Counter(_), Expression::Counter(_)))
        };
        self.handle == other.handle
            && self.comment == other.comment
            && self.expressions.len() == other.expressions.len()
            && self.expressions.iter().zip(&other.expressions).all(is_same)
    }
}

/// All rules of a chain.
pub(crate) fn emit_chain(writer: &mut Writer, table: &str, chain: &str) {
    writer.text(NFTA_RULE_TABLE, table);
    writer.text(NFTA_RULE_CHAIN, chain);
}

/// A rule by its handle.
pub(crate) fn emit_handle(writer: &mut Writer, table: &str, chain: &str, handle: Handle) {
    emit_chain(writer, table, chain);
    writer.be64(NFTA_RULE_HANDLE, handle.0);
}

/// What a rule does.
pub(crate) fn emit_expressions(writer: &mut Writer, expressions: &[Expression]) {
    writer.nested(NFTA_RULE_EXPRESSIONS, |writer| {
        for expression in expressions {
            expression.emit(writer);
        }
    });
}

/// The protocol that the rule tests, against which the kernel checks the xt extensions in the rule (`nft_parse_compat`).
/// iptables-nft sends 0 for none.
pub(crate) fn emit_compat(writer: &mut Writer, protocol: Option<Protocol>) {
    writer.nested(NFTA_RULE_COMPAT, |writer| {
        writer.be32(NFTA_RULE_COMPAT_PROTO, protocol.map_or(0, |protocol| u32::from(protocol.number())));
        writer.be32(NFTA_RULE_COMPAT_FLAGS, 0);
    });
}

/// The comment beside the expressions, where nft has it. What does not fit into the 128 bytes that nft takes is cut off
/// at a character's end.
pub(crate) fn emit_comment(writer: &mut Writer, comment: &str) {
    let text = (0..=COMMENT_LEN).rev().find_map(|len| comment.get(..len)).unwrap_or_default();
    let head = [USERDATA_COMMENT, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    writer.parts(NFTA_RULE_USERDATA, &[&head, text.as_bytes(), &[0]]);
}

/// The rule before which a new one comes.
pub(crate) fn emit_position(writer: &mut Writer, before: Handle) {
    writer.be64(NFTA_RULE_POSITION, before.0);
}

/// A rule of this chain that was dumped; `None` if it is of another. Kernels before 4.16 ignore which chain was asked for and
/// dump all rules.
pub(crate) fn parse(attributes: Attributes<'_>, table: &str, chain: &str) -> Result<Option<RuleInfo>, Malformed> {
    let mut handle = None;
    let mut expressions = Vec::new();
    let mut comment = None;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_RULE_TABLE if !attribute.is(table) => return Ok(None),
            NFTA_RULE_CHAIN if !attribute.is(chain) => return Ok(None),
            NFTA_RULE_HANDLE => handle = Some(Handle(attribute.be64()?)),
            NFTA_RULE_EXPRESSIONS => {
                // The longest of our rules without ports has eight.
                expressions.reserve(8);
                for element in attribute.nested() {
                    expressions.push(Expression::parse(element?.nested())?);
                }
            }
            NFTA_RULE_USERDATA => comment = parse_comment(attribute.payload),
            _ => {}
        }
    }
    let handle = handle.ok_or(Malformed("a rule has no handle"))?;
    Ok(Some(RuleInfo { handle, expressions, comment }))
}

/// The kernel gives userdata no meaning. By convention of libnftnl it is a list of a type byte, a length byte and a value;
/// that of a comment ends with a NUL.
fn parse_comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = userdata {
        let (value, next) = rest.split_at_checked(usize::from(*len))?;
        if *kind == USERDATA_COMMENT {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return String::from_utf8(text.to_vec()).ok();
        }
        userdata = next;
    }
    None
}
