//! Real packets through rules about interfaces, ports and marks, in each layout: what the policy says of a packet, the kernel
//! does with it.

#[cfg(test)]
mod packets;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
