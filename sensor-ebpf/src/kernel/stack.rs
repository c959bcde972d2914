//! The system call that a task is in, from the registers that it saved at the bottom of its kernel stack: for programs
//! that no system call's hook has called.

use sensor_common::kernel_fields::KernelField as F;

use super::{Kernel, task};

/// `THREAD_SIZE` without KASAN (`arch/x86/include/asm/page_64_types.h`).
const STACK_BYTES: u64 = 16 * 1024;
/// `sizeof(struct pt_regs)`, and members' offsets (`arch/x86/include/asm/ptrace.h`).
const REGISTERS_BYTES: u64 = 168;
const BX: u64 = 40;
const DI: u64 = 112;
const ORIG_AX: u64 = 120;
const CS: u64 = 136;
/// `TOP_OF_KERNEL_STACK_PADDING` (`arch/x86/include/asm/thread_info.h`), with `CONFIG_X86_FRED` (6.9) and without.
const PADDING: [u64; 2] = [0, 16];
/// Selectors of user code (`arch/x86/include/asm/segment.h`): 64-bit and 32-bit.
const USER_CS: u16 = 0x33;
const USER32_CS: u16 = 0x23;

/// A call that a task is in.
#[derive(Clone, Copy)]
pub(crate) struct Entered {
    pub(crate) number: u32,
    pub(crate) compat: bool,
    /// The first argument.
    pub(crate) first: u64,
}

/// The call that this task, the running one, is in. `None` for a kernel's thread, and where the stack has another layout:
/// the selector of the code that called tells.
#[inline(always)]
pub(crate) fn entered(task: Kernel) -> Option<Entered> {
    let stack = task.follow(F::task_stack)?;
    for padding in PADDING {
        let registers = Kernel(stack.0 + STACK_BYTES - padding - REGISTERS_BYTES);
        let selector: u16 = registers.read_at(CS)?;
        if selector == USER_CS || selector == USER32_CS {
            let compat = task::is_compat(task);
            return Some(Entered {
                number: registers.read_at(ORIG_AX)?,
                compat,
                first: registers.read_at(if compat { BX } else { DI })?,
            });
        }
    }
    None
}
