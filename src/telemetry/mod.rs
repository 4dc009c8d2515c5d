//! What the agent tells of itself while it works.

mod logging;

pub use logging::{LoggingError, Verbosity, init};
