//! A budget of bulk events for each cgroup, so that one container's flood cannot push out what others do.
//!
//! Each event moves the moment at which the budget is full again by the time that one event is worth; an
//! event is over budget when that moment is further away than a burst. (It is a token bucket in one number.)
//! The number is not locked: two CPUs that meet let one event more through.
//!
//! The first events of a kind of each process always pass, whatever its neighbours do: a program that has just
//! begun opens its libraries before the file that it is after.

use aya_ebpf::bindings::BPF_ANY;
use sensor_common::{
    counters::FirstKey,
    kind::Kind,
    limits::{BUDGET_BURST_DIVISOR, FIRST_EVENTS_OF_PROCESS},
    record::Header,
};

use crate::{
    kernel,
    maps::{BUDGETS, FIRST_EVENTS},
};

const SECOND_NS: u64 = 1_000_000_000;

/// Whether the event of this header, at this time, is more than its cgroup may send.
#[inline(always)]
pub(crate) fn is_exceeded(header: &Header, kind: Kind, now_ns: u64) -> bool {
    let price_ns = u64::from(kernel::event_price_ns());
    if price_ns == 0 {
        return false;
    }
    let Some(full_at) = BUDGETS.get_ptr_mut(header.cgroup_id) else {
        // No room for one more budget: nobody loses anything by it.
        let _ = BUDGETS.insert(header.cgroup_id, now_ns + price_ns, BPF_ANY.into());
        return false;
    };
    // SAFETY: a map value; a plain number that others may change meanwhile.
    let paid = unsafe { full_at.read_volatile() };
    let from = if paid > now_ns { paid } else { now_ns };
    if from - now_ns <= SECOND_NS / BUDGET_BURST_DIVISOR {
        // SAFETY: as above.
        unsafe { full_at.write_volatile(from + price_ns) };
        return false;
    }
    !is_early(header, kind)
}

/// Whether the process has sent few of this kind while its cgroup was over budget. Counts it.
#[inline(always)]
fn is_early(header: &Header, kind: Kind) -> bool {
    let key = FirstKey {
        start_time_ns: header.start_time_ns,
        tgid: header.tgid,
        kind: kind as u32,
    };
    let Some(count) = FIRST_EVENTS.get_ptr_mut(key) else {
        return FIRST_EVENTS.insert(key, 1, BPF_ANY.into()).is_ok();
    };
    // SAFETY: a map value; a plain number that others may change meanwhile.
    unsafe {
        if count.read_volatile() >= FIRST_EVENTS_OF_PROCESS {
            return false;
        }
        count.write_volatile(count.read_volatile() + 1);
    }
    true
}
