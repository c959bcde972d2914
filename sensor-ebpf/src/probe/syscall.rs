//! System calls, at their exit: the result is known, and what was opened can be asked.
//!
//! One dispatcher looks the call's number up and goes on to a handler by a tail call: a second program
//! on the same raw tracepoint would cost every call more than the first
//! (docs/benchmarks.md). It is attached only while a loaded rule needs an event of it.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{
    kind::Kind,
    syscall::{Call, Handler, Route},
};

use super::arguments::{self, Arguments};
use crate::{
    collect, emit,
    kernel::{self, task},
    maps::{HANDLERS, ROUTES},
};

/// `SYS_CONNECT` of the 32-bit `socketcall` (`include/uapi/linux/net.h`).
const SYS_CONNECT: u64 = 3;

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
    if handler != Handler::None as u8 {
        // SAFETY: nothing is held that a program that does not return would keep.
        unsafe { HANDLERS.tail_call(&ctx, u32::from(handler)) };
    }
    0
}

/// The call and its arguments, where it is one that `kind` wants: not the agent's own, and not failed
/// when failed calls are not wanted. Counts it.
#[inline(always)]
fn wanted(ctx: &BtfTracePointContext, kind: Kind) -> Option<(Call, Arguments, i64)> {
    let registers = ctx.arg::<*const u64>(0);
    let result = ctx.arg::<i64>(1);
    let route = route(registers)?;
    let compat = task::is_compat(task::current());
    let call = Call::from_number(if compat { route.call_32 } else { route.call_64 });
    let arguments = Arguments::new(registers, compat);
    if matches!(call, Call::SocketCall) && arguments.first_four()[0] != SYS_CONNECT {
        return None;
    }
    emit::seen(kind);
    let failed = result < 0 && result != EINPROGRESS;
    if emit::is_agent() || (failed && kernel::want_failed() == 0) {
        emit::filtered(kind);
        return None;
    }
    Some((call, arguments, result))
}

/// A connect that goes on in the background (`include/uapi/asm-generic/errno.h`): no failure.
const EINPROGRESS: i64 = -115;

/// Handles the calls that open files.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_open(ctx: BtfTracePointContext) -> i32 {
    if let Some((call, arguments, result)) = wanted(&ctx, Kind::Open) {
        collect::open::collect(task::current(), call, &arguments, result);
    }
    0
}

/// Handles the calls that connect sockets.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_connect(ctx: BtfTracePointContext) -> i32 {
    if let Some((call, arguments, result)) = wanted(&ctx, Kind::Connect) {
        collect::connect::collect(task::current(), call, &arguments, result);
    }
    0
}

/// Handles `ptrace`.
///
/// Hook: `tp_btf/sys_exit`, by tail call.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn exit_ptrace(ctx: BtfTracePointContext) -> i32 {
    if let Some((_, arguments, result)) = wanted(&ctx, Kind::Ptrace) {
        collect::ptrace::collect(task::current(), &arguments, result);
    }
    0
}
