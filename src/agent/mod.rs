//! The agent's life: events come in, each leads to one pass, and a signal ends it.

mod event;
mod flows;
mod narrate;
mod pass;
mod run;
mod watch;

pub use event::Event;
pub use pass::{Agent, ConfigNews, Instead, Pass};
pub use run::{RunError, run};
