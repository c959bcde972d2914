//! Notes what the pipeline takes, on its own thread, and never waits for a disk.
//!
//! Items are copied into a chunk; a chunk that is full goes through a bounded queue to the thread that writes. When the
//! queue is full, the chunk is given up and the next one begins with the word of how much is missing.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use super::item::{self, Input, Lost};
use crate::state::seed::Seed;

/// Chunks that may wait to be written.
pub const QUEUE_CHUNKS: usize = 64;

/// A chunk is handed on when it has so many bytes, and once a second.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Items on their way to the file.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The items.
    pub items: Vec<u8>,
    /// Records among them.
    pub records: u64,
    /// Other items among them.
    pub others: u64,
    /// What the chunk says that is missing before it.
    pub told: Lost,
}

/// The pipeline's end of a recording.
#[derive(Debug)]
pub struct Tap {
    chunk: Chunk,
    /// What is missing since the last chunk that was handed on.
    lost: Lost,
    chunks: SyncSender<Chunk>,
    /// Chunks that have been written, to be filled again.
    spare: Receiver<Vec<u8>>,
}

impl Tap {
    pub(super) fn new(chunks: SyncSender<Chunk>, spare: Receiver<Vec<u8>>) -> Self {
        Self {
            chunk: Chunk::default(),
            lost: Lost::default(),
            chunks,
            spare,
        }
    }

    /// Notes one item.
    pub fn note(&mut self, input: &Input<'_>) {
        self.add(input);
        if self.chunk.items.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    /// Notes the processes that were there before. Waits for the disk: nothing is read yet.
    pub fn note_seed(&mut self, seed: &Seed) {
        for seeded in &seed.processes {
            self.add(&Input::Seeded(Box::new(seeded.clone())));
            if self.chunk.items.len() >= CHUNK_BYTES {
                self.finish();
            }
        }
        self.add(&Input::Planted(seed.host_mount_ns));
        self.finish();
    }

    fn add(&mut self, input: &Input<'_>) {
        let chunk = &mut self.chunk;
        if chunk.items.is_empty() && self.lost != Lost::default() {
            chunk.told = std::mem::take(&mut self.lost);
            // A few numbers: never too large.
            let _ = item::encode(&Input::Lost(chunk.told), &mut chunk.items);
        }
        let is_record = matches!(input, Input::Record(..));
        let (records, others) = (u64::from(is_record), u64::from(!is_record));
        if item::encode(input, &mut chunk.items).is_ok() {
            chunk.records += records;
            chunk.others += others;
        } else {
            self.lost.records += records;
            self.lost.others += others;
        }
    }

    /// Hands on what has been noted, unless too much waits already; then it is lost, and the next chunk says so.
    pub fn flush(&mut self) {
        let Some(chunk) = self.take() else { return };
        if let Err(TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) =
            self.chunks.try_send(chunk)
        {
            self.lost.records += chunk.records + chunk.told.records;
            self.lost.others += chunk.others + chunk.told.others;
            self.chunk.items = chunk.items;
            self.chunk.items.clear();
        }
    }

    /// Hands on what is left, and waits until there is room for it.
    pub fn finish(&mut self) {
        if self.lost != Lost::default() && self.chunk.items.is_empty() {
            self.chunk.told = std::mem::take(&mut self.lost);
            let _ = item::encode(&Input::Lost(self.chunk.told), &mut self.chunk.items);
        }
        if let Some(chunk) = self.take() {
            // The writer ends only after this; should it have failed, that is told by it.
            let _ = self.chunks.send(chunk);
        }
    }

    fn take(&mut self) -> Option<Chunk> {
        if self.chunk.items.is_empty() {
            return None;
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.chunk.items = self.spare.try_recv().unwrap_or_default();
        Some(chunk)
    }
}
