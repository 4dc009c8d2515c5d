//! Waiting for file descriptors of ours.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the event loop wait for `inner`, which owns the descriptor that it names, and keeps it for its life.
pub(super) fn readable<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    ready_for(inner, Interest::READABLE)
}

/// The same for something else than to be readable.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that do not own the descriptor that they name; those used here do"
)]
pub(super) fn ready_for<T: AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(inner, interest)
}
