//! Programs on the root of the cgroup hierarchy: every internet socket's connect, datagram and bind, with
//! the addresses as the kernel has copied them, whatever call asked for it: 64-bit, 32-bit, `io_uring`,
//! TCP fast open. Other calls cost nothing.
//!
//! They see the cgroup that the *socket* was made in; that is why they sit at the root, and why records
//! tell of the current task. Each allows what it sees (returns 1).
//!
//! Each asks its filter before it makes a record: a filter that passes an event goes on to a program of its own.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::bpf_get_socket_cookie,
    macros::{cgroup_sock, cgroup_sock_addr},
    programs::{SockAddrContext, SockContext},
};
use sensor_common::{hook::Hook, kind::Kind};

use crate::{
    collect::socket::{self, Peer},
    direct, filter,
    kernel::task,
    maps::{
        FILTER_BIND4, FILTER_BIND6, FILTER_CONNECT4, FILTER_CONNECT6, FILTER_SENDMSG4, FILTER_SENDMSG6,
    },
};

/// The hook lets the operation happen.
const ALLOW: i32 = 1;

/// The address that the call is about. Ports are in network order, in the low half.
#[inline(always)]
fn peer_4(ctx: &SockAddrContext) -> Peer {
    // SAFETY: the context is valid while the program runs; the verifier allows 4-byte loads of these.
    let (address, port) = unsafe { ((*ctx.sock_addr).user_ip4, (*ctx.sock_addr).user_port) };
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address.to_ne_bytes());
    Peer {
        family: socket::AF_INET,
        address: bytes,
        port: u16::from_be(port as u16),
    }
}

/// As [`peer_4`], for IPv6.
#[inline(always)]
fn peer_6(ctx: &SockAddrContext) -> Peer {
    // SAFETY: as above; word by word, since the verifier allows nothing else.
    let (words, port) = unsafe {
        let at = &raw const (*ctx.sock_addr).user_ip6;
        let word = |index: usize| core::ptr::read_volatile(at.cast::<u32>().add(index));
        ([word(0), word(1), word(2), word(3)], (*ctx.sock_addr).user_port)
    };
    let mut bytes = [0; 16];
    for (index, word) in words.iter().enumerate() {
        bytes[index * 4..index * 4 + 4].copy_from_slice(&word.to_ne_bytes());
    }
    Peer {
        family: socket::AF_INET6,
        address: bytes,
        port: u16::from_be(port as u16),
    }
}

/// The socket's address as a number, which is only passed on.
#[inline(always)]
fn socket_of(ctx: &SockAddrContext) -> *const u64 {
    // SAFETY: the context is valid while the program runs.
    unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk as *const u64 }
}

/// The socket: its cookie, which this asks for and so makes, and its address as a number.
#[inline(always)]
fn own(ctx: &SockAddrContext) -> (u64, *const u64) {
    // SAFETY: the helper takes the context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    (cookie, socket_of(ctx))
}

/// Tells of a connect, now that no filter has left it out.
#[inline(always)]
fn tell_connect(ctx: &SockAddrContext, hook: Hook, peer: &Peer) {
    let (cookie, sk) = own(ctx);
    socket::connect(hook, peer, cookie, sk);
}

/// Whether an event of this kind is wanted of the current task; counts it as seen.
#[inline(always)]
fn wanted(kind: Kind) -> bool {
    direct::wanted(task::current(), kind)
}

/// Reports a connect of an IPv4 address, before it is tried.
///
/// Hook: `cgroup/connect4`, from 4.17 on. TCP, UDP and MPTCP, not UDP-Lite and raw sockets.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    if wanted(Kind::Connect) {
        filter::ask_hook(&ctx, &FILTER_CONNECT4);
        tell_connect(&ctx, Hook::Connect4, &peer_4(&ctx));
    }
    ALLOW
}

/// What the filter of [`connect4`] goes on to.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4_next(ctx: SockAddrContext) -> i32 {
    tell_connect(&ctx, Hook::Connect4, &peer_4(&ctx));
    ALLOW
}

/// Reports a connect of an IPv6 address, before it is tried; IPv4 addresses in IPv6 clothes too.
///
/// Hook: `cgroup/connect6`, from 4.17 on.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    if wanted(Kind::Connect) {
        filter::ask_hook(&ctx, &FILTER_CONNECT6);
        tell_connect(&ctx, Hook::Connect6, &peer_6(&ctx));
    }
    ALLOW
}

/// What the filter of [`connect6`] goes on to.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6_next(ctx: SockAddrContext) -> i32 {
    tell_connect(&ctx, Hook::Connect6, &peer_6(&ctx));
    ALLOW
}

/// Reports a datagram to an IPv4 address, before it is sent; each of `sendmmsg`. Of IPv6 sockets too, when the address
/// is an IPv4 one in IPv6 clothes.
///
/// Hook: `cgroup/sendmsg4`, from 4.18 on. UDP and UDP-Lite; not of sockets that are connected.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
    if wanted(Kind::Send) {
        filter::ask_hook(&ctx, &FILTER_SENDMSG4);
        socket::send(Hook::SendMessage4, &peer_4(&ctx), socket_of(&ctx));
    }
    ALLOW
}

/// What the filter of [`sendmsg4`] goes on to.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4_next(ctx: SockAddrContext) -> i32 {
    socket::send(Hook::SendMessage4, &peer_4(&ctx), socket_of(&ctx));
    ALLOW
}

/// Reports a datagram to an IPv6 address, before it is sent.
///
/// Hook: `cgroup/sendmsg6`, from 4.18 on.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
    if wanted(Kind::Send) {
        filter::ask_hook(&ctx, &FILTER_SENDMSG6);
        socket::send(Hook::SendMessage6, &peer_6(&ctx), socket_of(&ctx));
    }
    ALLOW
}

/// What the filter of [`sendmsg6`] goes on to.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6_next(ctx: SockAddrContext) -> i32 {
    socket::send(Hook::SendMessage6, &peer_6(&ctx), socket_of(&ctx));
    ALLOW
}

/// The socket that got an address.
#[inline(always)]
fn bound_socket(ctx: &SockContext) -> *const u64 {
    ctx.sock.cast_const().cast()
}

/// Reports that a socket has an IPv4 address and a port, which the kernel may have chosen.
///
/// Hook: `cgroup/post_bind4`, from 4.17 on; its context is the socket itself (`__cgroup_bpf_run_filter_sk`,
/// `kernel/bpf/cgroup.c`). TCP, UDP and UDP-Lite; not raw sockets, and not a port that is left open until `connect`.
#[cgroup_sock(post_bind4)]
pub(crate) fn post_bind4(ctx: SockContext) -> i32 {
    if !socket::is_inner(bound_socket(&ctx)) && wanted(Kind::Bind) {
        filter::ask_hook(&ctx, &FILTER_BIND4);
        socket::bound(Hook::PostBind4, bound_socket(&ctx));
    }
    ALLOW
}

/// What the filter of [`post_bind4`] goes on to.
#[cgroup_sock(post_bind4)]
pub(crate) fn post_bind4_next(ctx: SockContext) -> i32 {
    socket::bound(Hook::PostBind4, bound_socket(&ctx));
    ALLOW
}

/// As [`post_bind4`], for IPv6.
///
/// Hook: `cgroup/post_bind6`, from 4.17 on.
#[cgroup_sock(post_bind6)]
pub(crate) fn post_bind6(ctx: SockContext) -> i32 {
    if !socket::is_inner(bound_socket(&ctx)) && wanted(Kind::Bind) {
        filter::ask_hook(&ctx, &FILTER_BIND6);
        socket::bound(Hook::PostBind6, bound_socket(&ctx));
    }
    ALLOW
}

/// What the filter of [`post_bind6`] goes on to.
#[cgroup_sock(post_bind6)]
pub(crate) fn post_bind6_next(ctx: SockContext) -> i32 {
    socket::bound(Hook::PostBind6, bound_socket(&ctx));
    ALLOW
}
