//! Accepts connections, within bounds.
//!
//! A connection holds a permit as long as it lives, so that clients cannot use up our file
//! descriptors; one that does not say within a few seconds what it wants is closed. Failing to
//! accept (no descriptors left, a client that is gone already) never ends the listener.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::authority::AuthorityPatch;

/// Connections of one listener at one time; more wait in the kernel's queue. Above the most
/// subscribers that can be configured would be of no use, and each connection may hold several.
const CONNECTIONS_MAX: usize = 256;
/// In which a client must have sent [`OPENING_BYTES`].
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// As much as HTTP/2 begins with, and fewer than any HTTP/1 request or TLS greeting has.
const OPENING_BYTES: usize = 16;
/// How long to wait when the system has no room for another connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A connection that gRPC can run on.
pub(super) trait Connection:
    AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync> + Unpin + Send + 'static
{
}

impl Connection for UnixStream {}
impl Connection for TcpStream {}

/// What connections come from.
pub(super) trait Listener: Send + Sync + 'static {
    /// A connection.
    type Io: Connection;
    /// Whether clients may call us by a name that is none; see [`super::authority`].
    const ANY_AUTHORITY: bool;
    /// Waits for the next connection.
    fn next(&self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Listener for UnixListener {
    type Io = UnixStream;
    const ANY_AUTHORITY: bool = true;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;
    const ANY_AUTHORITY: bool = false;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // A detection is one small message; waiting for more to send with it only makes it late.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Accepted connections.
pub(super) type Incoming<S> = ReceiverStream<io::Result<Guarded<S>>>;

/// Accepts in a task of its own, which ends when the stream is dropped.
pub(super) fn incoming<L: Listener>(listener: L, tasks: &mut JoinSet<()>) -> Incoming<L::Io> {
    let (sender, receiver) = mpsc::channel(1);
    tasks.spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = accept_all(&listener, &sender) => {}
        }
    });
    ReceiverStream::new(receiver)
}

async fn accept_all<L: Listener>(listener: &L, sender: &mpsc::Sender<io::Result<Guarded<L::Io>>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.next().await {
            Ok(io) => {
                if sender
                    .send(Ok(Guarded::new(io, place, L::ANY_AUTHORITY)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// A connection with its permit, that must begin to talk in time.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    io: S,
    opening: Option<Opening>,
    authority: Option<AuthorityPatch>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Opening {
    deadline: Pin<Box<Sleep>>,
    bytes_missing: usize,
}

impl<S> Guarded<S> {
    fn new(io: S, place: OwnedSemaphorePermit, any_authority: bool) -> Self {
        let deadline = Box::pin(tokio::time::sleep(OPENING_TIMEOUT));
        Self {
            io,
            opening: Some(Opening {
                deadline,
                bytes_missing: OPENING_BYTES,
            }),
            authority: any_authority.then(AuthorityPatch::new),
            _place: place,
        }
    }
}

impl<S: Connected> Connected for Guarded<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.io.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(authority) = &mut self.authority {
            authority.patch(&mut buffer.filled_mut()[before..]);
        }
        let Some(opening) = &mut self.opening else {
            return read;
        };
        opening.bytes_missing = opening
            .bytes_missing
            .saturating_sub(buffer.filled().len() - before);
        if opening.bytes_missing == 0 {
            self.opening = None;
        } else if read.is_pending() {
            ready!(opening.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair() -> (tokio::io::DuplexStream, Guarded<tokio::io::DuplexStream>) {
        let (client, server) = tokio::io::duplex(64);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (client, Guarded::new(server, place, false))
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_too_little_is_disconnected() {
        let (mut client, mut server) = pair();
        client.write_all(&[0; OPENING_BYTES - 1]).await.unwrap();
        let mut buffer = [0; OPENING_BYTES];
        let error = server.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_may_be_silent() {
        let (mut client, mut server) = pair();
        client.write_all(&[0; OPENING_BYTES]).await.unwrap();
        server.read_exact(&mut [0; OPENING_BYTES]).await.unwrap();
        let silence = tokio::time::timeout(OPENING_TIMEOUT * 10, server.read_u8());
        assert!(silence.await.is_err(), "only the test's own patience ends");
    }
}
