//! The log of the process.

mod colour;
mod formatter;
mod journal;
mod log;
mod log_output;
mod log_queue;
mod logging;
#[cfg(test)]
pub(crate) mod page;
mod record;
mod room;
mod style;
mod time;

pub use colour::Colour;
pub use journal::MESSAGE_IDS;
pub use logging::{LoggingError, Verbosity, finish, init, write, write_in_background};
pub use style::{LogFormat, Style};
