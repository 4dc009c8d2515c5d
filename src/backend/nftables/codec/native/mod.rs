//! The native layout: rules as nft writes them, for a table of our own.
//!
//! [`encode`] writes what nft writes, in an order that lists well. [`decode`] reads by meaning.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

#[cfg(test)]
mod tests;
