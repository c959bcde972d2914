//! Denies connections for rules that ask for it.
//!
//! The agent has reduced their conditions to tests that hold exactly here; what cannot be reduced it refuses to
//! load. A denied call is told by the exit of the call, like every other: a mark says so there.

use aya_ebpf::{
    helpers::{
        bpf_get_current_uid_gid,
        generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id},
    },
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use sensor_common::{
    enforce::{DENY_TESTS_MAX, DenyCounts, DenyMode, DenyTest, PROTECTED_LEVELS_MAX},
    kernel_fields::KernelField as F,
};

use crate::{
    emit::add_one,
    kernel::{self, task},
    maps::{DENY_CGROUPS, DENY_COUNTS, DENY_LIMIT, DENY_MARKS, DENY_PROTECTED, DENY_TESTS},
};

const DENY: i32 = 0;
const ALLOW: i32 = 1;

/// `::ffff:0:0`, the upper part of the lower half of an IPv4 address in IPv6 clothes.
const MAPPED: u64 = 0xffff_0000_0000;
/// `127.0.0.1`
const LOOPBACK_4: u64 = 0x7f00_0001;

/// Denies a connect to an IPv4 address.
///
/// Hook: `cgroup/connect4`, before anything is sent; 0 gives the caller `EPERM`.
#[cgroup_sock_addr(connect4)]
pub(crate) fn enforce_connect4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context is valid while the program runs; these are 4-byte loads.
    let (address, port, protocol) = unsafe {
        let at = ctx.sock_addr;
        ((*at).user_ip4, (*at).user_port, (*at).protocol)
    };
    decide(0, mapped(u32::from_be(address)), port, protocol)
}

/// Denies a connect to an IPv6 address, or to an IPv4 address in IPv6 clothes.
///
/// Hook: `cgroup/connect6`, as above.
#[cgroup_sock_addr(connect6)]
pub(crate) fn enforce_connect6(ctx: SockAddrContext) -> i32 {
    // SAFETY: as above; word by word, since the verifier allows nothing else.
    let (words, port, protocol) = unsafe {
        let at = ctx.sock_addr;
        let ip6 = (&raw const (*at).user_ip6).cast::<u32>();
        let word = |index: usize| u64::from(u32::from_be(core::ptr::read_volatile(ip6.add(index))));
        (
            [word(0), word(1), word(2), word(3)],
            (*at).user_port,
            (*at).protocol,
        )
    };
    let high = words[0] << 32 | words[1];
    let low = words[2] << 32 | words[3];
    if high == 0 && low == 0 {
        // The kernel takes it for the loopback address (`tcp_v6_connect`, net/ipv6/tcp_ipv6.c).
        return decide(0, 1, port, protocol);
    }
    if high == 0 && low >> 32 == MAPPED >> 32 {
        return decide(0, mapped(low as u32), port, protocol);
    }
    decide(high, low, port, protocol)
}

/// An IPv4 address in IPv6 clothes. The kernel takes 0.0.0.0 for the loopback address
/// (`ip_route_connect_init`, net/ipv4/route.c).
#[inline(always)]
fn mapped(address: u32) -> u64 {
    if address == 0 {
        MAPPED | LOOPBACK_4
    } else {
        MAPPED | u64::from(address)
    }
}

#[inline(always)]
fn decide(high: u64, low: u64, port: u32, protocol: u32) -> i32 {
    let port = u32::from(u16::from_be(port as u16));
    let uid = bpf_get_current_uid_gid() as u32;
    for index in 0..DENY_TESTS_MAX {
        let Some(test) = DENY_TESTS.get(index) else {
            return ALLOW;
        };
        if test.mode == DenyMode::Off as u32 {
            // Tests in use come first.
            return ALLOW;
        }
        if matches(test, high, low, port, protocol, uid) && act(test) == DENY {
            return DENY;
        }
    }
    ALLOW
}

#[inline(always)]
fn matches(test: &DenyTest, high: u64, low: u64, port: u32, protocol: u32, uid: u32) -> bool {
    high & test.mask_high == test.address_high
        && low & test.mask_low == test.address_low
        && port >= test.port_min
        && port <= test.port_max
        && (test.protocol == 0 || test.protocol == protocol)
        && (test.has_uid == 0 || test.uid == uid)
}

/// Does what the test says, unless something protects the process.
#[inline(always)]
fn act(test: &DenyTest) -> i32 {
    let Some(counts) = DENY_COUNTS.get_ptr_mut(test.rule) else {
        return ALLOW;
    };
    let counts: *mut DenyCounts = counts;
    let task = task::current();
    let number = |field| {
        kernel::offset(field)
            .and_then(|at| task.read_at::<u32>(at))
            .unwrap_or_default()
    };
    let tgid = number(F::task_tgid);
    // SAFETY (all below): the map's value is live, its counts are aligned, and changed by atomics alone.
    if test.mode == DenyMode::Observe as u32 {
        add_one(unsafe { &raw mut (*counts).observed });
        return ALLOW;
    }
    if tgid <= 1 || tgid == kernel::agent_tgid() || is_protected() {
        add_one(unsafe { &raw mut (*counts).protected });
        return ALLOW;
    }
    if has_its_cap() {
        add_one(unsafe { &raw mut (*counts).capped });
        return ALLOW;
    }
    let thread = u64::from(tgid) << 32 | u64::from(number(F::task_pid));
    // The mark first: a denial that could not be told of does not happen.
    if DENY_MARKS.insert(&thread, &test.rule, 0).is_err() {
        add_one(unsafe { &raw mut (*counts).capped });
        return ALLOW;
    }
    add_one(unsafe { &raw mut (*counts).denied });
    DENY
}

/// Whether the process is in a cgroup that the user protects, or below one.
#[inline(always)]
fn is_protected() -> bool {
    for level in 0..PROTECTED_LEVELS_MAX {
        // SAFETY: a helper with a number.
        let id = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if id == 0 {
            return false;
        }
        // SAFETY: the value is not read.
        if unsafe { DENY_PROTECTED.get(&id) }.is_some() {
            return true;
        }
    }
    false
}

/// Counts one denial for the cgroup, unless it has all that it may have. Two processors that do so at one time
/// may pass the cap by one each.
#[inline(always)]
fn has_its_cap() -> bool {
    let limit = DENY_LIMIT.get(0).copied().unwrap_or_default();
    // SAFETY: a helper without arguments.
    let id = unsafe { bpf_get_current_cgroup_id() };
    if let Some(count) = DENY_CGROUPS.get_ptr_mut(&id) {
        // SAFETY: a live value of the map.
        if unsafe { core::ptr::read_volatile(count) } >= limit {
            return true;
        }
        add_one(count);
        return false;
    }
    limit == 0 || DENY_CGROUPS.insert(&id, &1, 0).is_err()
}

/// The rule that denied the call that now ends, once.
#[inline(always)]
pub(crate) fn denied_by(thread: u64) -> Option<u32> {
    // SAFETY: copied at once.
    let rule = unsafe { DENY_MARKS.get(&thread) }.copied()?;
    // Nothing to do about an entry that is gone by now.
    let _ = DENY_MARKS.remove(&thread);
    Some(rule)
}

/// Counts a denial as told.
#[inline(always)]
pub(crate) fn reported(rule: u32) {
    if let Some(counts) = DENY_COUNTS.get_ptr_mut(rule) {
        // SAFETY: as in `act`.
        add_one(unsafe { &raw mut (*counts).reported });
    }
}
