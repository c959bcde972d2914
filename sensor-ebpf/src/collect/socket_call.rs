//! Reads what calls do to sockets: make one, give it an address, take connections, set filters.

use sensor_common::{
    enforce::operations,
    hook::{Hook, sources},
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{self, SocketCall, flags},
    syscall::{ARGUMENTS_MAX, Call},
};

use super::{
    connect::{self, AF_UNIX, IPPROTO_MPTCP, IPPROTO_TCP, IPPROTO_UDP, Request, SOCK_RAW},
    outcome,
    socket::{AF_INET, AF_INET6},
};
use crate::{
    direct, emit,
    enforce::{self, EPERM, Verdict},
    kernel::{Kernel, file},
    maps::BEGUN,
    probe::{arguments::Arguments, syscall},
    scratch::{Scratch, clear},
};

/// `include/uapi/linux/in.h`
const IPPROTO_UDPLITE: u16 = 136;

/// Whether the socket itself tells of a call of this kind that succeeds, so that the exit tells its end alone.
#[inline(always)]
fn is_told_elsewhere(kind: Kind, sock: Kernel) -> bool {
    let sources = direct::sources();
    let family: u16 = sock.read_or_default(F::sock_family);
    if family != AF_INET && family != AF_INET6 {
        return false;
    }
    let protocol: u16 = sock.read_or_default(F::sock_protocol);
    let socket_type: u16 = sock.read_or_default(F::sock_type);
    match kind {
        // MPTCP binds a socket within; one whose port is left open is not told of.
        Kind::Bind => {
            sources & sources::CGROUP_BIND != 0
                && socket_type != SOCK_RAW
                && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE)
                && sock.read_or_default::<u16>(F::sock_num) != 0
        }
        Kind::Listen => {
            sources & sources::STATE_LISTEN != 0 && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
        }
        _ => false,
    }
}

/// A call, or what stands for one, that is done.
pub(crate) struct Done {
    pub(crate) kind: Kind,
    pub(crate) call: Call,
    pub(crate) args: [u64; ARGUMENTS_MAX],
    pub(crate) result: i64,
    /// The socket's descriptor, or -1.
    pub(crate) fd: i32,
    /// The socket's file.
    pub(crate) file: Option<Kernel>,
    /// The address that the caller gave.
    pub(crate) caller: Request,
    /// Flags of the record.
    pub(crate) found: u32,
}

impl Done {
    /// A system call.
    #[inline(always)]
    pub(crate) fn call(task: Kernel, kind: Kind, call: Call, arguments: &Arguments, result: i64) -> Self {
        let args = arguments.all();
        let makes_one = matches!(kind, Kind::Accept | Kind::Socket);
        let fd = match (makes_one, result >= 0) {
            (true, true) => result as i32,
            (true, false) if matches!(kind, Kind::Socket) => -1,
            _ => args[0] as i32,
        };
        Self {
            kind,
            call,
            args,
            result,
            fd,
            file: file::by_descriptor(task, fd as u32 as u64),
            caller: connect::request(arguments),
            found: arguments.found(),
        }
    }
}

/// Makes a record of what was done to a socket; where the socket has told of it, its end alone is sent. `None` where
/// nothing is left to be told.
#[inline(always)]
pub(crate) fn collect(task: Kernel, done: &Done, hook: Hook) -> Option<Scratch> {
    let socket = done.file.and_then(connect::socket_of);
    let sock = socket.and_then(|socket| socket.follow(F::socket_sk));
    if let Some(sock) = sock
        && is_completed(task, done, sock)
    {
        return None;
    }
    let denied = denied_bind(done);
    if let (Some(sock), Some(verdict)) = (sock, denied)
        && BEGUN.remove(sock.0).is_ok()
    {
        // Told when it had its address, which was taken away again.
        let end = outcome::End {
            key: sock.0,
            stage: record::outcome::DONE,
            result: done.result,
            fd: done.fd,
            found: done.found | connect::flags_of(denied),
        };
        if outcome::alone(task, end, Hook::Usual) {
            enforce::reported(verdict.rule);
        }
        return None;
    }
    if !syscall::wanted(done.kind, done.result) {
        return None;
    }
    let mut scratch = emit::begin_call::<SocketCall>(task, done.kind, done.found)?;
    scratch.header().hook = hook as u32;
    if let Some(verdict) = denied {
        scratch.flag(connect::flags_of(denied));
        enforce::reported(verdict.rule);
    }
    let fixed = scratch.fixed::<SocketCall>();
    clear(fixed);
    fixed.args = done.args;
    fixed.result = done.result;
    fixed.fd = done.fd;
    fixed.call = done.call as u32;
    if matches!(done.kind, Kind::Socket) {
        fixed.family = done.args[0] as u16;
    }
    match (socket, sock) {
        (Some(socket), Some(sock)) => {
            fixed.socket_type = socket.read_or_default(F::socket_type);
            describe(&mut scratch, done, sock);
        }
        _ if matches!(done.kind, Kind::Socket) && done.result < 0 => {}
        _ => scratch.flag(flags::FILE_RACED),
    }
    if matches!(done.kind, Kind::Accept) {
        queue(&mut scratch, task, done.args[0] as i32);
    }
    Some(scratch)
}

/// What was decided about a socket's address that the call did not get; who is to be killed for it is, now.
#[inline(always)]
fn denied_bind(done: &Done) -> Option<Verdict> {
    if !matches!(done.kind, Kind::Bind) || done.result != EPERM {
        return None;
    }
    if !enforce::denies(operations::BIND) && !enforce::kills_for(operations::BIND) {
        return None;
    }
    connect::denied(done.result)
}

/// Tells how something ended that its socket has told of; `false` when all of it is still to be told.
#[inline(always)]
fn is_completed(task: Kernel, done: &Done, sock: Kernel) -> bool {
    if matches!(done.kind, Kind::Connect) {
        return connect::complete_socket(task, sock, done.result, done.fd, done.found);
    }
    if done.result != 0 || !is_told_elsewhere(done.kind, sock) {
        return false;
    }
    // One that a filter left out has no event to join.
    if BEGUN.remove(sock.0).is_err() {
        return true;
    }
    let end = outcome::End {
        key: sock.0,
        stage: record::outcome::DONE,
        result: done.result,
        fd: done.fd,
        found: done.found,
    };
    outcome::of(task, sock, end);
    true
}

/// What the socket tells.
#[inline(always)]
fn describe(scratch: &mut Scratch, done: &Done, sock: Kernel) {
    if matches!(done.kind, Kind::Connect) {
        connect::ends(scratch, sock, &done.caller, done.result);
        return;
    }
    let family: u16 = sock.read_or_default(F::sock_family);
    let fixed = scratch.fixed::<SocketCall>();
    fixed.family = family;
    fixed.address_family = family;
    fixed.protocol = sock.read_or_default(F::sock_protocol);
    if let Some(net) = sock.follow(F::sock_net) {
        fixed.net_ns = net.read_or_default(F::net_inum);
    }
    let is_refused = matches!(done.kind, Kind::Bind) && done.result < 0;
    if family == AF_INET || family == AF_INET6 {
        connect::inet(fixed, sock, family);
        if is_refused {
            refused_address(scratch, &done.caller);
        }
    } else if family == AF_UNIX {
        if is_refused {
            connect::caller_name(scratch, &done.caller);
        } else {
            connect::unix_name(scratch, sock);
        }
    }
}

/// The address that the caller wanted for the socket and did not get.
#[inline(always)]
fn refused_address(scratch: &mut Scratch, caller: &Request) {
    scratch.flag(flags::ADDRESS_FROM_CALLER);
    let Some(given) = connect::given(caller) else {
        scratch.flag(flags::GIVEN_UNREADABLE);
        return;
    };
    let fixed = scratch.fixed::<SocketCall>();
    fixed.address_family = given.family;
    fixed.local_port = given.port;
    fixed.local_address = given.address;
}

/// How many connections still wait at the socket that was asked for one, and how many may: behind the arguments.
#[inline(always)]
fn queue(scratch: &mut Scratch, task: Kernel, fd: i32) {
    let Some(sock) = connect::socket(task, fd).and_then(|socket| socket.follow(F::socket_sk)) else {
        return;
    };
    let waiting = sock.read_or_default::<u32>(F::sock_ack_backlog);
    let room = sock.read_or_default::<u32>(F::sock_max_ack_backlog);
    let args = &mut scratch.fixed::<SocketCall>().args;
    args[4] = u64::from(waiting);
    args[5] = u64::from(room);
}
