//! The agent's life: events come in, each leads to one pass, and a signal ends it.

mod alarm;
mod complaint;
mod counters;
mod event;
mod file_watch;
mod flows;
mod narrate;
mod pass;
mod patience;
mod readable;
mod rules_watch;
mod run;
mod signals;
mod watch;

pub use counters::Counters;
pub use event::Event;
pub use pass::{Agent, ConfigNews, Pass};
pub use run::{RunError, run};
pub use signals::Signals;
