//! Decides whether a rule denies what a process is about to do, or kills it for it.
//!
//! The agent has reduced conditions to tests that hold exactly here (`sensor-agent/src/enforce.rs`).

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid,
        bpf_get_current_uid_gid, bpf_probe_read_kernel, bpf_send_signal,
    },
    maps::{LpmTrie, lpm_trie::Key},
};
use sensor_common::{
    enforce::{
        DENY_TESTS_MAX, DenyCounts, DenyMode, DenyTest, PATH_KEY_BYTES, PROTECTED_LEVELS_MAX, operations,
    },
    kernel_fields::KernelField as F,
    record::{Span, flags},
};

use crate::{
    emit::add_one,
    kernel::{self, cgroup, task},
    maps::{
        DENY_CGROUPS, DENY_COUNTS, DENY_KEYS, DENY_LIMIT, DENY_MARKS, DENY_OPERATIONS, DENY_PROTECTED,
        DENY_TESTS,
    },
    scratch::{Scratch, bounded_offset},
};

/// `include/uapi/asm-generic/signal.h`
const SIGKILL: u32 = 9;
/// What a caller gets whose call was denied.
pub(crate) const EPERM: i64 = -1;

/// What a process is about to do.
#[repr(C)]
pub(crate) struct Subject {
    /// As in [`DenyTest`].
    pub(crate) address_high: u64,
    pub(crate) address_low: u64,
    /// The tests whose paths this one's is among, by their numbers.
    pub(crate) paths: u64,
    /// In the machine's order.
    pub(crate) port: u32,
    pub(crate) protocol: u32,
    /// One of [`sensor_common::enforce::operations`].
    pub(crate) operation: u32,
    /// [`sensor_common::enforce::access`]
    pub(crate) access: u32,
    uid: u32,
    /// [`action`]
    actions: u32,
}

/// Which actions can be taken where it is decided.
pub(crate) mod action {
    /// The operation can be denied.
    pub(crate) const DENY: u32 = 1 << 0;
    /// The process can be killed.
    pub(crate) const KILL: u32 = 1 << 1;
    /// Both.
    pub(crate) const ANY: u32 = DENY | KILL;
}

impl Subject {
    /// Nothing but the operation and who asks for it, and what can be done.
    #[inline(always)]
    pub(crate) fn new(operation: u32, actions: u32) -> Self {
        // SAFETY: a helper without arguments.
        let uid = unsafe { bpf_get_current_uid_gid() } as u32;
        Self {
            address_high: 0,
            address_low: 0,
            paths: 0,
            port: 0,
            protocol: 0,
            operation,
            access: 0,
            uid,
            actions,
        }
    }
}

/// A test that matched and that nothing stands against.
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    /// The rule's number.
    pub(crate) rule: u32,
    /// Whether the process is to be killed.
    pub(crate) kills: bool,
}

/// [`Verdict`] as a number: 0 for none.
const RULE_BITS: u64 = 0xffff_ffff;
const FOUND: u64 = 1 << 32;
const KILLS: u64 = 1 << 33;
/// Of a mark: the event was told when the call was denied.
const TOLD: u64 = 1 << 34;

/// Whether some test denies this operation.
#[inline(always)]
pub(crate) fn denies(operation: u32) -> bool {
    DENY_OPERATIONS.get(0).copied().unwrap_or_default() & operation != 0
}

/// Whether some test kills for this operation.
#[inline(always)]
pub(crate) fn kills_for(operation: u32) -> bool {
    denies(operation << operations::KILL_SHIFT)
}

/// What is to be done about it; `None` when it goes on.
#[inline(always)]
pub(crate) fn decide(subject: &Subject) -> Option<Verdict> {
    let found = first(subject);
    if found & FOUND == 0 {
        return None;
    }
    Some(Verdict {
        rule: (found & RULE_BITS) as u32,
        kills: found & KILLS != 0,
    })
}

/// The first test that matches and whose action is taken.
#[inline(never)]
fn first(subject: &Subject) -> u64 {
    for index in 0..DENY_TESTS_MAX {
        let Some(test) = DENY_TESTS.get(index) else {
            return 0;
        };
        if test.mode == DenyMode::Off as u32 {
            // Tests in use come first.
            return 0;
        }
        if matches(test, subject) && acts(test) {
            let kills = if test.kills == 0 { 0 } else { KILLS };
            return FOUND | kills | u64::from(test.rule);
        }
    }
    0
}

#[inline(always)]
fn matches(test: &DenyTest, subject: &Subject) -> bool {
    let action = if test.kills == 0 {
        action::DENY
    } else {
        action::KILL
    };
    action & subject.actions != 0
        && test.operations & subject.operation != 0
        && subject.address_high & test.mask_high == test.address_high
        && subject.address_low & test.mask_low == test.address_low
        && subject.port >= test.port_min
        && subject.port <= test.port_max
        && (test.protocol == 0 || test.protocol == subject.protocol)
        && (test.has_uid == 0 || test.uid == subject.uid)
        && test.access & subject.access == test.access
        && (test.has_paths == 0 || subject.paths >> (test.number & 63) & 1 != 0)
}

/// Whether the action is taken: not while the rule observes, not where something protects the process.
#[inline(always)]
fn acts(test: &DenyTest) -> bool {
    let Some(counts) = DENY_COUNTS.get_ptr_mut(test.rule) else {
        return false;
    };
    let counts: *mut DenyCounts = counts;
    // SAFETY (all below): the map's value is live, its counts are aligned, and changed by atomics alone.
    if test.mode == DenyMode::Observe as u32 {
        add_one(unsafe { &raw mut (*counts).observed });
        return false;
    }
    let tgid: u32 = task::current().read_or_default(F::task_tgid);
    if tgid <= 1 || tgid == kernel::agent_tgid() || is_protected() {
        add_one(unsafe { &raw mut (*counts).protected });
        return false;
    }
    if has_its_cap() {
        add_one(unsafe { &raw mut (*counts).capped });
        return false;
    }
    true
}

/// Whether the process is in a cgroup that the user protects, or below one. Read from the objects: tracing programs
/// have no helper for it on 5.10.
#[inline(always)]
fn is_protected() -> bool {
    let set = task::current().follow(F::task_cgroups);
    let mut node = set
        .and_then(|set| set.follow(F::css_set_dfl_cgrp))
        .and_then(|cgroup| cgroup.follow(F::cgroup_kn));
    for _ in 0..PROTECTED_LEVELS_MAX {
        let Some(found) = node else { return false };
        // SAFETY: the value is not read.
        if unsafe { DENY_PROTECTED.get(&cgroup::id(found)) }.is_some() {
            return true;
        }
        node = found.follow(F::kernfs_node_parent);
    }
    false
}

/// Counts one action for the cgroup, unless it has all that it may have. Two processors that do so at one time
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

/// The current thread, in the initial pid namespace: process and thread.
#[inline(always)]
fn thread() -> u64 {
    let task = task::current();
    let number = |field| task.read_or_default::<u32>(field);
    u64::from(number(F::task_tgid)) << 32 | u64::from(number(F::task_pid))
}

/// Says of the current call, whose end will tell of it, that this rule denied it; `false` when that cannot be said,
/// and it goes on.
#[inline(always)]
pub(crate) fn mark(verdict: Verdict) -> bool {
    mark_with(verdict, if verdict.kills { KILLS } else { 0 })
}

/// The same of a call that is told at once, so that its end tells nothing.
#[inline(always)]
pub(crate) fn mark_told(verdict: Verdict) -> bool {
    mark_with(verdict, TOLD)
}

#[inline(always)]
fn mark_with(verdict: Verdict, more: u64) -> bool {
    let value = u64::from(verdict.rule) | more;
    if DENY_MARKS.insert(&thread(), &value, 0).is_err() {
        with_counts(verdict.rule, |counts| unsafe { &raw mut (*counts).capped });
        return false;
    }
    acted(verdict);
    true
}

/// Counts an action that is taken now.
#[inline(always)]
pub(crate) fn acted(verdict: Verdict) {
    with_counts(verdict.rule, |counts| {
        // SAFETY: only an address is formed.
        unsafe {
            if verdict.kills {
                &raw mut (*counts).killed
            } else {
                &raw mut (*counts).denied
            }
        }
    });
}

/// Counts an action as told.
#[inline(always)]
pub(crate) fn reported(rule: u32) {
    // SAFETY: only an address is formed.
    with_counts(rule, |counts| unsafe { &raw mut (*counts).reported });
}

#[inline(always)]
fn with_counts(rule: u32, which: impl FnOnce(*mut DenyCounts) -> *mut u64) {
    if let Some(counts) = DENY_COUNTS.get_ptr_mut(rule) {
        add_one(which(counts));
    }
}

/// Whether the call that now ends with this result was denied by a program that has told it itself.
#[inline(always)]
pub(crate) fn is_told(result: i64) -> bool {
    if result != EPERM || !denies(operations::EXECVE | operations::EXECVEAT | operations::OPEN) {
        return false;
    }
    // SAFETY: a helper without arguments; the value is copied at once.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    // SAFETY: as above.
    let told = unsafe { DENY_MARKS.get(&thread) }.is_some_and(|value| *value & TOLD != 0);
    if told {
        // Nothing to do about an entry that is gone by now.
        let _ = DENY_MARKS.remove(&thread);
    }
    told
}

/// What was marked of the call that now ends, once.
#[inline(always)]
pub(crate) fn marked() -> Option<Verdict> {
    // SAFETY: a helper without arguments; the value is copied at once.
    let (thread, value) = unsafe {
        let thread = bpf_get_current_pid_tgid();
        (thread, *DENY_MARKS.get(&thread)?)
    };
    // Nothing to do about an entry that is gone by now.
    let _ = DENY_MARKS.remove(&thread);
    Some(Verdict {
        rule: (value & RULE_BITS) as u32,
        kills: value & KILLS != 0,
    })
}

/// Ends the current process before it runs another instruction of its own; `false` when the kernel does not let.
#[inline(always)]
pub(crate) fn kill() -> bool {
    // SAFETY: a helper with a number.
    unsafe { bpf_send_signal(SIGKILL) == 0 }
}

/// A path as the tables compare it: padded with zeros.
pub(crate) type PathKey = Key<[u8; PATH_KEY_BYTES]>;

/// The tests among whose paths this piece of a record is.
#[inline(always)]
pub(crate) fn paths_of(scratch: &Scratch, path: Span, table: &LpmTrie<[u8; PATH_KEY_BYTES], u64>) -> u64 {
    let Some(key) = DENY_KEYS.get_ptr_mut(0) else {
        return 0;
    };
    paths_with(key, scratch, path, table)
}

/// As [`paths_of`], with a place for the key.
#[inline(always)]
pub(crate) fn paths_with(
    key: *mut PathKey,
    scratch: &Scratch,
    path: Span,
    table: &LpmTrie<[u8; PATH_KEY_BYTES], u64>,
) -> u64 {
    let words = key.cast::<u32>();
    // SAFETY: a live value of the map, of one word and the path's bytes.
    unsafe {
        core::ptr::write_volatile(words, PATH_KEY_BYTES as u32 * 8);
        for word in 0..PATH_KEY_BYTES / 4 {
            core::ptr::write_volatile(words.add(1 + word), 0);
        }
    }
    let mut len = u64::from(path.len);
    if len > PATH_KEY_BYTES as u64 {
        len = PATH_KEY_BYTES as u64;
    }
    let offset = bounded_offset(u64::from(path.offset));
    // VERIFIER: tells it the bound of the register that the helper gets.
    // SAFETY: changes only its own operand.
    unsafe { core::arch::asm!("{0} &= 0x1ff", inout(reg) len) };
    if len > PATH_KEY_BYTES as u64 {
        return 0;
    }
    // SAFETY: both are live values of maps; the source has PIECE_BYTES_MAX behind its offset.
    let (read, found) = unsafe {
        let read = bpf_probe_read_kernel(
            words.add(1).cast(),
            len as u32,
            scratch.record().add(offset as usize).cast(),
        );
        (read, table.get(&*key))
    };
    match found {
        Some(tests) if read == 0 => *tests,
        _ => 0,
    }
}

/// Kills the current process if a rule asks for it, and says so on the record.
#[inline(always)]
pub(crate) fn kill_for(scratch: &mut Scratch, subject: &Subject) {
    let Some(verdict) = decide(subject) else { return };
    if kill() {
        acted(verdict);
        reported(verdict.rule);
        scratch.flag(flags::KILLED);
    }
}
