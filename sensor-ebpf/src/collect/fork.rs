//! Reads a process's beginning.

use sensor_common::{
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{Fork, Span},
};

use crate::{
    emit,
    kernel::{Kernel, cgroup, task},
};

/// Sends a fork record; its header tells of the child.
#[inline(always)]
pub(crate) fn collect(child: Kernel) {
    let Some(mut scratch) = emit::begin::<Fork>(child, Kind::Fork) else {
        return;
    };
    let directory = cgroup::directory(child);
    let header = scratch.header();
    header.tgid = child.read_or_default(F::task_tgid);
    header.tid = child.read_or_default(F::task_pid);
    header.comm = child.read_or_default(F::task_comm);
    header.start_time_ns = task::start_time_ns(child);
    header.cgroup_id = directory.map_or(0, cgroup::id);
    header.uid = 0;
    header.gid = 0;
    if let Some(cred) = child.follow(F::task_cred) {
        header.uid = cred.read_or_default(F::cred_uid);
        header.gid = cred.read_or_default(F::cred_gid);
    }
    task::identity(child, &mut scratch.fixed::<Fork>().identity);
    let span = match directory {
        Some(directory) => cgroup::append_path(&mut scratch, directory),
        None => Span::default(),
    };
    let fixed = scratch.fixed::<Fork>();
    fixed.cgroup = span;
    fixed.reserved = 0;
    emit::send(scratch, child, Kind::Fork);
}
