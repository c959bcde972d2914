//! Tells what came of an event that was told before its end.

use sensor_common::{
    hook::Hook,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{FileId, Outcome, Span},
};

use crate::{
    collect::socket::{AF_INET, AF_INET6, own_address},
    direct,
    kernel::Kernel,
};

/// Sends the outcome of a socket's connect; one whose cookie nobody asked for has no event to join.
#[inline(always)]
pub(crate) fn socket(task: Kernel, sock: Kernel, stage: u32, result: i64, fd: i32) {
    with_flags(task, sock, stage, result, fd, 0);
}

/// As [`socket`], with facts about the call; `false` when nothing was sent.
#[inline(always)]
pub(crate) fn with_flags(task: Kernel, sock: Kernel, stage: u32, result: i64, fd: i32, found: u32) -> bool {
    let key: u64 = sock.read_or_default(F::sock_cookie);
    if key == 0 {
        return false;
    }
    direct::seen(Kind::Outcome);
    direct::send::<Outcome>(task, Kind::Outcome, Hook::SocketState, |record| {
        record.header.key = key;
        record.header.flags |= found;
        let fixed = &mut record.fixed;
        fixed.file = FileId::default();
        fixed.result = result;
        fixed.fd = fd;
        fixed.stage = stage;
        fixed.file_flags = 0;
        fixed.local_port = sock.read_or_default(F::sock_num);
        fixed.local_family = 0;
        fixed.local_address = [0; 16];
        fixed.path = Span::default();
        fixed.reserved = 0;
        let family: u16 = sock.read_or_default(F::sock_family);
        if family == AF_INET || family == AF_INET6 {
            fixed.local_family = family;
            own_address(sock, family, &mut fixed.local_address);
        }
    })
}
