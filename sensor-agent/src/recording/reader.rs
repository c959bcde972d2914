//! Reading a recording, up to its end or to its first fault.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use super::{
    chunk::{self, ChunkFault},
    header::{Header, HeaderError},
    item::{ItemFault, Items},
};

/// What is wrong behind the header, and where in the file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A chunk is not what it should be.
    #[error("at byte {at}: {source}")]
    Chunk {
        /// Where the chunk begins.
        at: u64,
        /// What is wrong.
        source: ChunkFault,
    },
    /// What a chunk holds is not what it should be, although its sum is right.
    #[error("in the chunk at byte {at}, {source}")]
    Item {
        /// Where the chunk begins.
        at: u64,
        /// What is wrong.
        source: ItemFault,
    },
    /// The mark of the end is missing.
    #[error("at byte {at}: the file ends without the mark of the end: it was cut, or its sensor was killed")]
    NoEnd {
        /// The file's length.
        at: u64,
    },
}

/// A recording that is read.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    header: Header,
    number: u32,
    /// Where the next chunk begins.
    next: u64,
    items: Vec<u8>,
    buffer: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// Opens a file. Returns its length, too.
    pub fn open(path: &Path) -> Result<(Self, u64), HeaderError> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((Self::new(BufReader::with_capacity(1 << 20, file))?, len))
    }
}

impl<R: Read> Reader<R> {
    /// Reads a recording's header.
    pub fn new(mut file: R) -> Result<Self, HeaderError> {
        let (header, next) = Header::read(&mut file)?;
        Ok(Self {
            file,
            header,
            number: 0,
            next,
            items: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// What all of the recording shares.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that have been read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.next
    }

    /// The next chunk: where it begins, and its items. `None` at the end of the file.
    pub fn chunk(&mut self) -> Result<Option<(u64, Items<'_>)>, Fault> {
        let at = self.next;
        let read = chunk::read(&mut self.file, self.number, &mut self.items, &mut self.buffer);
        let bytes = read.map_err(|source| Fault::Chunk { at, source })?;
        if bytes == 0 {
            return Ok(None);
        }
        self.next += bytes;
        self.number = self.number.wrapping_add(1);
        Ok(Some((at, Items::new(&self.items))))
    }
}
