//! The record of every run: append-only JSON lines, chained by hash.
//!
//! Each line carries a sequence number and the SHA-256 of the line before it (64 zeros in the first line ever), so a
//! line that is changed, removed or put in shows as a break at the line after it. What the chain alone cannot show is
//! lines cut off the end: compare the head that [`verify`] gives with what was seen before.
//!
//! Invariants:
//! - A line is either whole or, at the file's end only, torn; [`Journal::open`] cuts a torn one off and says so in the
//!   next line.
//! - When [`Journal::append`] returns `Ok` for an intent or an outcome, the line is on disk.

mod scan;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use super::hash::Hash;
use scan::{Scan, scan};

/// Why a journal cannot be used, or is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("journal `{path}` cannot be {done}: {error}")]
    Io {
        /// The journal.
        path: PathBuf,
        /// What was tried.
        done: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Another process has it open.
    #[error("journal `{0}` is in use by another agent; stop it, or give each its own `respond.journal`")]
    Locked(PathBuf),
    /// Something else is in its place.
    #[error("journal `{0}` is not a regular file of the agent's user; remove what is in its place")]
    NotOurs(PathBuf),
    /// The chain is broken.
    #[error(
        "journal `{path}`, line {line}: {why}; lines were changed, removed or put in at or before this one"
    )]
    Broken {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What does not fit.
        why: String,
    },
}

/// What a journal holds whose chain is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whole lines.
    pub records: u64,
    /// The first line's number: 0, or more where an earlier journal came before this one.
    pub first_seq: u64,
    /// SHA-256 of the last line, in hexadecimal.
    pub head: String,
    /// Bytes of a torn last line: a crash in mid-write, or a write that is still going on.
    pub torn_bytes: u64,
    /// Intents without an outcome: runs that are going on, or that a crash cut off.
    pub unfinished: Vec<String>,
}

/// What was wrong with a journal when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// Bytes of a torn last line that were cut off.
    pub(crate) torn_bytes: u64,
    /// Runs with an intent but no outcome, by id.
    pub(crate) unfinished: Vec<String>,
    /// Where the chain is broken, and how.
    pub(crate) broken: Option<String>,
}

impl Recovery {
    pub(crate) fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// What a line says.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Entry<'a> {
    /// An agent started to use the journal.
    Opened(&'a Recovery),
    /// The first line of a file that follows a full one.
    Continued,
    /// A hook is about to act.
    Intent(Run<'a>),
    /// A run came to its end, or was not let start.
    Outcome {
        #[serde(flatten)]
        run: Run<'a>,
        outcome: &'a str,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<&'a Output>,
    },
}

/// A run of a hook.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Run<'a> {
    #[serde(rename = "run")]
    pub(crate) id: &'a str,
    pub(crate) hook: &'a str,
    pub(crate) detection: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) detail: &'a str,
}

/// What a program wrote, as far as it was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Bytes that were read but not kept.
    pub(crate) discarded_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    seq: u64,
    time: String,
    prev: String,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    next_seq: u64,
    head: Hash,
}

impl Journal {
    /// Opens or makes the journal at `path`, mode 0600, and writes down that it did, and what it found to be wrong.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<(Self, Recovery), JournalError> {
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(io_error(path, "given a folder"))?;
        }
        let file = open_private(path)?;
        let found = scan(BufReader::new(&file)).map_err(io_error(path, "read"))?;
        if found.torn_bytes > 0 {
            file.set_len(found.whole_bytes)
                .map_err(io_error(path, "cut to whole lines"))?;
        }
        let Scan {
            whole_bytes,
            torn_bytes,
            next_seq,
            head,
            unfinished,
            broken,
            ..
        } = found;
        let recovery = Recovery {
            torn_bytes,
            unfinished,
            broken: broken.map(|(line, why)| format!("line {line}: {why}")),
        };
        let mut journal = Self {
            path: path.into(),
            file,
            bytes: whole_bytes,
            bytes_max,
            next_seq,
            head,
        };
        journal.append(&Entry::Opened(&recovery))?;
        Ok((journal, recovery))
    }

    /// Writes one line, and waits until it is on disk.
    pub(crate) fn append(&mut self, entry: &Entry<'_>) -> Result<(), JournalError> {
        let line = self.line(entry)?;
        if self.bytes == 0 || self.bytes + line.len() as u64 <= self.bytes_max {
            return self.write(&line);
        }
        self.rotate()?;
        let continued = self.line(&Entry::Continued)?;
        self.write(&continued)?;
        let line = self.line(entry)?;
        self.write(&line)
    }

    /// What `entry` looks like as the next line.
    fn line(&self, entry: &Entry<'_>) -> Result<Vec<u8>, JournalError> {
        let time = jiff::Timestamp::now().to_string();
        let line = Line {
            seq: self.next_seq,
            time,
            prev: self.head.to_string(),
            entry,
        };
        let mut line = serde_json::to_vec(&line)
            .map_err(|error| io_error(&self.path, "written")(io::Error::other(error)))?;
        line.push(b'\n');
        Ok(line)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), JournalError> {
        if let Err(error) = self.file.write_all(line).and_then(|()| self.file.sync_data()) {
            // A part of the line may be there: the next line must not follow it.
            self.file
                .set_len(self.bytes)
                .map_err(io_error(&self.path, "cut back after a failed write"))?;
            return Err(io_error(&self.path, "written")(error));
        }
        self.bytes += line.len() as u64;
        self.next_seq += 1;
        self.head = Hash::of(line.strip_suffix(b"\n").unwrap_or(line));
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        std::fs::rename(&self.path, previous(&self.path)).map_err(io_error(&self.path, "renamed"))?;
        self.file = open_private(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Checks the chain of the journal at `path`, and that it continues `<path>.1` where there is one.
///
/// Reads only; a journal in use may show a torn last line and unfinished runs.
pub fn verify(path: &Path) -> Result<Verified, JournalError> {
    let open = |path: &Path| File::open(path).map_err(io_error(path, "opened"));
    let found = scan(BufReader::new(open(path)?)).map_err(io_error(path, "read"))?;
    let broken = |line, why| JournalError::Broken {
        path: path.into(),
        line,
        why,
    };
    if let Some((line, why)) = found.broken {
        return Err(broken(line, why));
    }
    let before = previous(path);
    if found.first_seq > 0 && before.exists() {
        let earlier = scan(BufReader::new(open(&before)?)).map_err(io_error(&before, "read"))?;
        if Some(earlier.head.to_string()) != found.first_prev {
            return Err(broken(1, format!("does not continue `{}`", before.display())));
        }
    }
    Ok(Verified {
        records: found.records,
        first_seq: found.first_seq,
        head: found.head.to_string(),
        torn_bytes: found.torn_bytes,
        unfinished: found.unfinished,
    })
}

fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn io_error(path: &Path, done: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::Io { path, done, error }
}

fn open_private(path: &Path) -> Result<File, JournalError> {
    #[expect(clippy::cast_possible_wrap, reason = "open flags are small")]
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
        .map_err(io_error(path, "opened"))?;
    let found = file.metadata().map_err(io_error(path, "looked at"))?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(JournalError::NotOurs(path.into()));
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => JournalError::Locked(path.into()),
        other => io_error(path, "locked")(other.into()),
    })?;
    if found.mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(io_error(path, "made private"))?;
    }
    // The new name must survive a crash as well.
    if let Some(folder) = path.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(path, "entered in its folder"))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
