//! What the agent tells of itself while it works.

mod logging;
mod one_line;
mod style;
mod systemd;

pub use logging::{LoggingError, Verbosity, init};
pub use style::Style;
pub use systemd::ServiceManager;
