//! `sensor.v1.Inventory`: what workloads were seen to do.

use std::{pin::Pin, sync::Arc};

use sensor_proto::v1::{
    GetInventoryRequest, GetInventoryResponse, InventorySummary, Workload, get_inventory_response::Item,
    inventory_server::Inventory,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::inventory::answer::Wanted;

/// Workloads, each put together when it is its turn.
pub type Workloads = Box<dyn Iterator<Item = Workload> + Send>;

/// Why there is no inventory to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInventory {
    /// The configuration says so.
    #[error("the sensor keeps no inventory: inventory.enabled is false in its configuration")]
    Disabled,
    /// Too many ask.
    #[error("too many ask for the inventory at this moment; ask again")]
    Busy,
    /// The pipeline did not answer.
    #[error("the sensor's pipeline did not answer: it is stopping, or far behind")]
    Silent,
}

/// Who knows what workloads were seen to do.
#[tonic::async_trait]
pub trait InventorySource: Send + Sync + 'static {
    /// What was seen so far of the workloads that are asked for.
    async fn inventory(&self, wanted: Wanted) -> Result<(InventorySummary, Workloads), NoInventory>;
}

/// The service.
pub(super) struct InventoryService {
    source: Arc<dyn InventorySource>,
}

impl InventoryService {
    pub(super) fn new(source: Arc<dyn InventorySource>) -> Self {
        Self { source }
    }
}

#[tonic::async_trait]
impl Inventory for InventoryService {
    type GetInventoryStream = Pin<Box<dyn Stream<Item = Result<GetInventoryResponse, Status>> + Send>>;

    async fn get_inventory(
        &self,
        request: Request<GetInventoryRequest>,
    ) -> Result<Response<Self::GetInventoryStream>, Status> {
        let GetInventoryRequest { namespace, name } = request.into_inner();
        let found = self.source.inventory(Wanted { namespace, name }).await;
        let (summary, workloads) = found.map_err(|error| match error {
            NoInventory::Disabled => Status::failed_precondition(error.to_string()),
            NoInventory::Busy => Status::resource_exhausted(error.to_string()),
            NoInventory::Silent => Status::unavailable(error.to_string()),
        })?;
        let items = std::iter::once(Item::Summary(summary)).chain(workloads.map(Item::Workload));
        let messages = items.map(|item| Ok(GetInventoryResponse { item: Some(item) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }
}
