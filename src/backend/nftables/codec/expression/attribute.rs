//! Expressions as lists of attributes: how one attribute holds a value, and the table from which a struct, its emission and
//! its parsing are made.

use crate::netlink::{Attribute, Writer};

use super::Data;

/// Bytes for a register (`NFTA_DATA_VALUE`).
const NFTA_DATA_VALUE: u16 = 1;
/// The lowest bit of attributes that hold flags (`NFT_LOOKUP_F_INV`).
const FLAG: u32 = 1;

/// A value that one attribute holds.
pub(super) trait Value: Sized {
    fn emit(&self, writer: &mut Writer, kind: u16);

    /// `None` if the attribute holds anything that the type cannot express.
    fn parse(attribute: &Attribute<'_>) -> Option<Self>;
}

impl Value for u32 {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        writer.be32(kind, *self);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        attribute.be32().ok()
    }
}

impl Value for u64 {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        writer.be64(kind, *self);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        attribute.be64().ok()
    }
}

/// A single flag. Where it is not set, the attribute is left out.
impl Value for bool {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        if *self {
            writer.be32(kind, FLAG);
        }
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        match attribute.be32() {
            Ok(0) => Some(false),
            Ok(FLAG) => Some(true),
            _ => None,
        }
    }
}

impl Value for String {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        writer.text(kind, self);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        Some(attribute.text())
    }
}

impl Value for Vec<u8> {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        writer.attribute(kind, self);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        Some(attribute.payload.to_vec())
    }
}

/// An attribute of data that holds bytes, no verdict, and no more bytes than a register.
impl Value for Data {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        writer.nested(kind, |writer| writer.attribute(NFTA_DATA_VALUE, self));
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        let mut value = None;
        for inner in attribute.nested() {
            let inner = inner.ok().filter(|inner| inner.kind == NFTA_DATA_VALUE)?;
            value = Some(Self::new(inner.payload)?);
        }
        value
    }
}

/// Makes a struct of rows `field: type = ATTRIBUTE(number)`, which emits its fields in their order and parses them in any.
/// Behind `or` is the value of an attribute that may be missing; rows that begin with `_` are attributes that change nothing.
/// Where there is an attribute that is in no row, nothing is parsed.
macro_rules! of_attributes {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty = $attribute:ident($number:literal) $(or $default:literal)?,)+
            $(_ = $ignored:ident($ignored_number:literal),)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)+
        }

        impl $name {
            $(const $attribute: u16 = $number;)+
            $(const $ignored: u16 = $ignored_number;)*

            pub(super) fn emit(&self, writer: &mut Writer) {
                $(self.$field.emit(writer, Self::$attribute);)+
            }

            pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
                $(let mut $field = None;)+
                for attribute in attributes {
                    let attribute = attribute.ok()?;
                    match attribute.kind {
                        $(Self::$attribute => $field = Some(Value::parse(&attribute)?),)+
                        $(Self::$ignored => {})*
                        _ => return None,
                    }
                }
                Some(Self { $($field: $field$(.or(Some($default)))??,)+ })
            }
        }
    };
}

pub(super) use of_attributes;
