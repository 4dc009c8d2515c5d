//! Data for stdout.

use std::io::{self, Write};

use thiserror::Error;

/// Stdout did not take the data, or not all of it.
#[derive(Debug, Error)]
#[error("could not write to stdout: {0}")]
pub(super) struct StdoutError(#[source] io::Error);

/// Prints data. Whoever has stopped to read it, as `head` does, has what they wanted: nothing is wrong then.
pub(super) fn print(text: &str) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StdoutError(error)),
        _ => Ok(()),
    }
}
