//! Has the last valid configuration written to disk beside the loop: by one writer process at a time, with at most one
//! newer configuration waiting for it.

use std::future;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::last_good::{Save, SaveError, Writer, WriterAnswer};
use crate::report::SaveReport;

/// A disk that has not answered for so long is reported.
const SLOW: Duration = Duration::from_secs(10);

/// The pause between a failure and the next attempt. Each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The save that is under way, and the one that waits for it.
#[derive(Debug, Default)]
pub(super) struct StateWrites {
    under_way: Option<UnderWay>,
    /// The newest configuration, if it waits. One that it replaces here need not be written any more.
    next: Option<Save>,
    /// Why the newest save could not be started, until that is reported.
    failure: Option<SaveError>,
    /// What failed, and when it is tried again.
    retry: Option<(Save, Instant)>,
    /// The failures without a success between them.
    failures: u32,
}

#[derive(Debug)]
struct UnderWay {
    save: Save,
    writer: Writer,
    since: Instant,
    /// Whether it was reported that it takes long.
    is_told: bool,
}

impl StateWrites {
    /// Has this written, instead of a save that still waits. To be called in a tokio runtime; does not wait.
    pub(super) fn write(&mut self, save: Save) {
        self.retry = None;
        if self.under_way.is_some() {
            self.next = Some(save);
        } else {
            self.start(save);
        }
    }

    /// The next report; pending while nothing is to be written. Dropping the future loses nothing.
    pub(super) async fn news(&mut self) -> SaveReport {
        Writer::reap();
        loop {
            if let Some(failure) = self.failure.take() {
                return SaveReport::Ended(Err(failure));
            }
            let Some(UnderWay { writer, since, is_told, .. }) = &mut self.under_way else {
                let Some((_, at)) = &self.retry else { return future::pending().await };
                sleep_until((*at).into()).await;
                if let Some((save, _)) = self.retry.take() {
                    self.start(save);
                }
                continue;
            };
            let answer = tokio::select! {
                biased;
                answer = writer.answer() => answer,
                () = sleep_until((*since + SLOW).into()), if !*is_told => {
                    *is_told = true;
                    return SaveReport::Slow(writer.slow(SLOW));
                }
            };
            let ended = self.under_way.take();
            if let Some(newer) = self.next.take() {
                self.start(newer);
                continue;
            }
            match answer {
                Ok(answer) => {
                    self.failures = 0;
                    return SaveReport::Ended(Ok(answer == WriterAnswer::Saved(true)));
                }
                Err(failure) => {
                    if let Some(UnderWay { save, .. }) = ended {
                        self.try_later(save);
                    }
                    return SaveReport::Ended(Err(failure));
                }
            }
        }
    }

    /// To be called when the agent ends. A writer that is under way goes on by itself. If a newer save waits for it,
    /// that writer is killed instead, and a new one is started, which waits for its end (by the lock on the state
    /// directory).
    pub(super) fn leave(&mut self) {
        if let (Some(UnderWay { writer, .. }), Some(newer)) = (&mut self.under_way, self.next.take()) {
            writer.abandon();
            // Nobody is left to hear of a failure.
            let _ = newer.start();
        }
    }

    fn start(&mut self, save: Save) {
        match save.start() {
            Ok(writer) => self.under_way = Some(UnderWay { save, writer, since: Instant::now(), is_told: false }),
            Err(failure) => {
                self.failure = Some(failure);
                self.try_later(save);
            }
        }
    }

    fn try_later(&mut self, save: Save) {
        let factor = 2_u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.retry = Some((save, Instant::now() + pause));
    }
}
