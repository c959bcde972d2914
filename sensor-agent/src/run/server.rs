//! The servers, with what they show.

use std::sync::Arc;

use super::{
    RunError,
    inventory::{self, Questions},
};
use crate::{
    config::Config,
    hub::Hub,
    kernel::ring::Control,
    metrics::Metrics,
    serve::{self, Server},
    status::Live,
};

/// Starts them; they ask the reader's thread by `control` and what is given back.
pub(super) async fn start(
    config: &Config,
    hub: &Arc<Hub>,
    metrics: &Arc<Metrics>,
    live: &Arc<Live>,
    control: &Control,
) -> Result<(Server, Questions), RunError> {
    let (asker, questions) = inventory::channel(control.clone(), Arc::clone(live));
    let parts = serve::Parts {
        hub: Arc::clone(hub),
        status: Arc::clone(live) as _,
        inventory: Arc::new(asker),
        metrics: Arc::clone(metrics),
    };
    let server = Server::start(&config.grpc, &config.metrics, parts).await?;
    Ok((server, questions))
}
