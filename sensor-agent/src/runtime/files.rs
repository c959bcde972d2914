//! Reading a runtime's file: bounded, below a root folder, and only from who may say so.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, openat2};

/// Longest file that is read. A bundle's description has some 20 KiB; the lists of images and containers grow with
/// their number.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Who owns a file that is believed: root, or who ran the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    /// The runtime's user besides root.
    pub uid: u32,
}

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    root: PathBuf,
    path: PathBuf,
    inode: u64,
    size: i64,
    changed: (i64, i64),
}

/// Reads a file below `root`; links that lead out of it end within it. `None` where it is not there, too long, no plain
/// file, or somebody else's.
#[must_use]
pub fn read(root: &Path, path: &Path, believed: Believed) -> Option<(Vec<u8>, Stamp)> {
    let (file, stat) = open(root, path)?;
    let is_believed = stat.st_uid == 0 || stat.st_uid == believed.uid;
    let size = u64::try_from(stat.st_size).ok()?;
    if !is_believed || size > FILE_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok()? + 1);
    File::from(file)
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    (bytes.len() as u64 <= FILE_BYTES_MAX).then(|| (bytes, stamp(root, path, &stat)))
}

/// Whether there is something of root's at this path.
#[must_use]
pub fn exists(root: &Path, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    open_with(root, path, flags).is_some_and(|fd| rustix::fs::fstat(&fd).is_ok_and(|stat| stat.st_uid == 0))
}

impl Stamp {
    /// Whether the file is still as it was read; `None` where it is gone.
    #[must_use]
    pub fn is_current(&self) -> Option<bool> {
        let (_, stat) = open(&self.root, &self.path)?;
        Some(stamp(&self.root, &self.path, &stat) == *self)
    }
}

fn open(root: &Path, path: &Path) -> Option<(OwnedFd, Stat)> {
    // A pipe or a device must not make anyone wait.
    let file = open_with(
        root,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
    )?;
    let stat = rustix::fs::fstat(&file).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some((file, stat))
}

fn open_with(root: &Path, path: &Path, flags: OFlags) -> Option<OwnedFd> {
    let root = rustix::fs::open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(&root, path, flags, Mode::empty(), within).ok()
}

fn stamp(root: &Path, path: &Path, stat: &Stat) -> Stamp {
    Stamp {
        root: root.to_owned(),
        path: path.to_owned(),
        inode: stat.st_ino,
        size: stat.st_size,
        changed: (
            stat.st_ctime,
            i64::try_from(stat.st_ctime_nsec).unwrap_or(i64::MAX),
        ),
    }
}
