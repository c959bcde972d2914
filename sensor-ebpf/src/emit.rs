//! From a scratch record to a ring, with every outcome counted.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
    },
};
use sensor_common::{
    LAYOUT_VERSION,
    counters::{KindCounters, LossCause, LossKey},
    kernel_fields::KernelField as F,
    kind::{Kind, Ring},
    limits::RECORD_BYTES_MAX,
    record::flags,
};

use crate::{
    budget,
    kernel::{self, Kernel, cgroup, task},
    maps::{ACTIVITY, ASLEEP, COUNTERS, CRITICAL, LIFECYCLE, LOSSES, SEQUENCES},
    scratch::Scratch,
};

/// Counts on this CPU.
#[inline(always)]
fn count(kind: Kind, change: impl FnOnce(&mut KindCounters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(kind as u32) {
        // SAFETY: a per-CPU value; programs run with preemption off, and an interrupt's program counts
        // another kind.
        change(unsafe { &mut *counters });
    }
}

/// One more of a count that an interrupt's program may change at the same time.
#[inline(always)]
pub(crate) fn add_one(counter: *mut u64) {
    // The target has no atomic types, but the instruction.
    // SAFETY: a live, aligned `u64` of a map; everyone who shares it with an interrupt adds in this way.
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1_u64) };
}

/// One more of a count of this kind: outcomes are told by interrupts' programs too.
#[inline(always)]
fn add(kind: Kind, counter: &mut u64) {
    if matches!(kind, Kind::Outcome) {
        add_one(counter);
    } else {
        *counter += 1;
    }
}

/// Counts one event of this kind as seen.
#[inline(always)]
pub(crate) fn seen(kind: Kind) {
    count(kind, |counters| add(kind, &mut counters.seen));
}

/// Counts one event of this kind as left out on purpose.
#[inline(always)]
pub(crate) fn filtered(kind: Kind) {
    count(kind, |counters| counters.filtered += 1);
}

/// Whether the current process is the agent itself.
#[inline(always)]
pub(crate) fn is_agent() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == kernel::agent_tgid()
}

/// Counts one lost event, by kind and cause and by the task's cgroup.
#[inline(never)]
pub(crate) fn lost(task: u64, kind: u32, cause: u32) -> i32 {
    if let Some(counters) = COUNTERS.get_ptr_mut(kind) {
        // SAFETY: as in `count`.
        let counters = unsafe { &mut *counters };
        if cause == LossCause::RingFull as u32 {
            add_one(&raw mut counters.lost_ring_full);
        } else if cause == LossCause::Budget as u32 {
            add_one(&raw mut counters.lost_budget);
        } else {
            add_one(&raw mut counters.lost_scratch_busy);
        }
    }
    let cgroup_id = cgroup::directory(Kernel(task)).map_or(0, cgroup::id);
    if !lost_of(LossKey {
        cgroup_id,
        kind,
        cause,
    }) {
        // The map is full: all further cgroups share one entry, which the agent put there.
        lost_of(LossKey {
            cgroup_id: 0,
            kind,
            cause,
        });
    }
    0
}

/// Adds one to an entry of the losses; `false` when there is no room for it.
#[inline(always)]
fn lost_of(key: LossKey) -> bool {
    if let Some(value) = LOSSES.get_ptr_mut(key) {
        add_one(value);
        return true;
    }
    LOSSES.insert(key, 1, BPF_ANY.into()).is_ok()
}

/// Takes a scratch slot, or counts the event as lost.
#[inline(always)]
pub(crate) fn begin<Fixed>(task: Kernel, kind: Kind) -> Option<Scratch> {
    let scratch = Scratch::take::<Fixed>();
    if scratch.is_none() {
        lost(task.0, kind as u32, LossCause::ScratchBusy as u32);
    }
    scratch
}

/// Takes a scratch slot for a call that is ending, of this kind. Who made it is added when the record is sent.
#[inline(always)]
pub(crate) fn begin_call<Fixed>(task: Kernel, kind: Kind, found: u32) -> Option<Scratch> {
    let mut scratch = begin::<Fixed>(task, kind)?;
    let header = scratch.header();
    header.kind = kind as u8;
    header.flags |= found;
    Some(scratch)
}

/// Gives a record up that cannot be finished: counted as lost, like one that found no slot.
#[inline(always)]
pub(crate) fn give_up(scratch: Scratch, kind: Kind) {
    scratch.release();
    lost(
        kernel::task::current().0,
        kind as u32,
        LossCause::ScratchBusy as u32,
    );
}

/// Fills in the header's facts about the current task.
#[inline(always)]
pub(crate) fn describe_current(scratch: &mut Scratch, task: Kernel) {
    let ids = bpf_get_current_pid_tgid();
    let users = bpf_get_current_uid_gid();
    let comm = task.read_or_default(F::task_comm);
    let header = scratch.header();
    header.tgid = (ids >> 32) as u32;
    header.tid = ids as u32;
    header.uid = users as u32;
    header.gid = (users >> 32) as u32;
    header.comm = comm;
    header.start_time_ns = task::start_time_ns(task);
    header.cgroup_id = cgroup::directory(task).map_or(0, cgroup::id);
}

/// Sends the record to the ring of its kind and gives the scratch slot back.
#[inline(always)]
pub(crate) fn send(mut scratch: Scratch, task: Kernel, kind: Kind) {
    let len = scratch.end();
    // SAFETY: helpers without arguments.
    let (time_ns, cpu) = unsafe { (bpf_ktime_get_boot_ns(), bpf_get_smp_processor_id()) };
    // What the sensor did is always told.
    let is_answered = scratch.header().flags & (flags::DENIED | flags::KILLED) != 0;
    if kind.is_bulk() && !is_answered && budget::is_exceeded(scratch.header(), kind, time_ns) {
        scratch.release();
        lost(task.0, kind as u32, LossCause::Budget as u32);
        return;
    }
    let sequence = next_sequence(kind.ring());
    let header = scratch.header();
    header.len = len as u32;
    header.version = LAYOUT_VERSION;
    header.kind = kind as u8;
    header.cpu = cpu as u16;
    header.time_ns = time_ns;
    let found = header.flags;
    header.sequence = sequence;
    let sent = output(&scratch, len, kind);
    scratch.release();
    if sent {
        count(kind, |counters| {
            add(kind, &mut counters.sent);
            if found & flags::TRUNCATED != 0 {
                counters.truncated += 1;
            }
        });
    } else {
        lost(task.0, kind as u32, LossCause::RingFull as u32);
    }
}

/// The next number of this CPU's records for the ring.
#[inline(always)]
fn next_sequence(ring: Ring) -> u64 {
    let Some(sequence) = SEQUENCES.get_ptr_mut(ring as u32) else {
        return 0;
    };
    // SAFETY: a per-CPU value, as in `count`.
    unsafe {
        *sequence += 1;
        *sequence
    }
}

/// Copies the record's bytes in use to the ring; `false` when it has no room.
#[inline(always)]
pub(crate) fn output(scratch: &Scratch, len: u64, kind: Kind) -> bool {
    let ring = kind.ring();
    let mut bounded = len;
    // VERIFIER: a bound that the compiler cannot drop; records are shorter than 32 KiB.
    // SAFETY: changes only its own operand.
    unsafe { core::arch::asm!("{0} &= 0x7fff", inout(reg) bounded) };
    if bounded > RECORD_BYTES_MAX as u64 {
        return false;
    }
    // SAFETY: the record is a live map value of RECORD_BYTES_MAX bytes.
    let bytes = unsafe { core::slice::from_raw_parts(scratch.record(), bounded as usize) };
    let sent = match ring {
        Ring::Lifecycle => LIFECYCLE.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP.into()).is_ok(),
        Ring::Critical => CRITICAL.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP.into()).is_ok(),
        Ring::Activity => ACTIVITY.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP.into()).is_ok(),
    };
    if sent {
        wake(kind);
    }
    sent
}

/// Wakes the reader, if it sleeps and the kind is worth it. Waking costs more than most records do.
///
/// The record is out before the reader's word is looked at, and the reader gives its word before it looks
/// whether there are records: one of the two sees the other.
#[inline(always)]
pub(crate) fn wake(kind: Kind) {
    let Some(asleep) = ASLEEP.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a map value that the reader sets and any CPU clears; both wake it at worst.
    if unsafe { asleep.read_volatile() } == 0 {
        return;
    }
    // Nobody waits for what a fork or an exit tells, until it fills a quarter of the ring.
    if kind.can_wait()
        && LIFECYCLE.query(BPF_RB_AVAIL_DATA.into()) * 4 < LIFECYCLE.query(BPF_RB_RING_SIZE.into())
    {
        return;
    }
    // SAFETY: as above.
    unsafe { asleep.write_volatile(0) };
    // The kernel wakes with a record only: an empty one, which readers do not see.
    if let Some(empty) = LIFECYCLE.reserve::<u64>(0) {
        empty.discard(BPF_RB_FORCE_WAKEUP.into());
    }
}
