//! Reads what happens to a task that the current one may not be: another name, another cgroup.

use sensor_common::{
    hook::Hook,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{PlainCall, Span},
    syscall::Call,
};

use super::text;
use crate::{
    emit,
    kernel::{Kernel, task},
    scratch::{Scratch, clear},
};

/// What happened.
pub(crate) struct Happened {
    pub(crate) kind: Kind,
    pub(crate) call: Call,
    pub(crate) hook: Hook,
    /// The task that it happened to.
    pub(crate) target: Kernel,
    /// Its thread's id, or its new cgroup's.
    pub(crate) number: u64,
    /// Address of its new name, or of its new cgroup's path.
    pub(crate) text: u64,
}

/// Sends a record. Its second text is the name that the task has had.
#[inline(always)]
pub(crate) fn collect(happened: &Happened) {
    let task = task::current();
    let Some(mut scratch) = emit::begin::<PlainCall>(task, happened.kind) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    scratch.header().hook = happened.hook as u32;
    let fixed = scratch.fixed::<PlainCall>();
    clear(fixed);
    fixed.args[0] = happened.number;
    fixed.call = happened.call as u32;
    fixed.target_tgid = happened.target.read_or_default(F::task_tgid);
    fixed.target_start_time_ns = task::start_time_ns(happened.target);
    let new = text::append_kernel(&mut scratch, happened.text);
    scratch.fixed::<PlainCall>().text = new;
    let old = old_name(&mut scratch, happened.target);
    scratch.fixed::<PlainCall>().text2 = old;
    emit::send(scratch, task, happened.kind);
}

#[inline(always)]
fn old_name(scratch: &mut Scratch, target: Kernel) -> Span {
    match target.address(F::task_comm) {
        Some(name) => text::append_kernel(scratch, name.0),
        None => Span::default(),
    }
}
