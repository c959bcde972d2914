//! The unix socket's file.
//!
//! A socket that nobody listens on, left by a process that was killed, is replaced. Nothing else is
//! ever removed: not a socket that someone listens on, nor anything that is no socket.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_socket, connect, listen, socket_with,
};
use tokio::net::UnixListener;

/// Read and write for the user and the group: who may connect.
const MODE: Mode = Mode::from_bits_truncate(0o660);
const FOLDER_MODE: u32 = 0o755;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Why the socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Someone listens there.
    #[error("socket path taken by a running process: {0}; stop that one, or set another grpc.socket")]
    Taken(PathBuf),
    /// Something else has the name.
    #[error(
        "{0} exists and is not a socket; remove it yourself if it is of no use, or set another grpc.socket"
    )]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot {action} {path}: {source}; grpc.socket must be in a folder that the sensor may write to")]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file of a socket that we listen on; dropping it removes the file, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another agent may have taken the path over in the meantime.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket's file");
        }
    }
}

/// Listens on `path`. Needs a tokio runtime.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let system = |action| {
        let path = path.to_owned();
        move |source: io::Error| SocketError::System { action, path, source }
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(system("make the folder of"))?;
    // Between looking at a stale socket and replacing it, another agent may do the same.
    let lock = File::open(folder).map_err(system("open the folder of"))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|error| system("lock the folder of")(error.into()))?;
    clear(path)?;
    let listener = listen_at(path).map_err(|error| system("listen on")(error.into()))?;
    let found = fs::symlink_metadata(path).map_err(system("look at"))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: (found.dev(), found.ino()),
    };
    drop(lock);
    let listener = UnixListener::from_std(listener).map_err(system("listen on"))?;
    Ok((listener, file))
}

/// Removes a stale socket.
fn clear(path: &Path) -> Result<(), SocketError> {
    let system = |action, source| SocketError::System {
        action,
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system("look at", error)),
        Ok(found) if !found.file_type().is_socket() => Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => match try_connect(path) {
            // A full backlog says that someone listens, too.
            Ok(()) | Err(Errno::AGAIN) => Err(SocketError::Taken(path.to_owned())),
            Err(Errno::CONNREFUSED) => {
                fs::remove_file(path).map_err(|error| system("remove the unused socket", error))
            }
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(system("find out who listens on", error.into())),
        },
    }
}

fn new_socket() -> Result<rustix::fd::OwnedFd, Errno> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

fn try_connect(path: &Path) -> Result<(), Errno> {
    connect(new_socket()?, &SocketAddrUnix::new(path)?)
}

fn listen_at(path: &Path) -> Result<StdUnixListener, Errno> {
    let socket = new_socket()?;
    // The file gets the mode of the socket, less the umask (KERNEL net/unix/af_unix.c:
    // unix_bind_bsd), so there is no moment in which others may connect.
    fchmod(&socket, MODE)?;
    bind_socket(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, MODE)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn makes_folder_and_socket_with_their_modes_and_removes_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/sensor.sock");
        let (_listener, file) = bind(&path).unwrap();
        assert_eq!(mode(&path), 0o660);
        assert_eq!(mode(path.parent().unwrap()), 0o755);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_stale_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sensor.sock");
        let (listener, file) = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("socket path taken by a running process: /"),
            "{error}"
        );
        assert!(path.exists());
        // As after SIGKILL: the file stays, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let (_listener, _file) = bind(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sensor.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path).unwrap_err(), SocketError::NotASocket(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(matches!(bind(&path).unwrap_err(), SocketError::NotASocket(_)));
    }

    #[tokio::test]
    async fn a_socket_that_another_took_over_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sensor.sock");
        let (_listener, file) = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (_other, _other_file) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let error = bind(Path::new("/dev/null/x/sensor.sock"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/dev/null/x/sensor.sock") && error.contains("grpc.socket"),
            "{error}"
        );
    }
}
