//! The events that the agent reacts to, and the effects that follow from them.

use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use thiserror::Error;

use super::file_thread::{Answer, Ask};
use super::flow_worker::{FlowReport, Job};
use super::reconcile::{Reconcile, Reconciled};
use crate::backend::Heard;
use crate::last_good::Save;
use crate::report::{Report, SaveReport};
use crate::rules::TableId;

/// Something that happens to the agent. The set is closed: a new cause is a new variant.
#[derive(Debug)]
pub(super) enum Event {
    /// The process has started, and the first reading of the configuration file is under way.
    Start,
    /// Something is new about the configuration file, or the operator asked for it to be read again.
    File(Answer),
    /// Other programs have committed rules. Each commit is reported once: here, or in [`PassEnded::heard`].
    RulesChanged(Heard),
    /// The alarm is due.
    Alarm,
    /// SIGHUP: the operator wants the file read again, and any back-off ended.
    Reload,
    /// SIGTERM or SIGINT: the agent is to end.
    Stop,
    /// The pass that was asked for has ended.
    PassEnded(Box<PassEnded>),
    /// A job over conntrack's flows has ended.
    FlowsEnded(FlowReport),
    /// A save for the next start has ended, or takes long.
    Save(SaveReport),
    /// The answer to [`Effect::CheckOwner`].
    OwnerChecked {
        /// Whether another process owns the table. `false` also if that cannot be read: the next pass finds out.
        is_owned: bool,
    },
}

/// The end of a pass.
#[derive(Debug)]
pub(super) struct PassEnded {
    /// When it ended.
    pub(super) at: SystemTime,
    /// The commits of others that were heard of until right before the rules were read. Later ones are another event.
    pub(super) heard: Heard,
    /// What was done to the rules, and how that ended.
    pub(super) reconciled: Reconciled,
}

/// Something to do in answer to an event. The effects of an event are carried out in their order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Have the configuration file looked at.
    AskFile(Ask),
    /// Interrupt this job over flows.
    InterruptFlows(Arc<Job>),
    /// Bring the rules in line. [`Event::PassEnded`] is the answer.
    Reconcile(Reconcile),
    /// Ask whether another process owns this table. [`Event::OwnerChecked`] is the answer.
    CheckOwner(TableId),
    /// Have flows looked at. [`Event::FlowsEnded`] is the answer.
    LookAtFlows(Arc<Job>),
    /// Have this saved for the next start. [`Event::Save`] is the answer.
    Save(Save),
    /// Give a report to the log, the service manager and all other observers.
    Report(Report),
    /// Return free memory to the system: reading a long list needs many times the memory of its result.
    GiveBackMemory,
    /// Wait for whatever happens next.
    Wait(Wait),
    /// The process ends.
    End(Result<(), RunError>),
}

/// How to wait for the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// When the alarm is due.
    pub(super) alarm: Instant,
    /// Until when others' commits are not listened to; `None` if they are heard at once.
    pub(super) deaf_until: Option<Instant>,
}

/// Why the agent ended other than by a signal.
#[derive(Debug, Error)]
pub enum RunError {
    /// A source of events, such as a thread or a timer, could not be set up.
    #[error(
        "could not set up what the agent waits for: {0}; look at the limits of open files and processes (`ulimit -a`)"
    )]
    Sources(#[from] io::Error),
    /// A privilege is missing, so that every later pass would fail too.
    #[error("{0}; the agent ends, and the rules that stand stay as they are")]
    Denied(String),
    /// The first pass is stuck, and the service manager would wait in vain for rules in force.
    #[error(
        "the start has failed, as the message before says: the rules are not in force, and another attempt would fail alike \
         until that is mended. The agent ends, because the service manager (NOTIFY_SOCKET) would wait for it in vain; the \
         rules that stand stay as they are"
    )]
    NotReady,
}
