//! The agent's loop: it waits for events, the state says which effects follow from each, and these are carried out.
//!
//! `State::step` is a pure function of the state and an event. Only `run` touches the kernel, files, clocks
//! and the log; and of the kernel's rules only `reconcile`.

mod back_off;
mod config_files;
mod earlier_flows;
mod event;
mod file_thread;
mod file_watch;
mod flow_worker;
mod reconcile;
mod reload;
mod run;
mod slot;
mod sources;
mod state;
mod state_writes;
mod stepped;
mod watch;

pub use config_files::{ConfigFiles, Content, FileNews, Look};
pub use event::RunError;
pub use flow_worker::FlowWorker;
pub use run::{Agent, run};
pub use sources::Signals;
pub use stepped::SteppedAgent;
