//! An alarm that wakes the process once, when it is due.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use super::readable;

/// A timer of the kernel's (`timerfd_create(2)`). Tokio's own wakes the process on the way to a time that is far ahead.
#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<Clock>);

#[derive(Debug)]
struct Clock(TimerFd);

impl Alarm {
    /// Not set.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        readable(Clock(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?)).map(Self)
    }

    /// Due after this time, and not at the time that was set before.
    pub(super) fn set(&self, after: Duration) -> io::Result<()> {
        // Zero would switch it off.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        Ok(self.0.get_ref().0.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?)
    }

    /// Completes once it is due. Dropping the future loses nothing.
    pub(super) async fn due(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // Set again since it was due: reading says that there is nothing.
            if let Ok(read) = ready.try_io(|clock| Ok(clock.get_ref().0.wait()?)) {
                return read;
            }
        }
    }
}

impl AsRawFd for Clock {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
