//! Docker's API over HTTP, as Docker and Podman speak it.

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::AbortHandle;

use super::{ANSWER_BYTES_MAX, Fault, Question, Socket, open};
use crate::{
    runtime::{docker, text, without_algorithm},
    state::workload::{ContainerFacts, MOUNTS_MAX, Mount},
};

/// Bytes that a connection reads ahead; headers must fit.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// An open connection. Dropping it closes it.
pub(super) struct Engine {
    sender: SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
    is_podman: bool,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Engine {
    /// Connects.
    pub(super) async fn open(socket: &Socket) -> Result<Self, Fault> {
        let stream = open::connect(socket).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        Ok(Self {
            sender,
            driver: tokio::spawn(connection).abort_handle(),
            is_podman: socket.dialect == super::Dialect::Podman,
        })
    }

    /// Who speaks there, and its version.
    pub(super) async fn hello(&mut self) -> Result<String, Fault> {
        let answer = self.get("/version").await?.unwrap_or_default();
        let version: Value = parse(&answer)?;
        let name = if self.is_podman { "podman" } else { "docker" };
        let number = text(&version["Version"]).ok_or_else(|| Fault::Malformed("it has no version".into()))?;
        Ok(format!("{name} {number}"))
    }

    /// What is told of a container; `None` where it is not known.
    pub(super) async fn look(&mut self, question: &Question) -> Result<Option<ContainerFacts>, Fault> {
        let id = &*question.container.id;
        // Names of other runtimes' containers are no part of a path here.
        if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let Some(answer) = self.get(&format!("/containers/{id}/json")).await? else {
            return Ok(None);
        };
        let mut facts = ContainerFacts {
            id: id.into(),
            runtime: if self.is_podman { "podman" } else { "docker" },
            ..ContainerFacts::default()
        };
        add_container(&parse(&answer)?, &mut facts)?;
        let image = facts.image.id.clone();
        let is_path = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if let Some(image) = image.filter(|image| is_path(image))
            && let Some(answer) = self.get(&format!("/images/{image}/json")).await?
        {
            add_image(&parse(&answer)?, &mut facts);
        }
        Ok(Some(facts))
    }

    /// The body of an answer; `None` where nothing is known of what was asked for.
    async fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>, Fault> {
        let request = Request::get(path)
            .header(HOST, "localhost")
            .header(USER_AGENT, concat!("sensor/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Fault::Malformed(error.to_string()))?;
        self.sender.ready().await.map_err(|error| broken(&error))?;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|error| broken(&error))?;
        let status = answer.status();
        if status != StatusCode::OK && status != StatusCode::NOT_FOUND {
            return Err(Fault::Refused(status.to_string()));
        }
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        // Read to its end in any case, so that the next question finds a clean connection.
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() else {
                continue;
            };
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((status == StatusCode::OK).then_some(bytes))
    }
}

fn broken(error: &hyper::Error) -> Fault {
    if error.is_parse() || error.is_parse_too_large() {
        Fault::Malformed(error.to_string())
    } else {
        Fault::Broken(error.to_string())
    }
}

fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Malformed(error.to_string()))
}

/// Adds what `GET /containers/ID/json` tells.
pub(crate) fn add_container(answer: &Value, facts: &mut ContainerFacts) -> Result<(), Fault> {
    if answer["Id"].as_str() != Some(&*facts.id) {
        return Err(Fault::OtherContainer);
    }
    docker::add_described(answer, facts);
    docker::add_host(&answer["HostConfig"], facts);
    let mount = |mount: &Value| {
        Some(Mount {
            source: text(&mount["Source"])?,
            destination: text(&mount["Destination"])?,
            mode: text(&mount["Mode"]).unwrap_or_default(),
            is_writable: mount["RW"] == true,
            propagation: text(&mount["Propagation"]).unwrap_or_default(),
        })
    };
    let mounts = answer["Mounts"].as_array().into_iter().flatten();
    facts.mounts = mounts.filter_map(mount).take(MOUNTS_MAX).collect();
    Ok(())
}

/// Adds what `GET /images/ID/json` tells.
pub(crate) fn add_image(answer: &Value, facts: &mut ContainerFacts) {
    let id = answer["Id"].as_str().map(without_algorithm);
    if id != facts.image.id.as_deref() {
        return;
    }
    let digests = answer["RepoDigests"].as_array().into_iter().flatten();
    facts.image.digest = digests
        .filter_map(|named| named.as_str()?.split_once('@'))
        .find_map(|(_, digest)| crate::runtime::sound(digest));
}
