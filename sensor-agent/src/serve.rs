//! The servers: gRPC on a unix socket and on TCP, and HTTP for Prometheus and health checks.
//!
//! Only this module knows tonic. It publishes nothing by itself: it lets clients subscribe to the
//! [`Hub`] and asks a [`StatusSource`]. Health is "serving" only while the pipeline says that it is ready.
//!
//! Invariant: a client can occupy one connection's and one queue's worth of memory and no more, and a
//! client that says nothing, or stops reading, is disconnected or loses only its own items.

mod accept;
mod authority;
mod detections;
mod http;
mod inventory;
mod services;
mod socket;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sensor_proto::v1::StatusResponse;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{GrpcConfig, MetricsConfig};
use crate::hub::Hub;
use crate::metrics::Metrics;
pub use inventory::{InventorySource, NoInventory, Workloads};
use services::Services;
pub use socket::SocketError;
pub use tls::TlsError;

/// Why the servers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The unix socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address that anyone could read from.
    #[error(
        "grpc.tcp.address {0} can be reached from other machines, and without TLS anyone there could read detections; set grpc.tcp.tls or use a loopback address"
    )]
    OpenToAll(SocketAddr),
    /// An address that is taken, or not ours.
    #[error("cannot listen on {key} {address}: {source}")]
    Listen {
        /// The configuration's key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The description of our own services, for reflection, is broken.
    #[error("cannot offer server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Who knows what `Agent.Status` tells.
pub trait StatusSource: Send + Sync + 'static {
    /// The state of this moment; `subscribers` is filled in from the hub. Must not block.
    fn status(&self) -> StatusResponse;
}

/// What the servers show.
#[derive(Clone)]
pub struct Parts {
    /// Where detections come from.
    pub hub: Arc<Hub>,
    /// For `Agent.Status`.
    pub status: Arc<dyn StatusSource>,
    /// For `Inventory.GetInventory`.
    pub inventory: Arc<dyn InventorySource>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// The servers that run. They stop with [`Server::shutdown`]; dropping this ends them at once.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    health: tonic_health::server::HealthReporter,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    socket: Option<socket::SocketFile>,
    grpc_address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
}

impl Server {
    /// Starts to listen wherever the configuration says. Health is "not serving" at first.
    ///
    /// # Errors
    /// When one of the places cannot be listened on; nothing listens then.
    pub async fn start(grpc: &GrpcConfig, metrics: &MetricsConfig, parts: Parts) -> Result<Self, ServeError> {
        let stop = CancellationToken::new();
        let ready = Arc::new(AtomicBool::new(false));
        let hub = Arc::clone(&parts.hub);
        let registry = Arc::clone(&parts.metrics);
        let (services, health) = Services::new(parts).await?;
        let mut server = Self {
            hub,
            health,
            ready,
            stop,
            tasks: JoinSet::new(),
            socket: None,
            grpc_address: None,
            metrics_address: None,
        };
        if let Some(path) = &grpc.socket {
            server.listen_unix(path, services.clone())?;
        }
        if let Some(tcp) = &grpc.tcp {
            server.listen_tcp(tcp, services).await?;
        }
        if let Some(address) = metrics.address {
            server.listen_metrics(address, registry).await?;
        }
        Ok(server)
    }

    fn listen_unix(&mut self, path: &Path, services: Services) -> Result<(), ServeError> {
        let (listener, file) = socket::bind(path)?;
        self.socket = Some(file);
        let incoming = accept::incoming(listener, &mut self.tasks);
        self.tasks
            .spawn(services.serve(None, incoming, self.stop.clone()));
        tracing::info!(socket = %path.display(), "gRPC listens");
        Ok(())
    }

    async fn listen_tcp(
        &mut self,
        tcp: &crate::config::TcpConfig,
        services: Services,
    ) -> Result<(), ServeError> {
        if tcp.tls.is_none() && !tcp.address.ip().is_loopback() {
            return Err(ServeError::OpenToAll(tcp.address));
        }
        let tls = tcp.tls.as_ref().map(tls::load).transpose()?;
        let (listener, address) = bind_tcp("grpc.tcp.address", tcp.address).await?;
        self.grpc_address = Some(address);
        let incoming = accept::incoming(listener, &mut self.tasks);
        tracing::info!(%address, tls = tls.is_some(), "gRPC listens");
        self.tasks.spawn(services.serve(tls, incoming, self.stop.clone()));
        Ok(())
    }

    async fn listen_metrics(&mut self, address: SocketAddr, metrics: Arc<Metrics>) -> Result<(), ServeError> {
        let (listener, address) = bind_tcp("metrics.address", address).await?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics can be read from other machines");
        }
        self.metrics_address = Some(address);
        let incoming = accept::incoming(listener, &mut self.tasks);
        let handler = http::Handler {
            metrics,
            ready: Arc::clone(&self.ready),
        };
        self.tasks
            .spawn(http::serve(incoming, handler, self.stop.clone()));
        tracing::info!(%address, "HTTP listens for metrics and health");
        Ok(())
    }

    /// Where gRPC listens on TCP, with the port that the system chose if the configuration says 0.
    #[must_use]
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc_address
    }

    /// Where `/metrics` and `/healthz` are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Says to health checks whether detections are being made.
    pub async fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        services::set_health(&self.health, ready).await;
    }

    /// Closes the hub, lets each client read what is queued for it, at most for `timeout`, and
    /// removes the socket's file. Returns whether every client got everything.
    pub async fn shutdown(mut self, timeout: Duration) -> bool {
        self.set_ready(false).await;
        self.hub.close();
        self.stop.cancel();
        drop(self.socket.take());
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(timeout, all_ended).await.is_ok();
        if !in_time {
            tracing::warn!(?timeout, "some clients did not read all that was queued for them");
        }
        in_time
    }
}

async fn bind_tcp(
    key: &'static str,
    address: SocketAddr,
) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    let bind = async || {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind()
        .await
        .map_err(|source| ServeError::Listen { key, address, source })
}
