//! Connecting to a socket of the host, wherever its path leads.

use std::os::fd::AsRawFd as _;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use tokio::net::UnixStream;

use super::{Fault, Socket};

/// Opens a connection to a socket that root owns, or who runs the agent. Links are followed within the host's root
/// folder.
pub(super) async fn connect(to: &Socket) -> Result<UnixStream, Fault> {
    let connect = |error: rustix::io::Errno| Fault::Connect(error.into());
    let root = rustix::fs::open(
        to.root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(connect)?;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(
        &root,
        &to.path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        within,
    );
    let socket = found.map_err(|error| match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => Fault::Absent,
        other => connect(other),
    })?;
    let stat = rustix::fs::fstat(&socket).map_err(connect)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Fault::Absent);
    }
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Fault::Foreign);
    }
    // By its descriptor: the very file that was looked at, and no path is too long.
    let by_descriptor = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let stream = UnixStream::connect(by_descriptor).await;
    stream.map_err(|error| match error.kind() {
        // A file that a runtime has left behind.
        std::io::ErrorKind::NotFound => Fault::Absent,
        _ => Fault::Connect(error),
    })
}
