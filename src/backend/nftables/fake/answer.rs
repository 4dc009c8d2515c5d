//! Messages of the kernel in memory: what it holds is encoded as the kernel dumps it.

use super::request::{Asked, FLOWTABLES, NAME, OBJECTS, TABLE};
use super::wire::{FLAGS_AT, HEADER_LEN, PORT_AT, SEQUENCE_AT};
use super::{Memory, jumps_to, port_of};
use crate::backend::nftables::codec::{Encoding, chain, compat, element, foreign_object, native, rule, set, table};
use crate::backend::nftables::{
    Expression, ForeignKind, ForeignObject, ObservedChain, ObservedRule, ObservedSet, ObservedTable,
};
use crate::netlink::{Kind, Writer, flag, nfnetlink};
use crate::rules::{Protection, TableId};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NFTA_*` that only the kernel writes.
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_OWNER: u16 = 7;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_USE: u16 = 6;
const NFTA_SET_COUNT: u16 = 20;

/// The objects that a question asks for, each in a message.
pub(super) fn list(memory: &Memory, asked: &Asked<'_>) -> Vec<Vec<u8>> {
    let (table, name) = (asked.text(TABLE), asked.text(NAME));
    let is_asked_for = |found: &&ObservedTable| {
        asked.family.is_none_or(|family| found.id.family == family)
            && table.as_ref().is_none_or(|name| *name == found.id.name.as_str())
    };
    let tables = memory.state.tables.iter().filter(is_asked_for);
    let of_table = |table: &ObservedTable| -> Vec<Vec<u8>> {
        let id = table.id;
        let asked = &Asked { family: Some(id.family), attributes: asked.attributes.clone(), ..*asked };
        match asked.kind {
            table::GET => vec![object(asked, table::NEW, |writer| emit_table(writer, table))],
            chain::GET => chains(asked, table),
            rule::GET => {
                let chain = table.chains.iter().filter(|chain| Some(&chain.name) == name.as_ref());
                let rules = chain.flat_map(|chain| chain.rules.iter().map(move |rule| (chain.name.as_str(), rule)));
                rules.map(|(chain, rule)| object(asked, rule::NEW, |w| emit_rule(w, id, chain, rule))).collect()
            }
            set::GET => {
                table.sets.iter().map(|set| object(asked, set::NEW, |writer| emit_set(writer, id, set))).collect()
            }
            element::GET => {
                let set = table.sets.iter().filter(|set| Some(&set.name) == name.as_ref());
                set.flat_map(|set| elements(asked, id, set)).collect()
            }
            kind if kind == OBJECTS.question => foreign_objects(asked, table, OBJECTS.answer),
            kind if kind == FLOWTABLES.question => foreign_objects(asked, table, FLOWTABLES.answer),
            kind => panic!("no question: {kind:?}"),
        }
    };
    tables.flat_map(of_table).collect()
}

/// The flags are 1 for dormant, 2 for owner and 4 for persist.
fn emit_table(writer: &mut Writer, table: &ObservedTable) {
    table::emit_name(writer, table.id.name.as_str());
    let protected = match (&table.protection, table.owner) {
        (Ok(Protection::Off), _) => 0,
        (Ok(Protection::OwnerPersist), None) => 4,
        (Ok(Protection::OwnerPersist), Some(_)) => 6,
        (Err(_), _) => 2,
    };
    writer.be32(NFTA_TABLE_FLAGS, protected | u32::from(table.dormant));
    if let Some(owner) = table.owner {
        writer.be32(NFTA_TABLE_OWNER, port_of(owner));
    }
}

fn chains(asked: &Asked<'_>, table: &ObservedTable) -> Vec<Vec<u8>> {
    let emit = |chain: &ObservedChain, writer: &mut Writer| {
        chain::emit(writer, table.id.name.as_str(), &chain.name, chain.base.as_ref());
        if chain.drops {
            writer.be32(NFTA_CHAIN_POLICY, 0);
        }
        let jumps = table.chains.iter().flat_map(|chain| &chain.rules).filter(|rule| jumps_to(rule, &chain.name));
        writer.be32(NFTA_CHAIN_USE, u32::try_from(chain.rules.len() + jumps.count()).unwrap());
    };
    table.chains.iter().map(|chain| object(asked, chain::NEW, |writer| emit(chain, writer))).collect()
}

fn emit_rule(writer: &mut Writer, table: TableId, chain: &str, observed: &ObservedRule) {
    rule::emit_handle(writer, table.name.as_str(), chain, observed.handle);
    let unknown = || vec![Expression::Other { name: "unknown".to_owned(), data: Vec::new() }];
    let (expressions, comment) = match (&observed.rule, Encoding::of(table.name)) {
        (Err(_), _) => (unknown(), None),
        (Ok(rule), Encoding::Compat) => (compat::encode(table.family, rule), compat::comment_beside(rule)),
        (Ok(rule), Encoding::Native) => (native::encode(table.family, rule), rule.comment()),
    };
    rule::emit_expressions(writer, &expressions);
    if let Some(comment) = comment {
        rule::emit_comment(writer, comment);
    }
}

/// What the kernel sends back of a rule that a message of a transaction made, as it announces it.
pub(super) fn echo(asked: &Asked<'_>, table: TableId, chain: &str, observed: &ObservedRule) -> Vec<u8> {
    object(asked, rule::NEW, |writer| emit_rule(writer, table, chain, observed))
}

fn emit_set(writer: &mut Writer, table: TableId, set: &ObservedSet) {
    match set.kind {
        Ok(kind) => set::emit(writer, table.family, table.name.as_str(), &set.name, kind, 0),
        Err(_) => set::emit_name(writer, table.name.as_str(), &set.name),
    }
    writer.be32(NFTA_SET_COUNT, u32::try_from(set.elements.len()).unwrap());
}

fn elements(asked: &Asked<'_>, table: TableId, set: &ObservedSet) -> Vec<Vec<u8>> {
    let kind = set.kind.clone().unwrap();
    let part = |part: &[_]| {
        object(asked, element::NEW, |writer| {
            element::emit(writer, table.family, table.name.as_str(), &set.name, kind, part);
        })
    };
    set.elements.chunks(element::PER_MESSAGE).map(part).collect()
}

fn foreign_objects(asked: &Asked<'_>, table: &ObservedTable, answer: Kind) -> Vec<Vec<u8>> {
    let is_asked_for = |found: &&ForeignObject| (found.kind == ForeignKind::Flowtable) == (answer == FLOWTABLES.answer);
    let emit = |found: &ForeignObject| {
        object(asked, answer, |writer| foreign_object::emit_name(writer, table.id.name.as_str(), found))
    };
    table.foreign_objects.iter().filter(is_asked_for).map(emit).collect()
}

/// A message about an object, in answer to a question.
pub(super) fn object(asked: &Asked<'_>, kind: Kind, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[asked.family.map_or(0, nfnetlink::nfproto), 0, 0, 0]);
    content(&mut writer);
    message(u16::from_ne_bytes(kind.bytes()), 0, asked.sequence, writer.bytes())
}

/// The end of a list.
pub(super) fn done(sequence: u32) -> Vec<u8> {
    message(NLMSG_DONE, 0, sequence, &[0; 4])
}

/// The acknowledgement of a message: an error number, or 0, and the kernel's own words.
pub(super) fn answer(sequence: u32, errno: i32, text: &str) -> Vec<u8> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let mut writer = Writer::new();
    writer.raw(&(-errno).to_ne_bytes());
    writer.raw(&[0; HEADER_LEN]);
    if !text.is_empty() {
        writer.text(NLMSGERR_ATTR_MSG, text);
    }
    message(NLMSG_ERROR, flag::CAPPED | flag::ACK_TLVS, sequence, writer.bytes())
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    let len = u32::try_from(HEADER_LEN + payload.len()).unwrap();
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes[4..FLAGS_AT].copy_from_slice(&kind.to_ne_bytes());
    bytes[FLAGS_AT..SEQUENCE_AT].copy_from_slice(&flags.to_ne_bytes());
    bytes[SEQUENCE_AT..PORT_AT].copy_from_slice(&sequence.to_ne_bytes());
    bytes.extend(payload);
    bytes
}
