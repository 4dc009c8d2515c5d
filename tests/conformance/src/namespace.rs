//! Network namespaces of our own.

use std::panic::resume_unwind;
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` in a network namespace that ends with it. Commands that it starts are in there, too.
pub(crate) fn in_namespace<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    let in_thread = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!(
                "this test needs a network namespace, and creating one needs CAP_SYS_ADMIN: run the tests as root, or \
                 under `unshare --map-root-user` ({error})"
            )
        });
        test()
    };
    // A namespace belongs to a thread, and this one is not used again.
    thread::scope(|scope| scope.spawn(in_thread).join()).unwrap_or_else(|panic| resume_unwind(panic))
}
