//! A running server, and what tests do with it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sensor_agent::config::{GrpcConfig, MetricsConfig};
use sensor_agent::hub::{Hub, HubLimits, Item};
use sensor_agent::inventory::answer::Wanted;
use sensor_agent::metrics::Metrics;
use sensor_agent::serve::{InventorySource, NoInventory, Parts, ServeError, Server, StatusSource, Workloads};
use sensor_proto::v1::detections_client::DetectionsClient;
use sensor_proto::v1::{
    Container, Detection, Filter, InventorySummary, Priority, StatusResponse, SubscribeRequest,
    SubscribeResponse, subscribe_response,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// What nothing here takes; a test that waits longer fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

struct FixedStatus;

impl StatusSource for FixedStatus {
    fn status(&self) -> StatusResponse {
        StatusResponse {
            version: "1.2.3".into(),
            hostname: "node".into(),
            ..StatusResponse::default()
        }
    }
}

/// Knows of nothing.
struct FixedInventory;

#[tonic::async_trait]
impl InventorySource for FixedInventory {
    async fn inventory(&self, wanted: Wanted) -> Result<(InventorySummary, Workloads), NoInventory> {
        match &*wanted.name {
            "busy" => Err(NoInventory::Busy),
            "disabled" => Err(NoInventory::Disabled),
            _ => Ok((InventorySummary::default(), Box::new(std::iter::empty()))),
        }
    }
}

pub(crate) struct Setup {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) hub: Arc<Hub>,
    pub(crate) server: Server,
}

impl Setup {
    /// A server on a unix socket in a folder of its own, whose subscribers may have this many items
    /// waiting.
    pub(crate) async fn new(queue_items_max: usize) -> Self {
        Self::with(queue_items_max, 8, |_, _| {}).await.unwrap()
    }

    pub(crate) async fn with(
        queue_items_max: usize,
        subscribers_max: usize,
        change: impl FnOnce(&mut GrpcConfig, &mut MetricsConfig),
    ) -> Result<Self, ServeError> {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let queue_items_max = NonZeroUsize::new(queue_items_max).unwrap();
        let hub = Hub::new(
            HubLimits {
                queue_items_max,
                subscribers_max,
            },
            metrics.subscribers.clone(),
        );
        metrics.set_hub(&hub);
        let mut grpc = GrpcConfig {
            socket: Some(folder.path().join("sensor.sock")),
            ..GrpcConfig::default()
        };
        let mut http = MetricsConfig::default();
        change(&mut grpc, &mut http);
        let parts = Parts {
            hub: Arc::clone(&hub),
            status: Arc::new(FixedStatus),
            inventory: Arc::new(FixedInventory),
            metrics,
        };
        let server = Server::start(&grpc, &http, parts).await?;
        Ok(Self { folder, hub, server })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sensor.sock")
    }

    pub(crate) fn target(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.target())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn subscribe(&self, filter: Filter) -> Result<Stream, Status> {
        subscribe(self.channel().await, filter).await
    }

    /// Publishes a detection of rule `Rule NUMBER`: warnings and notices in turn, each third in a
    /// container.
    pub(crate) fn publish(&self, number: usize) {
        self.hub.publish(&Item::Detection(Arc::new(detection(number))));
    }

    /// Waits until so many clients have subscribed: a call returns before the server has seen it.
    pub(crate) async fn wait_for_subscribers(&self, count: usize) {
        wait_until("as many subscribers", || self.hub.subscribers().len() == count).await;
    }
}

pub(crate) fn detection(number: usize) -> Detection {
    let container = Container {
        id: "0123456789abcdef".into(),
        runtime: "docker".into(),
        ..Container::default()
    };
    let priority = if number.is_multiple_of(2) {
        Priority::Warning
    } else {
        Priority::Notice
    };
    Detection {
        id: number.to_string(),
        rule: format!("Rule {number}"),
        priority: priority.into(),
        source: "syscall".into(),
        tags: vec![if number < 5 { "low" } else { "high" }.into()],
        output: format!("Number {number}"),
        container: number.is_multiple_of(3).then_some(container),
        ..Detection::default()
    }
}

pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, waiting).await.is_ok(),
        "{what}: did not come true in time"
    );
}

pub(crate) async fn subscribe(channel: Channel, filter: Filter) -> Result<Stream, Status> {
    let request = SubscribeRequest { filter: Some(filter) };
    let inner = DetectionsClient::new(channel)
        .subscribe(request)
        .await?
        .into_inner();
    Ok(Stream { inner })
}

/// A subscriber's end.
pub(crate) struct Stream {
    inner: Streaming<SubscribeResponse>,
}

impl Stream {
    /// The next item: a detection's id, or `CAUSE:KIND:COUNT` of a gap; none at the stream's clean end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let response = tokio::time::timeout(DEADLINE, self.inner.message())
            .await
            .unwrap()
            .unwrap()?;
        Some(match response.item.unwrap() {
            subscribe_response::Item::Detection(detection) => detection.id,
            subscribe_response::Item::Gap(gap) => format!("{}:{}:{}", gap.cause, gap.kind, gap.count),
            subscribe_response::Item::HookRun(run) => run.id,
            subscribe_response::Item::RulesReload(_) => unreachable!("none was published"),
        })
    }

    /// All that is left until the stream's clean end.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item);
        }
        items
    }
}
