//! Nodes of a tree as bytes: the memory for a file is a small multiple of its size only if a node is a few bytes.

use super::resolve::Tag;

/// Nodes, one behind the other. Each begins with a byte for its [`Head`] and its line; then comes what its kind needs.
/// Numbers are in LEB128: seven bits a byte, the lowest first, the eighth bit set if there are more.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

/// What all nodes have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) tag: Option<Tag>,
    /// Is this a scalar without quotes?
    pub(super) plain: bool,
    /// Does an alias point here?
    pub(super) has_alias: bool,
    pub(super) line: u32,
}

/// What a node is, and by that what stands behind its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A scalar that stands in the text: its place there and its length.
    Written,
    /// A scalar that had to be decoded: the same among those.
    Copied,
    /// The place behind the last entry, in four bytes, because it is known only when those are there.
    Sequence,
    /// The same.
    Mapping,
    /// The place of what it stands for.
    Alias,
}

/// The rest of a record.
#[derive(Debug)]
pub(super) struct Rest<'t> {
    bytes: &'t [u8],
    place: usize,
}

const KINDS: [Kind; 5] = [Kind::Written, Kind::Copied, Kind::Sequence, Kind::Mapping, Kind::Alias];
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
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push_scalar(&mut self, head: Head, start: usize, length: usize) {
        self.push_head(head);
        self.push(start);
        self.push(length);
    }

    /// Its end is where it starts, until it is [closed](Self::close).
    pub(super) fn push_collection(&mut self, head: Head) {
        let place = self.end();
        self.push_head(head);
        self.0.extend(place.to_le_bytes());
    }

    pub(super) fn push_alias(&mut self, head: Head, target: u32) {
        self.push_head(head);
        self.push(target as usize);
    }

    /// What comes from here on no longer belongs to this collection.
    pub(super) fn close(&mut self, collection: u32) {
        let end = self.end().to_le_bytes();
        let (_, rest) = self.head(collection);
        let place = rest.place;
        if let Some(bytes) = self.0.get_mut(place..place + end.len()) {
            bytes.copy_from_slice(&end);
        }
    }

    pub(super) fn mark_alias_of(&mut self, target: u32) {
        if let Some(first) = self.0.get_mut(target as usize) {
            *first |= HAS_ALIAS;
        }
    }

    /// The head of the node at that place, and the rest of it. Where there is none, it is an empty text.
    pub(super) fn head(&self, place: u32) -> (Head, Rest<'_>) {
        let mut rest = Rest { bytes: &self.0, place: place as usize };
        let first = rest.byte();
        let head = Head {
            kind: KINDS.get(usize::from(first & 0x07)).copied().unwrap_or(Kind::Written),
            tag: TAGS.get(usize::from(first >> 3 & 0x07)).copied().flatten(),
            plain: first & PLAIN != 0,
            has_alias: first & HAS_ALIAS != 0,
            line: rest.number(),
        };
        (head, rest)
    }

    fn push_head(&mut self, head: Head) {
        let place = |found: Option<usize>| found.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
        let kind = place(KINDS.iter().position(|kind| *kind == head.kind));
        let tag = place(TAGS.iter().position(|tag| *tag == head.tag));
        let plain = if head.plain { PLAIN } else { 0 };
        self.0.push(kind | tag << 3 | plain);
        self.push(head.line as usize);
    }

    fn push(&mut self, mut number: usize) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

impl Rest<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.bytes.get(self.place).copied().unwrap_or_default();
        self.place += 1;
        byte
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u32 {
        let mut number = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// The next number of four bytes.
    pub(super) fn fixed(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// The place behind what was taken.
    pub(super) fn place(&self) -> u32 {
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
        for (line, start, length) in [(1, 0, 0), (127, 128, 300), (1 << 26, 1 << 27, 1 << 26), (u32::MAX, 5, 1)] {
            for (tag, plain) in TAGS.into_iter().zip([true, false].into_iter().cycle()) {
                for kind in KINDS {
                    let place = records.end();
                    let head = Head { kind, tag, plain, has_alias: false, line };
                    match kind {
                        Kind::Written | Kind::Copied => records.push_scalar(head, start, length),
                        Kind::Sequence | Kind::Mapping => {
                            records.push_collection(head);
                            records.close(place);
                        }
                        Kind::Alias => records.push_alias(head, 77),
                    }
                    written.push((place, head, start, length, records.end()));
                }
            }
        }
        for (place, expected, start, length, end) in written {
            let (head, mut rest) = records.head(place);
            assert_eq!(format!("{head:?}"), format!("{expected:?}"));
            match head.kind {
                Kind::Written | Kind::Copied => {
                    assert_eq!((rest.number() as usize, rest.number() as usize), (start, length));
                }
                Kind::Sequence | Kind::Mapping => assert_eq!(rest.fixed(), end),
                Kind::Alias => assert_eq!(rest.number(), 77),
            }
            assert_eq!(rest.place(), end);
            records.mark_alias_of(place);
            assert!(records.head(place).0.has_alias);
        }
    }
}
