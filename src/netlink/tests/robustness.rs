//! No bytes make the decoder panic, or go on for ever.

use proptest::prelude::*;

use super::captures::{received, received_by_nft, sent, sent_by_nft};
use super::{expressions, flows};
use crate::net::Family;
use crate::netlink::expression::Expression;
use crate::netlink::message::{Content, Messages};
use crate::netlink::wire::{Attributes, Writer};
use crate::netlink::{address, chain, compat, element, flow, generation, native, rule, set, table};
use crate::ruleset::SetKind;

/// Gives the bytes to every parser there is, whatever they say that they are.
fn read_as_everything(bytes: &[u8]) {
    for message in Messages::new(bytes).flatten() {
        match message.content {
            Content::Object { attributes, .. } => read_attributes(&attributes),
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
    let _ = flow::parse(attributes.clone());
    let _ = address::parse(attributes.clone());
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
            let _ = compat::raise(family, &list, None);
            let _ = native::raise(family, &list, None);
        }
    }
}

fn recorded() -> Vec<Vec<u8>> {
    let of_family =
        |family| [sent(family), received(family), sent_by_nft(family), received_by_nft(family)].into_iter().flatten();
    let captures = Family::ALL.into_iter().flat_map(of_family).chain(flows::recorded());
    captures.flat_map(|capture| capture.datagrams).collect()
}

fn written(list: &[Expression]) -> Vec<u8> {
    let mut writer = Writer::new();
    for expression in list {
        expression.emit(&mut writer);
    }
    writer.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_captures_are_read_without_panic(
        mut datagram in prop::sample::select(recorded()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in damage {
            let at = at.index(datagram.len());
            datagram[at] = byte;
        }
        read_as_everything(&datagram);
        datagram.truncate(cut.index(datagram.len()));
        read_as_everything(&datagram);
    }

    /// Also with parts that we do not understand, which have to be kept as they are.
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
