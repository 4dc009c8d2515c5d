//! The kernel in memory as netlink has it: questions and transactions are decoded, what there is is encoded.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use super::super::codec::{Encoding, chain, compat, element, foreign_object, generation, native, rule, set, table};
use super::super::{
    Action, Change, Expression, ForeignKind, ForeignObject, Generation, Handle, Monitor, ObservedRule, ObservedSet,
    ObservedTable, Plan, RuleInfo, Unrecognised, decode,
};
use super::{Memory, Refused, Trouble, jumps_to, port_of};
use crate::net::Family;
use crate::netlink::{Attributes, Content, Kind, Messages, Transport, Writer, flag, nfnetlink};
use crate::rules::{Protection, SetKind, TableId, TableName};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: Kind = Kind::new(0x10);
const BATCH_END: Kind = Kind::new(0x11);
/// `struct nlmsghdr`: where these stand in it, and how long it is.
const FLAGS_AT: usize = 6;
const SEQUENCE_AT: usize = 8;
const PORT_AT: usize = 12;
const HEADER_LEN: usize = 16;
/// `NFTA_*` that only the kernel writes, or that only requests have.
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_OWNER: u16 = 7;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_USE: u16 = 6;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_POSITION: u16 = 6;
const NFTA_SET_COUNT: u16 = 20;
const NFTA_GEN_ID: u16 = 1;
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;
/// The first attribute of all but generations is the name of a table, and the second, of all but tables and chains, that of
/// the thing.
const TABLE: u16 = 1;
const NAME: u16 = 2;

/// The messages about foreign objects of a kind.
struct About {
    question: Kind,
    answer: Kind,
    deletion: Kind,
}

const OBJECTS: About = about(0, ForeignKind::Object(0));
const FLOWTABLES: About = about(1, ForeignKind::Flowtable);

const fn about(at: usize, kind: ForeignKind) -> About {
    let (question, answer) = foreign_object::DUMPS[at];
    About { question, answer, deletion: foreign_object::deletion(kind) }
}

/// What was announced to somebody and not heard yet.
pub(crate) type Announcements = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    kernel: Rc<RefCell<Memory>>,
    port: u32,
    queue: VecDeque<Vec<u8>>,
}

/// A socket that hears of commits.
#[derive(Debug)]
struct Listening {
    queue: Announcements,
    /// Stands for the socket.
    file: File,
}

/// A message to the kernel.
struct Asked<'a> {
    kind: Kind,
    flags: u16,
    sequence: u32,
    family: Option<Family>,
    attributes: Attributes<'a>,
}

impl Socket {
    pub(super) fn open(kernel: Rc<RefCell<Memory>>) -> Self {
        kernel.borrow_mut().sockets += 1;
        let port = kernel.borrow().sockets;
        Self { kernel, port, queue: VecDeque::new() }
    }

    /// Begins to hear of commits over other sockets.
    pub(super) fn announcements(&self) -> Monitor<impl Transport + AsFd + std::fmt::Debug + use<>> {
        let queue = Announcements::default();
        self.kernel.borrow_mut().announcements.push(Rc::clone(&queue));
        Monitor::new(Listening { queue, file: File::open("/dev/null").unwrap() }, self.port)
    }

    fn question(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        let mut memory = self.kernel.borrow_mut();
        if memory.ignores_questions {
            return Ok(());
        }
        memory.readings += usize::from(asked.kind == table::GET && asked.family == Some(Family::Ipv4));
        let mut trouble = None;
        if asked.kind != generation::GET
            && let Some((looks, next)) = memory.looks
            && memory.readings > looks
        {
            trouble = Some(next);
        }
        let answer = if asked.kind == generation::GET {
            let generation = memory.state.generation;
            vec![
                object(asked, generation::NEW, |writer| writer.be32(NFTA_GEN_ID, generation.0)),
                answer(asked.sequence, 0, ""),
            ]
        } else {
            let mut listed = list(&memory, asked);
            listed.push(done(asked.sequence));
            listed
        };
        drop(memory);
        self.answer(trouble, answer, &[asked.sequence])
    }

    fn transaction(&mut self, messages: &[Asked<'_>]) -> io::Result<()> {
        let mut memory = self.kernel.borrow_mut();
        memory.sent += 1;
        if memory.ignores_changes {
            return Ok(());
        }
        let trouble = memory.troubles.pop_front();
        let (expected, is_whole, changes) = match messages {
            [begin, changes @ .., end] if end.kind == BATCH_END => (generation_of(begin), true, changes),
            [begin, changes @ ..] => (generation_of(begin), false, changes),
            [] => panic!("an empty transaction is sent"),
        };
        let mut plan = Plan::default();
        for message in changes {
            let change = change(&memory, &plan, message);
            plan.changes.push(change);
        }
        let result = match trouble {
            Some((false, _)) => Ok(()),
            _ if is_whole => memory.transact(&plan, expected, self.port),
            _ => memory.try_out(&plan, self.port).map(drop),
        };
        let sequences: Vec<u32> = messages.iter().map(|message| message.sequence).collect();
        let asked = messages.iter().find(|message| message.flags & flag::ACK != 0).map(|message| message.sequence);
        let mut answers: Vec<Vec<u8>> = Vec::new();
        if let Err(Refused { change, errno, text }) = result {
            let sequence = sequences[change.map_or(0, |index| index + 1)];
            answers.push(answer(sequence, errno as i32, text));
        }
        // The kernel acknowledges also what it then takes back.
        answers.extend(asked.map(|sequence| answer(sequence, 0, "")));
        drop(memory);
        self.answer(trouble.map(|(_, trouble)| trouble), answers, &sequences)
    }

    /// Queues an answer to the messages with these numbers, or what comes instead of it.
    fn answer(&mut self, trouble: Option<Trouble>, answers: Vec<Vec<u8>>, sequences: &[u32]) -> io::Result<()> {
        match trouble {
            None => self.queue.extend(answers),
            Some(Trouble::Lost) => {}
            Some(Trouble::Garbled) => self.queue.push_back(vec![0; 3]),
            Some(Trouble::Endless) => self.queue.extend(vec![answer(u32::MAX, 0, ""); 20_000]),
            Some(Trouble::Overtaken) => self.queue.extend(answers.into_iter().map(|mut answer| {
                let flags = u16::from_ne_bytes([answer[FLAGS_AT], answer[FLAGS_AT + 1]]) | flag::DUMP_INTR;
                answer[FLAGS_AT..FLAGS_AT + 2].copy_from_slice(&flags.to_ne_bytes());
                answer
            })),
            Some(Trouble::Refused(change, errno)) => {
                let sequence = sequences[change.map_or(0, |index| index + 1)];
                self.queue.push_back(answer(sequence, errno as i32, ""));
            }
            Some(Trouble::Unsendable(errno)) => return Err(errno.into()),
        }
        Ok(())
    }
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let messages = asked(datagram);
        match messages.as_slice() {
            [question] => self.question(question),
            transaction => self.transaction(transaction),
        }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        self.port
    }
}

impl Drop for Socket {
    /// Protected tables outlive their owner.
    fn drop(&mut self) {
        let mut memory = self.kernel.borrow_mut();
        let owned = |table: &&mut ObservedTable| table.owner.is_some_and(|owner| port_of(owner) == self.port);
        memory.state.tables.iter_mut().filter(owned).for_each(|table| table.owner = None);
    }
}

impl Transport for Listening {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.borrow_mut().pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        0
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Memory {
    /// Says to everybody that this socket has committed.
    pub(super) fn announce(&self, port: u32) {
        let asked =
            Asked { kind: generation::GET, flags: 0, sequence: 0, family: None, attributes: Attributes::new(&[]) };
        let mut announcement = object(&asked, generation::NEW, |writer| {
            writer.be32(NFTA_GEN_ID, self.state.generation.0);
            writer.be32(NFTA_GEN_PROC_PID, port);
            writer.text(NFTA_GEN_PROC_NAME, "socket");
        });
        announcement[PORT_AT..HEADER_LEN].copy_from_slice(&port.to_ne_bytes());
        for queue in &self.announcements {
            queue.borrow_mut().push_back(announcement.clone());
        }
    }
}

fn asked(datagram: &[u8]) -> Vec<Asked<'_>> {
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
            _ => None,
        };
        let len = u32::from_ne_bytes(*rest.first_chunk().unwrap()) as usize;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        all.push(Asked { kind, flags, sequence, family, attributes });
    }
    all
}

impl Asked<'_> {
    fn text(&self, kind: u16) -> Option<String> {
        let mut attributes = self.attributes.clone().map(Result::unwrap);
        attributes.find(|attribute| attribute.kind == kind).map(|attribute| attribute.text())
    }

    fn number(&self, kind: u16) -> Option<u64> {
        let mut attributes = self.attributes.clone().map(Result::unwrap);
        attributes.find(|attribute| attribute.kind == kind).map(|attribute| attribute.be64().unwrap())
    }

    fn table(&self) -> TableId {
        let name = self.text(TABLE).unwrap();
        let name = [TableName::Nat, TableName::Own].into_iter().find(|known| known.as_str() == name).unwrap();
        TableId { family: self.family.unwrap(), name }
    }
}

fn generation_of(begin: &Asked<'_>) -> Option<Generation> {
    assert_eq!(begin.kind, BATCH_BEGIN);
    generation::parse(begin.attributes.clone()).ok()
}

/// What a message of a transaction changes, behind these changes.
fn change(memory: &Memory, before: &Plan, message: &Asked<'_>) -> Change {
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

/// A rule as it would be dumped: with a handle, which the kernel alone gives.
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

/// What there is of what was asked for.
fn list(memory: &Memory, asked: &Asked<'_>) -> Vec<Vec<u8>> {
    let (table, name) = (asked.text(TABLE), asked.text(NAME));
    let is_asked_for = |found: &&ObservedTable| {
        Some(found.id.family) == asked.family && table.as_ref().is_none_or(|name| *name == found.id.name.as_str())
    };
    let tables = memory.state.tables.iter().filter(is_asked_for);
    let of_table = |table: &ObservedTable| -> Vec<Vec<u8>> {
        let id = table.id;
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

/// Flags: dormant, owner, persist.
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
    let emit = |chain: &super::ObservedChain, writer: &mut Writer| {
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

fn object(asked: &Asked<'_>, kind: Kind, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[asked.family.map_or(0, nfnetlink::nfproto), 0, 0, 0]);
    content(&mut writer);
    message(u16::from_ne_bytes(kind.bytes()), 0, asked.sequence, writer.bytes())
}

fn done(sequence: u32) -> Vec<u8> {
    message(NLMSG_DONE, 0, sequence, &[0; 4])
}

/// How a message was taken: with an error number, or 0, and the kernel's own words.
fn answer(sequence: u32, errno: i32, text: &str) -> Vec<u8> {
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
