//! The log of the process.

mod log;
mod log_output;
mod log_queue;
mod logging;
mod one_line;
#[cfg(test)]
pub(crate) mod page;
mod style;

pub use logging::{LoggingError, Verbosity, finish, init, write, write_in_background};
pub use style::Style;
