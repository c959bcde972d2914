//! Denies connections and addresses of sockets for rules that ask for it.
//!
//! The agent has reduced their conditions to tests that hold exactly here; what cannot be reduced it refuses to
//! load. A denied call is told by the exit of the call, like every other: a mark says so there.

use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr},
    programs::{SockAddrContext, SockContext},
};
use sensor_common::{enforce::operations, kernel_fields::KernelField as F};

use crate::{
    enforce::{self, Subject, action},
    kernel::task,
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

/// Denies an IPv4 address to a socket, which has it and its port already, whoever chose that.
///
/// Hook: `cgroup/post_bind4`; 0 takes the port away again and gives the caller `EPERM` (`__inet_bind`,
/// `net/ipv4/af_inet.c`).
#[cgroup_sock(post_bind4)]
pub(crate) fn enforce_bind4(ctx: SockContext) -> i32 {
    // SAFETY: the context is valid while the program runs; these are 4-byte loads.
    let (address, port, protocol) = unsafe {
        let at = ctx.sock;
        ((*at).src_ip4, (*at).src_port, (*at).protocol)
    };
    bind(0, MAPPED | u64::from(u32::from_be(address)), port, protocol)
}

/// As [`enforce_bind4`], for IPv6.
///
/// Hook: `cgroup/post_bind6`.
#[cgroup_sock(post_bind6)]
pub(crate) fn enforce_bind6(ctx: SockContext) -> i32 {
    // SAFETY: as above; word by word, since the verifier allows nothing else.
    let (words, port, protocol) = unsafe {
        let at = ctx.sock;
        let ip6 = (&raw const (*at).src_ip6).cast::<u32>();
        let word = |index: usize| u64::from(u32::from_be(core::ptr::read_volatile(ip6.add(index))));
        (
            [word(0), word(1), word(2), word(3)],
            (*at).src_port,
            (*at).protocol,
        )
    };
    bind(words[0] << 32 | words[1], words[2] << 32 | words[3], port, protocol)
}

#[inline(always)]
fn bind(high: u64, low: u64, port: u32, protocol: u32) -> i32 {
    // What the kernel binds for itself is nobody's call.
    if task::current().follow(F::task_mm).is_none() {
        return ALLOW;
    }
    answer(operations::BIND, (high, low), port, protocol)
}

#[inline(always)]
fn decide(high: u64, low: u64, port: u32, protocol: u32) -> i32 {
    let port = u32::from(u16::from_be(port as u16));
    answer(operations::CONNECT, (high, low), port, protocol)
}

#[inline(always)]
fn answer(operation: u32, (high, low): (u64, u64), port: u32, protocol: u32) -> i32 {
    let mut subject = Subject::new(operation, action::ANY);
    subject.address_high = high;
    subject.address_low = low;
    subject.port = port;
    subject.protocol = protocol;
    match enforce::decide(&subject) {
        // A mark first: a denial that could not be told of does not happen. Who is to be killed is denied the call,
        // and killed at its end: programs on cgroups cannot send signals.
        Some(verdict) if enforce::mark(verdict) => DENY,
        _ => ALLOW,
    }
}
