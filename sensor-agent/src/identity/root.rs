//! The root folder of a process, and the files below it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use rustix::fs::{Dir, DirEntry, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2};

use crate::runtime::places::host_root;

/// A root folder. It is closed soon: a runtime cannot unmount it while it is open.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// A file as it was: other once it is replaced or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, i64),
}

/// Where a process is looked up.
fn proc_path(pid: u32, what: &str) -> String {
    format!("/proc/{pid}/{what}")
}

/// The inode number of a process's namespace, as in `mnt:[4026531840]`.
#[must_use]
pub fn namespace(pid: u32, which: &str) -> Option<u32> {
    let link = std::fs::read_link(proc_path(pid, &format!("ns/{which}"))).ok()?;
    let text = link.to_str()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

impl Root {
    /// The root of a process, if it is in that mount namespace, before and after: another process may have its id by
    /// now.
    #[must_use]
    pub fn of_process(pid: u32, mount_ns: u32) -> Option<Self> {
        let is_there = || namespace(pid, "mnt") == Some(mount_ns);
        if pid == 0 || mount_ns == 0 || !is_there() {
            return None;
        }
        let root = Self::at(Path::new(&proc_path(pid, "root")))?;
        is_there().then_some(root)
    }

    /// The host's root.
    #[must_use]
    pub fn host() -> Option<Self> {
        Self::at(host_root())
    }

    /// A folder as a root.
    #[must_use]
    pub fn at(folder: &Path) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(folder, flags, Mode::empty()).ok().map(Self)
    }

    /// The folder itself, as it is now.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        let stat = fstat(&self.0).ok()?;
        // Its times and its size change with every file in it.
        Some(Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: 0,
            changed: (0, 0),
        })
    }

    /// Opens a plain file for reading. Links end within the root. Nothing else is opened, not even for a moment: a
    /// pipe would wait for a writer, and a device may do something.
    #[must_use]
    pub fn open(&self, path: &Path) -> Option<(File, Stat)> {
        reopen(&self.place(path, OFlags::PATH)?)
    }

    /// How a file is now, without opening it.
    #[must_use]
    pub fn stamp_of(&self, path: &Path) -> Option<Stamp> {
        fstat(self.place(path, OFlags::PATH)?)
            .ok()
            .map(|stat| Stamp::of(&stat))
    }

    /// Where a path within the root leads to. Links end within it.
    fn place(&self, path: &Path, flags: OFlags) -> Option<OwnedFd> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), within).ok()
    }

    /// Whether there is a link at a path.
    #[must_use]
    pub fn is_link(&self, path: &Path) -> bool {
        self.place(path, OFlags::PATH | OFlags::NOFOLLOW)
            .and_then(|place| fstat(place).ok())
            .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    /// Names of what is in a folder, at most so many; `None` where there is no such folder.
    #[must_use]
    pub fn list(&self, path: &Path, names_max: usize) -> Option<Vec<OsString>> {
        use std::os::unix::ffi::OsStrExt as _;

        let folder = self.place(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)?;
        let entries = Dir::read_from(&folder).ok()?;
        let name = |entry: DirEntry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        Some(entries.map_while(Result::ok).map(name).take(names_max).collect())
    }

    /// Reads a plain file of at most `bytes_max`.
    #[must_use]
    pub fn read(&self, path: &Path, bytes_max: u64) -> Option<(Vec<u8>, Stamp)> {
        let (file, stat) = self.open(path)?;
        let size = u64::try_from(stat.st_size).ok()?;
        if size > bytes_max {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).ok()? + 1);
        file.take(bytes_max + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= bytes_max).then(|| (bytes, Stamp::of(&stat)))
    }
}

/// Opens for reading what is so far only found, if it is a plain file.
pub(super) fn reopen(place: &OwnedFd) -> Option<(File, Stat)> {
    let is_plain = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_plain(&fstat(place).ok()?) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    let file = File::from(open(own, flags, Mode::empty()).ok()?);
    let stat = fstat(&file).ok()?;
    is_plain(&stat).then_some((file, stat))
}

impl Stamp {
    /// Of a file's status.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (
                stat.st_ctime,
                i64::try_from(stat.st_ctime_nsec).unwrap_or(i64::MAX),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mknodat};

    use super::*;

    #[test]
    fn only_plain_files_within_the_root_and_the_bound_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::write(at("etc/passwd"), "inside").unwrap();
        std::fs::write(at("etc/long"), "12345678").unwrap();
        symlink("/etc/passwd", at("absolute")).unwrap();
        symlink("../../../../../../etc/passwd", at("upwards")).unwrap();
        symlink("/proc/self/root/etc/passwd", at("magic")).unwrap();
        symlink("loop", at("loop")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let root = Root::at(folder.path()).unwrap();
        let read = |path: &str| root.read(Path::new(path), 7).map(|(bytes, _)| bytes);
        for path in [
            "/etc/passwd",
            "etc/passwd",
            "../etc/passwd",
            "/absolute",
            "/upwards",
        ] {
            assert_eq!(read(path).as_deref(), Some(&b"inside"[..]), "{path}");
        }
        for path in ["/magic", "/loop", "/pipe", "/etc/long", "/etc", "/none"] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn a_process_is_taken_by_its_mount_namespace() {
        let own = std::process::id();
        let mount_ns = namespace(own, "mnt").unwrap();
        assert!(Root::of_process(own, mount_ns).is_some());
        assert!(Root::of_process(own, mount_ns + 1).is_none());
        assert!(Root::of_process(own, 0).is_none());
        assert!(Root::of_process(0, mount_ns).is_none());
    }
}
