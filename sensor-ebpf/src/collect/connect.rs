//! Reads a connected socket: both ends as the socket has them.
//!
//! A call that failed leaves the socket without a peer; then the address is the caller's word, and the
//! record says so.

use sensor_common::{
    hook::sources,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{self, SocketCall, flags},
    syscall::Call,
};

use super::{outcome, text};
use crate::{
    direct, emit,
    enforce::{self, EPERM, Verdict},
    kernel::{Kernel, file, path},
    probe::arguments::Arguments,
    scratch::{Scratch, clear},
};

/// `include/linux/socket.h`
pub(crate) const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `SOCK_RAW` (`include/linux/net.h`)
pub(crate) const SOCK_RAW: u16 = 3;
/// `include/uapi/linux/in.h`
pub(crate) const IPPROTO_TCP: u16 = 6;
pub(crate) const IPPROTO_UDP: u16 = 17;
pub(crate) const IPPROTO_MPTCP: u16 = 262;
/// The call goes on in the background (`include/uapi/asm-generic/errno.h`).
const EINPROGRESS: i64 = -115;
/// `S_IFMT`, `S_IFSOCK` (`include/uapi/linux/stat.h`)
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// Room of an address that the caller gives: `sizeof(struct sockaddr_un)`.
const ADDRESS_BYTES_MAX: u64 = 110;

/// A descriptor, with the caller's address and its length.
pub(crate) struct Request {
    pub(crate) fd: i32,
    pub(crate) address: u64,
    pub(crate) address_len: u64,
}

/// Takes the request out of the call's arguments.
#[inline(always)]
pub(crate) fn request(arguments: &Arguments) -> Request {
    let [first, second, third, _] = arguments.first_four();
    Request {
        fd: first as i32,
        address: second,
        address_len: third,
    }
}

/// The socket behind a descriptor.
#[inline(always)]
pub(crate) fn socket(task: Kernel, fd: i32) -> Option<Kernel> {
    socket_of(file::by_descriptor(task, fd as u32 as u64)?)
}

/// The socket that an open file is.
#[inline(always)]
pub(crate) fn socket_of(file: Kernel) -> Option<Kernel> {
    let mode: u16 = file.follow(F::file_f_inode)?.read(F::inode_i_mode)?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    file.follow(F::file_private_data)
}

/// Whether a program on cgroups tells of this socket's connects.
#[inline(always)]
fn is_told_elsewhere(sock: Kernel) -> bool {
    if direct::sources() & sources::CGROUP_CONNECT == 0 {
        return false;
    }
    let family: u16 = sock.read_or_default(F::sock_family);
    let protocol: u16 = sock.read_or_default(F::sock_protocol);
    let socket_type: u16 = sock.read_or_default(F::sock_type);
    (family == AF_INET || family == AF_INET6)
        && socket_type != SOCK_RAW
        && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_MPTCP)
}

/// What was decided about the call which ends with this result. A mark whose call ended otherwise is an old one, of a
/// request that was no system call. Who is to be killed is, now.
#[inline(always)]
pub(crate) fn denied(result: i64) -> Option<Verdict> {
    let verdict = enforce::marked().filter(|_| result == EPERM)?;
    if verdict.kills {
        enforce::kill();
    }
    Some(verdict)
}

/// What the record says of it.
#[inline(always)]
pub(crate) fn flags_of(denied: Option<Verdict>) -> u32 {
    match denied {
        Some(Verdict { kills: true, .. }) => flags::DENIED | flags::KILLED,
        Some(_) => flags::DENIED,
        None => 0,
    }
}

/// Tells how a connect ended that was told when it began; `false` when it is this program's to tell.
#[inline(always)]
pub(crate) fn complete(task: Kernel, arguments: &Arguments, result: i64) -> bool {
    let request = request(arguments);
    let Some(sock) = socket(task, request.fd).and_then(|socket| socket.follow(F::socket_sk)) else {
        return false;
    };
    complete_socket(task, sock, result, request.fd, 0)
}

/// As [`complete`], of a socket that is known.
#[inline(always)]
pub(crate) fn complete_socket(task: Kernel, sock: Kernel, result: i64, fd: i32, found: u32) -> bool {
    if !is_told_elsewhere(sock) {
        return false;
    }
    let denied = denied(result);
    let found = found | flags_of(denied);
    let stage = record::outcome::DONE;
    if outcome::with_flags(task, sock, stage, result, fd, found)
        && let Some(verdict) = denied
    {
        enforce::reported(verdict.rule);
    }
    true
}

/// Makes a connect record; `None` when there is no room for it.
#[inline(always)]
pub(crate) fn collect(task: Kernel, call: Call, arguments: &Arguments, result: i64) -> Option<Scratch> {
    let mut scratch = emit::begin_call::<SocketCall>(task, Kind::Connect, arguments.found())?;
    let denied = denied(result);
    scratch.flag(flags_of(denied));
    let request = request(arguments);
    let fixed = scratch.fixed::<SocketCall>();
    clear(fixed);
    fixed.args = arguments.all();
    fixed.result = result;
    fixed.fd = request.fd;
    fixed.call = call as u32;
    if let Some(socket) = socket(task, request.fd) {
        fixed.socket_type = socket.read_or_default(F::socket_type);
        if let Some(sock) = socket.follow(F::socket_sk) {
            ends(&mut scratch, sock, &request, result);
        }
    } else {
        scratch.flag(flags::FILE_RACED);
    }
    if let Some(verdict) = denied {
        loopback(scratch.fixed::<SocketCall>());
        enforce::reported(verdict.rule);
    }
    Some(scratch)
}

/// An address of zeros, which the kernel takes for the loopback address, as rules know it.
#[inline(always)]
fn loopback(fixed: &mut SocketCall) {
    if fixed.remote_address != [0; 16] {
        return;
    }
    if fixed.address_family == AF_INET6 {
        fixed.remote_address[15] = 1;
    } else {
        fixed.remote_address[0] = 127;
        fixed.remote_address[3] = 1;
    }
}

/// Both ends of the socket.
#[inline(always)]
pub(crate) fn ends(scratch: &mut Scratch, sock: Kernel, request: &Request, result: i64) {
    let family: u16 = sock.read_or_default(F::sock_family);
    let fixed = scratch.fixed::<SocketCall>();
    fixed.family = family;
    fixed.address_family = family;
    fixed.protocol = sock.read_or_default(F::sock_protocol);
    if let Some(net) = sock.follow(F::sock_net) {
        fixed.net_ns = net.read_or_default(F::net_inum);
    }
    let connected = result == 0 || result == EINPROGRESS;
    if family == AF_INET || family == AF_INET6 {
        inet(fixed, sock, family);
        if !connected || fixed.remote_port == 0 {
            caller_address(scratch, request);
        }
    } else if family == AF_UNIX && !(connected && unix_peer(scratch, sock)) {
        scratch.flag(flags::ADDRESS_FROM_CALLER);
        caller_name(scratch, request);
    }
}

/// The name of a unix socket that the caller gave.
#[inline(always)]
pub(crate) fn caller_name(scratch: &mut Scratch, request: &Request) {
    scratch.flag(flags::ADDRESS_FROM_CALLER);
    let len = bounded_address_len(request.address_len);
    if len > 2 {
        let span = text::append_user_bytes(scratch, request.address + 2, len - 2, flags::GIVEN_UNREADABLE);
        scratch.fixed::<SocketCall>().given = span;
    }
}

#[inline(always)]
fn bounded_address_len(len: u64) -> u64 {
    if len > ADDRESS_BYTES_MAX {
        ADDRESS_BYTES_MAX
    } else {
        len
    }
}

/// Where the ends of an internet socket go, in cleared memory.
pub(crate) struct Ends<'a> {
    pub(crate) local_port: &'a mut u16,
    pub(crate) remote_port: &'a mut u16,
    pub(crate) local_address: &'a mut [u8; 16],
    pub(crate) remote_address: &'a mut [u8; 16],
}

/// The ends of an internet socket.
#[inline(always)]
pub(crate) fn inet(fixed: &mut SocketCall, sock: Kernel, family: u16) {
    let ends = Ends {
        local_port: &mut fixed.local_port,
        remote_port: &mut fixed.remote_port,
        local_address: &mut fixed.local_address,
        remote_address: &mut fixed.remote_address,
    };
    inet_ends(ends, sock, family);
}

/// The same, wherever they go.
#[inline(always)]
pub(crate) fn inet_ends(to: Ends<'_>, sock: Kernel, family: u16) {
    *to.local_port = sock.read_or_default(F::sock_num);
    *to.remote_port = u16::from_be(sock.read_or_default(F::sock_dport));
    if family == AF_INET6 {
        *to.local_address = sock.read_or_default(F::sock_v6_rcv_saddr);
        *to.remote_address = sock.read_or_default(F::sock_v6_daddr);
    } else {
        let local: [u8; 4] = sock.read_or_default(F::sock_rcv_saddr);
        let remote: [u8; 4] = sock.read_or_default(F::sock_daddr);
        to.local_address[..4].copy_from_slice(&local);
        to.remote_address[..4].copy_from_slice(&remote);
    }
}

/// An address as a caller gives it.
pub(crate) struct Given {
    pub(crate) family: u16,
    /// IPv4 in the first four bytes, or IPv6.
    pub(crate) address: [u8; 16],
    /// Host order.
    pub(crate) port: u16,
}

/// The internet address in the caller's memory.
#[inline(always)]
pub(crate) fn given(request: &Request) -> Option<Given> {
    let mut address = [0_u8; 28];
    let len = if request.address_len > 28 {
        28
    } else {
        request.address_len
    };
    // SAFETY: the helper checks the source, and writes at most 28 bytes to our own.
    let read = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_user(
            address.as_mut_ptr().cast(),
            len as u32,
            request.address as *const core::ffi::c_void,
        )
    };
    if read != 0 || len < 8 {
        return None;
    }
    let mut given = Given {
        family: u16::from_ne_bytes([address[0], address[1]]),
        address: [0; 16],
        port: u16::from_be_bytes([address[2], address[3]]),
    };
    if given.family == AF_INET6 {
        given.address.copy_from_slice(&address[8..24]);
    } else {
        given.address[..4].copy_from_slice(&address[4..8]);
    }
    Some(given)
}

/// The address that the caller gave, for a socket that does not have it any more.
#[inline(always)]
fn caller_address(scratch: &mut Scratch, request: &Request) {
    scratch.flag(flags::ADDRESS_FROM_CALLER);
    let Some(given) = given(request) else {
        scratch.flag(flags::GIVEN_UNREADABLE);
        return;
    };
    let fixed = scratch.fixed::<SocketCall>();
    fixed.address_family = given.family;
    fixed.remote_port = given.port;
    fixed.remote_address = given.address;
}

/// The peer's address and place, as it was bound; `false` when it has none or cannot be read.
#[inline(always)]
pub(crate) fn unix_peer(scratch: &mut Scratch, sock: Kernel) -> bool {
    match sock.follow(F::unix_sock_peer) {
        Some(peer) => unix_name(scratch, peer),
        None => false,
    }
}

/// A unix socket's address and place, as it was bound; `false` when it has none or cannot be read.
#[inline(always)]
pub(crate) fn unix_name(scratch: &mut Scratch, peer: Kernel) -> bool {
    let Some(address) = peer.follow(F::unix_sock_addr) else {
        return false;
    };
    let Some(name) = address.address(F::unix_address_name) else {
        return false;
    };
    let len = bounded_address_len(u64::from(address.read_or_default::<u32>(F::unix_address_len)));
    if len <= 2 {
        return false;
    }
    // `sun_path` follows the two bytes of the family.
    let span = text::append_kernel_bytes(scratch, name.0 + 2, len - 2, flags::GIVEN_UNREADABLE);
    scratch.fixed::<SocketCall>().given = span;
    if let Some(at) = peer.address(F::unix_sock_path)
        && at.follow(F::path_dentry).is_some()
    {
        let span = path::append(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<SocketCall>().path = span;
    }
    true
}
