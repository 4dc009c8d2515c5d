//! The agent's life: events come in, each leads to one pass, and a signal ends it.

mod event;
mod narrate;
mod pass;
mod run;
mod watch;

pub use event::Event;
pub use pass::{Agent, ConfigNews, Pass};
pub use run::{RunError, run};
