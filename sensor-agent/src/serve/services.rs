//! All gRPC services, as each listener offers them.

use std::sync::Arc;
use std::time::Duration;

use sensor_proto::FILE_DESCRIPTOR_SET;
use sensor_proto::v1::agent_server::{Agent, AgentServer};
use sensor_proto::v1::detections_server::DetectionsServer;
use sensor_proto::v1::inventory_server::InventoryServer;
use sensor_proto::v1::{StatusRequest, StatusResponse};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::accept::{Connection, Incoming};
use super::detections::DetectionsService;
use super::inventory::InventoryService;
use super::{Parts, ServeError};

/// Bytes of a request: a full filter has less than half of it.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of a message that we send: a detection with every field at its limit has less.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Streams of one connection at one time.
const STREAMS_MAX: u32 = 64;
/// How often a silent client is asked whether it is still there, and how long it may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// The names under which health can be asked for; the empty one means the whole server.
const HEALTH_NAMES: [&str; 4] = [
    "",
    "sensor.v1.Detections",
    "sensor.v1.Agent",
    "sensor.v1.Inventory",
];

pub(super) async fn set_health(reporter: &HealthReporter, ready: bool) {
    let status = if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
}

/// The services, ready to be offered by several listeners.
#[derive(Clone)]
pub(super) struct Services {
    routes: Routes,
}

impl Services {
    /// The services, and who sets their health.
    pub(super) async fn new(parts: Parts) -> Result<(Self, HealthReporter), ServeError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        set_health(&reporter, false).await;
        let detections = DetectionsServer::new(DetectionsService::new(parts.hub.clone()))
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        let inventory = InventoryServer::new(InventoryService::new(Arc::clone(&parts.inventory)))
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        let agent = AgentServer::new(AgentService { parts })
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(detections)
            .add_service(agent)
            .add_service(inventory)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        Ok((Self { routes }, reporter))
    }

    /// Serves until `stop`, and then until each stream has come to its end.
    pub(super) async fn serve<S: Connection>(
        self,
        tls: Option<ServerTlsConfig>,
        incoming: Incoming<S>,
        stop: CancellationToken,
    ) {
        let mut builder = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .http2_max_header_list_size(HEADER_BYTES_MAX);
        if let Some(tls) = tls {
            builder = match builder.tls_config(tls) {
                Ok(builder) => builder,
                Err(error) => {
                    tracing::error!(%error, "gRPC over TCP does not work: TLS cannot be used");
                    return;
                }
            };
        }
        let server = builder.add_routes(self.routes);
        if let Err(error) = server
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
        {
            tracing::error!(%error, "a gRPC listener has ended");
        }
    }
}

struct AgentService {
    parts: Parts,
}

#[tonic::async_trait]
impl Agent for AgentService {
    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let mut status = self.parts.status.status();
        status.subscribers = self.parts.hub.subscribers();
        Ok(Response::new(status))
    }
}
