//! The expressions of which a rule consists (`enum nft_expr_attributes`): each loads, compares or does one thing.
//!
//! To add one, add its struct to `kinds.rs` and a row to the table below.

mod attribute;
mod data;
mod immediate;
mod kinds;

pub use data::Data;
pub use immediate::{Immediate, VerdictCode};
pub use kinds::{
    Bitwise, Byteorder, Cmp, CmpOp, Counter, Extension, Fib, Lookup, Masq, Meta, Numgen, Payload, PayloadBase, Range,
};

use crate::netlink::{Attributes, Malformed, Writer};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// The first register of 16 bytes (`NFT_REG_1`), into which our rules load everything; a second port alone needs another.
pub(crate) const REGISTER: u32 = 1;

/// Makes the enum of rows `Variant(Type) = "what the kernel calls it"`. Of several rows with one name, the first is taken
/// that can be parsed.
macro_rules! expressions {
    ($($(#[$doc:meta])* $variant:ident($type:ident) = $name:literal,)+) => {
        /// One expression of a rule. Numbers that the kernel takes in network order are plain integers here.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Expression {
            $($(#[$doc])* $variant($type),)+
            /// An expression that is not known here, or a known one with a part that is not.
            Other {
                /// Its name in the kernel.
                name: String,
                /// Its attributes, as received.
                data: Vec<u8>,
            },
        }

        impl Expression {
            /// What the kernel calls it.
            pub(crate) fn name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Other { name, .. } => name,
                }
            }

            fn emit_data(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant(expression) => expression.emit(writer),)+
                    // The attributes as they were received, with the flags of their types.
                    Self::Other { data, .. } => writer.raw(data),
                }
            }

            fn parse_known(name: &str, data: &Attributes<'_>) -> Option<Self> {
                $(
                    if name == $name && let Some(expression) = $type::parse(data.clone()) {
                        return Some(Self::$variant(expression));
                    }
                )+
                None
            }
        }
    };
}

expressions! {
    /// Loads bytes of the packet.
    Payload(Payload) = "payload",
    /// Compares a register with a value; if it does not hold, the rule ends here.
    Cmp(Cmp) = "cmp",
    /// Compares a register with two values; if it is not between them, the rule ends here.
    Range(Range) = "range",
    /// Masks a register.
    Bitwise(Bitwise) = "bitwise",
    /// Gives a verdict on the packet.
    Verdict(VerdictCode) = "immediate",
    /// Loads a value into a register.
    Immediate(Immediate) = "immediate",
    /// Counts packets and bytes.
    Counter(Counter) = "counter",
    /// A match of xtables, as in `iptables -m`.
    Match(Extension) = "match",
    /// A target of xtables, as in `iptables -j`.
    Target(Extension) = "target",
    /// Loads something about the packet that is not in its bytes.
    Meta(Meta) = "meta",
    /// Looks a register up in a set; if it is not there, the rule ends here.
    Lookup(Lookup) = "lookup",
    /// Loads what the routing table says about an address of the packet.
    Fib(Fib) = "fib",
    /// Loads a number that is generated.
    Numgen(Numgen) = "numgen",
    /// Converts the numbers in a register between host and network order.
    Byteorder(Byteorder) = "byteorder",
    /// Masquerades, which is also a verdict.
    Masq(Masq) = "masq",
}

impl Expression {
    /// Appends the expression as an element of a list.
    pub(crate) fn emit(&self, writer: &mut Writer) {
        writer.nested(NFTA_LIST_ELEM, |writer| {
            writer.text(NFTA_EXPR_NAME, self.name());
            writer.nested(NFTA_EXPR_DATA, |writer| self.emit_data(writer));
        });
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
        let known = name.str().and_then(|name| Self::parse_known(name, &Attributes::new(data)));
        Ok(known.unwrap_or_else(|| Self::Other { name: name.text(), data: data.to_vec() }))
    }
}
