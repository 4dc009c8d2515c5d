//! What the agent tells of itself while it works.

mod log;
mod log_output;
mod log_queue;
mod logging;
mod one_line;
mod style;

pub use logging::{LoggingError, Verbosity, finish, init, write, write_in_background};
pub use style::Style;
