//! Probes: one kernel hook each, a few lines that find the objects a collector reads.

pub(crate) mod arguments;
pub(crate) mod cgroup;
mod enforce;
pub(crate) mod io_uring;
pub(crate) mod lsm;
pub(crate) mod sched;
pub(crate) mod socket;
pub(crate) mod syscall;
pub(crate) mod tasks;
