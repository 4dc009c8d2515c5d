//! Signals, on a thread of their own: a request to end is answered in time, even while the main thread reads a long
//! file, or waits for the kernel, which takes a quarter of a second for a transaction of 100,000 intervals.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::info;

use crate::exit::Exit;
use crate::telemetry;

/// How long the loop may take to end by itself. Idle, it takes less than a millisecond.
const GRACE: Duration = Duration::from_millis(25);

/// The thread does next to nothing.
const STACK_BYTES: usize = 64 * 1024;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGHUP: the operator wants the file read again, and any back-off ended.
    Reload,
    /// SIGTERM or SIGINT: the agent is to end.
    Stop,
}

/// The signals that were sent.
#[derive(Debug)]
pub struct Signals(UnboundedReceiver<Asked>);

impl Signals {
    /// Holds back the signals from here on: those that come are handled as soon as there is a subscription. To be called
    /// before the first thread is started, because a thread inherits what is held back, and the kernel gives a signal to any
    /// thread that does not hold it back.
    ///
    /// # Errors
    ///
    /// That of the system call.
    pub fn hold() -> io::Result<()> {
        Ok(handled().thread_block()?)
    }

    /// Handles signals from here on, those that were held back included. To be called before anything that takes time: from
    /// here on the process ends in time, whatever the caller does.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn subscribe() -> io::Result<Self> {
        Self::hold()?;
        let signals = handled();
        let (tell, told) = unbounded_channel();
        let thread = thread::Builder::new().name("signals".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || listen(&signals, &tell))?;
        Ok(Self(told))
    }

    /// Sleeps until the end is asked for. Nothing is missed if signals were [held back](Self::hold) before.
    pub fn wait_for_end() {
        let end = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        while end.wait().is_err() {}
    }

    /// Signals that are sent by calling this, which asks for the end.
    #[cfg(test)]
    pub(in crate::agent) fn by_hand() -> (impl Fn(), Self) {
        let (tell, told) = unbounded_channel();
        (move || tell.send(Asked::Stop).unwrap_or_default(), Self(told))
    }

    /// What the next signal asks for. Many that wait count as one: as the request to end, if it is among them.
    pub(super) async fn next(&mut self) -> Asked {
        // The channel is closed only when the thread has ended, and with it the process.
        let mut asked = self.0.recv().await.unwrap_or(Asked::Stop);
        while let (true, Ok(next)) = (asked != Asked::Stop, self.0.try_recv()) {
            asked = next;
        }
        asked
    }
}

/// The signals that the agent handles.
fn handled() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
}

fn listen(signals: &SigSet, tell: &UnboundedSender<Asked>) {
    loop {
        match signals.wait() {
            Ok(Signal::SIGHUP) => {
                let _ = tell.send(Asked::Reload);
            }
            Ok(_) => {
                let _ = tell.send(Asked::Stop);
                end_without_the_loop();
            }
            Err(_) => {}
        }
    }
}

/// When a process ends in the middle of a transaction, the kernel finishes it or takes it back: `nfnetlink_rcv_batch`
/// looks for a fatal signal before each message, and what is past the last of them is committed.
#[expect(
    clippy::disallowed_methods,
    reason = "the loop has its chance to end the process first, and what it is caught in cannot be told to stop"
)]
fn end_without_the_loop() -> ! {
    thread::sleep(GRACE);
    info!(
        event = "ending_at_once",
        "ending at once, without waiting for the work that is under way; in the middle of a change of the rules the kernel \
         finishes it or takes it back"
    );
    telemetry::finish();
    std::process::exit(Exit::Done.code().into())
}
