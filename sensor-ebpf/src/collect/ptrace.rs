//! Reads a request to trace another process.

use sensor_common::{
    kind::Kind,
    record::{Ptrace, flags},
};

use crate::{emit, kernel::Kernel, probe::arguments::Arguments};

/// Sends a ptrace record.
#[inline(always)]
pub(crate) fn collect(task: Kernel, arguments: &Arguments, result: i64) {
    let Some(mut scratch) = emit::begin::<Ptrace>(task, Kind::Ptrace) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    if arguments.compat {
        scratch.flag(flags::COMPAT);
    }
    let [request, pid, _, _] = arguments.first_four();
    *scratch.fixed::<Ptrace>() = Ptrace {
        result,
        request,
        pid: pid as u32,
        reserved: 0,
    };
    emit::send(scratch, task, Kind::Ptrace);
}
