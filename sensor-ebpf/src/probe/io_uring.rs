//! Requests made through `io_uring`: no system call's hook sees them.
//!
//! A request is told when it is taken, with the names as the kernel has copied them, and again when it is done, with
//! what came of it. The current task is one of the process's own, or a worker that the kernel made for it: the process
//! is the same, and its files and folders are.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{
    kernel_fields::KernelField as F,
    kind::{Kind, Shape},
    syscall::Call,
};

use crate::{
    collect::io_uring::{self, Request},
    emit,
    kernel::{Kernel, task},
    maps::{CALLS, IO_CALLS},
};

/// The request, if it is of an operation that is followed.
#[inline(always)]
fn followed(req: u64) -> Option<Request> {
    let req = Kernel::non_null(req)?;
    let opcode: u8 = req.read(F::req_opcode)?;
    let number = *IO_CALLS.get(u32::from(opcode))?;
    Some(Request {
        kernel: req,
        call: Call::from_number(number as u8),
        // VERIFIER: by the table, so that it is a number that may be any, and not another constant for each call.
        kind: Kind::from_number(CALLS.get(number)?.kind)?,
    })
}

/// Tells of requests that name files, when they are taken.
///
/// Hook: `tp_btf/io_uring_submit_req`; the request is prepared, so that its names are the kernel's copies.
/// match-proto: 6.3..: `trace_io_uring_submit_req(struct io_kiocb *req)`
#[btf_tracepoint(function = "io_uring_submit_req")]
pub(crate) fn io_uring_submit_req(ctx: BtfTracePointContext) -> i32 {
    let Some(request) = followed(ctx.arg::<u64>(0)) else {
        return 0;
    };
    let shape = request.kind.shape();
    if !matches!(shape, Shape::Open | Shape::Path) {
        return 0;
    }
    emit::seen(request.kind);
    if emit::is_agent() {
        emit::filtered(request.kind);
        return 0;
    }
    if matches!(shape, Shape::Open) {
        io_uring::open_begins(task::current(), &request);
    } else {
        io_uring::path_begins(task::current(), &request);
    }
    0
}

/// Tells what came of a request; of one about a socket, all.
///
/// Hook: `tp_btf/io_uring_complete`.
/// match-proto: 5.19..6.12: `trace_io_uring_complete(void *ctx, void *req, u64 user_data, int res, unsigned cflags, u64 extra1, u64 extra2)`
/// match-proto: 6.13..: `trace_io_uring_complete(struct io_ring_ctx *ctx, void *req, struct io_uring_cqe *cqe)`
/// Loses: requests that give no word when they succeed (`IOSQE_CQE_SKIP_SUCCESS`), and all but the last of those that
/// give many: what names files is told all the same, when it is taken.
#[btf_tracepoint(function = "io_uring_complete")]
pub(crate) fn io_uring_complete(ctx: BtfTracePointContext) -> i32 {
    let Some(request) = followed(ctx.arg::<u64>(1)) else {
        return 0;
    };
    let result = i64::from(request.kernel.read_or_default::<i32>(F::req_result));
    let task = task::current();
    match request.kind.shape() {
        Shape::Open => io_uring::open_ends(task, &request, result),
        Shape::Path => io_uring::path_ends(task, &request, result),
        Shape::Socket => io_uring::socket_ends(task, &request, result),
        _ => {}
    }
    0
}
