//! What the tests that need a real kernel share: namespaces, packets, a running agent.
//!
//! Nothing here touches the network namespace in which the tests are started.

#![allow(dead_code, reason = "every test binary uses its own part of this module")]

pub(crate) mod cases;
pub(crate) mod cgroup;
pub(crate) mod daemon;
pub(crate) mod damage;
pub(crate) mod disk;
pub(crate) mod fifo;
pub(crate) mod files;
pub(crate) mod generation;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod native;
pub(crate) mod netns;
pub(crate) mod probe;
pub(crate) mod ran;
pub(crate) mod tables;
pub(crate) mod topology;
pub(crate) mod unpacked;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a condition may take before a test gives it up. Far more than any of them needs: only a failing test
/// waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Returns as soon as `condition` holds; fails with `what` was waited for when the deadline has passed.
pub(crate) fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + deadline;
    while !condition() {
        assert!(Instant::now() < give_up, "waited {deadline:?} in vain until {what}");
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition with a deadline")]
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tells threads to stop, also when what goes on beside them fails: a scope waits for its threads.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A number that a variable of the environment sets.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// RFC 4648 §4, of well-formed input.
pub(crate) fn decode_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|symbol| *symbol == digit).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}
