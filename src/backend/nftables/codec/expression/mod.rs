//! The expressions of which a rule consists (`enum nft_expr_attributes`): each loads, compares or does one thing.
//!
//! One file for each: its type, how it is emitted, how it is parsed. To add one, add its file and a line to each of the
//! three lists in this one.

mod bitwise;
mod byteorder;
mod cmp;
mod counter;
mod data;
mod extension;
mod fib;
mod immediate;
mod lookup;
mod masq;
mod meta;
mod numgen;
mod payload;

pub use bitwise::Bitwise;
pub use byteorder::Byteorder;
pub use cmp::{Cmp, CmpOp};
pub use counter::Counter;
pub use data::Data;
pub use extension::Extension;
pub use fib::Fib;
pub use immediate::{Immediate, VerdictCode};
pub use lookup::Lookup;
pub use masq::Masq;
pub use meta::Meta;
pub use numgen::Numgen;
pub use payload::{Payload, PayloadBase};

use crate::netlink::{Attribute, Attributes, Malformed, Writer};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
/// In data: bytes for a register.
const NFTA_DATA_VALUE: u16 = 1;

/// The first register of 16 bytes (`NFT_REG_1`), into which our rules load everything; a second port alone needs another.
pub(crate) const REGISTER: u32 = 1;

/// One expression of a rule. Numbers that the kernel takes in network order are plain integers here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads bytes of the packet.
    Payload(Payload),
    /// Compares a register with a value; if it does not hold, the rule ends here.
    Cmp(Cmp),
    /// Masks a register.
    Bitwise(Bitwise),
    /// Turns the numbers in a register around.
    Byteorder(Byteorder),
    /// Looks a register up in a set; if it is not there, the rule ends here.
    Lookup(Lookup),
    /// Loads something about the packet that is not in its bytes.
    Meta(Meta),
    /// Loads what the routing table says about an address of the packet.
    Fib(Fib),
    /// Loads a number that is drawn.
    Numgen(Numgen),
    /// Loads a value into a register.
    Immediate(Immediate),
    /// Decides about the packet.
    Verdict(VerdictCode),
    /// Masquerades, and so decides.
    Masq(Masq),
    /// Counts packets and bytes.
    Counter(Counter),
    /// A match of xtables, as in `iptables -m`.
    Match(Extension),
    /// A target of xtables, as in `iptables -j`.
    Target(Extension),
    /// An expression that we do not know, or one that we know with a part that we do not.
    Other {
        /// What the kernel calls it.
        name: String,
        /// Its attributes, as received.
        data: Vec<u8>,
    },
}

impl Expression {
    /// Appends the expression as an element of a list.
    pub(crate) fn emit(&self, writer: &mut Writer) {
        writer.nested(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, self.name());
            match self {
                // Attributes as they were received: their own flags are in them.
                Self::Other { data, .. } => writer.nested(NFTA_EXPR_DATA, |writer| writer.raw(data)),
                known => writer.nested(NFTA_EXPR_DATA, |writer| known.emit_data(writer)),
            }
        });
    }

    /// What the kernel calls it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Payload(_) => payload::NAME,
            Self::Cmp(_) => cmp::NAME,
            Self::Bitwise(_) => bitwise::NAME,
            Self::Byteorder(_) => byteorder::NAME,
            Self::Lookup(_) => lookup::NAME,
            Self::Meta(_) => meta::NAME,
            Self::Fib(_) => fib::NAME,
            Self::Numgen(_) => numgen::NAME,
            Self::Immediate(_) | Self::Verdict(_) => immediate::NAME,
            Self::Masq(_) => masq::NAME,
            Self::Counter(_) => counter::NAME,
            Self::Match(_) => extension::MATCH,
            Self::Target(_) => extension::TARGET,
            Self::Other { name, .. } => name,
        }
    }

    fn emit_data(&self, writer: &mut Writer) {
        match self {
            Self::Payload(payload) => payload.emit(writer),
            Self::Cmp(cmp) => cmp.emit(writer),
            Self::Bitwise(bitwise) => bitwise.emit(writer),
            Self::Byteorder(byteorder) => byteorder.emit(writer),
            Self::Lookup(lookup) => lookup.emit(writer),
            Self::Meta(meta) => meta.emit(writer),
            Self::Fib(fib) => fib.emit(writer),
            Self::Numgen(numgen) => numgen.emit(writer),
            Self::Immediate(immediate) => immediate.emit(writer),
            Self::Verdict(verdict) => verdict.emit(writer),
            Self::Masq(masq) => masq.emit(writer),
            Self::Counter(counter) => counter.emit(writer),
            Self::Match(extension) | Self::Target(extension) => extension.emit(writer),
            Self::Other { .. } => {}
        }
    }

    /// Reads the content of an element of a list. Whatever is not understood in full becomes [`Expression::Other`].
    pub(crate) fn parse(element: Attributes<'_>) -> Result<Self, Malformed> {
        let (mut name, mut data) = (None, &[][..]);
        for attribute in element {
            let attribute = attribute?;
            match attribute.kind {
                NFTA_EXPR_NAME => name = Some(attribute),
                NFTA_EXPR_DATA => data = attribute.payload,
                _ => {}
            }
        }
        let name = name.ok_or(Malformed("an expression has no name"))?;
        let known = name.str().and_then(|name| Self::parse_known(name, Attributes::new(data)));
        Ok(known.unwrap_or_else(|| Self::Other { name: name.text(), data: data.to_vec() }))
    }

    fn parse_known(name: &str, data: Attributes<'_>) -> Option<Self> {
        match name {
            payload::NAME => Payload::parse(data).map(Self::Payload),
            cmp::NAME => Cmp::parse(data).map(Self::Cmp),
            bitwise::NAME => Bitwise::parse(data).map(Self::Bitwise),
            byteorder::NAME => Byteorder::parse(data).map(Self::Byteorder),
            lookup::NAME => Lookup::parse(data).map(Self::Lookup),
            meta::NAME => Meta::parse(data).map(Self::Meta),
            fib::NAME => Fib::parse(data).map(Self::Fib),
            numgen::NAME => Numgen::parse(data).map(Self::Numgen),
            immediate::NAME => immediate::parse(data),
            masq::NAME => Masq::parse(data).map(Self::Masq),
            counter::NAME => Counter::parse(data).map(Self::Counter),
            extension::MATCH => Extension::parse(data).map(Self::Match),
            extension::TARGET => Extension::parse(data).map(Self::Target),
            _ => None,
        }
    }
}

/// A value for a register, wrapped as the kernel wants it.
fn emit_value(writer: &mut Writer, kind: u16, value: &[u8]) {
    writer.nested(kind, |writer| writer.attribute(NFTA_DATA_VALUE, value));
}

/// The value in an attribute of data; `None` if it holds a verdict, or more, or more bytes than a register.
fn parse_value(attribute: &Attribute<'_>) -> Option<Data> {
    let mut value = None;
    for inner in attribute.nested() {
        let inner = inner.ok()?;
        if inner.kind != NFTA_DATA_VALUE {
            return None;
        }
        value = Some(Data::new(inner.payload)?);
    }
    value
}
