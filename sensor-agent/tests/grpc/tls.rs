//! Who may connect over TCP.

use std::path::PathBuf;

use sensor_agent::config::{GrpcConfig, TcpConfig, TlsConfig};
use sensor_agent::serve::ServeError;
use sensor_proto::v1::Filter;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::setup::{Setup, subscribe};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/grpc/certificates")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn tcp(
    address: &str,
    tls: Option<TlsConfig>,
) -> impl FnOnce(&mut GrpcConfig, &mut sensor_agent::config::MetricsConfig) {
    let tcp = TcpConfig {
        address: address.parse().unwrap(),
        tls,
    };
    move |grpc, _| grpc.tcp = Some(tcp)
}

fn mutual_tls() -> TlsConfig {
    TlsConfig {
        certificate: path("server.crt"),
        key: path("server.key"),
        client_ca: path("authority.crt"),
    }
}

#[tokio::test]
async fn without_tls_only_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Setup::with(64, 8, tcp(address, None)).await.err().unwrap();
        assert!(matches!(error, ServeError::OpenToAll(_)), "{error}");
        assert!(error.to_string().contains("set grpc.tcp.tls"), "{error}");
    }
    let setup = Setup::with(64, 8, tcp("127.0.0.1:0", None)).await.unwrap();
    let address = setup.server.grpc_address().unwrap();
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    subscribe(channel, Filter::default()).await.unwrap();
}

#[tokio::test]
async fn with_tls_both_sides_show_certificates() {
    let setup = Setup::with(64, 8, tcp("127.0.0.1:0", Some(mutual_tls())))
        .await
        .unwrap();
    let address = format!("https://{}", setup.server.grpc_address().unwrap());
    let trust = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("authority.crt")));
    let identity =
        |name: &str| Identity::from_pem(read(&format!("{name}.crt")), read(&format!("{name}.key")));
    let table = [
        ("ours", trust().identity(identity("client")), true),
        ("none", trust(), false),
        ("a stranger's", trust().identity(identity("stranger")), false),
        (
            "not trusting the server",
            ClientTlsConfig::new().identity(identity("client")),
            false,
        ),
    ];
    for (name, tls, expected) in table {
        let endpoint = Endpoint::from_shared(address.clone())
            .unwrap()
            .tls_config(tls)
            .unwrap();
        let subscribed = match endpoint.connect().await {
            Ok(channel) => subscribe(channel, Filter::default()).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(subscribed, expected, "{name}");
    }
}

#[tokio::test]
async fn unusable_certificates_are_refused_at_the_start() {
    let missing = TlsConfig {
        key: path("missing.key"),
        ..mutual_tls()
    };
    let error = Setup::with(64, 8, tcp("127.0.0.1:0", Some(missing)))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("grpc.tcp.tls.key") && error.contains("missing.key"),
        "{error}"
    );
    let mixed_up = TlsConfig {
        client_ca: path("client.key"),
        ..mutual_tls()
    };
    let error = Setup::with(64, 8, tcp("127.0.0.1:0", Some(mixed_up)))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("PEM"), "{error}");
}
