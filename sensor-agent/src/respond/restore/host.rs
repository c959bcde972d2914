//! The host's files, reached from one folder without following a link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};

use super::super::pattern::{PathPattern, fits};

/// Files that one pattern may stand for.
const EXPANDED_MAX: usize = 1000;

/// The folder that the host's absolute paths start from.
#[derive(Debug)]
pub(super) struct HostFiles(OwnedFd);

impl HostFiles {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, root, flags, Mode::empty()).map_err(|error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("host_root `{}`: {error}", root.display()))
        })?;
        Ok(Self(root))
    }

    /// Opens `path`, which may not lead through a symbolic link nor out of the folder.
    pub(super) fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let below = path.trim_start_matches('/');
        let below = if below.is_empty() { "." } else { below };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(
            |error| match error {
                rustix::io::Errno::LOOP => {
                    io::Error::other(format!("`{path}` leads through a symbolic link"))
                }
                rustix::io::Errno::XDEV => {
                    io::Error::other(format!("`{path}` leads out of the host's files"))
                }
                other => other.into(),
            },
        )
    }

    /// Opens the regular file at `path` with `flags`; an error when something else is there.
    pub(super) fn open_file(&self, path: &str, flags: OFlags) -> io::Result<File> {
        // Without O_NONBLOCK a FIFO that somebody put there would hold us up; O_PATH opens nothing, and takes no such flag.
        let waiting = if flags.contains(OFlags::PATH) {
            OFlags::empty()
        } else {
            OFlags::NONBLOCK | OFlags::NOCTTY
        };
        let file = File::from(self.open_at(path, flags | waiting)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other(format!("`{path}` is not a regular file")))
        }
    }

    /// Opens the folder that `path` is in; with the last part of `path`.
    pub(super) fn open_parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (folder, name) = path
            .rsplit_once('/')
            .ok_or_else(|| io::Error::other(format!("`{path}` is not an absolute path")))?;
        Ok((self.open_at(folder, OFlags::RDONLY | OFlags::DIRECTORY)?, name))
    }

    /// The regular files that `pattern` stands for. Names that are no UTF-8 are left out.
    pub(super) fn expand(&self, pattern: &PathPattern) -> io::Result<Vec<String>> {
        let mut found = vec![PathBuf::from("/")];
        for part in pattern.as_str().split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for folder in &found {
                if part.contains('*') {
                    next.extend(self.names(folder, part)?.iter().map(|name| folder.join(name)));
                } else {
                    next.push(folder.join(part));
                }
                if next.len() > EXPANDED_MAX {
                    let pattern = pattern.as_str();
                    return Err(io::Error::other(format!(
                        "`{pattern}` is more than {EXPANDED_MAX} files"
                    )));
                }
            }
            found = next;
        }
        let found = found
            .into_iter()
            .filter_map(|path| path.into_os_string().into_string().ok());
        Ok(found
            .filter(|path| self.open_file(path, OFlags::PATH).is_ok())
            .collect())
    }

    fn names(&self, folder: &Path, pattern: &str) -> io::Result<Vec<String>> {
        let Some(folder) = folder.to_str() else {
            return Ok(Vec::new());
        };
        let Ok(folder) = self.open_at(folder, OFlags::RDONLY | OFlags::DIRECTORY) else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in Dir::new(folder)?.take(100_000) {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let wanted = entry.file_type() != FileType::Symlink && name != b"." && name != b"..";
            if wanted && fits(pattern.as_bytes(), name) {
                names.extend(String::from_utf8(name.to_vec()).ok());
            }
        }
        names.sort();
        Ok(names)
    }
}
