//! Requests to the API server: HTTP/1.1 over TLS, one connection at a time.
//!
//! The token and the authority's certificate are read anew for each connection, because the kubelet
//! replaces the token long before it expires. Every wait has a deadline.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// In which a connection must stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// In which the headers of an answer must come, and each further piece of a body that is not a watch's.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a token or certificate file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of an answer that is read whole: one object's metadata.
const OBJECT_BYTES_MAX: usize = super::split::ITEM_BYTES_MAX;
/// Longest time that a server may make us wait by `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// Where the API server is and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `https`, or `http` without a token (a local proxy).
    pub is_tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The service account's token, unless the server asks for none.
    pub token_file: Option<PathBuf>,
    /// Certificates of the authority that signed the server's.
    pub ca_file: Option<PathBuf>,
}

/// Why a request got no answer that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("cannot read {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{0} holds no certificate that can be used; it must be a PEM file")]
    Certificate(PathBuf),
    #[error("cannot connect to the API server: {0}")]
    Connect(io::Error),
    #[error("the API server does not answer in time")]
    Timeout,
    #[error("the connection to the API server broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the API server answers {status}{}", hint(*status))]
    Status {
        status: StatusCode,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    #[error("the API server's answer is longer than {OBJECT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the API server's answer is not understood: {0}")]
    Malformed(String),
}

/// What to do about a status.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => ": is the service account's token mounted?",
        StatusCode::FORBIDDEN => {
            ": is the ClusterRole of deploy/daemonset.yaml bound to the service account?"
        }
        _ => "",
    }
}

impl ApiError {
    /// As metrics name the cause; a fixed set.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Certificate(_) => "credentials",
            Self::Connect(_) => "connect",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::Status { status, .. } => match *status {
                StatusCode::GONE => "gone",
                StatusCode::TOO_MANY_REQUESTS => "throttled",
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "forbidden",
                _ => "status",
            },
            Self::TooLong | Self::Malformed(_) => "malformed",
        }
    }

    /// Whether the version that was asked for is too old.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::GONE)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An open connection. Dropping it closes it.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Server {
    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Connection, ApiError> {
        let authorization = match &self.token_file {
            // A token is a password: it is not sent in the clear.
            Some(path) if self.is_tls => Some(bearer(path).await?),
            _ => None,
        };
        tokio::time::timeout(CONNECT_TIMEOUT, self.open(authorization))
            .await
            .map_err(|_| ApiError::Timeout)?
    }

    async fn open(&self, authorization: Option<HeaderValue>) -> Result<Connection, ApiError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(ApiError::Connect)?;
        let host = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let malformed = |_| ApiError::Malformed("the server's name is no name of a host".into());
        let host = HeaderValue::try_from(host).map_err(malformed)?;
        let (sender, driver) = if self.is_tls {
            let name = ServerName::try_from(self.host.clone())
                .map_err(|_| ApiError::Malformed("the server's name is no name of a host".into()))?;
            let stream = TlsConnector::from(self.tls().await?)
                .connect(name, stream)
                .await
                .map_err(ApiError::Connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            (sender, tokio::spawn(connection).abort_handle())
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            (sender, tokio::spawn(connection).abort_handle())
        };
        Ok(Connection {
            sender,
            driver,
            host,
            authorization,
        })
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, ApiError> {
        let path = self.ca_file.clone().unwrap_or_default();
        let pem = read(&path).await?;
        let mut roots = rustls::RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(ApiError::Certificate(path));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ApiError::Malformed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Kubelet swaps the file under a link, so a read sees the old or the new token, never half of one.
async fn bearer(path: &PathBuf) -> Result<HeaderValue, ApiError> {
    let token = read(path).await?;
    let invalid = || ApiError::File {
        path: path.clone(),
        error: io::Error::new(io::ErrorKind::InvalidData, "not a token"),
    };
    let value = [b"Bearer ", token.trim_ascii()].concat();
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, ApiError> {
    let wrap = |error| ApiError::File {
        path: path.clone(),
        error,
    };
    let length = tokio::fs::metadata(path).await.map_err(wrap)?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrap(io::Error::new(io::ErrorKind::FileTooLarge, "too large")));
    }
    tokio::fs::read(path).await.map_err(wrap)
}

impl Connection {
    /// Whether another request can go over it.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Asks for a path; the answer's status is 200.
    pub(super) async fn get(
        &mut self,
        path: &str,
        accept: &'static str,
    ) -> Result<Response<Incoming>, ApiError> {
        let mut request = Request::get(path)
            .header(HOST, &self.host)
            .header(USER_AGENT, concat!("sensor/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| ApiError::Malformed(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        });
        let response = answer.await.map_err(|_| ApiError::Timeout)??;
        let status = response.status();
        if status != StatusCode::OK {
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
            return Err(ApiError::Status { status, retry_after });
        }
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"application/json")) {
            return Err(ApiError::Malformed("it is not JSON".into()));
        }
        Ok(response)
    }

    /// Asks for one object and reads all of it.
    pub(super) async fn object(&mut self, path: &str) -> Result<Vec<u8>, ApiError> {
        // The server leaves out all but the metadata; one that does not know how sends the object.
        const METADATA_ONLY: &str =
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
        let mut body = self.get(path, METADATA_ONLY).await?.into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = next(&mut body, ANSWER_TIMEOUT).await? {
            if bytes.len() + piece.len() > OBJECT_BYTES_MAX {
                return Err(ApiError::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// The next piece of a body; `None` at its end.
pub(super) async fn next(body: &mut Incoming, timeout: Duration) -> Result<Option<Bytes>, ApiError> {
    while !body.is_end_stream() {
        let frame = tokio::time::timeout(timeout, body.frame())
            .await
            .map_err(|_| ApiError::Timeout)?;
        match frame.transpose()?.map(hyper::body::Frame::into_data) {
            None => break,
            Some(Ok(piece)) => return Ok(Some(piece)),
            // Trailers are of no use.
            Some(Err(_)) => {}
        }
    }
    Ok(None)
}
