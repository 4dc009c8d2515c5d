//! The agent's life: what it waits for and what it does then.

mod watch;

pub use watch::{ConfigWatch, WatchError};
