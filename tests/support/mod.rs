//! What the tests that need a real kernel share: namespaces, packets, a running agent.
//!
//! Nothing here touches the network namespace in which the tests are started.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]

pub(crate) mod daemon;
pub(crate) mod files;
pub(crate) mod generation;
pub(crate) mod netns;
pub(crate) mod probe;
pub(crate) mod ran;
pub(crate) mod tables;
pub(crate) mod topology;

use std::time::{Duration, Instant};

/// How long a condition may take before a test gives it up. Far more than any of them needs: only a failing test
/// waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Comes back as soon as `condition` holds; fails with `what` was waited for when the deadline has passed.
pub(crate) fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < give_up, "waited {deadline:?} in vain until {what}");
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition with a deadline")]
        std::thread::sleep(Duration::from_millis(10));
    }
}
