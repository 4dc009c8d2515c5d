//! Netlink without any protocol of its users: messages, attributes, and the connection that carries requests and their
//! answers (`netlink(7)`, `linux/netlink.h`, `linux/netfilter/nfnetlink.h`). No bytes make the parsers panic. Only
//! `socket.rs` does I/O.

mod budget;
#[cfg(test)]
pub(crate) mod captures;
mod connection;
mod error;
mod message;
mod socket;
mod table_family;
mod wire;

pub(crate) use budget::Budget;
pub use connection::{Connection, Transport};
pub(crate) use connection::{End, Received, Request, TRIES};
pub use error::NetlinkError;
pub(crate) use message::{Content, Head, Kind, Message, Messages, flag};
pub use socket::NetlinkSocket;
pub use table_family::TableFamily;
pub(crate) use wire::{Attribute, Attributes, Malformed, Writer};
