//! The native layout: rules as nft writes them, for a table of our own.
//!
//! [`encode`] writes the expressions that nft writes, in an order that is easy to read in listings. [`decode`] goes by the
//! meaning of the expressions.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

#[cfg(test)]
mod tests;
