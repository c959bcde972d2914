//! Processes, from the scheduler's tracepoints: they cost other system calls nothing.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{kernel_fields::KernelField as F, kind::Kind};

use crate::{
    collect, emit,
    kernel::{Kernel, task},
};

/// Reports a process that began.
///
/// Hook: `tp_btf/sched_process_fork`, in the parent, before the child first runs.
/// match-proto: 5.10..: `trace_sched_process_fork(struct task_struct *parent, struct task_struct *child)`
/// Leaves out: threads, which are no processes.
#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let child = Kernel(ctx.arg::<u64>(1));
    if child.read_or_default::<u32>(F::task_pid) != child.read_or_default::<u32>(F::task_tgid) {
        return 0;
    }
    emit::seen(Kind::Fork);
    collect::fork::collect(child);
    0
}

/// Reports a process that replaced its program.
///
/// Hook: `tp_btf/sched_process_exec`, after the point of no return, so it cannot fail.
/// match-proto: 5.10..: `trace_sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// Loses: nothing that the kernel sees; argv is cut as `limits::ARGV_*` say.
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    emit::seen(Kind::Exec);
    collect::exec::collect(task::current(), Kernel(ctx.arg::<u64>(2)));
    0
}

/// Reports a process whose last thread ended.
///
/// Hook: `tp_btf/sched_process_exit`, in the ending thread.
/// match-proto: 5.10..6.15: `trace_sched_process_exit(struct task_struct *p)`
/// match-proto: 6.16..: `trace_sched_process_exit(struct task_struct *p, bool group_dead)`
/// Leaves out: threads that others outlive. `signal.live` has already been counted down
/// (`do_exit`, kernel/exit.c). Two last threads that end at once may both report.
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn sched_process_exit(_ctx: BtfTracePointContext) -> i32 {
    let task = task::current();
    let Some(signal) = task.follow(F::task_signal) else {
        return 0;
    };
    if signal.read_or_default::<u32>(F::signal_live) != 0 {
        return 0;
    }
    emit::seen(Kind::Exit);
    collect::exit::collect(task);
    0
}
