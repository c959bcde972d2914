//! A client of the agent's gRPC interface, for code that is not asynchronous.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use sensor_proto::v1::{
    Detection, Filter, GetInventoryRequest, InventorySummary, StatusRequest, StatusResponse,
    SubscribeRequest, SubscribeResponse, Workload, agent_client::AgentClient,
    detections_client::DetectionsClient, get_inventory_response, inventory_client::InventoryClient,
    subscribe_response::Item,
};
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::{Streaming, transport::Channel};
use tower::service_fn;

use crate::wait;

/// A connection to an agent.
pub struct Client {
    runtime: Runtime,
    channel: Channel,
}

/// A stream of detections.
pub struct Subscription<'a> {
    client: &'a Client,
    stream: Streaming<SubscribeResponse>,
}

impl Client {
    /// Connects to an agent's unix socket.
    pub fn connect(socket: &Path) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let path: PathBuf = socket.to_owned();
        let connector = service_fn(move |_| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        let endpoint = tonic::transport::Endpoint::try_from("http://agent.invalid")?;
        let channel = runtime
            .block_on(endpoint.connect_with_connector(connector))
            .with_context(|| format!("no agent answers at {}", socket.display()))?;
        Ok(Self { runtime, channel })
    }

    /// `Agent.Status`
    pub fn status(&self) -> anyhow::Result<StatusResponse> {
        let mut agent = AgentClient::new(self.channel.clone());
        Ok(self
            .runtime
            .block_on(agent.status(StatusRequest {}))?
            .into_inner())
    }

    /// `Inventory.GetInventory`, of all workloads.
    pub fn inventory(&self) -> anyhow::Result<(InventorySummary, Vec<Workload>)> {
        let mut inventory = InventoryClient::new(self.channel.clone());
        self.runtime.block_on(async {
            let request = GetInventoryRequest::default();
            let mut stream = inventory.get_inventory(request).await?.into_inner();
            let (mut summary, mut workloads) = (None, Vec::new());
            while let Some(message) = stream.message().await? {
                match message.item {
                    Some(get_inventory_response::Item::Summary(first)) => summary = Some(first),
                    Some(get_inventory_response::Item::Workload(workload)) => workloads.push(workload),
                    None => {}
                }
            }
            Ok((summary.context("the inventory has no summary")?, workloads))
        })
    }

    /// `Detections.Subscribe`
    pub fn subscribe(&self, filter: Option<Filter>) -> anyhow::Result<Subscription<'_>> {
        let mut detections = DetectionsClient::new(self.channel.clone());
        let response = self
            .runtime
            .block_on(detections.subscribe(SubscribeRequest { filter }))?;
        Ok(Subscription {
            client: self,
            stream: response.into_inner(),
        })
    }
}

impl Subscription<'_> {
    /// The next item; `None` when the time is over or the stream has ended.
    pub fn next(&mut self, timeout: Duration) -> anyhow::Result<Option<Item>> {
        let stream = &mut self.stream;
        // The timer must be made within the runtime.
        match self
            .client
            .runtime
            .block_on(async { tokio::time::timeout(timeout, stream.message()).await })
        {
            Err(_) => Ok(None),
            Ok(message) => Ok(message?.and_then(|message| message.item)),
        }
    }

    /// The first detection that fits, others left aside; `None` when the time is over.
    pub fn find(
        &mut self,
        timeout: Duration,
        mut fits: impl FnMut(&Detection) -> bool,
    ) -> anyhow::Result<Option<Detection>> {
        let end = Instant::now() + wait::patient(timeout);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(Item::Detection(detection)) = self.next(left)?
                && fits(&detection)
            {
                return Ok(Some(detection));
            }
        }
    }
}
