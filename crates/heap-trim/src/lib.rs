//! Gives freed memory back to the system.
//!
//! glibc keeps what was freed for later: beside what lies between two pieces that are in use, up to 64 MiB at the end of its
//! heap, because its thresholds grow with the largest piece that was freed (`mallopt(3)`, `M_MMAP_THRESHOLD`). For a process
//! that needs much for a moment and then next to nothing for months, that is most of what it has.
//!
//! The calls here are the only unsafe code of the agent. They are in a crate of their own so that the agent's own lints can
//! forbid any.

/// Has all threads that start later allocate from one heap, and pieces of 128 KiB and more from the system.
///
/// By default glibc makes a heap for each thread. What a thread has freed at the end of its own, `malloc_trim` does not give
/// back; and pieces of up to 32 MiB come from the heaps once one of that size was freed, so that their places stay as holes.
/// Where the C library is not glibc, nothing is done.
pub fn keep_one_small_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "mallopt has no safe form")]
    // SAFETY: it takes two numbers, and changes settings of the allocator that may be changed at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Gives all pages of the heap back that hold nothing (`malloc_trim(3)`). Where the C library is not glibc, nothing is done.
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim has no safe form")]
    // SAFETY: it takes a number, may be called at any time by any thread, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
