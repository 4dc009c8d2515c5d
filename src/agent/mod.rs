//! The agent's life: events come in, each leads to one pass, and a signal ends it.

mod alarm;
mod back_off;
mod complaint;
mod config_files;
mod counters;
mod event;
mod file_thread;
mod file_watch;
mod flow_worker;
mod flows;
mod latest;
mod narrate;
mod pass;
mod readable;
mod rules_watch;
mod run;
mod signals;
mod state_writes;
mod status;
mod timed;
mod watch;

pub use config_files::{ConfigFiles, Content, FileNews, Look};
pub use counters::Counters;
pub use event::Event;
pub use flow_worker::FlowWorker;
pub use pass::{Agent, ConfigNews, Pass};
pub use run::{RunError, run};
pub use signals::Signals;
pub use timed::Took;
