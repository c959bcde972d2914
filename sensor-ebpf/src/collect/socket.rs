//! Reads internet sockets for the programs on cgroups and on TCP's changes of state.

use aya_ebpf::bindings::BPF_ANY;
use sensor_common::{
    counters::DestinationKey,
    hook::{Hook, sources},
    kernel_fields::KernelField as F,
    kind::Kind,
    limits::DESTINATION_KNOWN_NS,
    record::{SocketCall, Span, flags},
    syscall::Call,
};

use crate::{
    direct::{self, Record},
    kernel::{Kernel, stack, task},
    maps::{BEGUN, DESTINATIONS},
};

/// `include/linux/socket.h`
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
/// `SOCK_STREAM` (`include/linux/net.h`)
const SOCK_STREAM: u16 = 1;
/// `O_NONBLOCK` (`include/uapi/asm-generic/fcntl.h`)
const O_NONBLOCK: u32 = 0o4000;
/// The call goes on in the background (`include/uapi/asm-generic/errno.h`).
pub(crate) const EINPROGRESS: i64 = -115;

/// The other end, as the kernel copied it from the caller.
pub(crate) struct Peer {
    pub(crate) family: u16,
    pub(crate) address: [u8; 16],
    /// Host order.
    pub(crate) port: u16,
}

/// The socket's own address.
#[inline(always)]
pub(crate) fn own_address(sock: Kernel, family: u16, to: &mut [u8; 16]) {
    if family == AF_INET6 {
        *to = sock.read_or_default(F::sock_v6_rcv_saddr);
    } else {
        let address: [u8; 4] = sock.read_or_default(F::sock_rcv_saddr);
        to[..4].copy_from_slice(&address);
    }
}

/// Fills in what the socket itself tells.
#[inline(always)]
fn describe(record: &mut Record<SocketCall>, task: Kernel, sock: Kernel) {
    let fixed = &mut record.fixed;
    fixed.result = 0;
    fixed.args = [0; 6];
    fixed.fd = -1;
    fixed.family = sock.read_or_default(F::sock_family);
    fixed.socket_type = sock.read_or_default(F::sock_type);
    fixed.protocol = sock.read_or_default(F::sock_protocol);
    fixed.local_port = sock.read_or_default(F::sock_num);
    fixed.remote_port = 0;
    fixed.address_family = fixed.family;
    fixed.local_address = [0; 16];
    own_address(sock, fixed.family, &mut fixed.local_address);
    fixed.remote_address = [0; 16];
    fixed.net_ns = 0;
    if let Some(net) = sock.follow(F::sock_net) {
        fixed.net_ns = net.read_or_default(F::net_inum);
    }
    fixed.path = Span::default();
    fixed.given = Span::default();
    if let Some(of_socket) = sock.follow(F::sock_cgroup)
        && let Some(set) = task.follow(F::task_cgroups)
        && set.follow(F::css_set_dfl_cgrp) != Some(of_socket)
    {
        record.header.flags |= flags::SOCKET_OF_OTHER_CGROUP;
    }
}

/// Whether the caller does not wait for the connection.
#[inline(always)]
fn does_not_wait(sock: Kernel) -> bool {
    let file = sock
        .follow(F::sock_socket)
        .and_then(|socket| socket.follow(F::socket_file));
    file.is_some_and(|file| file.read_or_default::<u32>(F::file_f_flags) & O_NONBLOCK != 0)
}

/// Sends a connect that is about to be tried, and is wanted: `sk` is its socket.
#[inline(always)]
pub(crate) fn connect(hook: Hook, peer: &Peer, cookie: u64, sk: *const u64) {
    let task = task::current();
    direct::send::<SocketCall>(task, Kind::Connect, hook, |record| {
        let sock = direct::number_of(&mut record.header.key, sk);
        describe(record, task, sock);
        record.header.key = cookie;
        let fixed = &mut record.fixed;
        fixed.call = Call::Connect as u32;
        fixed.result = EINPROGRESS;
        fixed.address_family = peer.family;
        fixed.remote_address = peer.address;
        fixed.remote_port = peer.port;
        let is_stream = fixed.socket_type == SOCK_STREAM;
        if is_stream && does_not_wait(sock) {
            record.header.flags |= flags::NO_WAIT;
        }
        let exit_follows = direct::sources() & sources::EXIT_OF_CONNECT != 0;
        if exit_follows {
            record.header.flags |= flags::EXIT_FOLLOWS;
        }
        if is_stream || exit_follows {
            record.header.flags |= flags::PENDING;
        } else {
            record.header.flags |= flags::RESULT_ASSUMED;
            record.fixed.result = 0;
        }
    });
}

/// Sends that a socket has got an address, which is wanted: `sk` is the socket, and its address keys the record.
#[inline(always)]
pub(crate) fn bound(hook: Hook, sk: *const u64) {
    let exit_follows = direct::sources() & sources::EXIT_OF_BIND != 0;
    let mut at = 0;
    let sock = direct::number_of(&mut at, sk);
    own_call(task::current(), sock, hook, (Kind::Bind, Call::Bind), exit_follows);
}

/// Sends that a socket takes connections from now on.
#[inline(always)]
pub(crate) fn listening(sock: Kernel) {
    let sources = direct::sources();
    let task = task::current();
    if sources & sources::STATE_LISTEN == 0 || is_kernels(sock) || !direct::wanted(task, Kind::Listen) {
        return;
    }
    let exit_follows = sources & sources::EXIT_OF_LISTEN != 0;
    let told_as = (Kind::Listen, Call::Listen);
    own_call(task, sock, Hook::SocketState, told_as, exit_follows);
}

/// Whether a socket is the kernel's own: nobody has a descriptor of it, or the descriptor stands for the MPTCP socket that
/// it is a part of.
#[inline(always)]
fn is_kernels(sock: Kernel) -> bool {
    let Some(socket) = sock.follow(F::sock_socket) else {
        return true;
    };
    socket.follow(F::socket_file).is_none() || socket.follow(F::socket_sk) != Some(sock)
}

/// As [`is_kernels`], of a socket that the verifier guards.
#[inline(always)]
pub(crate) fn is_inner(sk: *const u64) -> bool {
    let mut at = 0;
    is_kernels(direct::number_of(&mut at, sk))
}

/// Sends what a socket tells of a call that has succeeded as far as it is concerned.
#[inline(always)]
fn own_call(task: Kernel, sock: Kernel, hook: Hook, told_as: (Kind, Call), exit_follows: bool) {
    let (kind, call) = told_as;
    if exit_follows {
        let _ = BEGUN.insert(sock.0, 0, BPF_ANY.into());
    }
    direct::send::<SocketCall>(task, kind, hook, |record| {
        describe(record, task, sock);
        record.header.key = sock.0;
        record.fixed.call = call as u32;
        record.header.flags |= if exit_follows {
            flags::PENDING | flags::EXIT_FOLLOWS
        } else {
            0
        };
    });
}

/// `io_uring_enter` (`arch/x86/entry/syscalls/syscall_64.tbl`, and of 32-bit callers).
const IO_URING_ENTER: u32 = 426;
/// The 32-bit `socketcall`, and what it may stand for (`include/uapi/linux/net.h`).
const SOCKETCALL: u32 = 102;
const SYS_SENDTO: u64 = 11;
const SYS_SENDMMSG: u64 = 20;

/// Which call sends, by the caller's saved registers, and its descriptor.
#[inline(always)]
fn sender(task: Kernel, record: &mut Record<SocketCall>) {
    let Some(entered) = stack::entered(task) else {
        return;
    };
    let call = match (entered.compat, entered.number) {
        (_, IO_URING_ENTER) => {
            record.header.flags |= flags::VIA_IO_URING;
            return;
        }
        (false, 44) | (true, 369) => Call::Sendto,
        (false, 46) | (true, 370) => Call::Sendmsg,
        (false, 307) | (true, 345) => Call::Sendmmsg,
        (true, SOCKETCALL) => {
            record.header.flags |= flags::COMPAT;
            // The descriptor lies in the caller's memory.
            record.fixed.call = match entered.first {
                SYS_SENDTO => Call::Sendto as u32,
                SYS_SENDMMSG => Call::Sendmmsg as u32,
                _ => Call::Sendmsg as u32,
            };
            return;
        }
        _ => return,
    };
    if entered.compat {
        record.header.flags |= flags::COMPAT;
    }
    record.fixed.call = call as u32;
    record.fixed.fd = entered.first as i32;
    record.fixed.args[0] = entered.first;
}

/// Whether the process has sent to this destination not long ago. Remembers it.
#[inline(always)]
fn is_known(task: Kernel, peer: &Peer) -> bool {
    let key = DestinationKey {
        start_time_ns: task::start_time_ns(task),
        address: peer.address,
        tgid: task.read_or_default(F::task_tgid),
        port: peer.port,
        family: peer.family,
    };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns() };
    if let Some(until) = DESTINATIONS.get_ptr_mut(key) {
        // SAFETY: a map value; a plain number, and two who meet tell of the destination twice at worst.
        unsafe {
            if now_ns < until.read_volatile() {
                return true;
            }
            until.write_volatile(now_ns + DESTINATION_KNOWN_NS);
        }
        return false;
    }
    let _ = DESTINATIONS.insert(key, now_ns + DESTINATION_KNOWN_NS, BPF_ANY.into());
    false
}

/// Sends a datagram that is about to be sent and is wanted, if the process has not sent to its destination not long ago;
/// further ones are counted as left out.
#[inline(always)]
pub(crate) fn send(hook: Hook, peer: &Peer, sk: *const u64) {
    let task = task::current();
    if is_known(task, peer) {
        direct::filtered(Kind::Send);
        return;
    }
    direct::send::<SocketCall>(task, Kind::Send, hook, |record| {
        let sock = direct::number_of(&mut record.header.key, sk);
        describe(record, task, sock);
        record.header.key = 0;
        let fixed = &mut record.fixed;
        fixed.call = Call::Sendmsg as u32;
        fixed.address_family = peer.family;
        fixed.remote_address = peer.address;
        fixed.remote_port = peer.port;
        record.header.flags |= flags::RESULT_ASSUMED;
        sender(task, record);
    });
}
