//! What the fuzz targets share: how an input is taken apart, the addresses worth asking about, and a kernel in memory.

pub mod kernel;
pub mod messages;
pub mod policies;
