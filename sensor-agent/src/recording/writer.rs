//! The thread that writes a recording.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use super::{
    chunk,
    header::Header,
    item::{self, Counted, End, Input, Lost},
    tap::{Chunk, QUEUE_CHUNKS, Tap},
};

/// Room that is kept for the end, when the size is bounded.
const END_BYTES: u64 = 64 << 10;

/// The smallest bound of a file's size: header, processes that were there before, the end.
pub const SIZE_BYTES_MIN: u64 = 1 << 20;

/// Why a file cannot be recorded to.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is there already.
    #[error("{0} is there already, and a recording is never written over: name another file, or remove it")]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("cannot make {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error(
        "cannot write {path}: {source}; what was written before can be replayed, and ends without its mark"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room for a thread.
    #[error("cannot start the thread that writes: {0}")]
    Thread(io::Error),
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The file's length.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// What is missing.
    pub lost: Lost,
}

/// A file that is to become a recording; it is made before anything else is done.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    file: File,
    /// Bytes that it may have.
    size_max: u64,
}

impl Target {
    /// Makes the file, for its owner alone: command lines may hold secrets.
    pub fn create(path: &Path, size_max: u64) -> Result<Self, RecordError> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => RecordError::Exists(path.into()),
            _ => RecordError::Create {
                path: path.into(),
                source,
            },
        })?;
        Ok(Self {
            path: path.into(),
            file,
            size_max,
        })
    }
}

/// The agent's end of a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    thread: JoinHandle<io::Result<Recorded>>,
    end: SyncSender<(&'static str, Vec<Counted>)>,
    /// Resolves when the file is full or cannot be written any more.
    pub ended: oneshot::Receiver<()>,
}

impl Recorder {
    /// Begins to write.
    pub fn start(target: Target, header: &Header) -> Result<(Tap, Self), RecordError> {
        let Target {
            path,
            mut file,
            size_max,
        } = target;
        let fault = |source| RecordError::Write {
            path: path.clone(),
            source,
        };
        let bytes = header.write(&mut file).map_err(fault)?;
        let (chunks, received) = sync_channel(QUEUE_CHUNKS);
        let (spare_sender, spare) = sync_channel(QUEUE_CHUNKS);
        let (end, end_receiver) = sync_channel(1);
        let (full, ended) = oneshot::channel();
        let work = Work {
            file,
            size_max: size_max.saturating_sub(END_BYTES),
            number: 0,
            buffer: Vec::new(),
            recorded: Recorded {
                bytes,
                ..Recorded::default()
            },
            full: Some(full),
            failed: None,
        };
        let thread = std::thread::Builder::new()
            .name("recording".into())
            .spawn(move || work.run(&received, &spare_sender, &end_receiver))
            .map_err(RecordError::Thread)?;
        let recorder = Self {
            path,
            thread,
            end,
            ended,
        };
        Ok((Tap::new(chunks, spare), recorder))
    }

    /// Writes the end, once the [`Tap`] is gone. Blocks until all is written.
    pub fn finish(self, why: &'static str, kinds: Vec<Counted>) -> Result<Recorded, RecordError> {
        let Self {
            path, thread, end, ..
        } = self;
        // The thread waits for it, or has ended with an error of its own.
        let _ = end.send((why, kinds));
        let ended = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended by itself")));
        ended.map_err(|source| RecordError::Write { path, source })
    }
}

struct Work {
    file: File,
    size_max: u64,
    number: u32,
    buffer: Vec<u8>,
    recorded: Recorded,
    /// Dropped when the file is full or cannot be written.
    full: Option<oneshot::Sender<()>>,
    failed: Option<io::Error>,
}

impl Work {
    fn run(
        mut self,
        chunks: &Receiver<Chunk>,
        spare: &SyncSender<Vec<u8>>,
        end: &Receiver<(&'static str, Vec<Counted>)>,
    ) -> io::Result<Recorded> {
        for mut chunk in chunks {
            self.take(&chunk);
            chunk.items.clear();
            // Without room, or without anybody to fill it again, it is just freed.
            let _ = spare.try_send(chunk.items);
        }
        let end = end.recv().ok();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some((why, kinds)) = end {
            let why = if self.full.is_none() { "size" } else { why };
            let end = Input::End(End {
                why: why.into(),
                records: self.recorded.records,
                lost: self.recorded.lost,
                kinds,
            });
            let mut items = Vec::new();
            item::encode(&end, &mut items).map_err(io::Error::other)?;
            self.write(&items)?;
        }
        self.file.flush()?;
        self.file.sync_all()?;
        Ok(self.recorded)
    }

    fn take(&mut self, chunk: &Chunk) {
        // Told in the chunk, and so in the file, as far as it is written.
        self.recorded.lost.records += chunk.told.records;
        self.recorded.lost.others += chunk.told.others;
        let worst = (lz4_flex::block::get_maximum_output_size(chunk.items.len()) + 64) as u64;
        if self.recorded.bytes + worst > self.size_max {
            self.full = None;
        }
        if self.full.is_some() {
            match self.write(&chunk.items) {
                Ok(()) => {
                    self.recorded.records += chunk.records;
                    return;
                }
                Err(error) => {
                    self.failed = Some(error);
                    self.full = None;
                }
            }
        }
        self.recorded.lost.records += chunk.records;
        self.recorded.lost.others += chunk.others;
    }

    fn write(&mut self, items: &[u8]) -> io::Result<()> {
        self.recorded.bytes += chunk::write(&mut self.file, self.number, items, &mut self.buffer)?;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }
}
