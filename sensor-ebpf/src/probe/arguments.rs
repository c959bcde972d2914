//! A system call's arguments, out of the caller's saved registers.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use sensor_common::{record::flags, syscall::ARGUMENTS_MAX};

/// Offsets into `struct pt_regs` on x86-64: part of the kernel's ABI with user space
/// (`arch/x86/include/uapi/asm/ptrace.h`), the same in every kernel.
mod registers {
    pub(super) const BP: usize = 32;
    pub(super) const BX: usize = 40;
    pub(super) const R10: usize = 56;
    pub(super) const R9: usize = 64;
    pub(super) const R8: usize = 72;
    pub(super) const CX: usize = 88;
    pub(super) const DX: usize = 96;
    pub(super) const SI: usize = 104;
    pub(super) const DI: usize = 112;
    pub(super) const ORIG_AX: usize = 120;
}

/// The arguments of the call that is ending.
pub(crate) struct Arguments {
    registers: *const u64,
    /// Of `socketcall`, those of the call that it stands for. No `Option`: its unset bytes would be copied with the rest,
    /// and up to 6.2 the verifier lets nothing of the stack be read that was not written (`check_stack_read`,
    /// `kernel/bpf/verifier.c`).
    words: [u32; ARGUMENTS_MAX],
    /// Whether `words` are the arguments.
    in_words: bool,
    /// The caller is 32-bit code, which passes arguments in other registers.
    pub(crate) compat: bool,
}

/// The number of the call, read from the registers that a `sys_exit` tracepoint hands over.
#[inline(always)]
pub(crate) fn number(registers: *const u64) -> u64 {
    register(registers, registers::ORIG_AX)
}

/// One saved register.
#[inline(always)]
fn register(registers: *const u64, offset: usize) -> u64 {
    // SAFETY: `struct pt_regs *` is a trusted argument of the tracepoint, so the verifier allows plain
    // loads; the offset is inside it.
    unsafe { *registers.byte_add(offset) }
}

impl Arguments {
    /// The arguments behind these registers.
    #[inline(always)]
    pub(crate) fn new(registers: *const u64, compat: bool) -> Self {
        Self {
            registers,
            words: [0; ARGUMENTS_MAX],
            in_words: false,
            compat,
        }
    }

    /// What they say of the record.
    #[inline(always)]
    pub(crate) fn found(&self) -> u32 {
        if self.compat { flags::COMPAT } else { 0 }
    }

    /// Those of the call that `socketcall` stands for: words in the caller's memory. Those that cannot be read are 0.
    #[inline(always)]
    pub(crate) fn of_socketcall(registers: *const u64) -> Self {
        let at = register(registers, registers::CX) & 0xffff_ffff;
        let mut words = [0_u32; ARGUMENTS_MAX];
        for (index, word) in (0..).zip(&mut words) {
            // SAFETY: the helper checks the source, and writes 4 bytes to our own.
            unsafe {
                bpf_probe_read_user(ptr::from_mut(word).cast(), 4, (at + index * 4) as *const c_void);
            }
        }
        Self {
            registers,
            words,
            in_words: true,
            compat: true,
        }
    }

    /// All six.
    #[inline(always)]
    pub(crate) fn all(&self) -> [u64; ARGUMENTS_MAX] {
        if self.in_words {
            return self.words.map(u64::from);
        }
        let [first, second, third, fourth] = self.first_four();
        let read = |at| register(self.registers, at);
        if self.compat {
            let [fifth, sixth] = [registers::DI, registers::BP].map(|at| read(at) & 0xffff_ffff);
            [first, second, third, fourth, fifth, sixth]
        } else {
            let [fifth, sixth] = [registers::R8, registers::R9].map(read);
            [first, second, third, fourth, fifth, sixth]
        }
    }

    /// The first four.
    #[inline(always)]
    pub(crate) fn first_four(&self) -> [u64; 4] {
        if self.in_words {
            let [first, second, third, fourth, ..] = self.words;
            return [first, second, third, fourth].map(u64::from);
        }
        let read = |at| register(self.registers, at);
        if self.compat {
            // The upper halves are the kernel's.
            [registers::BX, registers::CX, registers::DX, registers::SI].map(|at| read(at) & 0xffff_ffff)
        } else {
            [registers::DI, registers::SI, registers::DX, registers::R10].map(read)
        }
    }
}
