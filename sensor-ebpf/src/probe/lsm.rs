//! Denies programs and files for rules that ask for it, where the kernel has BPF LSM.
//!
//! They run before the call's end is known, with names that the kernel has resolved, whatever call asked: also 32-bit
//! ones and `io_uring`. What they deny they tell themselves: at its exit the call knows only what its caller said.
//! They are loaded and attached only for rules that deny such operations.

use aya_ebpf::{macros::lsm, programs::LsmContext};
use sensor_common::{
    enforce::{LSM_SLOTS, operations},
    kernel_fields::KernelField as F,
};

use crate::{
    collect::denied,
    enforce::{self, EPERM, PathKey},
    kernel::{Kernel, task},
    maps::{LSM_CLAIMS, LSM_SLOTS_OF},
    scratch::{Scratch, Slot},
};

/// Set in `f_flags` of a file that is opened to be run (`__FMODE_EXEC`, `include/linux/fs.h`).
const FMODE_EXEC: u32 = 1 << 5;

/// Room for one decision.
#[repr(C)]
pub(crate) struct LsmSlot {
    slot: Slot,
    key: PathKey,
}

/// A slot that is this task's until it is released.
pub(crate) struct Claim {
    index: u32,
    pub(crate) scratch: Scratch,
    pub(crate) key: *mut PathKey,
}

/// Attempts to find a slot that is free.
const ATTEMPTS: u32 = 4;

impl Claim {
    /// Takes a slot; `None` when those that were tried are in use, and the operation goes on undecided.
    #[inline(always)]
    fn take(task: Kernel) -> Option<Self> {
        let start = task.read_or_default::<u32>(F::task_pid);
        for attempt in 0..ATTEMPTS {
            let index = start.wrapping_add(attempt * 5) % LSM_SLOTS;
            if LSM_CLAIMS
                .insert(&index, &1, aya_ebpf::bindings::BPF_NOEXIST.into())
                .is_err()
            {
                continue;
            }
            let Some(found) = LSM_SLOTS_OF.get_ptr_mut(index) else {
                let _ = LSM_CLAIMS.remove(&index);
                return None;
            };
            // SAFETY: a live value of the map; only addresses are formed.
            let (slot, key) = unsafe { (&raw mut (*found).slot, &raw mut (*found).key) };
            return Some(Self {
                index,
                scratch: Scratch::over(slot),
                key,
            });
        }
        None
    }

    #[inline(always)]
    fn release(self) {
        // It is there: this task put it there.
        let _ = LSM_CLAIMS.remove(&self.index);
    }
}

/// Denies a program, or the interpreter of one.
///
/// Hook: `lsm/bprm_check_security`, for each file on the way from a script to what runs.
/// match-proto: 5.10..: `int bprm_check_security(struct linux_binprm *bprm)`
#[lsm(hook = "bprm_check_security")]
pub(crate) fn deny_exec(ctx: LsmContext) -> i32 {
    if !enforce::denies(operations::EXECVE | operations::EXECVEAT) {
        return 0;
    }
    let task = task::current();
    let Some(mut claim) = Claim::take(task) else {
        return 0;
    };
    let is_denied = denied::exec(&mut claim, task, Kernel(ctx.arg::<u64>(0)));
    claim.release();
    if is_denied { EPERM as i32 } else { 0 }
}

/// Denies the opening of a file.
///
/// Hook: `lsm/file_open`, when the file is found and before anyone has it.
/// match-proto: 5.10..: `int file_open(struct file *file)`
/// Leaves out: programs that are opened to be run, and `O_PATH`, by which nothing can be read.
#[lsm(hook = "file_open")]
pub(crate) fn deny_open(ctx: LsmContext) -> i32 {
    if !enforce::denies(operations::OPEN) {
        return 0;
    }
    let file = Kernel(ctx.arg::<u64>(0));
    if file.read_or_default::<u32>(F::file_f_flags) & FMODE_EXEC != 0 {
        return 0;
    }
    let task = task::current();
    let Some(mut claim) = Claim::take(task) else {
        return 0;
    };
    let is_denied = denied::open(&mut claim, task, file);
    claim.release();
    if is_denied { EPERM as i32 } else { 0 }
}
