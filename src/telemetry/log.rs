//! The log: the lines that wait, and their writing.
//!
//! At first the thread that logs also writes, as far as that goes without waiting. [`Log::write_in_background`] hands
//! that to a thread, so that a loop that logs waits for nothing, not even for a frozen terminal.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::log_output::Output;
use super::log_queue::{Entry, Queue};

/// How long a process without the thread waits for room once the queue is full, and at its end. A reader that has stopped
/// for so long is not waited for again before it reads.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of a process waits for the thread. `agent/sources/signals.rs` ends the process a little later than SIGTERM
/// comes, then waits for this; both together are to stay below a tenth of a second.
const LAST_MOMENT: Duration = Duration::from_millis(25);

/// The thread only writes finished lines.
const STACK_BYTES: usize = 64 * 1024;

/// Takes lines, and has them written.
#[derive(Debug)]
pub(super) struct Log {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// `None` once the thread has it.
    output: Option<Output>,
    /// How long to wait for room, without the thread.
    patience: Duration,
    /// Whether waiting did not help the last time.
    gave_up: bool,
    /// Whether the thread has written everything.
    is_drained: bool,
    /// Whether lines that come later are dropped.
    is_closed: bool,
}

impl Log {
    pub(super) fn new(output: Output) -> Self {
        let state = State {
            queue: Queue::default(),
            output: Some(output),
            patience: PATIENCE,
            gave_up: false,
            is_drained: true,
            is_closed: false,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Has the line written, now or later; drops and counts it if too many wait.
    pub(super) fn put(&self, entry: Entry) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        if state.output.is_none() {
            state.queue.push(entry);
            state.is_drained = false;
            self.filled.notify_one();
            return;
        }
        if !state.queue.has_room(entry.len()) {
            state.wait_for_room();
        }
        state.queue.push(entry);
        state.drain(Instant::now());
    }

    /// From now on a thread writes.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started. Lines are still written then, but never waited for.
    pub(super) fn write_in_background(&'static self) -> io::Result<()> {
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(|| self.work());
        if spawned.is_err() {
            self.lock().patience = Duration::ZERO;
        }
        spawned.map(drop)
    }

    /// Waits until everything is written, for a moment at most. What is logged later is dropped.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        if state.output.is_some() {
            state.wait_for_room();
        } else {
            drop(self.drained.wait_timeout_while(state, LAST_MOMENT, |state| !state.is_drained));
        }
    }

    fn work(&self) {
        let Some(mut output) = self.lock().output.take() else { return };
        let mut state = self.lock();
        loop {
            if let Some(line) = state.queue.pop() {
                drop(state);
                output.load(line);
                output.flush(None);
                state = self.lock();
            } else {
                state.is_drained = true;
                self.drained.notify_all();
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// A panic elsewhere leaves the state valid.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes what waits, and waits for room for as long as the reader reads.
    fn wait_for_room(&mut self) {
        let patience = if self.gave_up { Duration::ZERO } else { self.patience };
        loop {
            let before = self.output.as_ref().map(Output::written);
            if self.drain(Instant::now() + patience) {
                return;
            }
            if self.output.as_ref().map(Output::written) == before {
                self.gave_up = true;
                return;
            }
        }
    }

    /// Writes what waits, and waits for room until then. Returns whether everything is written.
    fn drain(&mut self, until: Instant) -> bool {
        let Some(output) = &mut self.output else { return false };
        while output.flush(Some(until)) {
            self.gave_up = false;
            let Some(line) = self.queue.pop() else { return true };
            output.load(line);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{PipeReader, Read as _};
    use std::os::fd::OwnedFd;

    use super::super::formatter::{Formatter, Stderr};
    use super::super::log_output::Sink;
    use super::super::style::{LogFormat, Style};
    use super::*;

    /// Fills a pipe, and what waits for it, and more than that.
    const LINES: usize = 20_000;
    const LINE: &[u8] = b"a line of thirty-one characters\n";

    fn log() -> (&'static Log, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let words = Formatter::new(LogFormat::Text, Style::Words, Stderr::default(), false);
        let output = Output::new(Sink::of(File::from(OwnedFd::from(writer))), words);
        // A log is for the life of the process.
        (Box::leak(Box::new(Log::new(output))), reader)
    }

    /// What is read of so many lines, the lost ones being told of.
    fn accounted(text: &str) -> usize {
        let lost = text
            .lines()
            .filter_map(|line| line.strip_prefix("warning: ")?.split_once(" log line")?.0.parse::<usize>().ok());
        lost.sum::<usize>() + text.lines().filter(|line| line.as_bytes() == LINE.trim_ascii()).count()
    }

    fn read(reader: &mut PipeReader, enough: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        while !enough(&text) {
            let mut bytes = [0; 4096];
            let read = reader.read(&mut bytes).unwrap();
            text.push_str(str::from_utf8(&bytes[..read]).unwrap());
        }
        text
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_waited_for_once_and_then_no_more_and_each_line_is_accounted_for() {
        for patience in [PATIENCE, Duration::ZERO] {
            let (log, mut reader) = log();
            log.lock().patience = patience;
            let began = Instant::now();
            for _ in 0..LINES {
                log.put(Entry::text(LINE));
            }
            log.finish();
            let took = began.elapsed();
            assert!(took >= patience && took < patience + PATIENCE, "{took:?}");
            // Now it is read.
            log.lock().is_closed = false;
            let mut text = String::new();
            while accounted(&text) < LINES {
                text += &read(&mut reader, |text| text.len() >= 4096 || accounted(text) > 0);
                log.lock().drain(Instant::now());
            }
            assert_eq!(accounted(&text), LINES);
        }
    }

    #[test]
    fn with_the_thread_nobody_waits_and_each_line_is_accounted_for() {
        let (log, mut reader) = log();
        log.write_in_background().unwrap();
        while log.lock().output.is_some() {
            thread::yield_now();
        }
        let began = Instant::now();
        for _ in 0..LINES {
            log.put(Entry::text(LINE));
        }
        log.finish();
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        let text = read(&mut reader, |text| accounted(text) >= LINES);
        assert_eq!(accounted(&text), LINES);
        assert!(text.contains(" log lines were lost: stderr was full"), "{}", text.len());
    }
}
