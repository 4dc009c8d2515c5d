//! What the agent tells of itself while it works.

mod logging;
mod one_line;
mod systemd;

pub use logging::{LoggingError, Verbosity, init};
pub use systemd::ServiceManager;
