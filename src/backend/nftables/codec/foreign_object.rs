//! What can be in a table beside sets, chains and rules (`enum nft_object_attributes`, `enum nft_flowtable_attributes`).
//! The agent makes none of these; those that others left in a table of ours are only listed and deleted.

use crate::backend::nftables::{ForeignKind, ForeignObject};
use crate::netlink::{Attributes, Kind, Malformed, Writer};

use super::kind;

/// `NFT_MSG_NEWOBJ`, the answer to `NFT_MSG_GETOBJ`.
const NEW_OBJECT: Kind = kind(18);
/// The requests that list all such objects (`NFT_MSG_GETOBJ`, `NFT_MSG_GETFLOWTABLE`), and the messages that answer them.
pub(crate) const DUMPS: [(Kind, Kind); 2] = [(kind(19), NEW_OBJECT), (kind(23), kind(22))];

/// `NFTA_OBJ_TABLE` and `NFTA_FLOWTABLE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_OBJ_NAME` and `NFTA_FLOWTABLE_NAME`.
const NAME: u16 = 2;
const NFTA_OBJ_TYPE: u16 = 3;

/// All of a table.
pub(crate) fn emit_table(writer: &mut Writer, table: &str) {
    writer.text(TABLE, table);
}

/// One of them, to be deleted.
pub(crate) fn emit_name(writer: &mut Writer, table: &str, foreign_object: &ForeignObject) {
    emit_table(writer, table);
    writer.text(NAME, &foreign_object.name);
    match foreign_object.kind {
        ForeignKind::Object(number) => writer.be32(NFTA_OBJ_TYPE, number),
        ForeignKind::Flowtable => {}
    }
}

/// The message that deletes one (`NFT_MSG_DELOBJ`, `NFT_MSG_DELFLOWTABLE`).
pub(crate) const fn deletion(of: ForeignKind) -> Kind {
    match of {
        ForeignKind::Object(_) => kind(20),
        ForeignKind::Flowtable => kind(24),
    }
}

/// One that was dumped in answer to a request for objects, or for flowtables; `None` if it is of another table.
pub(crate) fn parse(attributes: Attributes<'_>, answer: Kind, table: &str) -> Result<Option<ForeignObject>, Malformed> {
    let (mut name, mut object) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            TABLE if !attribute.is(table) => return Ok(None),
            NAME => name = Some(attribute.text()),
            NFTA_OBJ_TYPE if answer == NEW_OBJECT => object = Some(attribute.be32()?),
            _ => {}
        }
    }
    let name = name.ok_or(Malformed("a stateful object or flowtable has no name"))?;
    let kind = match (answer == NEW_OBJECT, object) {
        (true, number) => ForeignKind::Object(number.ok_or(Malformed("a stateful object has no type"))?),
        (false, _) => ForeignKind::Flowtable,
    };
    Ok(Some(ForeignObject { name, kind }))
}
