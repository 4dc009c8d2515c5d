//! Asking at an interval whether anybody has committed (`--watch-rules=poll=DURATION`): the generation tells, and how many
//! commits there were. Others' commits cost what they cost without an agent.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::Generation;
use super::watcher::{Current, OwnCommit, Watcher};
use crate::backend::interface::Heard;
use crate::netlink::{Connection, NetlinkError, Transport};

/// Counts the commits of others by the generation.
#[derive(Debug)]
pub(super) struct Poll<T> {
    timer: TimerFd,
    connection: Connection<T>,
    /// The generation up to which all commits were counted.
    known: Generation,
    /// How many of them were others', and not told yet.
    untold: u64,
}

impl<T: Transport> Poll<T> {
    /// Asks over this connection, for the first time now.
    pub(super) fn begin(mut connection: Connection<T>, interval: Duration) -> Result<Self, NetlinkError> {
        let known = connection.generation()?;
        let timer = timer(interval).map_err(|errno| NetlinkError::from_io(errno.into(), 0))?;
        Ok(Self { timer, connection, known, untold: 0 })
    }

    /// Counts what was committed since.
    fn count(&mut self, current: Generation) {
        self.untold += u64::from(current.0.wrapping_sub(self.known.0));
        self.known = current;
    }
}

impl<T: Transport + fmt::Debug> Watcher for Poll<T> {
    fn before_commit(&mut self) {}

    fn after_commit(&mut self, own: OwnCommit, _: Current<'_>) {
        self.count(own.on);
        self.known = own.leads_to();
    }

    fn listen(&mut self, heard: &mut Heard) -> Result<bool, NetlinkError> {
        match self.timer.wait() {
            // Not due yet; it is looked all the same.
            Ok(()) | Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(NetlinkError::from_io(io::Error::from(errno), 0)),
        }
        let current = self.connection.generation()?;
        self.count(current);
        heard.commits += std::mem::take(&mut self.untold);
        Ok(true)
    }

    fn is_due(&self) -> bool {
        self.untold > 0
    }
}

impl<T> AsFd for Poll<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// Readable each `interval`.
fn timer(interval: Duration) -> nix::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    timer.set(Expiration::Interval(TimeSpec::from_duration(interval)), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
