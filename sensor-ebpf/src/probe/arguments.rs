//! A system call's arguments, out of the caller's saved registers.

use crate::kernel::Kernel;

/// Offsets into `struct pt_regs` on x86-64: part of the kernel's ABI with user space
/// (`arch/x86/include/uapi/asm/ptrace.h`), the same in every kernel.
mod registers {
    pub(super) const BX: u64 = 40;
    pub(super) const R10: u64 = 56;
    pub(super) const CX: u64 = 88;
    pub(super) const DX: u64 = 96;
    pub(super) const SI: u64 = 104;
    pub(super) const DI: u64 = 112;
    pub(super) const ORIG_AX: u64 = 120;
}

/// The arguments of the call that is ending.
pub(crate) struct Arguments {
    registers: Kernel,
    /// The caller is 32-bit code, which passes arguments in other registers.
    pub(crate) compat: bool,
}

/// The number of the call, read from the registers that a `sys_exit` tracepoint hands over.
#[inline(always)]
pub(crate) fn number(registers: *const u64) -> u64 {
    // SAFETY: `struct pt_regs *` is a trusted argument of the tracepoint, so the verifier allows plain
    // loads; the offset is inside it.
    unsafe { *registers.byte_add(registers::ORIG_AX as usize) }
}

impl Arguments {
    /// The arguments behind these registers.
    #[inline(always)]
    pub(crate) fn new(registers: *const u64, compat: bool) -> Self {
        Self {
            registers: Kernel(registers as u64),
            compat,
        }
    }

    /// The first four.
    #[inline(always)]
    pub(crate) fn first_four(&self) -> [u64; 4] {
        let read = |offset| self.registers.read_at::<u64>(offset).unwrap_or_default();
        if self.compat {
            // The upper halves are the kernel's.
            [registers::BX, registers::CX, registers::DX, registers::SI].map(|at| read(at) & 0xffff_ffff)
        } else {
            [registers::DI, registers::SI, registers::DX, registers::R10].map(read)
        }
    }
}
