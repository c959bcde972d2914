//! Connects the responder to the hub: detections in, runs of hooks out.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use sensor_proto::v1::{Detection, HookRun};

use tokio_util::sync::CancellationToken;

use crate::{
    hub::{Hub, Item, Request, filter::CompiledFilter},
    metrics::{Metrics, ResponseMetrics, SubscriberKind},
    respond::{Publish, Responder, config::RespondConfig},
    sink::{self, Encoder, Format},
};

/// The responder's place in the run.
pub(super) struct Answering {
    responder: Arc<Responder>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Answering {
    /// Hands over what still waits, and stops; hooks that run may go on for `timeout`. Nothing must be
    /// detected any more.
    pub(super) async fn stop(self, timeout: Duration) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the responder's queue was not read to its end");
        }
        self.responder.shutdown(Instant::now() + timeout).await;
    }
}

/// Puts runs of hooks on the stream.
struct ToHub {
    hub: Arc<Hub>,
    metrics: ResponseMetrics,
}

impl Publish for ToHub {
    fn publish(&self, run: HookRun, answers: &Arc<Detection>) {
        self.metrics.ran(&run.hook, sink::outcome_name(run.outcome()));
        self.hub.publish(&Item::HookRun {
            run: Arc::new(run),
            answers: Arc::clone(answers),
        });
    }
}

/// Starts the responder and hands it every detection.
///
/// # Errors
/// All that is wrong with its configuration, as text.
pub(super) fn start(
    config: &RespondConfig,
    hub: &Arc<Hub>,
    metrics: &Arc<Metrics>,
    hostname: &str,
) -> Result<Answering, String> {
    let publish = ToHub {
        hub: Arc::clone(hub),
        metrics: metrics.responses.clone(),
    };
    let encoder = Encoder::new(Format::Json, false, hostname);
    let encode = move |detection: &Arc<Detection>| {
        let mut line = Vec::new();
        encoder.encode(&Item::Detection(Arc::clone(detection)), &mut line);
        line
    };
    let responder = Responder::new(config, publish, encode).map_err(|errors| {
        errors
            .iter()
            .map(|error| format!("{}: {}\n  help: {}", error.path, error.message, error.help))
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let responder = Arc::new(responder);
    let request = Request {
        kind: SubscriberKind::Respond,
        peer: String::new(),
        filter: CompiledFilter::default(),
    };
    let mut subscription = hub.subscribe(request).map_err(|error| error.to_string())?;
    let answering = Arc::clone(&responder);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                item = poll_fn(|context| subscription.poll_recv(context)) => match item {
                    Some(Item::Detection(detection)) => answering.handle(detection),
                    Some(Item::Gap(_) | Item::HookRun { .. } | Item::RulesReload(_)) => {}
                    None => return,
                },
                () = stopping.cancelled() => return,
            }
        }
    });
    Ok(Answering {
        responder,
        stop,
        task,
    })
}
