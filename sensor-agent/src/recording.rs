//! Recordings: all that the pipeline was given, in the order in which it took it, in a file.
//!
//! A recording holds inputs and no results, so that any rules can be run over it, also such as were written later. It
//! has a header (what was recorded, where, by which sensor) and then chunks, each compressed, checked by a sum and
//! bounded, with [`Input`](item::Input)s one behind the other:
//!
//! ```text
//! file    magic (8), format version (u32), length of the header (u32), header (JSON), CRC-32 of all before
//! chunk   magic (u32), stored length (u32), length (u32), number (u32), CRC-32 of these and of what follows
//!         an LZ4 block: items
//! item    tag (u8), length (LEB128), content
//! ```
//!
//! Numbers are little-endian. A record is stored as it was in the ring, in the layout that the header names. The last
//! item is [`End`](item::Input::End); a file without it was cut, or its sensor was killed.
//!
//! Invariants: nothing in a file is trusted, and whatever it holds, reading it ends with inputs or with a fault that
//! names its place. What could not be written is told in the file, where it is missing.

pub mod chunk;
pub(crate) mod forms;
pub mod header;
pub mod item;
pub mod reader;
pub mod tap;
pub mod writer;

#[cfg(test)]
mod tests;

/// The format of the file. A file with a higher one is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Items of one chunk, in bytes, before they are compressed.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;

/// One item, in bytes: what is larger (the facts of a container with a thousand long mounts) is left out and counted.
pub const ITEM_BYTES_MAX: usize = 4 << 20;
