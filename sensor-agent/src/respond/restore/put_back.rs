//! Compares a file with its copy, and puts the copy back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::super::hash::Hash;
use super::copies::Copy;
use super::host::HostFiles;
use super::metadata::Metadata;
use super::mounts;

/// How a file stands to its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Good,
    Missing,
    Changed { what: String },
}

/// How a file was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A new file took its place: whoever has the old one open writes into nothing.
    Renamed,
    /// The same inode got the content back, because it has other names or mounts.
    InPlace,
}

impl State {
    /// An error when what is there is no regular file, or cannot be reached without following a link.
    pub(super) fn of(host: &HostFiles, copy: &Copy) -> io::Result<Self> {
        let file = match host.open_file(&copy.path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        if size != copy.content.len() as u64 {
            let what = format!("it has {size} bytes, not {}", copy.content.len());
            return Ok(Self::Changed { what });
        }
        let mut content = Vec::new();
        (&file).take(size + 1).read_to_end(&mut content)?;
        let sha256 = Hash::of(&content).to_string();
        if sha256 != copy.sha256 {
            let what = format!("its SHA-256 is {sha256:.16}..., not {:.16}...", copy.sha256);
            return Ok(Self::Changed { what });
        }
        let difference = copy.metadata.difference(&Metadata::of(&file)?);
        Ok(difference.map_or(Self::Good, |what| Self::Changed { what }))
    }
}

/// Puts `copy` back and makes sure that it is on disk and where it belongs.
pub(super) fn put_back(host: &HostFiles, copy: &Copy, run_id: &str) -> io::Result<How> {
    let links = match host.open_file(&copy.path, OFlags::PATH) {
        Ok(file) => file.metadata()?.nlink(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let how = if links > 0 && (links > 1 || mounts::is_mounted(&copy.path)) {
        rewrite(host, copy)?;
        How::InPlace
    } else {
        match replace(host, copy, run_id) {
            Ok(()) => How::Renamed,
            // A mount point cannot be replaced.
            Err(Errno::BUSY | Errno::XDEV) => {
                rewrite(host, copy)?;
                How::InPlace
            }
            Err(error) => return Err(error.into()),
        }
    };
    match State::of(host, copy)? {
        State::Good => Ok(how),
        State::Missing => Err(io::Error::other("it is missing again")),
        State::Changed { what } => Err(io::Error::other(format!("after it was written, {what}"))),
    }
}

fn replace(host: &HostFiles, copy: &Copy, run_id: &str) -> Result<(), Errno> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let (folder, name) = host.open_parent(&copy.path).map_err(errno)?;
    let new = format!(".sensor-{run_id}");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folder, &new, flags, Mode::RUSR | Mode::WUSR)?;
    let written = fill(&mut File::from(file), copy).map_err(errno);
    let placed = written.and_then(|()| renameat(&folder, &new, &folder, name));
    if placed.is_err() {
        // Best effort: the error that is returned says what matters.
        let _ = unlinkat(&folder, &new, AtFlags::empty());
    }
    placed?;
    sync(folder).map_err(errno)
}

fn rewrite(host: &HostFiles, copy: &Copy) -> io::Result<()> {
    fill(&mut host.open_file(&copy.path, OFlags::WRONLY)?, copy)
}

fn fill(file: &mut File, copy: &Copy) -> io::Result<()> {
    file.write_all(&copy.content)?;
    file.set_len(copy.content.len() as u64)?;
    copy.metadata.apply(file)?;
    file.sync_all()
}

fn sync(folder: OwnedFd) -> io::Result<()> {
    File::from(folder).sync_all()
}
