//! The last valid configuration on its way to the disk, beside the loop: one writer at a time, and behind it the newest.

use std::future;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::last_good::{Save, SaveError, Writer, WriterAnswer};
use crate::report::SaveReport;

/// A disk that has not answered for so long is told of.
const SLOW: Duration = Duration::from_secs(10);

/// How long after a failure the next attempt comes. Each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is under way, and what waits for that.
#[derive(Debug, Default)]
pub(super) struct StateWrites {
    under_way: Option<UnderWay>,
    /// The newest. What it takes the place of need not be written any more.
    next: Option<Save>,
    /// Why the newest was not even begun.
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
    /// Was it told that it takes long?
    is_told: bool,
}

impl StateWrites {
    /// Has this written, instead of whatever still waits. To be called in a runtime; waits for nothing.
    pub(super) fn write(&mut self, save: Save) {
        self.retry = None;
        if self.under_way.is_some() {
            self.next = Some(save);
        } else {
            self.start(save);
        }
    }

    /// The next thing that there is to say; never, if nothing is to be written. Losing the future loses nothing.
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

    /// The end. What is under way goes on by itself. If something newer waits for it, that is left to a writer which waits for
    /// the end of the other one, and that one is not to write any more.
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
