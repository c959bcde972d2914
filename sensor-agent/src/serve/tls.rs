//! Mutual TLS for the TCP listener.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::config::TlsConfig;

/// In which a client must have shown its certificate.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the files.
    #[error("cannot read grpc.tcp.tls.{key} {path}: {source}")]
    Read {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in them.
    #[error(
        "grpc.tcp.tls cannot be used: {0}; certificate, key and client_ca must be PEM files, and the key must belong to the certificate"
    )]
    Unusable(String),
}

/// Reads the files and tries them out.
pub(super) fn load(config: &TlsConfig) -> Result<ServerTlsConfig, TlsError> {
    let certificate = read("certificate", &config.certificate)?;
    let key = read("key", &config.key)?;
    let client_ca = read("client_ca", &config.client_ca)?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(client_ca))
        .timeout(HANDSHAKE_TIMEOUT);
    match Server::builder().tls_config(tls.clone()) {
        Ok(_) => Ok(tls),
        Err(error) => Err(TlsError::Unusable(with_sources(&error))),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

/// The error and what caused it: tonic's own message only says that there is one.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
