//! The native shape: rules as nft writes them, for a table of our own.
//!
//! [`lower`] writes what nft writes, in an order that lists well. [`raise`] reads by meaning.

mod lower;
mod raise;

pub use lower::lower;
pub use raise::raise;

#[cfg(test)]
mod tests;
