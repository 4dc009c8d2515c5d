//! Spans of time in Go's syntax.

/// A span of time as Go's `time.Duration` holds it: signed, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(i64);
