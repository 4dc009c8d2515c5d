//! What can be in a table beside sets, chains and rules (`enum nft_object_attributes`, `enum nft_flowtable_attributes`).
//! The agent makes none of it, so it is only found and deleted.

use crate::backend::nftables::{ForeignKind, ForeignObject};

use crate::netlink::Kind;
use crate::netlink::{Attributes, Malformed, Writer};

/// `NFTA_OBJ_TABLE` and `NFTA_FLOWTABLE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_OBJ_NAME` and `NFTA_FLOWTABLE_NAME`.
const NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;

/// The requests that list all such things, and the messages that answer.
pub(in crate::backend::nftables) const DUMPS: [(Kind, Kind); 2] =
    [(Kind::GET_OBJECT, Kind::NEW_OBJECT), (Kind::GET_FLOWTABLE, Kind::NEW_FLOWTABLE)];

/// All of a table.
pub(in crate::backend::nftables) fn emit_table(writer: &mut Writer, table: &str) {
    writer.text(TABLE, table);
}

/// One of them, to be deleted.
pub(in crate::backend::nftables) fn emit_name(writer: &mut Writer, table: &str, foreign_object: &ForeignObject) {
    emit_table(writer, table);
    writer.text(NAME, &foreign_object.name);
    match foreign_object.kind {
        ForeignKind::Object(number) => writer.be32(NFTA_OBJ_TYPE, number),
        ForeignKind::Flowtable => {}
    }
}

/// The message that deletes one.
pub(in crate::backend::nftables) const fn deletion(kind: ForeignKind) -> Kind {
    match kind {
        ForeignKind::Object(_) => Kind::DEL_OBJECT,
        ForeignKind::Flowtable => Kind::DEL_FLOWTABLE,
    }
}

/// One that was dumped in answer to a request for objects, or for flowtables; `None` if it is of another table.
pub(in crate::backend::nftables) fn parse(
    attributes: Attributes<'_>,
    answer: Kind,
    table: &str,
) -> Result<Option<ForeignObject>, Malformed> {
    let (mut name, mut object) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            TABLE if !attribute.is(table) => return Ok(None),
            NAME => name = Some(attribute.text()),
            NFTA_OBJ_TYPE if answer == Kind::NEW_OBJECT => object = Some(attribute.be32()?),
            _ => {}
        }
    }
    let name = name.ok_or(Malformed("a stateful object or flowtable has no name"))?;
    let kind = match (answer == Kind::NEW_OBJECT, object) {
        (true, number) => ForeignKind::Object(number.ok_or(Malformed("a stateful object has no type"))?),
        (false, _) => ForeignKind::Flowtable,
    };
    Ok(Some(ForeignObject { name, kind }))
}
