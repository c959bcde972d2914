//! Memory that was needed for the start only.

use std::{ffi::c_void, io, ptr};

use procfs::process::{MMPermissions, MMapPath, Process};
use rustix::mm::{Advice, madvise};

/// Gives free memory back to the system. The allocator keeps what lies below memory in use, here some 20 MiB
/// for the rest of the agent's life.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of the program's own file, of which reading rules and loading programs have touched most, some
/// 15 MiB: what goes on to run comes back at its next use, from the page cache.
///
/// # Errors
/// `/proc/self/maps` cannot be read, or the kernel does not take the advice.
pub fn give_back_program() -> io::Result<()> {
    let itself = Process::myself().map_err(io::Error::other)?;
    let program = itself.exe().map_err(io::Error::other)?;
    for map in itself.maps().map_err(io::Error::other)? {
        let is_program = matches!(&map.pathname, MMapPath::Path(path) if *path == program);
        let is_writable = map.perms.contains(MMPermissions::WRITE);
        // What is read-only and neither code nor the file's beginning was written to while it was relocated.
        let is_as_in_file = map.offset == 0 || map.perms.contains(MMPermissions::EXECUTE);
        if !is_program || is_writable || !is_as_in_file {
            continue;
        }
        let (start, end) = map.address;
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        let start = usize::try_from(start).map_err(io::Error::other)?;
        let start: *mut c_void = ptr::with_exposed_provenance_mut(start);
        // SAFETY: a mapping of this process whose pages are the file's own, unchanged: they read the same afterwards.
        unsafe { madvise(start, length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of the program's file that are mapped, in KiB.
    fn mapped_kib() -> u64 {
        let status = Process::myself().unwrap().status().unwrap();
        status.rssfile.unwrap()
    }

    #[test]
    fn what_the_start_has_touched_is_let_go_and_comes_back() {
        // All of it is touched once.
        let program = std::fs::read("/proc/self/exe").unwrap();
        let before = mapped_kib();
        give_back_program().unwrap();
        let after = mapped_kib();
        assert!(after < before, "{before} {after}");
        // The code runs as before.
        assert_eq!(std::fs::read("/proc/self/exe").unwrap(), program);
    }
}
