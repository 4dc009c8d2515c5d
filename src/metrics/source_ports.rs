//! How many source ports masqueraded flows use, looked at now and then by a thread of its own (`--snat-scan-interval`).

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{self, Instant};

use thiserror::Error;
use tracing::{debug, warn};

use super::Conntrack;
use crate::config::{Duration, DurationError};
use crate::conntrack::{ConntrackError, Pace, PortUse, SourcePorts};
use crate::net::{Family, PortRanges};
use crate::report::LogOnce;

/// For each part of the time that is spent on flows, so many parts of pauses: a tenth of one processor is used.
const PAUSES: u32 = 9;

/// `--snat-scan-interval`: how long after one look at all flows the next one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanInterval(Option<Duration>);

/// Why a text is no [`ScanInterval`]. The messages end on what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScanIntervalError {
    /// It cannot be read.
    #[error("it {0}")]
    Duration(#[from] DurationError),
    /// It is negative, or very short.
    #[error("{0} is shorter than 1s, the shortest interval; to look at no flows, write 0")]
    TooShort(Duration),
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    /// `None` before the first look, after one that failed, and while there is no conntrack.
    pub(super) latest: Option<PortUse>,
    pub(super) done: u64,
    pub(super) failed: u64,
}

/// The handle of the thread that looks at the flows.
#[derive(Clone, Debug)]
pub struct PortScan(Arc<Mutex<Scans>>);

impl ScanInterval {
    const SHORTEST: Duration = Duration::from_secs(1);

    /// Starts the thread, which lives as long as the process; `None` if the interval is 0. It looks at the flows of these
    /// families, to which rules with this `--to-ports` gave their ports. To be called once signals are blocked.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(self, families: Vec<Family>, to_ports: &PortRanges) -> io::Result<Option<PortScan>> {
        let Some(interval) = self.0 else { return Ok(None) };
        let (scan, ports) = (PortScan(Arc::default()), SourcePorts::new(to_ports));
        let found = scan.clone();
        thread::Builder::new().name("snat-scan".to_owned()).spawn(move || {
            let mut failed = LogOnce::new();
            loop {
                found.add(look(&families, &ports), &mut failed);
                wait(interval.into());
            }
        })?;
        Ok(Some(scan))
    }
}

impl PortScan {
    pub(super) fn read(&self) -> MutexGuard<'_, Scans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, looked: Result<Option<PortUse>, ConntrackError>, failed: &mut LogOnce) {
        let mut scans = self.read();
        match looked {
            Ok(found) => {
                failed.ends();
                scans.done += u64::from(found.is_some());
                scans.latest = found;
            }
            Err(error) => {
                scans.failed += 1;
                scans.latest = None;
                drop(scans);
                let error = error.to_string();
                if failed.is_new(&error) {
                    warn!(
                        event = "snat_scan_failed",
                        error,
                        "it is not known how many source ports are in use: {error}; the rules are kept all the same, and it is \
                         tried again at every --snat-scan-interval"
                    );
                }
            }
        }
    }
}

/// Looks at all flows; `None` if there is no conntrack.
fn look(families: &[Family], ports: &SourcePorts) -> Result<Option<PortUse>, ConntrackError> {
    match Conntrack::entries() {
        None => Ok(None),
        Some(0) => Ok(Some(PortUse::none(families))),
        Some(entries) => {
            let began = Instant::now();
            let found = ports.in_use(families, &mut Pace { pauses: PAUSES, wait })?;
            let took = began.elapsed();
            debug!(
                event = "snat_scanned",
                entries,
                ?took,
                "looked for source ports in use among {entries} flows: {took:?}"
            );
            Ok(Some(found))
        }
    }
}

/// Nothing unparks this thread, and if anything did it would only be early.
fn wait(time: time::Duration) {
    thread::park_timeout(time);
}

impl FromStr for ScanInterval {
    type Err = ScanIntervalError;

    fn from_str(text: &str) -> Result<Self, ScanIntervalError> {
        let interval: Duration = text.parse()?;
        match interval {
            _ if interval.as_nanos() == 0 => Ok(Self(None)),
            _ if interval >= Self::SHORTEST => Ok(Self(Some(interval))),
            _ => Err(ScanIntervalError::TooShort(interval)),
        }
    }
}

impl fmt::Display for ScanInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(interval) => interval.fmt(f),
            None => f.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn an_interval_is_zero_or_a_second_and_more() {
        for (text, expected) in [("0", Ok("0")), ("0s", Ok("0")), ("1s", Ok("1s")), ("5m", Ok("5m0s"))] {
            assert_eq!(text.parse::<ScanInterval>().map(|interval| interval.to_string()), expected.map(str::to_owned));
        }
        for (text, expected) in [
            ("999ms", "999ms is shorter than 1s, the shortest interval; to look at no flows, write 0"),
            ("-1m", "-1m0s is shorter than 1s, the shortest interval; to look at no flows, write 0"),
            ("60", "it has no unit; write 60s for seconds"),
            ("", "it is not a duration; expected a number and a unit, such as 60s, 5m or 1h30m"),
        ] {
            assert_eq!(text.parse::<ScanInterval>().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_look_that_fails_is_counted_and_leaves_nothing_to_show_until_one_succeeds() {
        let (scan, mut failed) = (PortScan(Arc::default()), LogOnce::new());
        let numbers = || {
            let scans = scan.read();
            (scans.done, scans.failed, scans.latest.is_some())
        };
        let found = || Ok(Some(PortUse::none(&[Family::Ipv4])));
        for (looked, expected) in [
            (Ok(None), (0, 0, false)),
            (found(), (1, 0, true)),
            (Err(ConntrackError::Unsupported(Errno::EINVAL)), (1, 1, false)),
            (found(), (2, 1, true)),
            (Ok(None), (2, 1, false)),
        ] {
            scan.add(looked, &mut failed);
            assert_eq!(numbers(), expected);
        }
    }
}
