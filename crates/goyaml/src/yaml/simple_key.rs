//! Keys without a `?` before them: only the colon shows that a key has begun.

use super::cursor::{Cursor, Mark};
use crate::Error;

/// Where a key without a `?` may have begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimpleKey {
    pub(super) flow_level: usize,
    pub(super) token: usize,
    pub(super) mark: Mark,
    /// Whether nothing but a key can stand at this column.
    pub(super) required: bool,
}

/// The most characters between the start of a key and its colon.
const MAX_LENGTH: i64 = 1024;

impl SimpleKey {
    /// A key ends on its line, and within 1024 characters.
    pub(super) fn is_still_possible(&self, cursor: &Cursor<'_>) -> Result<bool, Error> {
        let now = cursor.mark();
        let possible = self.mark.line == now.line && now.column <= self.mark.column + MAX_LENGTH;
        if !possible && self.required { Err(missing_colon(self)) } else { Ok(possible) }
    }
}

pub(super) fn missing_colon(key: &SimpleKey) -> Error {
    Error::yaml(key.mark.point(), "a key without a colon behind it; write `key: value`, with a space")
}
