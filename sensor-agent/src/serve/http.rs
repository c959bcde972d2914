//! `/metrics` and `/healthz` over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};

use super::accept::Incoming;
use crate::metrics::{CONTENT_TYPE, Metrics};

/// In which a request's headers must have arrived.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Headers of one request.
const HEADERS_MAX: usize = 64;

/// What answers requests.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    pub(super) metrics: Arc<Metrics>,
    pub(super) ready: Arc<AtomicBool>,
}

impl Handler {
    fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let (status, kind, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => match self.metrics.render() {
                Ok(text) => (StatusCode::OK, CONTENT_TYPE, text),
                Err(_) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "metrics cannot be written\n".to_owned(),
                ),
            },
            (&Method::GET | &Method::HEAD, "/healthz") if self.ready.load(Ordering::Relaxed) => {
                (StatusCode::OK, TEXT, health(&self.metrics.degraded()))
            }
            (&Method::GET | &Method::HEAD, "/healthz") => (
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "not ready: no events are being read\n".to_owned(),
            ),
            (_, "/metrics" | "/healthz") => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned()),
            _ => (
                StatusCode::NOT_FOUND,
                TEXT,
                "there are /metrics and /healthz\n".to_owned(),
            ),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        response
    }
}

/// A sensor that is degraded is ready all the same: to restart it would help nobody.
fn health(degraded: &[String]) -> String {
    if degraded.is_empty() {
        "ok\n".to_owned()
    } else {
        format!("degraded\n{}\n", degraded.join("\n"))
    }
}

/// Serves until `stop`.
pub(super) async fn serve(mut incoming: Incoming<TcpStream>, handler: Handler, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // Only to forget those that have ended.
            Some(_) = connections.join_next() => {}
            accepted = incoming.next() => match accepted {
                Some(Ok(io)) => {
                    let handler = handler.clone();
                    connections.spawn(async move {
                        let service = tower::service_fn(move |request| {
                            std::future::ready(Ok::<_, Infallible>(handler.answer(&request)))
                        });
                        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
                        builder
                            .http1()
                            .timer(TokioTimer::new())
                            .header_read_timeout(HEADER_TIMEOUT)
                            .max_headers(HEADERS_MAX);
                        let connection =
                            builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
                        if let Err(error) = connection.await {
                            tracing::debug!(error, "an HTTP connection ended badly");
                        }
                    });
                }
                Some(Err(_)) => {}
                None => return,
            },
        }
    }
}
