//! The folder of good copies, and of the evidence of what took their place.
//!
//! A copy is one file: a line of JSON that says what it is a copy of, then the content. It is written whole or not at all,
//! and read only when nobody but the agent's user could have changed it and the content has the recorded hash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::super::hash::Hash;
use super::host::HostFiles;
use super::metadata::Metadata;

/// Bytes of the largest file that a copy is made of.
const CONTENT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the line of JSON.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// Copies in one folder.
const COPIES_MAX: usize = 4096;
/// Bytes that are kept of what took a file's place.
const EVIDENCE_BYTES_MAX: u64 = 1 << 20;
/// Pieces of evidence; the oldest goes first.
const EVIDENCE_MAX: usize = 100;

/// A good copy, checked.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) metadata: Metadata,
    pub(super) content: Vec<u8>,
}

/// What a copy is a copy of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) path: String,
    pub(super) sha256: String,
    /// As of the file when it was recorded.
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) recorded: String,
    metadata: Metadata,
}

#[derive(Debug, Serialize)]
struct EvidenceHeader<'a> {
    path: &'a str,
    detection: &'a str,
    time: String,
    /// Of the whole file, in bytes; the evidence may be less.
    size: u64,
    metadata: Metadata,
}

/// An open folder of copies.
#[derive(Debug)]
pub(super) struct Copies(PathBuf);

impl Copies {
    /// Opens the folder; makes it, with mode 0700, when it is not there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let found = made
            .and_then(|()| fs::symlink_metadata(folder))
            .map_err(|error| at(folder, &error))?;
        let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if !ours || found.mode() & 0o077 != 0 {
            let why = "is not a folder that only the agent's user can enter (mode 0700)";
            return Err(at(folder, &io::Error::other(why)));
        }
        Ok(Self(folder.into()))
    }

    /// Records the file at `path` as it is now, in place of an earlier copy.
    pub(super) fn record(&self, host: &HostFiles, path: &str) -> io::Result<Header> {
        let file = host.open_file(path, OFlags::RDONLY)?;
        let found = file.metadata()?;
        if found.len() > CONTENT_BYTES_MAX {
            return Err(io::Error::other(format!(
                "`{path}` has more than {CONTENT_BYTES_MAX} bytes"
            )));
        }
        let mut content = Vec::new();
        (&file).take(CONTENT_BYTES_MAX + 1).read_to_end(&mut content)?;
        let header = Header {
            path: path.into(),
            sha256: Hash::of(&content).to_string(),
            device: found.dev(),
            inode: found.ino(),
            recorded: jiff::Timestamp::now().to_string(),
            metadata: Metadata::of(&file)?,
        };
        if self.headers()?.len() >= COPIES_MAX && !self.file_of(path).exists() {
            return Err(io::Error::other(format!("there are {COPIES_MAX} copies already")));
        }
        write_whole(&self.file_of(path), &header, &content)?;
        Ok(header)
    }

    /// Reads the copy of `path` and checks it.
    pub(super) fn load(&self, path: &str) -> io::Result<Copy> {
        let file = self.file_of(path);
        let (header, content) = read_copy(&file).map_err(|error| at(&file, &error))?;
        let sha256 = Hash::of(&content).to_string();
        if header.path != path || header.sha256 != sha256 {
            let why = format!("the copy of `{path}` is damaged: its content does not have the recorded hash");
            return Err(at(&file, &io::Error::other(why)));
        }
        Ok(Copy {
            path: header.path,
            sha256,
            metadata: header.metadata,
            content,
        })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.file_of(path).exists()
    }

    /// What there are copies of; copies that cannot be read are left out here, and refused when they are loaded.
    pub(super) fn headers(&self) -> io::Result<Vec<Header>> {
        let mut headers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "copy") && headers.len() < COPIES_MAX {
                headers.extend(open_copy(&file).and_then(|mut file| read_header(&mut file)).ok());
            }
        }
        Ok(headers)
    }

    /// Keeps the start of what is at `path` now; returns the evidence's path.
    pub(super) fn keep_evidence(
        &self,
        host: &HostFiles,
        path: &str,
        run_id: &str,
        detection_id: &str,
    ) -> io::Result<String> {
        let folder = self.0.join("evidence");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        remove_oldest(&folder)?;
        let file = host.open_file(path, OFlags::RDONLY)?;
        let mut content = Vec::new();
        (&file).take(EVIDENCE_BYTES_MAX).read_to_end(&mut content)?;
        let header = EvidenceHeader {
            path,
            detection: detection_id,
            time: jiff::Timestamp::now().to_string(),
            size: file.metadata()?.len(),
            metadata: Metadata::of(&file)?,
        };
        // Several of one run differ by their content.
        let name = folder.join(format!("{run_id}-{:.8}", Hash::of(&content).to_string()));
        write_whole(&name, &header, &content)?;
        Ok(name.display().to_string())
    }

    fn file_of(&self, path: &str) -> PathBuf {
        self.0.join(format!("{}.copy", Hash::of(path.as_bytes())))
    }
}

/// Names start with a run's id, which sorts by time.
fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    let surplus = (names.len() + 1).saturating_sub(EVIDENCE_MAX);
    names.iter().take(surplus).try_for_each(fs::remove_file)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

fn write_whole(path: &Path, header: &impl Serialize, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut header = serde_json::to_vec(header)?;
    header.push(b'\n');
    // What a crash left there.
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&header)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn open_copy(path: &Path) -> io::Result<io::BufReader<File>> {
    #[expect(clippy::cast_possible_wrap, reason = "open flags are small")]
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let ours = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "others than the agent's user could have changed it",
        ));
    }
    Ok(io::BufReader::new(file))
}

fn read_header(copy: &mut io::BufReader<File>) -> io::Result<Header> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut copy.take(HEADER_BYTES_MAX as u64), b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn read_copy(path: &Path) -> io::Result<(Header, Vec<u8>)> {
    let mut copy = open_copy(path)?;
    let header = read_header(&mut copy)?;
    let mut content = Vec::new();
    copy.take(CONTENT_BYTES_MAX + 1).read_to_end(&mut content)?;
    Ok((header, content))
}
