//! The very file that a process ran, found again, read, and hashed.
//!
//! The kernel told inode and times of what it started. A file is taken for that one only if it has them, before and after
//! it was read; anything else is said to have been raced. It is looked for behind `/proc/PID/exe`, which is the file itself
//! even when its name is gone or somebody else's, and, since most processes end soon, by its path below the root that it
//! was in.
//!
//! Who removes or renames a running program's file changes its time of change, and nothing else: the kernel lets nobody
//! write to it. So the file of a process that still runs may have another time of change, if it was there before the
//! process ran it: then its inode has not been freed and made anew meanwhile.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, StatxFlags, fstat, fstatfs, open, statx};
use sha2::{Digest as _, Sha256};

use super::{
    packages,
    root::{Root, reopen},
};
use crate::state::{
    process::TICK_NS,
    programs::{FRESH_NS, Hashed, Packaged, Program, ProgramFacts},
};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// File systems of which the device that a program sees is not the kernel's (`include/uapi/linux/magic.h`).
const OVERLAYFS: u64 = 0x794c_7630;
const BTRFS: u64 = 0x9123_683e;

/// Bounds of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Longest file that is hashed, in bytes.
    pub file_bytes_max: u64,
    /// Bytes that are read in a second.
    pub bytes_per_second: u64,
}

/// Finds out what is wanted of a program.
#[must_use]
pub fn look(job: (Program, Bounds)) -> ProgramFacts {
    let (program, bounds) = job;
    let root = match program.inside {
        None => Root::host(),
        Some((pids, mount_ns)) => pids.iter().find_map(|pid| Root::of_process(*pid, mount_ns)),
    };
    let hashed = if program.wishes.hash {
        hash(&program, root.as_ref(), bounds).unwrap_or(Hashed::Unreadable)
    } else {
        Hashed::Unasked
    };
    let packaged = match &root {
        Some(root) if program.wishes.package => packages::owner(root, &program.path),
        None if program.wishes.package => Packaged::Unknown,
        _ => Packaged::Unasked,
    };
    ProgramFacts { hashed, packaged }
}

/// The hash, if there is anything left to look at.
fn hash(program: &Program, root: Option<&Root>, bounds: Bounds) -> Option<Hashed> {
    let mut is_raced = false;
    let by_process = open_exe(program).map(|found| (found, By::Process));
    // Two fresh files can have the same inode and time: only the process itself says which one it runs.
    let by_path = (!program.key.is_fresh())
        .then(|| Some((root?.open(&program.path)?, By::Path)))
        .flatten();
    for ((mut file, stat), by) in by_process.into_iter().chain(by_path) {
        if !is_it(program, &file, &stat, by) {
            is_raced = true;
            continue;
        }
        if u64::try_from(stat.st_size).is_ok_and(|size| size > bounds.file_bytes_max) {
            return Some(Hashed::TooLong);
        }
        let Ok(Some(digest)) = digest(&mut file, bounds) else {
            return Some(Hashed::Unreadable);
        };
        let after = fstat(&file).ok()?;
        if is_it(program, &file, &after, by) && after.st_size == stat.st_size {
            return Some(Hashed::Known(digest));
        }
        is_raced = true;
    }
    is_raced.then_some(Hashed::Raced)
}

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A process runs it.
    Process,
    /// It has the name now.
    Path,
}

fn open_exe(program: &Program) -> Option<(File, Stat)> {
    let exe = format!("/proc/{}/exe", program.pid);
    let place: OwnedFd = open(exe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    if program.key.is_fresh() && !began(program.pid, program.start_time_ns) {
        return None;
    }
    reopen(&place)
}

/// Whether the process with this id is the one that began then.
pub(super) fn began(pid: u32, start_time_ns: u64) -> bool {
    let stat = i32::try_from(pid)
        .ok()
        .and_then(|pid| procfs::process::Process::new(pid).ok()?.stat().ok());
    stat.is_some_and(|stat| stat.starttime == start_time_ns / TICK_NS)
}

/// Whether an open file is the program's, unchanged since it ran.
fn is_it(program: &Program, file: &File, stat: &Stat, by: By) -> bool {
    let key = &program.key;
    let device = rustix::fs::major(stat.st_dev) << 20 | rustix::fs::minor(stat.st_dev);
    let is_there = || {
        device == key.device
            || fstatfs(file)
                .is_ok_and(|fs| [OVERLAYFS, BTRFS].contains(&u64::try_from(fs.f_type).unwrap_or(0)))
    };
    let is_unchanged = || {
        nanoseconds(stat.st_ctime, stat.st_ctime_nsec) == key.ctime_ns
            || by == By::Process && is_older(file, program.ran_ns)
    };
    stat.st_ino == key.inode
        && nanoseconds(stat.st_mtime, stat.st_mtime_nsec) == program.mtime_ns
        && is_unchanged()
        && is_there()
}

/// Whether a file was made before this time (since 1970), as far as its file system tells.
fn is_older(file: &File, epoch_ns: u64) -> bool {
    let Ok(told) = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) else {
        return false;
    };
    let made_ns = nanoseconds(told.stx_btime.tv_sec, told.stx_btime.tv_nsec);
    told.stx_mask & StatxFlags::BTIME.bits() != 0 && made_ns.saturating_add(FRESH_NS) <= epoch_ns
}

fn nanoseconds(seconds: i64, nanoseconds: impl TryInto<u64>) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + nanoseconds.try_into().unwrap_or(0)
}

/// The hash of all of a file, read no faster than allowed; `None` when it grows beyond the bound.
fn digest(file: &mut File, bounds: Bounds) -> std::io::Result<Option<[u8; 32]>> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    let began = Instant::now();
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(Some(digest.finalize().into()));
        }
        digest.update(&chunk[..read]);
        bytes += read as u64;
        if bytes > bounds.file_bytes_max {
            return Ok(None);
        }
        let due = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / bounds.bytes_per_second.max(1));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::MetadataExt as _,
        path::{Path, PathBuf},
    };

    use super::*;
    use crate::state::programs::{ProgramKey, Wishes};

    const BOUNDS: Bounds = Bounds {
        file_bytes_max: 1 << 20,
        bytes_per_second: 1 << 30,
    };

    /// The program that a file of this name would be now.
    fn program(path: &Path) -> Program {
        let file = std::fs::metadata(path).unwrap();
        Program {
            key: ProgramKey {
                inode: file.ino(),
                device: rustix::fs::major(file.dev()) << 20 | rustix::fs::minor(file.dev()),
                ctime_ns: nanoseconds(file.ctime(), file.ctime_nsec()),
                started_ns: 0,
            },
            mtime_ns: nanoseconds(file.mtime(), file.mtime_nsec()),
            pid: 0,
            start_time_ns: 0,
            ran_ns: 0,
            path: path.to_owned(),
            inside: None,
            wishes: Wishes {
                hash: true,
                package: false,
            },
        }
    }

    fn hashed(program: Program, bounds: Bounds) -> Hashed {
        look((program, bounds)).hashed
    }

    #[test]
    fn only_the_file_that_ran_is_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let ran = program(&path);
        let Hashed::Known(digest) = hashed(ran.clone(), BOUNDS) else {
            panic!("it is there");
        };
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf], "FIPS 180-2, appendix B.1");
        let short = Bounds {
            file_bytes_max: 2,
            ..BOUNDS
        };
        assert_eq!(hashed(ran.clone(), short), Hashed::TooLong);
        let mut fresh = ran.clone();
        fresh.key.started_ns = 5;
        assert_eq!(hashed(fresh, BOUNDS), Hashed::Unreadable, "its process is gone");
        // Another file takes its name.
        let other = folder.path().join("other");
        std::fs::write(&other, "xyz").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(hashed(ran.clone(), BOUNDS), Hashed::Raced);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(hashed(ran, BOUNDS), Hashed::Unreadable);
    }

    #[test]
    fn a_running_process_has_its_file_whatever_its_name_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sleep");
        std::fs::copy("/bin/sleep", &path).unwrap();
        let mut child = std::process::Command::new(&path).arg("1000").spawn().unwrap();
        std::fs::remove_file(&path).unwrap();
        let exe = PathBuf::from(format!("/proc/{}/exe", child.id()));
        let ran = Program {
            pid: child.id(),
            path: path.clone(),
            ..program(&exe)
        };
        let of_file = hashed(program(Path::new("/bin/sleep")), BOUNDS);
        assert!(matches!(of_file, Hashed::Known(_)), "{of_file:?}");
        assert_eq!(hashed(ran.clone(), BOUNDS), of_file);
        let mut changed = ran.clone();
        changed.key.ctime_ns -= 1;
        assert_eq!(
            hashed(changed.clone(), BOUNDS),
            Hashed::Raced,
            "it may be a new one"
        );
        changed.ran_ns = u64::MAX;
        assert_eq!(hashed(changed.clone(), BOUNDS), of_file, "it was there before");
        changed.mtime_ns -= 1;
        assert_eq!(hashed(changed, BOUNDS), Hashed::Raced, "it was written to");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
