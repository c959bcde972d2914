//! Pieces of a tail that are copied from memory rather than walked.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
};
use sensor_common::{
    limits::PIECE_BYTES_MAX,
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
