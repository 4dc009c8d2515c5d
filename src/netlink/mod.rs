//! What all users of netlink share: messages, attributes, and the connection that carries requests and their answers
//! (`netlink(7)`, `linux/netlink.h`), and what all subsystems of netfilter have in common
//! (`linux/netfilter/nfnetlink.h`). The numbers and attributes of one protocol are with that protocol, not here.
//!
//! No bytes make the parsers panic. Only `socket.rs` does I/O.

#[cfg(test)]
pub(crate) mod captures;
mod connection;
mod error;
mod message;
pub(crate) mod nfnetlink;
mod socket;
mod wire;

pub use connection::{Batch, Connection, Transport};
pub(crate) use connection::{BatchWriter, End, Request, Requests, TRIES};
pub use error::NetlinkError;
pub(crate) use message::{Content, FamilyHeader, Kind, Messages, flag};
pub use socket::{NetlinkFamily, NetlinkSocket};
pub(crate) use wire::{Attribute, Attributes, Malformed, Writer};
