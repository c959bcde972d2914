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

/// How something ended.
pub(crate) struct End {
    /// Joins it with its event.
    pub(crate) key: u64,
    /// `record::outcome`.
    pub(crate) stage: u32,
    /// As the call returns it.
    pub(crate) result: i64,
    /// The socket's descriptor, or -1.
    pub(crate) fd: i32,
    /// Flags that say more.
    pub(crate) found: u32,
}

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
    let end = End {
        key,
        stage,
        result,
        fd,
        found,
    };
    of(task, sock, end)
}

/// Sends what came of something, and nothing of a socket's own end: of a request that names files, of a call that was
/// denied.
#[inline(always)]
pub(crate) fn alone(task: Kernel, end: End, hook: Hook) -> bool {
    direct::seen(Kind::Outcome);
    direct::send::<Outcome>(task, Kind::Outcome, hook, |record| {
        fill(record, &end);
    })
}

/// Fills in all but the socket's own end.
#[inline(always)]
fn fill(record: &mut direct::Record<Outcome>, end: &End) {
    record.header.key = end.key;
    record.header.flags |= end.found;
    let fixed = &mut record.fixed;
    fixed.file = FileId::default();
    fixed.result = end.result;
    fixed.fd = end.fd;
    fixed.stage = end.stage;
    fixed.file_flags = 0;
    fixed.local_port = 0;
    fixed.local_family = 0;
    fixed.local_address = [0; 16];
    fixed.path = Span::default();
    fixed.reserved = 0;
}

/// Sends how something ended that was done to a socket; `false` when nothing was sent.
#[inline(always)]
pub(crate) fn of(task: Kernel, sock: Kernel, end: End) -> bool {
    direct::seen(Kind::Outcome);
    direct::send::<Outcome>(task, Kind::Outcome, Hook::SocketState, |record| {
        fill(record, &end);
        let fixed = &mut record.fixed;
        fixed.local_port = sock.read_or_default(F::sock_num);
        let family: u16 = sock.read_or_default(F::sock_family);
        if family == AF_INET || family == AF_INET6 {
            fixed.local_family = family;
            own_address(sock, family, &mut fixed.local_address);
        }
    })
}
