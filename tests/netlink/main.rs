//! The codec against a real kernel, iptables-nft, and bytes that were recorded from it.

#[cfg(test)]
mod changes;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod own;
#[cfg(test)]
mod own_table;
#[cfg(test)]
mod protection;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
