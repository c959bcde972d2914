//! Records that are written straight into a ring.
//!
//! Programs on cgroups run with migration off, but can be preempted by another task
//! (`bpf_prog_run_array_cg`, `kernel/bpf/cgroup.c`). Scratch slots, which are taken and given back as on a
//! stack, and the numbering of records do not stand that. Such a program reserves room for a record of a
//! fixed size instead, and its record says that it is not numbered (`flags::UNNUMBERED`).

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_ringbuf_discard, bpf_ringbuf_reserve,
        bpf_ringbuf_submit,
    },
    maps::RingBuf,
};
use sensor_common::{
    LAYOUT_VERSION,
    counters::LossCause,
    hook::Hook,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{Header, flags},
};

use crate::{
    budget, emit,
    kernel::{self, Kernel, cgroup, task},
    maps::{ACTIVITY, COUNTERS, SOURCES},
    scratch::Scratch,
};

/// A record with a fixed part and no tail.
#[repr(C)]
pub(crate) struct Record<Fixed> {
    pub(crate) header: Header,
    pub(crate) fixed: Fixed,
}

/// One count of a kind.
#[derive(Clone, Copy)]
enum Count {
    Seen = 0,
    Filtered = 1,
    Sent = 2,
}

/// Adds one, though another program may do so at the same time.
#[inline(always)]
fn count(kind: Kind, which: Count) {
    if let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) {
        // SAFETY: `KindCounters` begins with these three, each a `u64`; the map's values are live and aligned.
        emit::add_one(unsafe { counters.cast::<u64>().add(which as usize) });
    }
}

/// Whether the current process is the agent, by its task: a helper for it is not there on every kernel.
#[inline(always)]
fn is_agent(task: Kernel) -> bool {
    task.read_or_default::<u32>(F::task_tgid) == kernel::agent_tgid()
}

/// Counts an event of the current task, and says whether it is wanted: the agent's own are not.
#[inline(always)]
pub(crate) fn wanted(task: Kernel, kind: Kind) -> bool {
    count(kind, Count::Seen);
    if is_agent(task) {
        count(kind, Count::Filtered);
        return false;
    }
    true
}

/// Counts an event that is left out on purpose.
#[inline(always)]
pub(crate) fn filtered(kind: Kind) {
    count(kind, Count::Filtered);
}

/// Counts a record that is made for another's sake.
#[inline(always)]
pub(crate) fn seen(kind: Kind) {
    count(kind, Count::Seen);
}

/// Which hooks are attached: bits of [`sensor_common::hook::sources`].
#[inline(always)]
pub(crate) fn sources() -> u32 {
    SOURCES.get(0).copied().unwrap_or_default()
}

/// A pointer that the verifier guards, as the address that it is.
///
/// VERIFIER: such a pointer may not be calculated with; a number read back from memory may.
#[inline(always)]
pub(crate) fn number_of(at: &mut u64, pointer: *const u64) -> Kernel {
    // SAFETY: a live place of our own; volatile, so that it really goes through memory.
    unsafe {
        core::ptr::write_volatile(at, pointer as u64);
        Kernel(core::ptr::read_volatile(at))
    }
}

/// Sends a record about the current task; `fill` writes all of its fixed part, and may add flags. Whether it was sent.
#[inline(always)]
pub(crate) fn send<Fixed>(
    task: Kernel,
    kind: Kind,
    hook: Hook,
    fill: impl FnOnce(&mut Record<Fixed>),
) -> bool {
    let ring: *const RingBuf = &raw const ACTIVITY;
    // SAFETY: the map is live; what is reserved is submitted below on every way.
    let room = unsafe {
        bpf_ringbuf_reserve(
            ring.cast_mut().cast::<c_void>(),
            size_of::<Record<Fixed>>() as u64,
            0,
        )
    };
    if room.is_null() {
        emit::lost(task.0, kind as u32, LossCause::RingFull as u32);
        return false;
    }
    // SAFETY: reserved with this size, aligned to 8 bytes, and written in full before anyone reads it.
    let record = unsafe { &mut *room.cast::<Record<Fixed>>() };
    describe(&mut record.header, task);
    record.header.len = size_of::<Record<Fixed>>() as u32;
    record.header.kind = kind as u8;
    record.header.hook = hook as u32;
    if kind.is_bulk() && budget::is_exceeded(&record.header, kind, record.header.time_ns) {
        // SAFETY: reserved above.
        unsafe { bpf_ringbuf_discard(room, BPF_RB_NO_WAKEUP.into()) };
        emit::lost(task.0, kind as u32, LossCause::Budget as u32);
        return false;
    }
    fill(record);
    // SAFETY: reserved above.
    unsafe { bpf_ringbuf_submit(room, BPF_RB_NO_WAKEUP.into()) };
    count(kind, Count::Sent);
    emit::wake(kind);
    true
}

/// Sends a record about the current task that was put together in a slot of its own. Whether it was sent.
#[inline(always)]
pub(crate) fn send_whole(scratch: &mut Scratch, task: Kernel, kind: Kind) -> bool {
    count(kind, Count::Seen);
    // SAFETY: helpers without arguments.
    let (time_ns, cpu) = unsafe { (bpf_ktime_get_boot_ns(), bpf_get_smp_processor_id()) };
    let len = scratch.end();
    scratch.flag(flags::UNNUMBERED);
    let header = scratch.header();
    header.len = len as u32;
    header.version = LAYOUT_VERSION;
    header.kind = kind as u8;
    header.cpu = cpu as u16;
    header.time_ns = time_ns;
    header.sequence = 0;
    if emit::output(scratch, len, kind) {
        count(kind, Count::Sent);
        true
    } else {
        emit::lost(task.0, kind as u32, LossCause::RingFull as u32);
        false
    }
}

/// Fills in the header's facts about the task, by reads alone: cgroup programs have few helpers.
#[inline(always)]
fn describe(header: &mut Header, task: Kernel) {
    // SAFETY: helpers without arguments.
    let (time_ns, cpu) = unsafe { (bpf_ktime_get_boot_ns(), bpf_get_smp_processor_id()) };
    header.version = LAYOUT_VERSION;
    header.cpu = cpu as u16;
    header.sequence = 0;
    header.time_ns = time_ns;
    header.start_time_ns = task::start_time_ns(task);
    header.cgroup_id = cgroup::directory(task).map_or(0, cgroup::id);
    header.tgid = task.read_or_default(F::task_tgid);
    header.tid = task.read_or_default(F::task_pid);
    header.uid = 0;
    header.gid = 0;
    if let Some(cred) = task.follow(F::task_cred) {
        header.uid = cred.read_or_default(F::cred_uid);
        header.gid = cred.read_or_default(F::cred_gid);
    }
    header.flags = flags::UNNUMBERED;
    header.comm = task::comm(task);
    header.key = 0;
}
