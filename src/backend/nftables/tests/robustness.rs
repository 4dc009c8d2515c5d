//! No bytes make decoding panic or run without end.

use std::collections::VecDeque;
use std::io;

use proptest::prelude::*;

use super::expressions;
use crate::backend::nftables::Nftables;
use crate::backend::nftables::codec::Expression;
use crate::backend::nftables::codec::{chain, compat, element, generation, native, rule, set, table};
use crate::backend::{ReconcileOptions, reconcile};
use crate::net::Family;
use crate::netlink::captures::{damaged, recorded};
use crate::netlink::{Attributes, Connection, Content, Messages, Transport, Writer, nfnetlink};
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, SetKind, compile};

/// Gives the bytes to every parser, whatever kind of object they claim to be.
fn read_as_everything(bytes: &[u8]) {
    for message in Messages::new(bytes).flatten() {
        match message.content {
            Content::Object { payload, .. } => {
                if let Ok(attributes) = nfnetlink::attributes(payload) {
                    read_attributes(&attributes);
                }
            }
            Content::Answer(report) | Content::Done(report) => drop((report.error(), report.text())),
            Content::Overrun | Content::Other => {}
        }
    }
    read_attributes(&Attributes::new(bytes));
}

fn read_attributes(attributes: &Attributes<'_>) {
    let _ = table::parse(attributes.clone());
    let _ = chain::parse(attributes.clone());
    let _ = generation::parse(attributes.clone());
    let _ = rule::parse(attributes.clone(), "nat", "POSTROUTING");
    for family in Family::ALL {
        let _ = set::parse(attributes.clone(), family, "ip-masq-agent");
        for kind in [SetKind::Addresses { size: 64 }, SetKind::Intervals] {
            if let Ok(Some(Ok(boundaries))) = element::parse(attributes.clone(), family, "ip-masq-agent", "exempt") {
                let _ = element::ranges(boundaries, family, kind);
            }
        }
    }
    for attribute in attributes.clone().flatten() {
        let list: Vec<_> =
            attribute.nested().flatten().filter_map(|element| Expression::parse(element.nested()).ok()).collect();
        for family in Family::ALL {
            let _ = compat::decode(family, &list, None);
            let _ = native::decode(family, &list, None);
        }
    }
}

fn written(list: &[Expression]) -> Vec<u8> {
    let mut writer = Writer::new();
    for expression in list {
        expression.emit(&mut writer);
    }
    writer.into_bytes()
}

/// The index of a byte, and the value it is changed to.
type Damage = Vec<(prop::sample::Index, u8)>;

/// A kernel that answers with what was recorded of the real one, damaged here and there.
#[derive(Debug)]
struct Liar {
    recorded: Vec<Vec<u8>>,
    /// For one answer after the other, and then from the beginning: which of the recorded answers of its kind it is, what is
    /// damaged in it, and whether it has an end.
    whims: Vec<(prop::sample::Index, Damage, bool)>,
    queue: VecDeque<Vec<u8>>,
    sent: usize,
    received: usize,
}

impl Liar {
    fn answer(&self, request: &[u8]) -> Vec<Vec<u8>> {
        let (which, damage, ends) = &self.whims[self.sent % self.whims.len()];
        let kind = u16::from_ne_bytes([request[4], request[5]]);
        let is_answer = |datagram: &&Vec<u8>| match kind {
            // The answer to a transaction is an error or an acknowledgement.
            0x10 => datagram[4..6] == [2, 0],
            // The number of `NFT_MSG_GET…` is one above that of `NFT_MSG_NEW…`.
            kind => datagram[4..6] == (kind - 1).to_ne_bytes(),
        };
        let answers: Vec<&Vec<u8>> = self.recorded.iter().filter(is_answer).collect();
        let answer = if answers.is_empty() { which.get(&self.recorded) } else { *which.get(&answers) };
        let end = [20_u32.to_ne_bytes(), [3, 0, 2, 0], [0; 4], [0; 4], [0; 4]].concat();
        let mut answers = vec![answer.clone()];
        answers.extend(ends.then_some(end));
        for answer in &mut answers {
            let mut at = 0;
            while let Some(len) = answer.get(at..at + 4).map(|len| u32::from_ne_bytes(len.try_into().unwrap())) {
                if let Some(sequence) = answer.get_mut(at + 8..at + 12) {
                    sequence.copy_from_slice(&request[8..12]);
                }
                at += usize::try_from(len).unwrap().max(16).next_multiple_of(4);
            }
            for (at, byte) in damage {
                let at = at.index(answer.len());
                answer[at] = *byte;
            }
        }
        answers
    }
}

impl Transport for &mut Liar {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let answer = self.answer(datagram);
        self.queue.extend(answer);
        self.sent += 1;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.received += 1;
        *buffer = self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pass_over_a_kernel_that_answers_with_damaged_captures_ends(
        whims in prop::collection::vec((
            any::<prop::sample::Index>(),
            prop_oneof![
                3 => Just(Vec::new()),
                1 => prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            ],
            prop::bool::weighted(0.9),
        ), 1..40),
        native in any::<bool>(),
    ) {
        let mut recorded = recorded();
        // The generation, for which no recorded tool asked, and the answer to a transaction.
        recorded.push([&[28, 0, 0, 0, 15, 10, 0, 0], &[0; 12][..], &[8, 0, 1, 0, 0, 0, 0, 7]].concat());
        recorded.push([&[36, 0, 0, 0, 2, 0, 0, 1], &[0; 28][..]].concat());
        let mut liar = Liar { recorded, whims, queue: VecDeque::new(), sent: 0, received: 0 };
        let layout = if native { Layout::OwnTable(Protection::Off) } else { Layout::IptablesNat };
        let desired = compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), layout);
        // Whatever the backend reads from it, the pass ends.
        let _ = reconcile(&mut Nftables::over(Connection::new(&mut liar)), &desired, &ReconcileOptions::default());
        prop_assert!(liar.sent < 20_000 && liar.received < 60_000, "{} sent, {} received", liar.sent, liar.received);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_captures_are_read_without_panic([whole, cut] in damaged()) {
        read_as_everything(&whole);
        read_as_everything(&cut);
    }

    /// Even with unrecognised parts, which have to stay as they are.
    #[test]
    fn damaged_expressions_that_can_be_read_are_written_back_the_same(
        datagram in prop::sample::select(recorded()),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for list in expressions(&datagram) {
            let mut bytes = written(&list);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let read = |bytes: &[u8]| -> Option<Vec<Expression>> {
                Attributes::new(bytes).map(|element| Expression::parse(element.ok()?.nested()).ok()).collect()
            };
            if let Some(damaged) = read(&bytes) {
                prop_assert_eq!(read(&written(&damaged)), Some(damaged));
            }
        }
    }
}
