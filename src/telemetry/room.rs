//! Waiting for room where something is written that another process reads.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The milliseconds before another attempt where `poll(2)` says that something can be written, and writing says that it cannot.
const PAUSE: u8 = 10;

/// Writes once there is room, and waits for that no longer than until then; for ever without a time. `None` if there was no room
/// in time.
pub(super) fn when_writable<T>(
    to: BorrowedFd<'_>,
    until: Option<Instant>,
    mut write: impl FnMut() -> Result<T, Errno>,
) -> Result<Option<T>, Errno> {
    loop {
        let mut polled = [PollFd::new(to, PollFlags::POLLOUT)];
        match poll(&mut polled, timeout(until)) {
            Ok(0) if is_over(until) => return Ok(None),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        match write() {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if is_over(until) => return Ok(None),
            Err(Errno::EAGAIN) => drop(poll(&mut [], PAUSE)),
            written => return written.map(Some),
        }
    }
}

fn timeout(until: Option<Instant>) -> PollTimeout {
    let left = |until: Instant| until.saturating_duration_since(Instant::now());
    until.map_or(PollTimeout::NONE, |until| left(until).try_into().unwrap_or(PollTimeout::MAX))
}

fn is_over(until: Option<Instant>) -> bool {
    // poll(2) counts in milliseconds.
    until.is_some_and(|until| until.saturating_duration_since(Instant::now()) < Duration::from_millis(1))
}
