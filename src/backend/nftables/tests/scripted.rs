//! Conversations with a kernel that follows a script.

use std::collections::VecDeque;
use std::io;

use nix::errno::Errno;

use super::{batch, transaction};
use crate::backend::nftables::TableInfo;
use crate::backend::nftables::{Action, Change, Generation};
use crate::backend::nftables::{Batch, Transaction};
use crate::net::Family;
use crate::netlink::Messages;
use crate::netlink::Writer;
use crate::netlink::{Connection, NetlinkError, Transport};
use crate::rules::{Protection, Rule, SetKind, TableId, Verdict};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
const NEW_TABLE: u16 = 10 << 8;
const NEW_ELEMENTS: u16 = 0x0a0c;
const NEW_GEN: u16 = 10 << 8 | 15;
const MULTI: u16 = 2;
const INTERRUPTED: u16 = 0x10;
const CAPPED: u16 = 0x100;
const TLVS: u16 = 0x200;
/// A placeholder for the sequence number of the request that is answered.
const SAME: u32 = u32::MAX;

/// What one receive returns.
#[derive(Clone, Debug)]
enum Step {
    Datagram(Vec<u8>),
    Fails(Errno),
}

/// For every send, the steps that it queues; the last ones are used for all further sends.
#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Vec<Step>>,
    queue: VecDeque<Step>,
    sent: usize,
}

impl Transport for &mut Script {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.sent += 1;
        let sequence = Messages::new(datagram).next().unwrap().unwrap().sequence;
        let answer = if self.answers.len() > 1 { self.answers.pop_front().unwrap() } else { self.answers[0].clone() };
        for mut step in answer {
            if let Step::Datagram(bytes) = &mut step {
                if bytes.get(8..12) == Some(&SAME.to_ne_bytes()) {
                    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
                }
            } else if let Step::Fails(errno @ (Errno::EMSGSIZE | Errno::EAGAIN)) = step {
                return Err(errno.into());
            }
            self.queue.push_back(step);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        match self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)? {
            Step::Datagram(bytes) => *buffer = bytes,
            Step::Fails(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}

fn script(answers: Vec<Vec<Step>>) -> Script {
    Script { answers: answers.into(), ..Script::default() }
}

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Step {
    let len = u32::try_from(16 + payload.len()).unwrap();
    let header = [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]];
    Step::Datagram([&header.concat(), payload].concat())
}

fn table(flags: u16, sequence: u32, name: &str) -> Step {
    let mut writer = Writer::new();
    writer.raw(&[2, 0, 0, 0]);
    writer.text(1, name);
    message(NEW_TABLE, MULTI | flags, sequence, writer.bytes())
}

fn done(errno: i32) -> Step {
    message(DONE, MULTI, SAME, &(-errno).to_ne_bytes())
}

fn error(sequence: u32, errno: Errno) -> Step {
    let payload = [&(-(errno as i32)).to_ne_bytes()[..], &[0; 16]].concat();
    message(ERROR, CAPPED, sequence, &payload)
}

fn acknowledgement(sequence: u32) -> Step {
    message(ERROR, CAPPED, sequence, &[0; 20])
}

fn tables(answers: Vec<Vec<Step>>) -> (Result<Vec<String>, NetlinkError>, usize) {
    let mut script = script(answers);
    let tables = Connection::new(&mut script).tables(Family::Ipv4);
    (tables.map(names), script.sent)
}

fn names(tables: Vec<TableInfo>) -> Vec<String> {
    tables.into_iter().map(|table| table.name).collect()
}

#[test]
fn a_dump_that_was_overtaken_or_lost_messages_is_repeated_as_a_whole() {
    let good = vec![table(0, SAME, "nat"), done(0)];
    for (why, first) in [
        ("interrupted at an object", vec![table(INTERRUPTED, SAME, "old"), table(0, SAME, "older"), done(0)]),
        ("interrupted at the end", vec![table(0, SAME, "old"), message(DONE, INTERRUPTED, SAME, &[0; 4])]),
        ("buffer full", vec![table(0, SAME, "old"), Step::Fails(Errno::ENOBUFS), done(0)]),
        ("overrun", vec![message(OVERRUN, 0, SAME, &[]), done(0)]),
        ("EINTR at the end", vec![table(0, SAME, "old"), done(Errno::EINTR as i32)]),
        ("no memory", vec![table(0, SAME, "old"), done(Errno::ENOMEM as i32)]),
        ("the one before is not through", vec![error(SAME, Errno::EBUSY)]),
        ("an answer to a transaction", vec![error(SAME, Errno::ERESTART)]),
        ("nothing", vec![]),
        ("no end", vec![table(0, SAME, "old")]),
        ("not sent", vec![Step::Fails(Errno::EAGAIN)]),
        ("garbled", vec![table(0, SAME, "old"), Step::Datagram(vec![0; 3]), done(0)]),
        ("the socket failed", vec![table(0, SAME, "old"), Step::Fails(Errno::EIO), done(0)]),
    ] {
        let (tables, sent) = tables(vec![first, good.clone()]);
        assert_eq!(tables.unwrap(), ["nat"], "{why}");
        assert_eq!(sent, 2, "{why}");
    }
}

#[test]
fn a_signal_while_receiving_loses_nothing() {
    let (tables, sent) = tables(vec![vec![table(0, SAME, "nat"), Step::Fails(Errno::EINTR), done(0)]]);
    assert_eq!((tables.unwrap(), sent), (vec!["nat".to_owned()], 1));
    commit(vec![Step::Fails(Errno::EINTR), acknowledgement(3)]).unwrap();
}

#[test]
fn an_answer_that_does_not_end_is_given_up() {
    for datagram in [table(0, SAME, "nat"), table(0, 77, "nat"), Step::Datagram(Vec::new()), Step::Fails(Errno::EINTR)]
    {
        let (tables, sent) = tables(vec![vec![datagram.clone(); 20_000]]);
        assert!(matches!(tables, Err(NetlinkError::Endless { datagrams: 16_384 })), "{datagram:?}: {tables:?}");
        assert_eq!(sent, 1, "it is not asked for again");
        let committed = commit(vec![datagram; 20_000]);
        assert!(matches!(committed, Err(NetlinkError::Endless { datagrams: 16_384 })), "{committed:?}");
    }
}

#[test]
fn a_dump_that_is_always_overtaken_ends_in_an_error() {
    let (tables, sent) = tables(vec![vec![table(INTERRUPTED, SAME, "old"), done(0)]]);
    assert!(matches!(tables, Err(NetlinkError::Interrupted { tries: 16 })), "{tables:?}");
    assert_eq!(sent, 16);
}

#[test]
fn a_dump_counts_only_if_its_end_was_read_and_says_success() {
    let object = || table(0, SAME, "nat");
    for (rest, expected) in [
        (vec![], "NoAnswer"),
        (vec![done(Errno::EPERM as i32)], "Denied"),
        (vec![done(Errno::ENOMEM as i32)], "Rejected { change: None, errno: ENOMEM, text: None }"),
        (vec![error(SAME, Errno::EPERM)], "Denied"),
        (vec![message(DONE, MULTI, SAME, &[0])], "Malformed(\"the end of a dump ends inside its result\")"),
        (vec![Step::Datagram(vec![40, 0, 0, 0])], "Malformed(\"a message is longer than what was received\")"),
        (vec![Step::Datagram(vec![4, 0, 0, 0])], "Malformed(\"a message is shorter than its header\")"),
        (vec![Step::Datagram(vec![0; 3])], "Malformed(\"a message ends inside its header\")"),
        (
            vec![message(NEW_TABLE, MULTI, SAME, &[2])],
            "Malformed(\"a message ends inside the header of its protocol\")",
        ),
        (vec![message(NEW_TABLE, MULTI, SAME, &[2, 0, 0, 0])], "Malformed(\"a table has no name\")"),
    ] {
        let (tables, _) = tables(vec![[vec![object()], rest].concat()]);
        assert_eq!(format!("{:?}", tables.unwrap_err()), expected);
    }
    let (tables, _) = tables(vec![vec![error(SAME, Errno::ENOENT)]]);
    assert_eq!(tables.unwrap(), Vec::<String>::new(), "what is not there has no parts");
}

#[test]
fn answers_to_other_requests_are_not_taken_for_ours() {
    let (found, _) = tables(vec![vec![table(0, 77, "other"), table(0, SAME, "nat"), done(0)]]);
    assert_eq!(found.unwrap(), ["nat"]);

    // The first dump is given up in the middle; the rest of it is still queued.
    let broken = vec![error(SAME, Errno::EPERM), table(0, SAME, "old"), done(0)];
    let mut first = script(vec![broken, vec![table(0, SAME, "nat"), done(0)]]);
    let mut kernel = Connection::new(&mut first);
    let denied = kernel.tables(Family::Ipv4);
    assert!(matches!(denied, Err(NetlinkError::Denied)), "{denied:?}");
    assert_eq!(names(kernel.tables(Family::Ipv4).unwrap()), ["nat"]);
}

#[test]
fn a_late_answer_is_not_taken_for_that_to_a_later_transaction() {
    // The answer to the transaction with the messages 1 to 3 arrives while that with 4 to 6 is being sent.
    let late = [vec![acknowledgement(2)], vec![error(1, Errno::ERESTART)], vec![error(2, Errno::ENOENT)]];
    for late in late {
        let mut script = script(vec![vec![], [late, vec![acknowledgement(5)]].concat(), vec![acknowledgement(2)]]);
        let mut kernel = Connection::new(&mut script);
        let mut commit = || {
            let mut transaction = kernel.begin(None);
            let action = Action::Flush { chain: "C".to_owned() };
            transaction.push(&Change { table: TableId::nat(Family::Ipv4), action });
            kernel.commit(&transaction.seal().unwrap())
        };
        let [first, second, third] = [commit(), commit(), commit()];
        assert!(matches!(first, Err(NetlinkError::NoAnswer)), "{first:?}");
        assert!(second.is_ok(), "{second:?}");
        assert!(matches!(third, Err(NetlinkError::NoAnswer)), "{third:?}");
    }
}

#[test]
fn a_kernel_without_nf_tables_is_called_so() {
    let mut script = script(vec![vec![error(SAME, Errno::EINVAL)]]);
    let answer = Connection::new(&mut script).generation();
    let expected = "Err(Unsupported { change: None, errno: EINVAL, text: None })";
    assert_eq!(format!("{answer:?}"), expected);
}

#[test]
fn a_generation_is_read_and_a_missing_one_is_no_answer() {
    let generation = message(NEW_GEN, 0, SAME, &[0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 1, 2]);
    let mut full = script(vec![vec![generation, acknowledgement(SAME)]]);
    assert_eq!(Connection::new(&mut full).generation().unwrap(), Generation(258));
    let mut empty = script(vec![vec![acknowledgement(SAME)]]);
    let answer = Connection::new(&mut empty).generation();
    assert!(matches!(answer, Err(NetlinkError::NoAnswer)), "{answer:?}");
}

/// Two changes; their messages have the sequence numbers 2 and 3 behind the frame's 1.
fn two_changes() -> Batch {
    let chain = || "C".to_owned();
    batch(Family::Ipv4, [Action::Flush { chain: chain() }, Action::DeleteChain { chain: chain() }])
}

fn commit(answer: Vec<Step>) -> Result<(), NetlinkError> {
    Connection::new(&mut script(vec![answer])).commit(&two_changes())
}

#[test]
fn a_transaction_is_done_only_if_its_last_message_is_acknowledged_and_nothing_was_refused() {
    commit(vec![acknowledgement(3)]).unwrap();
    commit(vec![acknowledgement(1), acknowledgement(3), acknowledgement(4)]).unwrap();
    for (why, answer, expected) in [
        ("nothing", vec![], "NoAnswer"),
        ("only the frame", vec![acknowledgement(1), acknowledgement(4)], "NoAnswer"),
        ("another message", vec![acknowledgement(2)], "NoAnswer"),
        ("an error may have been lost", vec![Step::Fails(Errno::ENOBUFS), acknowledgement(3)], "NoAnswer"),
        ("lost again and again", vec![Step::Fails(Errno::ENOBUFS); 100], "NoAnswer"),
        ("overrun", vec![message(OVERRUN, 0, 0, &[]), acknowledgement(3)], "NoAnswer"),
        ("an error of another request", vec![error(77, Errno::EPERM)], "NoAnswer"),
        (
            "acknowledged, but another refused",
            vec![error(2, Errno::ENOENT), acknowledgement(3)],
            "Rejected { change: Some(0), errno: ENOENT, text: None }",
        ),
        (
            "the first of two",
            vec![Step::Fails(Errno::ENOBUFS), error(2, Errno::EBUSY), error(3, Errno::ENOENT)],
            "Rejected { change: Some(0), errno: EBUSY, text: None }",
        ),
        ("stale", vec![error(1, Errno::ERESTART)], "StaleGeneration"),
        ("privilege", vec![error(1, Errno::EPERM)], "Denied"),
        ("another's table", vec![error(3, Errno::EPERM)], "Rejected { change: Some(1), errno: EPERM, text: None }"),
        (
            "no nf_tables",
            vec![error(1, Errno::EOPNOTSUPP)],
            "Unsupported { change: None, errno: EOPNOTSUPP, text: None }",
        ),
        ("too large", vec![Step::Fails(Errno::EMSGSIZE)], "TooLarge { bytes: 112 }"),
    ] {
        assert_eq!(format!("{:?}", commit(answer).unwrap_err()), expected, "{why}");
    }
}

#[test]
fn the_kernels_own_words_are_in_the_error() {
    let mut words = Writer::new();
    words.be32(2, 24);
    words.text(1, "Chain is in use");
    let errno = (-(Errno::EBUSY as i32)).to_ne_bytes();
    let header = |len: u32| [&len.to_ne_bytes()[..], &[0; 12]].concat();
    let capped = [&errno[..], &header(40), words.bytes()].concat();
    let whole = [&errno[..], &header(40), &[0; 24], words.bytes()].concat();
    for answer in [message(ERROR, CAPPED | TLVS, 3, &capped), message(ERROR, TLVS, 3, &whole)] {
        let refused = commit(vec![answer]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the kernel refused the request at change 1: Device or resource busy (Chain is in use); nothing was changed"
        );
    }
}

#[test]
fn a_probe_has_no_end_and_is_answered_like_a_transaction() {
    let flush = [Action::Flush { chain: "C".to_owned() }];
    let kinds = |bytes: &[u8]| Messages::new(bytes).map(|message| message.unwrap().sequence).collect::<Vec<_>>();
    let sealed = transaction(TableId::own(Family::Ipv4), flush.clone()).seal().unwrap();
    assert_eq!(kinds(sealed.as_bytes()), [1, 2, 3]);
    let probe = transaction(TableId::own(Family::Ipv4), flush).seal_as_probe().unwrap();
    assert_eq!(kinds(probe.0.as_bytes()), [1, 2]);

    let ask = |answer| Connection::new(&mut script(vec![answer])).probe(&probe);
    ask(vec![acknowledgement(2)]).unwrap();
    for (answer, expected) in [
        (vec![error(2, Errno::ENOENT)], "Rejected { change: Some(0), errno: ENOENT, text: None }"),
        (vec![error(2, Errno::ENOENT), acknowledgement(2)], "Rejected { change: Some(0), errno: ENOENT, text: None }"),
        (vec![], "NoAnswer"),
    ] {
        assert_eq!(format!("{:?}", ask(answer).unwrap_err()), expected);
    }
}

/// A part of a list of addresses, by their last bytes.
fn elements(flags: u16, last_bytes: &[u8]) -> Step {
    let mut writer = Writer::new();
    writer.raw(&[2, 0, 0, 0]);
    writer.text(1, "ip-masq-agent");
    writer.text(2, "exempt");
    writer.nested(3, |writer| {
        for last in last_bytes {
            writer.nested(1, |writer| writer.nested(1, |writer| writer.attribute(1, &[10, 0, 0, *last])));
        }
    });
    message(NEW_ELEMENTS, MULTI | flags, SAME, writer.bytes())
}

/// The elements that are read, and how many requests that took.
fn listed(answers: Vec<Vec<Step>>) -> (Result<String, NetlinkError>, usize) {
    let mut script = script(answers);
    let kind = SetKind::Addresses { size: 64 };
    let elements = Connection::new(&mut script).elements(Family::Ipv4, "ip-masq-agent", "exempt", kind);
    (elements.map(|elements| format!("{:?}", elements.unwrap())), script.sent)
}

#[test]
fn a_long_list_that_others_always_overtake_is_what_two_answers_in_a_row_agree_in() {
    let overtaken = |last_bytes: &[u8]| vec![elements(INTERRUPTED, last_bytes), done(0)];
    let [one, other, cut] = [overtaken(&[2, 1]), overtaken(&[3, 2]), vec![elements(INTERRUPTED, &[2, 1])]];
    let lost = vec![elements(INTERRUPTED, &[2, 1]), message(OVERRUN, 0, SAME, &[]), done(0)];
    for (why, answers, sent) in [
        ("two that agree", vec![one.clone(), one.clone()], 2),
        ("one that agrees with the one before the last", vec![one.clone(), other.clone(), one.clone(), one.clone()], 4),
        ("answers without an end", vec![one.clone(), cut.clone(), cut, one.clone()], 4),
        ("answers of which something was lost", vec![lost.clone(), lost, one.clone(), one.clone()], 4),
        ("a whole one", vec![one, other, vec![elements(0, &[2, 1]), done(0)]], 3),
    ] {
        let (found, asked) = listed(answers);
        assert_eq!((found.unwrap().as_str(), asked), ("[10.0.0.1, 10.0.0.2]", sent), "{why}");
    }
    let in_turn = (1..=16).map(|last| overtaken(&[last])).collect();
    let (found, _) = listed(in_turn);
    assert!(matches!(found, Err(NetlinkError::Interrupted { tries: 16 })), "{found:?}");
}

#[test]
fn a_dump_of_elements_in_which_one_comes_twice_is_repeated() {
    let twice = vec![elements(0, &[3, 2]), elements(0, &[1, 3]), done(0)];
    let (found, sent) = listed(vec![twice.clone(), vec![elements(0, &[3, 2]), elements(0, &[1]), done(0)]]);
    assert_eq!((found.unwrap().as_str(), sent), ("[10.0.0.1, 10.0.0.2, 10.0.0.3]", 2));
    let (found, sent) = listed(vec![twice]);
    assert!(matches!(found, Err(NetlinkError::Interrupted { tries: 16 })), "{found:?}");
    assert_eq!(sent, 16);
}

#[test]
fn a_name_that_no_message_can_hold_is_named_before_anything_is_sent() {
    let mut transaction = Transaction::begin(None);
    let rule = Rule::new(Vec::new(), None, Verdict::Jump("C".repeat(70_000)));
    for action in [Action::CreateTable { protection: Protection::Off }, Action::Append { chain: "C".to_owned(), rule }]
    {
        transaction.push(&Change { table: TableId::nat(Family::Ipv4), action });
    }
    let sealed = transaction.seal();
    assert!(matches!(sealed, Err(NetlinkError::Unrepresentable { change: 1 })), "{sealed:?}");
}
