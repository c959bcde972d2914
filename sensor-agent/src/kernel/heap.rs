//! Memory that was needed for the start only.

/// Gives free memory back to the system. The allocator keeps what lies below memory in use, here some 20 MiB
/// for the rest of the agent's life.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
