//! Nodes of a tree as bytes: the memory for a text is a small multiple of its size only if a node is a few bytes.

use crate::tree::{Id, Start};
use crate::yaml::Tag;

/// Nodes, one after the other. Each begins with its [`Head`]: a byte of flags, and where it stands, counted from
/// another node; then comes what its kind needs. Numbers are in LEB128: seven bits a byte, the lowest first, the eighth
/// bit set if there are more.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<u8>);

/// What all nodes have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) tag: Option<Tag>,
    /// Of a scalar, whether it is without quotes; of a list, whether it holds nothing but scalars that are valid whatever is around
    /// it.
    pub(crate) plain: bool,
    /// Whether an alias points here.
    pub(crate) has_alias: bool,
    pub(crate) start: Start,
}

/// What a node is, and by that what stands after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A scalar that stands in the text as it is, or in quotes: its length there.
    Written,
    /// A scalar that had to be decoded: its length in the text, and its place and length among those that were.
    Copied,
    /// The place after the last entry, in four bytes, because it is known only when those are there. At that place, the
    /// length of the list in the text.
    List,
    /// The same.
    Map,
    /// Its length in the text, and what it stands for.
    Alias,
}

/// The rest of a record.
#[derive(Debug)]
pub(crate) struct Rest<'t> {
    bytes: &'t [u8],
    place: usize,
}

const KINDS: [Kind; 5] = [Kind::Written, Kind::Copied, Kind::List, Kind::Map, Kind::Alias];
const TAGS: [Option<Tag>; 8] = [
    None,
    Some(Tag::Null),
    Some(Tag::Bool),
    Some(Tag::Int),
    Some(Tag::Float),
    Some(Tag::Binary),
    Some(Tag::Merge),
    Some(Tag::Text),
];
/// Above three bits for the kind and three for the tag.
const PLAIN: u8 = 0x40;
const HAS_ALIAS: u8 = 0x80;

impl Records {
    /// The place of the next node.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// Adds a head, which stands after `from`.
    pub(crate) fn push_head(&mut self, head: Head, from: Start) {
        let place = |found: Option<usize>| found.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
        let kind = place(KINDS.iter().position(|kind| *kind == head.kind));
        let tag = place(TAGS.iter().position(|tag| *tag == head.tag));
        let plain = if head.plain { PLAIN } else { 0 };
        self.0.push(kind | tag << 3 | plain);
        self.push(head.start.place.wrapping_sub(from.place));
        self.push(head.start.line.wrapping_sub(from.line));
    }

    pub(crate) fn push(&mut self, mut number: u32) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn push_id(&mut self, id: Id) {
        self.push(id.place);
        self.push(id.from.place);
        self.push(id.from.line);
    }

    /// Adds the place of the end of a collection, which is not known until it is [closed](Self::close).
    pub(crate) fn push_end(&mut self) {
        self.0.extend([0; size_of::<u32>()]);
    }

    /// What comes from here on no longer belongs to the collection at that place.
    pub(crate) fn close(&mut self, collection: u32) {
        let end = self.end().to_le_bytes();
        let place = self.head(Id { place: collection, from: Start::default() }).1.place;
        if let Some(bytes) = self.0.get_mut(place..place + end.len()) {
            bytes.copy_from_slice(&end);
        }
    }

    /// Marks a list as one of nothing but harmless scalars.
    pub(crate) fn mark_plain(&mut self, list: u32) {
        if let Some(first) = self.0.get_mut(list as usize) {
            *first |= PLAIN;
        }
    }

    pub(crate) fn mark_alias_of(&mut self, target: u32) {
        if let Some(first) = self.0.get_mut(target as usize) {
            *first |= HAS_ALIAS;
        }
    }

    /// The head of a node, and the rest of it. Where there is none, it is an empty text.
    pub(crate) fn head(&self, id: Id) -> (Head, Rest<'_>) {
        let mut rest = self.at(id.place);
        let first = rest.byte();
        let head = Head {
            kind: KINDS.get(usize::from(first & 0x07)).copied().unwrap_or(Kind::Written),
            tag: TAGS.get(usize::from(first >> 3 & 0x07)).copied().flatten(),
            plain: first & PLAIN != 0,
            has_alias: first & HAS_ALIAS != 0,
            start: Start {
                place: id.from.place.wrapping_add(rest.number()),
                line: id.from.line.wrapping_add(rest.number()),
            },
        };
        (head, rest)
    }

    /// The bytes after that place.
    pub(crate) fn at(&self, place: u32) -> Rest<'_> {
        Rest { bytes: &self.0, place: place as usize }
    }
}

impl Rest<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.place).copied().unwrap_or_default();
        self.place += 1;
        byte
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u32 {
        let first = self.byte();
        if first & 0x80 == 0 {
            return u32::from(first);
        }
        let mut number = u32::from(first & 0x7f);
        for shift in (7..u32::BITS).step_by(7) {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    pub(crate) fn id(&mut self) -> Id {
        Id { place: self.number(), from: Start { place: self.number(), line: self.number() } }
    }

    /// The next number of four bytes.
    pub(crate) fn fixed(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// The place after what was taken.
    pub(crate) fn place(&self) -> u32 {
        u32::try_from(self.place).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_node_is_read_as_it_was_written() {
        let mut records = Records::default();
        let mut written = Vec::new();
        let from = Start { place: 100, line: 7 };
        let target = Id { place: 77, from: Start { place: 1 << 20, line: u32::MAX } };
        // The last one stands before `from`.
        for (place, line, length) in
            [(100, 7, 0), (227, 8, 300), (1 << 27, 1 << 26, 1 << 26), (u32::MAX, u32::MAX, 1), (5, 1, 1)]
        {
            for (tag, plain) in TAGS.into_iter().zip([true, false].into_iter().cycle()) {
                for kind in KINDS {
                    let id = Id { place: records.end(), from };
                    let head = Head { kind, tag, plain, has_alias: false, start: Start { place, line } };
                    records.push_head(head, from);
                    match kind {
                        Kind::Written | Kind::Copied => records.push(length),
                        Kind::List | Kind::Map => {
                            records.push_end();
                            records.close(id.place);
                        }
                        Kind::Alias => records.push_id(target),
                    }
                    written.push((id, head, length, records.end()));
                }
            }
        }
        for (id, expected, length, end) in written {
            let (head, mut rest) = records.head(id);
            assert_eq!(format!("{head:?}"), format!("{expected:?}"));
            match head.kind {
                Kind::Written | Kind::Copied => assert_eq!(rest.number(), length),
                Kind::List | Kind::Map => assert_eq!(rest.fixed(), end),
                Kind::Alias => assert_eq!(rest.id(), target),
            }
            assert_eq!(rest.place(), end);
            records.mark_alias_of(id.place);
            assert!(records.head(id).0.has_alias);
        }
    }

    #[test]
    fn a_scalar_on_the_next_line_is_four_bytes() {
        let mut records = Records::default();
        let head = |place, line| Head {
            kind: Kind::Written,
            tag: None,
            plain: true,
            has_alias: false,
            start: Start { place, line },
        };
        records.push_head(head(50_000_015, 2_000_001), Start { place: 50_000_000, line: 2_000_000 });
        records.push(13);
        assert_eq!(records.end(), 4);
    }
}
