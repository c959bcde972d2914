//! Tasks: who a process is.

use aya_ebpf::helpers::generated::bpf_get_current_task;
use sensor_common::{kernel_fields::KernelField as F, record::Identity};

use super::Kernel;

/// `PIDTYPE_PGID`, `PIDTYPE_SID` of `enum pid_type` (`include/linux/pid_types.h`, the same since 4.19).
const PIDTYPE_PGID: u64 = 2;
const PIDTYPE_SID: u64 = 3;

/// `TS_COMPAT`: the current system call came from 32-bit code (`arch/x86/include/asm/thread_info.h`).
const TS_COMPAT: u32 = 0x0002;

/// The running task.
#[inline(always)]
pub(crate) fn current() -> Kernel {
    // SAFETY: takes no argument.
    Kernel(unsafe { bpf_get_current_task() })
}

/// When the process of this task began, in nanoseconds after boot.
#[inline(always)]
pub(crate) fn start_time_ns(task: Kernel) -> u64 {
    match task.follow(F::task_group_leader) {
        Some(leader) => leader.read_or_default(F::task_start_boottime),
        None => 0,
    }
}

/// Whether the current system call came from 32-bit code.
#[inline(always)]
pub(crate) fn is_compat(task: Kernel) -> bool {
    task.read_or_default::<u32>(F::task_thread_status) & TS_COMPAT != 0
}

/// The number of a pid structure in the initial namespace; that is its first level.
#[inline(always)]
pub(crate) fn pid_number(pid: Kernel) -> u32 {
    match pid.address(F::pid_numbers) {
        Some(numbers) => numbers.read_or_default(F::upid_nr),
        None => 0,
    }
}

/// The id of the session or process group of this type.
#[inline(always)]
fn signal_pid(signal: Kernel, pid_type: u64) -> u32 {
    let Some(pids) = signal.address(F::signal_pids) else {
        return 0;
    };
    match pids.word_at(pid_type * 8).and_then(Kernel::non_null) {
        Some(pid) => pid_number(pid),
        None => 0,
    }
}

/// The terminal's device number, as `new_encode_dev` makes it (`include/linux/kdev_t.h`).
#[inline(always)]
fn terminal(signal: Kernel) -> u32 {
    let Some(tty) = signal.follow(F::signal_tty) else {
        return 0;
    };
    let Some(driver) = tty.follow(F::tty_driver) else {
        return 0;
    };
    let major: u32 = driver.read_or_default(F::tty_driver_major);
    let first: u32 = driver.read_or_default(F::tty_driver_minor_start);
    let minor = first.wrapping_add(tty.read_or_default::<u32>(F::tty_index));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Process id in the innermost pid namespace, and that namespace's inode number.
#[inline(always)]
fn innermost_pid(task: Kernel, identity: &mut Identity) {
    identity.vpid = 0;
    identity.pid_ns = 0;
    let Some(leader) = task.follow(F::task_group_leader) else {
        return;
    };
    let Some(pid) = leader.follow(F::task_thread_pid) else {
        return;
    };
    let level = u64::from(pid.read_or_default::<u32>(F::pid_level)) & 0x3f;
    let Some(numbers) = pid.address(F::pid_numbers) else {
        return;
    };
    // `struct upid` is an int, padding and a pointer: 16 bytes since 4.19 (`include/linux/pid.h`).
    let upid = Kernel(numbers.0 + level * 16);
    identity.vpid = upid.read_or_default(F::upid_nr);
    if let Some(namespace) = upid.follow(F::upid_ns) {
        identity.pid_ns = namespace.read_or_default(F::pid_namespace_inum);
    }
}

/// Fills in all that [`Identity`] holds.
#[inline(always)]
pub(crate) fn identity(task: Kernel, identity: &mut Identity) {
    read_identity(task.0, identity);
}

/// A function of its own, since 5.10 translates each by itself to machine code and gives up long ones.
#[inline(never)]
fn read_identity(task: u64, identity: &mut Identity) -> i32 {
    let task = Kernel(task);
    identity.parent_tgid = 0;
    identity.parent_start_time_ns = 0;
    if let Some(parent) = task.follow(F::task_real_parent) {
        identity.parent_tgid = parent.read_or_default(F::task_tgid);
        identity.parent_start_time_ns = start_time_ns(parent);
    }
    innermost_pid(task, identity);
    identity.user_ns = 0;
    if let Some(cred) = task.follow(F::task_cred) {
        identity.cap_effective = cred.read_or_default(F::cred_cap_effective);
        identity.cap_permitted = cred.read_or_default(F::cred_cap_permitted);
        identity.cap_inheritable = cred.read_or_default(F::cred_cap_inheritable);
        identity.euid = cred.read_or_default(F::cred_euid);
        identity.egid = cred.read_or_default(F::cred_egid);
        identity.suid = cred.read_or_default(F::cred_suid);
        identity.sgid = cred.read_or_default(F::cred_sgid);
        if let Some(namespace) = cred.follow(F::cred_user_ns) {
            identity.user_ns = namespace.read_or_default(F::user_namespace_inum);
        }
    }
    identity.loginuid = task.read(F::task_loginuid).unwrap_or(u32::MAX);
    identity.sid = 0;
    identity.pgid = 0;
    identity.tty = 0;
    if let Some(signal) = task.follow(F::task_signal) {
        identity.sid = signal_pid(signal, PIDTYPE_SID);
        identity.pgid = signal_pid(signal, PIDTYPE_PGID);
        identity.tty = terminal(signal);
    }
    identity.mount_ns = 0;
    identity.net_ns = 0;
    if let Some(nsproxy) = task.follow(F::task_nsproxy) {
        if let Some(namespace) = nsproxy.follow(F::nsproxy_mnt_ns) {
            identity.mount_ns = namespace.read_or_default(F::mnt_namespace_inum);
        }
        if let Some(namespace) = nsproxy.follow(F::nsproxy_net_ns) {
            identity.net_ns = namespace.read_or_default(F::net_inum);
        }
    }
    0
}

/// The thread's name, padded with zeros.
#[inline(always)]
pub(crate) fn comm(task: Kernel) -> [u8; 16] {
    task.read_or_default(F::task_comm)
}
