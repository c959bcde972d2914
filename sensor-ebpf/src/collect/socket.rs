//! Reads internet sockets for the programs on cgroups.

use sensor_common::{
    hook::{Hook, sources},
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{SocketCall, Span, flags},
    syscall::Call,
};

use crate::{
    direct::{self, Record},
    kernel::{Kernel, task},
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

/// Sends a connect that is about to be tried: `sk` is its socket.
#[inline(always)]
pub(crate) fn connect(hook: Hook, peer: &Peer, cookie: u64, sk: *const u64) {
    let task = task::current();
    if !direct::wanted(task, Kind::Connect) {
        return;
    }
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
