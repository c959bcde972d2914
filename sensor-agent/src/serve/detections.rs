//! `sensor.v1.Detections`: lets clients subscribe to the hub.

use std::sync::Arc;

use sensor_proto::v1::detections_server::Detections;
use sensor_proto::v1::{SubscribeRequest, SubscribeResponse, subscribe_response};
use tokio_stream::StreamExt as _;
use tokio_stream::adapters::Map;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use crate::hub::filter::CompiledFilter;
use crate::hub::{self, Hub, Item, SubscribeError, Subscription};
use crate::metrics::SubscriberKind;

/// The service.
pub(super) struct DetectionsService {
    hub: Arc<Hub>,
}

impl DetectionsService {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }
}

#[tonic::async_trait]
impl Detections for DetectionsService {
    type SubscribeStream = Map<Subscription, fn(Item) -> Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let peer = peer(&request);
        let filter = request.into_inner().filter.unwrap_or_default();
        let filter =
            CompiledFilter::try_from(filter).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let request = hub::Request {
            kind: SubscriberKind::Grpc,
            peer,
            filter,
        };
        let subscription = self.hub.subscribe(request).map_err(|error| match error {
            SubscribeError::Full(_) => Status::resource_exhausted(error.to_string()),
            SubscribeError::Closed => Status::unavailable(error.to_string()),
        })?;
        tracing::debug!(subscriber = subscription.id(), "a client subscribed");
        Ok(Response::new(subscription.map(respond as fn(Item) -> _)))
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a stream's items are results, so that it may end with an error"
)]
fn respond(item: Item) -> Result<SubscribeResponse, Status> {
    let item = match item {
        Item::Detection(detection) => subscribe_response::Item::Detection(Arc::unwrap_or_clone(detection)),
        Item::Gap(gap) => subscribe_response::Item::Gap(Arc::unwrap_or_clone(gap)),
        Item::HookRun { run, .. } => subscribe_response::Item::HookRun(Arc::unwrap_or_clone(run)),
        Item::RulesReload(reload) => subscribe_response::Item::RulesReload(Arc::unwrap_or_clone(reload)),
    };
    Ok(SubscribeResponse { item: Some(item) })
}

/// Who calls: an address, or what the kernel says of a local process.
fn peer<T>(request: &Request<T>) -> String {
    if let Some(address) = request.remote_addr() {
        return address.to_string();
    }
    let local = request
        .extensions()
        .get::<UdsConnectInfo>()
        .and_then(|info| info.peer_cred);
    match local {
        Some(process) => {
            let pid = process
                .pid()
                .map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            format!("unix pid={pid} uid={}", process.uid())
        }
        None => "unix".to_owned(),
    }
}
