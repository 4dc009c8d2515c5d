//! Gives freed memory back to the system.
//!
//! glibc keeps what was freed for later: beside what lies between two pieces that are in use, up to 64 MiB at the end of its
//! heap, because its thresholds grow with the largest piece that was freed (`mallopt(3)`, `M_MMAP_THRESHOLD`). For a process
//! that needs much for a moment and then next to nothing for months, that is most of what it has.
//!
//! The call is the only unsafe code of the agent. It is in a crate of its own so that the agent's own lints can forbid any.

/// Gives all pages of the heap back that hold nothing (`malloc_trim(3)`). Where the C library is not glibc, nothing is done.
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim has no safe form")]
    // SAFETY: it takes a number, may be called at any time by any thread, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
