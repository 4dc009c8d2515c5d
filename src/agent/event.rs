//! What can happen to the agent, and what it does then.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use thiserror::Error;

use super::FileNews;
use super::file_thread::Ask;
use super::flow_worker::{FlowReport, Job};
use super::reconcile::{Reconcile, Reconciled};
use crate::backend::Heard;
use crate::last_good::Save;
use crate::report::{Report, SaveReport};
use crate::rules::TableId;

/// What can happen. The set is closed: a new cause is a new variant.
#[derive(Debug)]
pub(super) enum Event {
    /// The process begins, and the configuration file is being looked at for the first time.
    Start,
    /// Something is new about the configuration file.
    FileNews(FileNews),
    /// The operator had the configuration file looked at, and it says what it said.
    FileUnchanged,
    /// Others have committed rules, as far as that was heard of. A commit is told of once: here, or as what was heard before
    /// a pass.
    RulesChanged(Heard),
    /// The time for which the alarm was set has come.
    Alarm,
    /// SIGHUP: the operator wants the file read again, and no more waiting.
    Reload,
    /// SIGTERM or SIGINT: the end.
    Stop,
    /// The pass has ended that was asked for.
    PassEnded(Box<PassEnded>),
    /// Flows were looked at.
    FlowsEnded(FlowReport),
    /// There is something to say of what is saved for the next start.
    Save(SaveReport),
    /// Whether another process still owns the table that was asked about. What cannot be told is for a pass to find out.
    OwnerChecked {
        /// Does it?
        is_owned: bool,
    },
}

/// What a pass came to.
#[derive(Debug)]
pub(super) struct PassEnded {
    /// The time of day.
    pub(super) at: SystemTime,
    /// What was heard of others' commits right before the rules were read. What happens from then on is another event.
    pub(super) heard: Heard,
    /// What was done.
    pub(super) reconciled: Reconciled,
}

/// What is to be done then, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Have the configuration file looked at.
    AskFile(Ask),
    /// Have flows no longer looked at.
    InterruptFlows(Arc<Job>),
    /// Bring the rules in line. [`Event::PassEnded`] says what that came to.
    Reconcile(Reconcile),
    /// Ask whether another process owns this table. [`Event::OwnerChecked`] is the answer.
    CheckOwner(TableId),
    /// Have flows looked at. [`Event::FlowsEnded`] says what that came to.
    LookAtFlows(Arc<Job>),
    /// Have this saved for the next start. [`Event::Save`] says what that came to.
    Save(Save),
    /// Tell everybody who wants to know.
    Report(Report),
    /// Give memory back that is free: a long list has left many times what is left of it.
    GiveBackMemory,
    /// Wait for whatever happens next.
    Wait(Wait),
    /// The process ends.
    End(Result<(), RunError>),
}

/// How long to wait for whatever happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// When the alarm is due.
    pub(super) alarm: Instant,
    /// Until when nobody listens to others' commits; `None` if everything is heard at once.
    pub(super) deaf_until: Option<Instant>,
}

/// Why the agent could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// There is no way to hear of signals, of time or of the kernel.
    #[error(
        "could not set up what the agent waits for: {0}; look at the limits of open files and processes (`ulimit -a`)"
    )]
    Sources(#[from] io::Error),
    /// The capability is missing; no later pass would fare better.
    #[error("{0}; the agent ends, and the rules that stand stay as they are")]
    Denied(String),
    /// A service manager waits for rules in force, and without somebody's help they will not come.
    #[error(
        "the start has failed, as the message before says: the rules are not in force, and another attempt would fail alike \
         until that is mended. The agent ends, because the service manager (NOTIFY_SOCKET) would wait for it in vain; the \
         rules that stand stay as they are"
    )]
    NotReady,
}
