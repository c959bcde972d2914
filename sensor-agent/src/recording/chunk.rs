//! Chunks: many items, compressed together and checked by one sum.

use std::io::{self, Read, Write};

use super::CHUNK_BYTES_MAX;

const MAGIC: [u8; 4] = *b"CHNK";

/// Magic, stored length, length, number, sum.
const HEAD_BYTES: usize = 20;

/// What LZ4 makes of incompressible bytes is this much longer at most (`LZ4_COMPRESSBOUND`).
const STORED_BYTES_MAX: usize = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 255 + 16;

/// What is wrong with a chunk.
#[derive(Debug, thiserror::Error)]
pub enum ChunkFault {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file ends within the chunk.
    #[error("the file ends within chunk {0}")]
    Short(u32),
    /// There is no chunk where one should be.
    #[error("there is no chunk {0}: its mark is missing")]
    Magic(u32),
    /// A length is beyond the bound.
    #[error("chunk {0} says that it is larger than any")]
    TooLarge(u32),
    /// Chunks are missing or in another order.
    #[error("chunk {found} stands where chunk {expected} should")]
    Number {
        /// The chunk's own number.
        found: u32,
        /// The one that follows.
        expected: u32,
    },
    /// The sum is wrong.
    #[error("the sum of chunk {0} is wrong")]
    Sum(u32),
    /// It cannot be decompressed.
    #[error("chunk {0} cannot be decompressed")]
    Compression(u32),
}

/// Writes a chunk. Returns its bytes.
pub fn write(file: &mut impl Write, number: u32, items: &[u8], buffer: &mut Vec<u8>) -> io::Result<u64> {
    buffer.clear();
    buffer.resize(
        HEAD_BYTES + lz4_flex::block::get_maximum_output_size(items.len()),
        0,
    );
    let stored =
        lz4_flex::block::compress_into(items, &mut buffer[HEAD_BYTES..]).map_err(io::Error::other)?;
    buffer.truncate(HEAD_BYTES + stored);
    let len = |len: usize| u32::try_from(len).map_err(io::Error::other);
    buffer[..4].copy_from_slice(&MAGIC);
    buffer[4..8].copy_from_slice(&len(stored)?.to_le_bytes());
    buffer[8..12].copy_from_slice(&len(items.len())?.to_le_bytes());
    buffer[12..16].copy_from_slice(&number.to_le_bytes());
    let sum = sum(&buffer[..16], &buffer[HEAD_BYTES..]);
    buffer[16..20].copy_from_slice(&sum.to_le_bytes());
    file.write_all(buffer)?;
    Ok(buffer.len() as u64)
}

/// Reads the chunk of this number; its items go to `items`. Returns its bytes in the file, 0 at the end of the file.
pub fn read(
    file: &mut impl Read,
    number: u32,
    items: &mut Vec<u8>,
    buffer: &mut Vec<u8>,
) -> Result<u64, ChunkFault> {
    let mut head = [0; HEAD_BYTES];
    match fill(file, &mut head)? {
        0 => return Ok(0),
        HEAD_BYTES => {}
        _ => return Err(ChunkFault::Short(number)),
    }
    if head[..4] != MAGIC {
        return Err(ChunkFault::Magic(number));
    }
    let field = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| head[at + index]));
    let (stored, len) = (field(4) as usize, field(8) as usize);
    if stored > STORED_BYTES_MAX || len > CHUNK_BYTES_MAX {
        return Err(ChunkFault::TooLarge(number));
    }
    buffer.clear();
    // Not more than there is: a length is believed only as far as bytes follow.
    if file.take(stored as u64).read_to_end(buffer)? < stored {
        return Err(ChunkFault::Short(number));
    }
    if sum(&head[..16], buffer) != field(16) {
        return Err(ChunkFault::Sum(number));
    }
    if field(12) != number {
        return Err(ChunkFault::Number {
            found: field(12),
            expected: number,
        });
    }
    items.clear();
    items.resize(len, 0);
    match lz4_flex::block::decompress_into(buffer, items) {
        Ok(written) if written == len => Ok((HEAD_BYTES + stored) as u64),
        _ => Err(ChunkFault::Compression(number)),
    }
}

fn sum(head: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(stored);
    hasher.finalize()
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
