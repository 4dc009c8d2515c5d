//! Signals, on a thread of their own: the end that somebody asks for comes in time, even while the other thread waits for
//! the kernel, which takes a quarter of a second for a transaction of 100,000 intervals.

use std::io;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::info;

use super::Event;
use crate::exit::Exit;

/// How long the loop may take to end by itself. Idle, it takes less than a millisecond.
const GRACE: Duration = Duration::from_millis(25);

/// It does next to nothing.
const STACK_BYTES: usize = 64 * 1024;

/// The signals that were sent.
#[derive(Debug)]
pub(super) struct Signals(UnboundedReceiver<Event>);

impl Signals {
    /// Hears signals from here on. To be called before any other thread is started, so that none of them gets a signal.
    pub(super) fn subscribe() -> io::Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]);
        signals.thread_block()?;
        let (tell, told) = unbounded_channel();
        let thread = thread::Builder::new().name("signals".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || listen(&signals, &tell))?;
        Ok(Self(told))
    }

    /// The next signal, as an event. Many that wait are one: the end, if it is among them.
    pub(super) async fn next(&mut self) -> Event {
        // Nobody is left to tell: the thread is gone, and with it the process.
        let mut event = self.0.recv().await.unwrap_or(Event::Stop);
        while let (true, Ok(next)) = (event != Event::Stop, self.0.try_recv()) {
            event = next;
        }
        event
    }
}

fn listen(signals: &SigSet, tell: &UnboundedSender<Event>) {
    loop {
        match signals.wait() {
            Ok(Signal::SIGHUP) => {
                let _ = tell.send(Event::Reload);
            }
            Ok(_) => {
                let _ = tell.send(Event::Stop);
                end_without_the_loop();
            }
            Err(_) => {}
        }
    }
}

/// When a process ends, the kernel finishes the transaction in which it is caught, or takes it back: `nfnetlink_rcv_batch`
/// looks for a fatal signal before each message, and what is past the last of them is committed.
#[expect(
    clippy::disallowed_methods,
    reason = "the loop has its chance to end the process first, and what it is caught in cannot be told to stop"
)]
fn end_without_the_loop() -> ! {
    thread::sleep(GRACE);
    info!("ending in the middle of a change: the kernel finishes it or takes it back");
    std::process::exit(Exit::Done.code().into())
}
