//! Messages to the kernel in memory: questions, and transactions, which are decoded into plans.

use super::Memory;
use super::wire::{FLAGS_AT, HEADER_LEN};
use crate::backend::nftables::codec::{chain, element, foreign_object, generation, rule, set, table};
use crate::backend::nftables::{
    Action, Change, ForeignKind, Generation, Handle, ObservedRule, Plan, RuleInfo, Unrecognised, decode,
};
use crate::net::Family;
use crate::netlink::{Attributes, Content, Kind, Messages, Writer, flag, nfnetlink};
use crate::rules::{SetKind, TableId, TableName};

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: Kind = Kind::new(0x10);
pub(super) const BATCH_END: Kind = Kind::new(0x11);
/// `NFTA_*` of which requests need the numbers here.
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_POSITION: u16 = 6;
/// The first attribute of all but generations is the name of a table, and the second, of all but tables and chains, that of
/// the object itself.
pub(super) const TABLE: u16 = 1;
pub(super) const NAME: u16 = 2;

/// The messages about foreign objects of a kind.
pub(super) struct About {
    pub(super) question: Kind,
    pub(super) answer: Kind,
    deletion: Kind,
}

pub(super) const OBJECTS: About = about(0, ForeignKind::Object(0));
pub(super) const FLOWTABLES: About = about(1, ForeignKind::Flowtable);

const fn about(at: usize, kind: ForeignKind) -> About {
    let (question, answer) = foreign_object::DUMPS[at];
    About { question, answer, deletion: foreign_object::deletion(kind) }
}

/// A message to the kernel.
pub(super) struct Asked<'a> {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// `None` for all.
    pub(super) family: Option<Family>,
    pub(super) attributes: Attributes<'a>,
}

/// The messages in a datagram to the kernel.
pub(super) fn asked(datagram: &[u8]) -> Vec<Asked<'_>> {
    let mut rest = datagram;
    let mut all = Vec::new();
    for message in Messages::new(datagram) {
        let message = message.unwrap();
        let Content::Object { kind, payload } = message.content else {
            panic!("no message to the kernel: {datagram:x?}")
        };
        let (sequence, attributes) = (message.sequence, nfnetlink::attributes(payload).unwrap());
        let flags = u16::from_ne_bytes([rest[FLAGS_AT], rest[FLAGS_AT + 1]]);
        let family = match rest[HEADER_LEN] {
            2 => Some(Family::Ipv4),
            10 => Some(Family::Ipv6),
            0 => None,
            other => panic!("nothing is asked of family {other}"),
        };
        let len = u32::from_ne_bytes(*rest.first_chunk().unwrap()) as usize;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        all.push(Asked { kind, flags, sequence, family, attributes });
    }
    all
}

impl Asked<'_> {
    pub(super) fn text(&self, kind: u16) -> Option<String> {
        let mut attributes = self.attributes.clone().map(Result::unwrap);
        attributes.find(|attribute| attribute.kind == kind).map(|attribute| attribute.text())
    }

    fn number(&self, kind: u16) -> Option<u64> {
        let mut attributes = self.attributes.clone().map(Result::unwrap);
        attributes.find(|attribute| attribute.kind == kind).map(|attribute| attribute.be64().unwrap())
    }

    fn table(&self) -> TableId {
        let name = self.text(TABLE).unwrap();
        let name = [TableName::Nat, TableName::Own].into_iter().find(|table| table.as_str() == name).unwrap();
        TableId { family: self.family.unwrap(), name }
    }
}

/// The generation for which a transaction was made, if its first message names one.
pub(super) fn generation_of(begin: &Asked<'_>) -> Option<Generation> {
    assert_eq!(begin.kind, BATCH_BEGIN);
    generation::parse(begin.attributes.clone()).ok()
}

/// The change that a message of a transaction asks for; `before` are those of the messages before it.
pub(super) fn change(memory: &Memory, before: &Plan, message: &Asked<'_>) -> Change {
    let table = message.table();
    let (name, attributes) = (table.name.as_str(), || message.attributes.clone());
    let named = |kind| message.text(kind).unwrap();
    let action = match message.kind {
        table::NEW => Action::CreateTable { protection: table::parse(attributes()).unwrap().protection.unwrap() },
        table::DELETE => Action::DeleteTable,
        chain::NEW => {
            Action::CreateChain { chain: named(NFTA_CHAIN_NAME), base: chain::parse(attributes()).unwrap().base }
        }
        chain::DELETE => Action::DeleteChain { chain: named(NFTA_CHAIN_NAME) },
        set::NEW => {
            let info = set::parse(attributes(), table.family, name).unwrap().unwrap();
            Action::CreateSet { set: info.name, kind: info.kind.unwrap() }
        }
        set::DELETE => Action::DeleteSet { set: named(NAME) },
        element::NEW | element::DELETE => {
            let set = named(NAME);
            let kind = kind_of(memory, before, table, &set);
            let boundaries = element::parse(attributes(), table.family, name, &set).unwrap().unwrap().unwrap();
            let elements = element::ranges(boundaries, table.family, kind).unwrap().unwrap().into();
            if message.kind == element::NEW {
                Action::AddElements { set, kind, elements }
            } else {
                Action::DeleteElements { set, kind, elements }
            }
        }
        rule::NEW => {
            let chain = named(NFTA_RULE_CHAIN);
            let rule = decode(table, &of_kernel(attributes(), name, &chain)).unwrap();
            if let Some(before) = message.number(NFTA_RULE_POSITION) {
                Action::Insert { chain, rule, before: Handle(before) }
            } else {
                assert!(message.flags & flag::APPEND != 0, "a rule is put first");
                Action::Append { chain, rule }
            }
        }
        rule::DELETE => {
            let chain = named(NFTA_RULE_CHAIN);
            match message.number(NFTA_RULE_HANDLE).map(Handle) {
                Some(handle) => Action::Delete { was: found(memory, table, &chain, handle), chain },
                None => Action::Flush { chain },
            }
        }
        kind if kind == OBJECTS.deletion || kind == FLOWTABLES.deletion => {
            let answer = if kind == OBJECTS.deletion { OBJECTS.answer } else { FLOWTABLES.answer };
            let foreign_object = foreign_object::parse(attributes(), answer, name).unwrap().unwrap();
            Action::DeleteForeignObject { foreign_object }
        }
        kind => panic!("no change: {kind:?}"),
    };
    Change { table, action }
}

fn kind_of(memory: &Memory, before: &Plan, table: TableId, set: &str) -> SetKind {
    let created = before.changes.iter().rev().find_map(|change| match &change.action {
        Action::CreateSet { set: created, kind } if change.table == table && created == set => Some(*kind),
        _ => None,
    });
    let present = || memory.state.table(table)?.set(set)?.kind.clone().ok();
    created.or_else(present).unwrap_or(SetKind::Intervals)
}

/// A rule as a dump would have it: with a handle, which only the kernel assigns.
fn of_kernel(attributes: Attributes<'_>, table: &str, chain: &str) -> RuleInfo {
    let mut writer = Writer::new();
    writer.be64(NFTA_RULE_HANDLE, 0);
    for attribute in attributes.map(Result::unwrap) {
        writer.attribute(attribute.kind, attribute.payload);
    }
    rule::parse(Attributes::new(writer.bytes()), table, chain).unwrap().unwrap()
}

fn found(memory: &Memory, table: TableId, chain: &str, handle: Handle) -> ObservedRule {
    let chain = memory.state.table(table).and_then(|table| table.chain(chain));
    let rule = chain.and_then(|chain| chain.rules.iter().find(|rule| rule.handle == handle));
    rule.cloned().unwrap_or_else(|| ObservedRule { handle, rule: Err(Unrecognised("not there".to_owned())) })
}
