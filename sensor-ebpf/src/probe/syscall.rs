//! System calls, at their exit: the result is known, and what was opened can be asked.
//!
//! One dispatcher looks the call's number up and goes on to a handler by a tail call: a second program
//! on the same raw tracepoint would cost every call more than the first
//! (docs/benchmarks.md). It is attached only while a loaded rule needs an event of it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{
    filter::Stage,
    hook::Hook,
    kind::Kind,
    record::{Open, PathCall, flags},
    syscall::{Call, Handler, Places, Route},
};

use super::arguments::{self, Arguments};
use crate::{
    collect::{self, dup::Copied, socket_call::Done},
    emit, enforce, filter,
    kernel::{self, task},
    maps::{CALLS, HANDLERS, ROUTES, SOCKET_CALLS},
    scratch::Scratch,
};

/// What the call's number leads to, for this kind of caller; `None` for nothing.
#[inline(always)]
fn route(registers: *const u64) -> Option<&'static Route> {
    let route = ROUTES.get(arguments::number(registers) as u32)?;
    if route.handler_64 | route.handler_32 == Handler::None as u8 {
        None
    } else {
        Some(route)
    }
}

/// Sends each call that has a handler there.
///
/// Hook: `tp_btf/sys_exit`.
/// match-proto: 5.10..: `trace_sys_exit(struct pt_regs *regs, long ret)`
/// Loses: calls made through `io_uring`, which are no system calls.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let registers = ctx.arg::<*const u64>(0);
    let Some(route) = route(registers) else { return 0 };
    let handler = if task::is_compat(task::current()) {
        route.handler_32
    } else {
        route.handler_64
    };
    if handler != Handler::None as u8 && !enforce::is_told(ctx.arg::<i64>(1)) {
        // SAFETY: nothing is held that a program that does not return would keep.
        unsafe { HANDLERS.tail_call(&ctx, u32::from(handler)) };
    }
    0
}

/// What is known of the call that is ending.
struct Called {
    call: Call,
    kind: Kind,
    places: &'static Places,
    arguments: Arguments,
    result: i64,
}

/// The call that is ending, where somebody may want it.
#[inline(always)]
fn called(ctx: &BtfTracePointContext) -> Option<Called> {
    let registers = ctx.arg::<*const u64>(0);
    let result = ctx.arg::<i64>(1);
    let route = route(registers)?;
    let compat = task::is_compat(task::current());
    let number = if compat { route.call_32 } else { route.call_64 };
    let places = CALLS.get(u32::from(number))?;
    Some(Called {
        call: Call::from_number(number),
        kind: Kind::from_number(places.kind)?,
        places,
        arguments: Arguments::new(registers, compat),
        result,
    })
}

/// As [`called`], where the call may be one that the 32-bit `socketcall` stands for.
#[inline(always)]
fn called_socket(ctx: &BtfTracePointContext) -> Option<Called> {
    let mut called = called(ctx)?;
    if matches!(called.call, Call::SocketCall) {
        let number = SOCKET_CALLS.get(called.arguments.first_four()[0] as u32)? & 0xff;
        called.places = CALLS.get(number)?;
        called.call = Call::from_number(number as u8);
        called.kind = Kind::from_number(called.places.kind)?;
        called.arguments = Arguments::of_socketcall(ctx.arg::<*const u64>(0));
    }
    Some(called)
}

/// Goes on to the handler of the call that the 32-bit `socketcall` stands for.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_socketcall(ctx: BtfTracePointContext) -> i32 {
    let [which, ..] = Arguments::new(ctx.arg::<*const u64>(0), true).first_four();
    if let Some(entry) = SOCKET_CALLS.get(which as u32) {
        let handler = *entry >> 8;
        if handler != Handler::None as u32 {
            // SAFETY: nothing is held that a program that does not return would keep.
            unsafe { HANDLERS.tail_call(&ctx, handler) };
        }
    }
    0
}

/// Counts a call, and whether it is wanted: not the agent's own, and not failed when failed calls are not
/// wanted.
#[inline(always)]
pub(crate) fn wanted(kind: Kind, result: i64) -> bool {
    emit::seen(kind);
    let failed = result < 0 && result != EINPROGRESS;
    if emit::is_agent() || (failed && kernel::want_failed() == 0) {
        emit::filtered(kind);
        return false;
    }
    true
}

/// A connect that goes on in the background (`include/uapi/asm-generic/errno.h`): no failure.
const EINPROGRESS: i64 = -115;

/// Handles the calls that open files.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_open(ctx: BtfTracePointContext) -> i32 {
    let task = task::current();
    if let Some(called) = called(&ctx)
        && wanted(Kind::Open, called.result)
        && let Some(scratch) = collect::open::numbers(task, called.call, &called.arguments, called.result)
    {
        filter::ask_and_go_on(&ctx, scratch, Stage::Early);
    }
    0
}

/// Reads the names of an open whose numbers are there.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_open_names(ctx: BtfTracePointContext) -> i32 {
    let Some(mut scratch) = Scratch::current() else {
        return 0;
    };
    let compat = scratch.header().flags & flags::COMPAT != 0;
    let call = Call::from_number(scratch.fixed::<Open>().call as u8);
    let arguments = Arguments::new(ctx.arg::<*const u64>(0), compat);
    collect::open::names(&mut scratch, call, &arguments);
    collect::open::answer(&mut scratch);
    filter::ask_and_go_on(&ctx, scratch, Stage::Late);
    0
}

/// Sends a whole record that the late filter did not leave out, with who made the call.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_send(_ctx: BtfTracePointContext) -> i32 {
    let Some(mut scratch) = Scratch::current() else {
        return 0;
    };
    let task = task::current();
    emit::describe_current(&mut scratch, task);
    let kind = scratch.kind();
    if matches!(kind, Kind::Open) {
        collect::open::whole(&mut scratch);
    }
    emit::send(scratch, task, kind);
    0
}

/// Handles the calls that connect sockets. Of those that a program on cgroups has told when they began, it
/// tells the end.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_connect(ctx: BtfTracePointContext) -> i32 {
    let Some(called) = called_socket(&ctx) else {
        return 0;
    };
    if collect::connect::complete(task::current(), &called.arguments, called.result) {
        return 0;
    }
    if wanted(Kind::Connect, called.result)
        && let Some(scratch) =
            collect::connect::collect(task::current(), called.call, &called.arguments, called.result)
    {
        filter::ask_and_go_on(&ctx, scratch, Stage::Late);
    }
    0
}

/// Handles the calls that make sockets, give them an address, take connections and set filters. Of what the socket
/// itself has told, it tells the end.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
/// Leaves out: options that are no filters, and that no connection was there to be taken.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_socket(ctx: BtfTracePointContext) -> i32 {
    if let Some(called) = called_socket(&ctx)
        && !is_noise(&called)
    {
        let done = Done::call(
            task::current(),
            called.kind,
            called.call,
            &called.arguments,
            called.result,
        );
        if let Some(scratch) = collect::socket_call::collect(task::current(), &done, Hook::Usual) {
            filter::ask_and_go_on(&ctx, scratch, Stage::Late);
        }
    }
    0
}

/// Handles the calls that copy descriptors.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
/// Leaves out: copies of files that become none of standard input, output and error.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_dup(ctx: BtfTracePointContext) -> i32 {
    if let Some(called) = called(&ctx)
        && !is_noise(&called)
        && wanted(called.kind, called.result)
    {
        let copied = Copied {
            call: called.call,
            args: collect::dup::arguments(&called.arguments),
            result: called.result,
        };
        collect::dup::collect(task::current(), &copied, called.arguments.compat);
    }
    0
}

/// Handles the calls about names and files.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
/// Leaves out: programs that were started, which `sched_process_exec` tells of.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_path(ctx: BtfTracePointContext) -> i32 {
    let Some(called) = called(&ctx) else { return 0 };
    if matches!(called.kind, Kind::ExecFailed) && called.result >= 0 {
        return 0;
    }
    if wanted(called.kind, called.result)
        && let Some(scratch) = collect::path::numbers(
            task::current(),
            called.kind,
            called.call,
            &called.arguments,
            called.result,
        )
    {
        filter::ask_and_go_on(&ctx, scratch, Stage::Early);
    }
    0
}

/// Reads the names of a call whose numbers are there.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_path_names(ctx: BtfTracePointContext) -> i32 {
    let Some(mut scratch) = Scratch::current() else {
        return 0;
    };
    let Some(places) = CALLS.get(scratch.fixed::<PathCall>().call) else {
        let kind = scratch.kind();
        emit::give_up(scratch, kind);
        return 0;
    };
    collect::path::names(&mut scratch, task::current(), places);
    filter::ask_and_go_on(&ctx, scratch, Stage::Late);
    0
}

/// Handles the calls that change who a process is.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_identity(ctx: BtfTracePointContext) -> i32 {
    if let Some(called) = called(&ctx)
        && !is_noise(&called)
        && wanted(called.kind, called.result)
        && let Some(scratch) = collect::identity::collect(
            task::current(),
            called.kind,
            called.call,
            &called.arguments,
            called.result,
        )
    {
        filter::ask_and_go_on(&ctx, scratch, Stage::Late);
    }
    0
}

/// `PR_SET_VMA` (`include/uapi/linux/prctl.h`): allocators name their memory with it, all the time.
const PR_SET_VMA: u64 = 0x5356_4d41;
/// `PROT_EXEC` (`include/uapi/asm-generic/mman-common.h`)
const PROT_EXEC: u64 = 4;
/// `SOL_SOCKET` and options about filters (`include/uapi/asm-generic/socket.h`).
const SOL_SOCKET: u64 = 1;
const SO_ATTACH_FILTER: u64 = 26;
const SO_DETACH_FILTER: u64 = 27;
const SO_LOCK_FILTER: u64 = 44;
const SO_ATTACH_BPF: u64 = 50;
const SO_ATTACH_REUSEPORT_CBPF: u64 = 51;
const SO_ATTACH_REUSEPORT_EBPF: u64 = 52;
/// No connection waits (`include/uapi/asm-generic/errno-base.h`).
const EAGAIN: i64 = -11;
/// `F_DUPFD`, `F_DUPFD_CLOEXEC` (`include/uapi/linux/fcntl.h`)
const F_DUPFD: u64 = 0;
const F_DUPFD_CLOEXEC: u64 = 1030;
/// `CLONE_NEW*` (`include/uapi/linux/sched.h`): time, mount, cgroup, uts, ipc, user, pid, network.
const CLONE_NAMESPACES: u64 = 0x7e02_0080;

/// Whether a socket's option is about filters.
#[inline(always)]
fn is_filter(level: u64, option: u64) -> bool {
    level == SOL_SOCKET
        && matches!(
            option,
            SO_ATTACH_FILTER
                | SO_DETACH_FILTER
                | SO_LOCK_FILTER
                | SO_ATTACH_BPF
                | SO_ATTACH_REUSEPORT_CBPF
                | SO_ATTACH_REUSEPORT_EBPF
        )
}

/// Whether it is one of the many calls of its kind that tell nothing: memory that is not executable, processes
/// that stay in their parent's namespaces, a child's view of its own making, names of memory, options that are no
/// filters, no connection to take, what `fcntl` does besides copies.
#[inline(always)]
fn is_noise(called: &Called) -> bool {
    let [first, second, third, _] = called.arguments.first_four();
    match called.kind {
        Kind::Accept => called.result == EAGAIN,
        Kind::Sockopt => !is_filter(second, third),
        Kind::Prctl => first == PR_SET_VMA,
        Kind::Dup if matches!(called.call, Call::Fcntl | Call::Fcntl64) => {
            second as u32 as u64 != F_DUPFD && second as u32 as u64 != F_DUPFD_CLOEXEC
        }
        Kind::Mprotect | Kind::Mmap if !matches!(called.call, Call::OldMmap) => third & PROT_EXEC == 0,
        // In the child the call returns 0, and what `clone3` was given may be another thread's stack by then.
        Kind::Clone => called.result == 0 || clone_flags(called.call, first) & CLONE_NAMESPACES == 0,
        _ => false,
    }
}

/// The flags of `clone`, or those that begin the structure of `clone3` in the caller's memory.
#[inline(always)]
pub(crate) fn clone_flags(call: Call, first: u64) -> u64 {
    if !matches!(call, Call::Clone3) {
        return first;
    }
    let mut flags = 0_u64;
    // SAFETY: the helper checks the source, and writes 8 bytes to our own.
    let read = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_user(
            (&raw mut flags).cast(),
            8,
            first as *const core::ffi::c_void,
        )
    };
    if read == 0 { flags } else { 0 }
}

/// Handles the calls that have only numbers and a text to tell.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_plain(ctx: BtfTracePointContext) -> i32 {
    if let Some(called) = called(&ctx)
        && !is_noise(&called)
        && wanted(called.kind, called.result)
        && let Some(scratch) = collect::plain::collect(
            task::current(),
            called.kind,
            called.call,
            called.places,
            &called.arguments,
            called.result,
        )
    {
        filter::ask_and_go_on(&ctx, scratch, Stage::Late);
    }
    0
}
