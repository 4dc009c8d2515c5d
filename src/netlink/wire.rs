//! Netlink attributes: a writer that appends to one buffer, and a reader that borrows (`linux/netlink.h`, `netlink(7)`).
//!
//! An attribute is a 16-bit length (its own four bytes included) and a 16-bit type, both in host order, then the
//! payload, then zeros up to a multiple of four. Netfilter has the numbers in its attributes in network order.

const HEADER_LEN: usize = 4;
/// The attribute holds attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// The two flag bits (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`) are no part of the type.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Bytes that break the rules of the format. The text says which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Appends messages and attributes to one buffer.
///
/// No method returns an error: [`Writer::is_overlong`] tells afterwards whether an attribute outgrew its 16-bit length,
/// and the sender of the bytes has to check it first.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    overlong: bool,
}

impl Writer {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), overlong: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.overlong = false;
    }

    /// Whether an attribute did not fit into the 65,535 bytes that its length field can say.
    pub(crate) const fn is_overlong(&self) -> bool {
        self.overlong
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Replaces bytes that were written before.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    pub(crate) fn attribute(&mut self, kind: u16, payload: &[u8]) {
        self.parts(kind, &[payload]);
    }

    /// An attribute whose payload is these bytes, one after the other.
    pub(crate) fn parts(&mut self, kind: u16, parts: &[&[u8]]) {
        self.framed(kind, |writer| parts.iter().for_each(|part| writer.raw(part)));
    }

    /// An attribute that holds the attributes written by `content`.
    pub(crate) fn nested(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        self.framed(kind | NLA_F_NESTED, content);
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        // This is the most frequent attribute, so it is written in one piece.
        const LEN: [u8; 2] = 8_u16.to_ne_bytes();
        let ([k0, k1], [v0, v1, v2, v3]) = (kind.to_ne_bytes(), value.to_be_bytes());
        self.raw(&[LEN[0], LEN[1], k0, k1, v0, v1, v2, v3]);
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text with the NUL that ends it on the wire.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.parts(kind, &[text.as_bytes(), &[0]]);
    }

    fn framed(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let [k0, k1] = kind.to_ne_bytes();
        self.raw(&[0, 0, k0, k1]);
        content(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(len) => self.patch(start, &len.to_ne_bytes()),
            Err(_) => self.overlong = true,
        }
        let padding = self.bytes.len().wrapping_neg() % 4;
        if padding > 0 {
            self.bytes.resize(self.bytes.len() + padding, 0);
        }
    }
}

/// One attribute, borrowed from the bytes received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    /// The type, without its flag bits.
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
}

/// The attributes in a slice. After a malformed one there is no next.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((header, _)) = self.rest.split_first_chunk::<HEADER_LEN>() else {
            self.rest = &[];
            return Some(Err(Malformed("an attribute ends inside its header")));
        };
        let [len_0, len_1, kind_0, kind_1] = *header;
        let len = usize::from(u16::from_ne_bytes([len_0, len_1]));
        let Some(payload) = self.rest.get(HEADER_LEN..len) else {
            self.rest = &[];
            return Some(Err(Malformed("an attribute's length is not that of its bytes")));
        };
        // The padding of the last attribute may be missing.
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([kind_0, kind_1]) & NLA_TYPE_MASK;
        Some(Ok(Attribute { kind, payload }))
    }
}

impl<'a> Attribute<'a> {
    pub(crate) const fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }

    pub(crate) fn be16(&self) -> Result<u16, Malformed> {
        self.payload.try_into().map(u16::from_be_bytes).map_err(|_| Malformed("a number is not 2 bytes long"))
    }

    pub(crate) fn be32(&self) -> Result<u32, Malformed> {
        self.payload.try_into().map(u32::from_be_bytes).map_err(|_| Malformed("a number is not 4 bytes long"))
    }

    pub(crate) fn be64(&self) -> Result<u64, Malformed> {
        self.payload.try_into().map(u64::from_be_bytes).map_err(|_| Malformed("a number is not 8 bytes long"))
    }

    /// Whether the text before the first NUL is `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.until_nul() == text.as_bytes()
    }

    /// The text before the first NUL, if it is UTF-8.
    pub(crate) fn str(&self) -> Option<&'a str> {
        str::from_utf8(self.until_nul()).ok()
    }

    /// The text before the first NUL. Every name of ours is ASCII, so that bytes which are not UTF-8 can become U+FFFD
    /// without making another name look like one of ours.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.until_nul()).into_owned()
    }

    fn until_nul(&self) -> &'a [u8] {
        self.payload.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Malformed> {
        Attributes::new(bytes).map(|a| a.map(|a| (a.kind, a.payload.to_vec()))).collect()
    }

    #[test]
    fn what_is_written_is_read_and_padding_is_not_content() {
        let mut writer = Writer::new();
        writer.text(1, "nat");
        writer.be32(2, 7);
        writer.nested(4, |writer| writer.attribute(1, &[0xaa]));
        writer.be64(3, u64::MAX);
        assert!(!writer.is_overlong());
        assert_eq!(
            read(writer.bytes()),
            Ok(vec![
                (1, b"nat\0".to_vec()),
                (2, vec![0, 0, 0, 7]),
                (4, [&5_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &[0xaa, 0, 0, 0]].concat()),
                (3, vec![0xff; 8]),
            ])
        );
    }

    #[test]
    fn an_attribute_beyond_64_kib_is_noticed() {
        let mut writer = Writer::new();
        writer.attribute(1, &vec![0; 65_531]);
        assert!(!writer.is_overlong());
        writer.attribute(1, &vec![0; 65_532]);
        assert!(writer.is_overlong());
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed_and_end_the_reading() {
        let outside = Malformed("an attribute's length is not that of its bytes");
        for (bytes, wrong) in [
            (&[1, 0, 1][..], Malformed("an attribute ends inside its header")),
            (&[3, 0, 1, 0], outside),
            (&[9, 0, 1, 0, 1, 2, 3, 4], outside),
            (&[0, 0, 0, 0], outside),
        ] {
            assert_eq!(read(bytes), Err(wrong), "{bytes:?}");
            assert_eq!(Attributes::new(bytes).count(), 1, "{bytes:?}");
        }
        assert_eq!(read(&[5, 0, 1, 0, 9]), Ok(vec![(1, vec![9])]), "the last padding may be missing");
    }
}
