//! How client commands reach a sensor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{Exit, fail};

/// In which a connection must be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent server is asked whether it is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer that.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the sensor is, and how to prove who we are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectArgs {
    /// Where the sensor listens: a socket's path or HOST:PORT
    #[arg(
        long,
        env = "SENSOR_ADDRESS",
        value_name = "ADDRESS",
        default_value = "/run/sensor/sensor.sock"
    )]
    pub address: String,
    /// PEM file with the authority of the sensor's certificate; makes the connection use TLS
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM file with our certificate, for TLS
    #[arg(long, value_name = "FILE", requires = "ca", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// PEM file with the key of our certificate, for TLS
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// The name that the sensor's certificate must have [default: the host of the address]
    #[arg(long, value_name = "NAME", requires = "ca")]
    pub server_name: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be understood.
    #[error("`{0}` is not an address; use a socket's path, such as /run/sensor/sensor.sock, or HOST:PORT")]
    Address(String),
    /// TLS was asked for where there is none.
    #[error("--ca is for HOST:PORT; a unix socket needs no TLS")]
    TlsOverUnix,
    /// A certificate or key cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody is there.
    #[error("cannot connect to {address}: {reason}; is `sensor run` running, and may you use its socket?")]
    Unreachable {
        /// Where to.
        address: String,
        /// Why not.
        reason: String,
    },
}

impl ConnectError {
    /// Whether trying again may help.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl ConnectArgs {
    /// Connects.
    ///
    /// # Errors
    /// When the arguments make no sense, or nobody answers in time.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        let endpoint = self
            .endpoint()?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        endpoint
            .connect()
            .await
            .map_err(|error| ConnectError::Unreachable {
                address: self.address.clone(),
                reason: root_cause(&error),
            })
    }

    /// As [`connect`](Self::connect); where there is no connection that is said, and the exit code is the error.
    pub(super) async fn connect_or_say(&self) -> Result<Channel, Exit> {
        self.connect().await.map_err(|error| {
            let exit = if error.is_transient() {
                Exit::Failed
            } else {
                Exit::Wrong
            };
            fail(exit, &error)
        })
    }

    /// The socket's path, where the address is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        let path = self
            .address
            .strip_prefix("unix://")
            .or_else(|| self.address.strip_prefix("unix:"))
            .or_else(|| self.address.starts_with(['/', '.']).then_some(&*self.address))?;
        Some(Path::new(path))
    }

    fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        let malformed = |_| ConnectError::Address(self.address.clone());
        if let Some(path) = self.socket() {
            if self.ca.is_some() {
                return Err(ConnectError::TlsOverUnix);
            }
            return Endpoint::from_shared(format!("unix:{}", path.display())).map_err(malformed);
        }
        if !self.address.contains(':') {
            return Err(ConnectError::Address(self.address.clone()));
        }
        let Some(ca) = &self.ca else {
            return Endpoint::from_shared(format!("http://{}", self.address)).map_err(malformed);
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).map_err(malformed)?;
        endpoint
            .tls_config(tls)
            .map_err(|error| ConnectError::Unreachable {
                address: self.address.clone(),
                reason: root_cause(&error),
            })
    }
}

/// Says that a sensor gave no answer.
pub(super) fn unanswered(status: &Status) -> Exit {
    fail(
        Exit::Failed,
        &format_args!("the sensor did not answer: {}", status.message()),
    )
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|source| ConnectError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The innermost cause: the ones around it only say that there is one.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
