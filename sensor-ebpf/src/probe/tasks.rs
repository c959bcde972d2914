//! What happens to a task without a call of its own, from tracepoints that cost other calls nothing.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{hook::Hook, kernel_fields::KernelField as F, kind::Kind, syscall::Call};

use crate::{
    collect::tasks::{self, Happened},
    emit,
    kernel::{Kernel, cgroup},
};

/// Reports a process that gets another name: by `prctl`, or by a write to `/proc/PID/comm`.
///
/// Hook: `tp_btf/task_rename`, in who renames, before the name changes.
/// match-proto: 5.10..: `trace_task_rename(struct task_struct *task, const char *comm)`
/// Leaves out: an exec, which renames while its new address space has no arguments yet (`begin_new_exec` comes before
/// `setup_arg_pages`, `fs/exec.c`); the kernel's own threads, which have no address space; threads that lead no process,
/// whose names are not the process's.
#[btf_tracepoint(function = "task_rename")]
pub(crate) fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let target = Kernel(ctx.arg::<u64>(0));
    let arguments = target
        .follow(F::task_mm)
        .map_or(0, |mm| mm.read_or_default::<u64>(F::mm_arg_start));
    let thread: u32 = target.read_or_default(F::task_pid);
    if arguments == 0 || thread != target.read_or_default::<u32>(F::task_tgid) {
        return 0;
    }
    if is_wanted(Kind::Comm) {
        tasks::collect(&Happened {
            kind: Kind::Comm,
            call: Call::TaskRename,
            hook: Hook::TaskRename,
            target,
            number: u64::from(thread),
            text: ctx.arg::<u64>(1),
        });
    }
    0
}

/// Reports a process that is put into another cgroup, by itself or by somebody else.
///
/// Hook: `tp_btf/cgroup_attach_task`, in who writes to `cgroup.procs` or `cgroup.threads`.
/// match-proto: 5.10..: `trace_cgroup_attach_task(struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup)`
/// Leaves out: hierarchies that do not tell containers apart, and children that `clone3` puts elsewhere, whose forks
/// tell their cgroup.
#[btf_tracepoint(function = "cgroup_attach_task")]
pub(crate) fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let target = Kernel(ctx.arg::<u64>(2));
    let Some(directory) = Kernel(ctx.arg::<u64>(0)).follow(F::cgroup_kn) else {
        return 0;
    };
    // The move is done by now (`cgroup_attach_task`, `kernel/cgroup/cgroup.c`).
    if cgroup::directory(target) != Some(directory) {
        return 0;
    }
    if is_wanted(Kind::CgroupMove) {
        tasks::collect(&Happened {
            kind: Kind::CgroupMove,
            call: Call::CgroupAttachTask,
            hook: Hook::CgroupAttach,
            target,
            number: cgroup::id(directory),
            text: ctx.arg::<u64>(1),
        });
    }
    0
}

/// Counts an event, and whether it is told: all but the agent's own.
#[inline(always)]
fn is_wanted(kind: Kind) -> bool {
    emit::seen(kind);
    let is_agent = emit::is_agent();
    if is_agent {
        emit::filtered(kind);
    }
    !is_agent
}
