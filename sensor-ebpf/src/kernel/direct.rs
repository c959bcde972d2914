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
