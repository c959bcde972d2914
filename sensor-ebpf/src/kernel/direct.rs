//! Loads of kernel fields by plain instructions, several times faster than by `bpf_probe_read_kernel`.
//!
//! The verifier allows them where it knows the type behind an address. `bpf_rdonly_cast`
//! (`kernel/bpf/helpers.c`, since 6.2) tells it: the kernel replaces the call by a move, and a load through
//! the result is one instruction with an entry in the exception table, so that a wrong address gives zero.
//! The agent puts the function's number into the code (see [`CAST_CALL`]).

use core::{arch::asm, mem::MaybeUninit, ptr};

use sensor_common::kernel_fields::CAST_CALL;

/// The same address, as a pointer to the structure of this BTF id.
#[inline(always)]
fn cast(address: u64, structure: u32) -> u64 {
    let typed: u64;
    // SAFETY: a call that touches no memory; it overwrites the registers that every call does.
    unsafe {
        asm!(
            "call {call}",
            call = const CAST_CALL,
            inlateout("r1") address => _,
            inlateout("r2") u64::from(structure) => _,
            lateout("r0") typed,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nomem, nostack),
        );
    }
    typed
}

/// Longest text that [`copy_short`] takes, in bytes.
pub(super) const SHORT_NAME_BYTES: u64 = 32;

/// Copies [`SHORT_NAME_BYTES`] bytes, whatever they are: what stands behind a shorter text is not the caller's to send.
/// Four loads and stores take a fraction of the time of a helper's call.
///
/// # Safety
/// There is room for so many bytes at `to`.
#[inline(always)]
pub(super) unsafe fn copy_short(to: *mut u8, from: u64) {
    for half in 0..2 {
        let Some(words) = read::<[u64; 2]>(from + half * 16, super::word_structure(), 0) else {
            return;
        };
        for (at, word) in (half as usize * 16..).step_by(8).zip(words) {
            // SAFETY: the caller's promise. An ordinary store of a word that need not be aligned becomes eight.
            unsafe { asm!("*(u64 *)({0} + 0) = {1}", in(reg) to.add(at), in(reg) word, options(nostack)) };
        }
    }
}

/// Reads a member of a structure; `None` for sizes that no single load has.
#[inline(always)]
pub(super) fn read<T: Copy>(address: u64, structure: u32, offset: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr();
    let from = cast(address, structure) + offset;
    // SAFETY: `to` has the size of `T`, which is the size of what is written, or of twice that for 16 bytes;
    // the verifier has checked that a member of the structure has it too.
    unsafe {
        match size_of::<T>() {
            1 => to
                .cast::<u8>()
                .write_unaligned(ptr::read_volatile(from as *const u8)),
            2 => to
                .cast::<u16>()
                .write_unaligned(ptr::read_volatile(from as *const u16)),
            4 => to
                .cast::<u32>()
                .write_unaligned(ptr::read_volatile(from as *const u32)),
            8 => to
                .cast::<u64>()
                .write_unaligned(ptr::read_volatile(from as *const u64)),
            16 => {
                let words = to.cast::<u64>();
                words.write_unaligned(ptr::read_volatile(from as *const u64));
                words
                    .add(1)
                    .write_unaligned(ptr::read_volatile((from + 8) as *const u64));
            }
            _ => return None,
        }
        Some(value.assume_init())
    }
}
