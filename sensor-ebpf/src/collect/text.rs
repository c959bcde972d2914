//! Pieces of a tail that are copied from memory rather than walked.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
};
use sensor_common::{
    limits::{PIECE_BYTES_MAX, TAIL_OFFSET_MAX},
    record::{Span, flags},
};

use crate::scratch::{Scratch, bounded_len, bounded_offset};

/// Where the next piece goes, with room for [`PIECE_BYTES_MAX`] behind it.
#[inline(always)]
fn next(scratch: &mut Scratch) -> Option<*mut c_void> {
    if !scratch.has_room() {
        scratch.flag(flags::TAIL_FULL);
        return None;
    }
    let offset = bounded_offset(scratch.end());
    // SAFETY: below TAIL_OFFSET_MAX, and the record is PIECE_BYTES_MAX longer.
    Some(unsafe { scratch.record().add(offset as usize) }.cast())
}

/// Makes a span of what a `*_str` helper read: its result counts the ending zero.
#[inline(always)]
fn finish(scratch: &mut Scratch, read: i64, unreadable: u32, truncated: u32) -> Span {
    if read <= 0 {
        scratch.flag(unreadable);
        return Span::default();
    }
    if read == PIECE_BYTES_MAX as i64 {
        scratch.flag(truncated);
    }
    let end = scratch.end() + bounded_len(read as u64 - 1);
    scratch.advance(end)
}

/// Appends text that ends at a zero byte in kernel memory.
#[inline(always)]
pub(crate) fn append_kernel(scratch: &mut Scratch, address: u64) -> Span {
    let Some(at) = next(scratch) else {
        return Span::default();
    };
    // SAFETY: `at` has room for PIECE_BYTES_MAX; the helper checks the source.
    let read = unsafe { bpf_probe_read_kernel_str(at, PIECE_BYTES_MAX as u32, address as *const c_void) };
    finish(scratch, read, flags::GIVEN_UNREADABLE, flags::GIVEN_TRUNCATED)
}

/// Appends text that ends at a zero byte in the caller's memory.
#[inline(always)]
pub(crate) fn append_user(scratch: &mut Scratch, address: u64) -> Span {
    let Some(at) = next(scratch) else {
        return Span::default();
    };
    // SAFETY: `at` has room for PIECE_BYTES_MAX; the helper checks the source.
    let read = unsafe { bpf_probe_read_user_str(at, PIECE_BYTES_MAX as u32, address as *const c_void) };
    finish(scratch, read, flags::GIVEN_UNREADABLE, flags::GIVEN_TRUNCATED)
}

/// Appends `len` bytes (at most 4095) of the caller's memory, or sets `unreadable`.
#[inline(always)]
pub(crate) fn append_user_bytes(scratch: &mut Scratch, address: u64, len: u64, unreadable: u32) -> Span {
    let Some(at) = next(scratch) else {
        return Span::default();
    };
    let len = bounded_len(len);
    // SAFETY: `at` has room for PIECE_BYTES_MAX; the helper checks the source.
    let result = unsafe { bpf_probe_read_user(at, len as u32, address as *const c_void) };
    finish_bytes(scratch, result, len, unreadable)
}

/// Appends `len` bytes (at most 4095) of kernel memory, or sets `unreadable`.
#[inline(always)]
pub(crate) fn append_kernel_bytes(scratch: &mut Scratch, address: u64, len: u64, unreadable: u32) -> Span {
    let Some(at) = next(scratch) else {
        return Span::default();
    };
    let len = bounded_len(len);
    // SAFETY: `at` has room for PIECE_BYTES_MAX; the helper checks the source.
    let result = unsafe { bpf_probe_read_kernel(at, len as u32, address as *const c_void) };
    finish_bytes(scratch, result, len, unreadable)
}

/// Makes a span of `len` bytes, if they were read.
#[inline(always)]
fn finish_bytes(scratch: &mut Scratch, result: i64, len: u64, unreadable: u32) -> Span {
    if result != 0 {
        scratch.flag(unreadable);
        return Span::default();
    }
    let end = scratch.end() + len;
    scratch.advance(end)
}

/// The first byte of a piece that is not empty.
#[inline(always)]
pub(crate) fn first_byte(scratch: &mut Scratch, piece: Span) -> u8 {
    let offset = bounded_offset(u64::from(piece.offset));
    // SAFETY: in bounds by the mask.
    unsafe { *scratch.record().add(offset as usize) }
}

/// Puts a name that is in the tail already behind a folder's path, which is the tail's last piece. Between
/// them goes a slash, unless one of them brings it.
#[inline(always)]
pub(crate) fn append_name(scratch: &mut Scratch, folder: Span, name: Span) -> Span {
    let is_absolute = first_byte(scratch, name) == b'/';
    let mut at = scratch.end();
    if folder.len == 1 {
        // The root's own slash.
        at -= 1;
    }
    if !is_absolute {
        let offset = bounded_offset(at);
        // SAFETY: in bounds by the mask.
        unsafe { *scratch.record().add(offset as usize) = b'/' };
        at += 1;
    }
    if at >= TAIL_OFFSET_MAX as u64 {
        scratch.flag(flags::TAIL_FULL | flags::PATH_TRUNCATED);
        return folder;
    }
    let len = bounded_len(u64::from(name.len));
    let (to, from) = (bounded_offset(at), bounded_offset(u64::from(name.offset)));
    // SAFETY: both offsets are in bounds, with room for PIECE_BYTES_MAX behind them; the helper may read our
    // own map value as any kernel memory.
    let result = unsafe {
        bpf_probe_read_kernel(
            scratch.record().add(to as usize).cast(),
            len as u32,
            scratch.record().add(from as usize).cast(),
        )
    };
    if result != 0 {
        scratch.flag(flags::GIVEN_UNREADABLE);
        return folder;
    }
    let begin = u64::from(folder.offset);
    scratch.set_end_at(at + len);
    Span {
        offset: begin as u16,
        len: (at + len - begin) as u16,
    }
}
