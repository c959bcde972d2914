//! Reads a process's end.

use sensor_common::{kernel_fields::KernelField as F, kind::Kind, record::Exit};

use crate::{emit, kernel::Kernel};

/// Sends an exit record for the current task.
#[inline(always)]
pub(crate) fn collect(task: Kernel) {
    let Some(mut scratch) = emit::begin::<Exit>(task, Kind::Exit) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    let fixed = scratch.fixed::<Exit>();
    fixed.code = task.read_or_default(F::task_exit_code);
    fixed.reserved = 0;
    emit::send(scratch, task, Kind::Exit);
}
