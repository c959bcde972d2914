//! `/metrics` and `/healthz`, as a plain HTTP client sees them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::setup::Setup;

/// The whole answer to one request.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_and_health() {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let setup = Setup::with(64, 8, |_, http| http.address = Some(any_port))
        .await
        .unwrap();
    let address = setup.server.metrics_address().unwrap();
    let metrics = ask(address, "GET /metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    assert!(
        metrics.contains("sensor_subscribers{subscriber=\"grpc\"} 0"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 503"));
    setup.server.set_ready(true).await;
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
    assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404"));
}
