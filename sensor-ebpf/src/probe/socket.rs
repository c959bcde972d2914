//! TCP sockets, from their changes of state.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_common::{hook::sources, kernel_fields::KernelField as F, record::outcome};

use crate::{
    collect, direct,
    kernel::{Kernel, task},
};

/// `include/net/tcp_states.h`
const TCP_ESTABLISHED: u32 = 1;
const TCP_SYN_SENT: u32 = 2;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;

/// Reports how a connect began and ended, and that a socket takes connections.
///
/// Hook: `tp_btf/inet_sock_set_state`; `SYN_SENT` in the caller, the end often in an interrupt, so that the
/// current task is not asked.
/// match-proto: 4.16..: `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sock = Kernel(ctx.arg::<u64>(0));
    let (old, new) = (ctx.arg::<u32>(1), ctx.arg::<u32>(2));
    if new == TCP_LISTEN {
        // MPTCP sets it twice.
        if old != TCP_LISTEN {
            collect::socket::listening(sock);
        }
        return 0;
    }
    if direct::sources() & sources::STATE_CONNECT == 0 {
        return 0;
    }
    let stage = match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => outcome::BEGUN,
        (TCP_SYN_SENT, TCP_ESTABLISHED) => outcome::DONE,
        (TCP_SYN_SENT, TCP_CLOSE) => outcome::FAILED,
        _ => return 0,
    };
    let error: i32 = sock.read_or_default(F::sock_err);
    match (stage, error) {
        (outcome::FAILED, 0) => collect::outcome::socket(task::current(), sock, outcome::FAILED, 0, -1),
        (outcome::FAILED, _) => {
            collect::outcome::socket(task::current(), sock, outcome::DONE, -i64::from(error), -1);
        }
        _ => collect::outcome::socket(task::current(), sock, stage, 0, -1),
    }
    0
}
