//! How much is received for one request: whatever is at the other end, no exchange goes on for ever.

use super::NetlinkError;

/// What may still be received for a request.
pub(crate) struct Budget {
    datagrams: u32,
    left: u32,
}

impl Budget {
    /// For an answer that is kept. A dump fills each datagram with up to 32 KiB (`netlink_dump`), so that a million intervals
    /// of IPv6, or as many rules, take less than a quarter of them.
    pub(crate) const KEPT: Self = Self::of(16_384);

    /// For an answer of which nothing is kept: the flows of the largest tables, several times over.
    pub(crate) const PASSED: Self = Self::of(16 * 16_384);

    const fn of(datagrams: u32) -> Self {
        Self { datagrams, left: datagrams }
    }

    /// Takes one datagram off.
    pub(crate) fn take(&mut self) -> Result<(), NetlinkError> {
        self.left = self.left.checked_sub(1).ok_or(NetlinkError::Endless { datagrams: self.datagrams })?;
        Ok(())
    }
}
