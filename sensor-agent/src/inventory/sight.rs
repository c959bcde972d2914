//! What an event shows of a workload.

use std::net::IpAddr;

use sensor_common::{kind::Kind, record::flags};
use smallvec::SmallVec;

use super::workload::{Peer, Port};
use crate::{
    event::{Body, Open, PathCall, SocketCall},
    view::{View, socket},
};

/// `O_ACCMODE` and `O_RDONLY` (`include/uapi/asm-generic/fcntl.h`).
const ACCESS_MODE: u32 = 0o3;
const READ_ONLY: u32 = 0;

/// Linux's default range of ports that clients get (`net/ipv4/af_inet.c`): a datagram socket bound to one of these serves
/// nobody, as a rule.
const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// One thing that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight<'a> {
    /// A program began.
    Program(&'a [u8]),
    /// A socket takes connections or datagrams at this address.
    Listens(Port, IpAddr),
    /// A connection or a datagram to somebody.
    Peer(Peer),
    /// A file was written in this folder, or a name in it was changed.
    Writes(&'a [u8]),
    /// The same, in a folder whose path is not known.
    WritesSomewhere,
}

/// What one event shows.
#[derive(Debug)]
pub(super) struct Sights<'a> {
    pub(super) sights: SmallVec<[Sight<'a>; 2]>,
    /// The program that did it.
    pub(super) program: &'a [u8],
}

impl<'a> Sights<'a> {
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut sights = SmallVec::new();
        match &view.event.body {
            Body::Exec(_) => sights.extend(view.image.map(|image| Sight::Program(&image.exe_path))),
            Body::Socket(call) => sights.extend(of_socket(view, call)),
            Body::Open(open) => sights.extend(of_open(view, open)),
            Body::Path(call) => of_path(view, call, &mut sights),
            Body::Fork(_) | Body::Exit(_) | Body::Identity(_) | Body::Plain(_) => {}
        }
        Self {
            sights,
            program: view.image.map_or(&[], |image| &image.exe_path),
        }
    }

    /// A program that runs already.
    pub(super) fn of_running(program: &'a [u8]) -> Self {
        Self {
            sights: smallvec::smallvec![Sight::Program(program)],
            program,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sights.is_empty()
    }
}

fn of_socket<'a>(view: &View<'_>, call: &SocketCall<'_>) -> Option<Sight<'a>> {
    let fixed = &call.fixed;
    let protocol = socket::protocol(fixed).and_then(|name| std::str::from_utf8(name).ok())?;
    let port = Port {
        protocol,
        number: fixed.local_port,
    };
    match view.socket_kind() {
        Kind::Listen | Kind::Accept if fixed.result >= 0 && fixed.local_port != 0 => {
            Some(Sight::Listens(port, socket::local(fixed)?))
        }
        // Datagrams need no listen.
        Kind::Bind
            if fixed.result >= 0
                && protocol == "udp"
                && fixed.local_port != 0
                && !EPHEMERAL_PORTS.contains(&fixed.local_port) =>
        {
            Some(Sight::Listens(port, socket::local(fixed)?))
        }
        Kind::Connect | Kind::Send => {
            let has_gone = fixed.result >= 0
                || fixed.result == socket::IN_PROGRESS
                || view.event.has(flags::ESTABLISHED | flags::RESULT_ASSUMED);
            let address = socket::remote(fixed)?;
            (has_gone && fixed.remote_port != 0).then_some(Sight::Peer(Peer {
                address,
                port: Port {
                    protocol,
                    number: fixed.remote_port,
                },
            }))
        }
        _ => None,
    }
}

fn of_open<'a>(view: &View<'a>, open: &'a Open<'a>) -> Option<Sight<'a>> {
    let is_written = open.fixed.file_flags & ACCESS_MODE != READ_ONLY || view.event.has(flags::CREATED);
    if open.fixed.result < 0 || !is_written {
        return None;
    }
    // A file without a name is in no folder.
    if view.event.has(flags::MEMFD | flags::PATH_DETACHED) {
        return None;
    }
    if view.event.has(flags::PATH_TRUNCATED | flags::FILE_RACED) {
        return Some(Sight::WritesSomewhere);
    }
    Some(folder(open.path))
}

/// Calls that make, rename, remove or cut files. Those that only change who may use one are left aside.
fn of_path<'a>(view: &View<'_>, call: &'a PathCall<'a>, sights: &mut SmallVec<[Sight<'a>; 2]>) {
    let (first, second) = match view.event.kind() {
        Kind::Rename => (true, true),
        Kind::Link | Kind::Symlink => (false, true),
        Kind::Unlink | Kind::Mkdir | Kind::Rmdir | Kind::Truncate | Kind::Mknod => (true, false),
        _ => return,
    };
    if call.fixed.result < 0 {
        return;
    }
    for path in [first.then_some(call.path), second.then_some(call.path2)]
        .into_iter()
        .flatten()
    {
        let sight = folder(path);
        if !sights.contains(&sight) {
            sights.push(sight);
        }
    }
}

/// The folder that a path is in. Folders of processes are one.
fn folder(path: &[u8]) -> Sight<'_> {
    let Some(slash) = memchr::memrchr(b'/', path) else {
        return Sight::WritesSomewhere;
    };
    if path[0] != b'/' {
        return Sight::WritesSomewhere;
    }
    let folder = &path[..slash.max(1)];
    match folder.strip_prefix(b"/proc/") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_digit) => Sight::Writes(b"/proc/PID"),
        _ => Sight::Writes(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_a_file_is_in() {
        for (path, expected) in [
            (&b"/etc/passwd"[..], Sight::Writes(b"/etc")),
            (b"/etc", Sight::Writes(b"/")),
            (b"/srv/\xff/a", Sight::Writes(b"/srv/\xff")),
            (b"/proc/77/oom_score_adj", Sight::Writes(b"/proc/PID")),
            (b"/proc/77/task/78/comm", Sight::Writes(b"/proc/PID")),
            (
                b"/proc/sys/kernel/core_pattern",
                Sight::Writes(b"/proc/sys/kernel"),
            ),
            (b"relative/name", Sight::WritesSomewhere),
            (b"name", Sight::WritesSomewhere),
            (b"", Sight::WritesSomewhere),
        ] {
            assert_eq!(folder(path), expected, "{}", String::from_utf8_lossy(path));
        }
    }
}
