//! CRI: what containerd, CRI-O and cri-dockerd tell of containers and pods, over gRPC.

use hyper_util::rt::TokioIo;
use sensor_proto::cri;
use serde_json::Value;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{ANSWER_BYTES_MAX, Fault, Question, Socket, open};
use crate::{
    runtime::{sound, sound_labels, without_algorithm},
    state::workload::{ContainerFacts, MOUNTS_MAX, Mount, PodRef},
};

/// Packages of the interface, the newest first; they differ in nothing that is read here.
const PACKAGES: [&str; 2] = ["runtime.v1", "runtime.v1alpha2"];

/// Headers of one answer, in bytes.
const HEADERS_BYTES_MAX: u32 = 16 << 10;

/// An open connection.
pub(super) struct Cri {
    grpc: Grpc<Channel>,
    package: &'static str,
}

impl Cri {
    /// Connects and finds out which version of the interface is spoken. Returns the runtime's name and version, too.
    pub(super) async fn open(socket: &Socket) -> Result<(Self, String), Fault> {
        let stream = open::connect(socket).await?;
        let mut stream = Some(TokioIo::new(stream));
        // Once: a broken connection is found out and replaced by who asks, not behind its back.
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { stream.map_err(std::io::Error::from) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .connect_with_connector(connector)
            .await
            .map_err(|error| Fault::Broken(error.to_string()))?;
        let mut found = Self {
            grpc: Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
            package: PACKAGES[0],
        };
        let mut last = None;
        for package in PACKAGES {
            found.package = package;
            let question = cri::VersionRequest {
                version: "0.1.0".into(),
            };
            match found
                .ask::<_, cri::VersionResponse>("RuntimeService", "Version", question)
                .await
            {
                Ok(version) => {
                    let text = |text: &str| sound(text).unwrap_or_default();
                    let (name, number) = (text(&version.runtime_name), text(&version.runtime_version));
                    return Ok((found, format!("{name} {number} over {package}")));
                }
                Err(status) if status.code() == Code::Unimplemented => last = Some(status),
                Err(status) => return Err(fault(&status)),
            }
        }
        Err(last.map_or(Fault::Absent, |status| fault(&status)))
    }

    /// What is told of a container; `None` where it is not known.
    pub(super) async fn look(&mut self, question: &Question) -> Result<Option<ContainerFacts>, Fault> {
        let id = &*question.container.id;
        let mut facts = ContainerFacts {
            id: id.into(),
            ..ContainerFacts::default()
        };
        if question.is_sandbox {
            let is_known = self.add_sandbox(id, &mut facts).await?;
            facts.is_sandbox = true;
            return Ok(is_known.then_some(facts));
        }
        let request = cri::ContainerStatusRequest {
            container_id: id.into(),
            verbose: true,
        };
        let asked = self.ask("RuntimeService", "ContainerStatus", request).await;
        let Some(answer) = unless_unknown(asked)? else {
            // Not every runtime's bundle says that it is a pod's.
            let is_known = self.add_sandbox(id, &mut facts).await?;
            facts.is_sandbox = is_known;
            return Ok(is_known.then_some(facts));
        };
        let answer: cri::ContainerStatusResponse = answer;
        let sandbox = add_container(&answer, &mut facts)?;
        if let Some(sandbox) = sandbox {
            self.add_sandbox(&sandbox, &mut facts).await?;
        }
        self.add_image(&mut facts).await?;
        Ok(Some(facts))
    }

    async fn add_sandbox(&mut self, id: &str, facts: &mut ContainerFacts) -> Result<bool, Fault> {
        let request = cri::PodSandboxStatusRequest {
            pod_sandbox_id: id.into(),
            verbose: false,
        };
        let asked = self.ask("RuntimeService", "PodSandboxStatus", request).await;
        match unless_unknown(asked)? {
            Some(answer) => add_pod(&answer, id, facts).map(|()| true),
            None => Ok(false),
        }
    }

    async fn add_image(&mut self, facts: &mut ContainerFacts) -> Result<(), Fault> {
        let Some(image) = facts.image.id.as_deref().or(facts.image.reference.as_deref()) else {
            return Ok(());
        };
        let spec = cri::ImageSpec { image: image.into() };
        let request = cri::ImageStatusRequest { image: Some(spec) };
        let asked = self.ask("ImageService", "ImageStatus", request).await;
        if let Some(answer) = unless_unknown(asked)? {
            add_image(&answer, facts);
        }
        Ok(())
    }

    async fn ask<Q, A>(&mut self, service: &str, method: &str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = format!("/{}.{service}/{method}", self.package);
        let path = PathAndQuery::try_from(path).map_err(|error| Status::internal(error.to_string()))?;
        self.grpc
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        Ok(self
            .grpc
            .unary(Request::new(question), path, codec)
            .await?
            .into_inner())
    }
}

/// The answer, or `None` where the runtime does not know what it was asked about.
fn unless_unknown<A>(asked: Result<A, Status>) -> Result<Option<A>, Fault> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        // CRI-O says so in words.
        Err(status)
            if status.code() == Code::Unknown
                && ["not found", "does not exist", "no such"]
                    .iter()
                    .any(|words| status.message().contains(words)) =>
        {
            Ok(None)
        }
        Err(status) => Err(fault(&status)),
    }
}

fn fault(status: &Status) -> Fault {
    let message = || sound(status.message()).unwrap_or_else(|| "nothing that can be shown".into());
    match status.code() {
        Code::OutOfRange => Fault::TooLong,
        Code::Unavailable | Code::Cancelled => Fault::Broken(message().into()),
        Code::Internal => Fault::Malformed(message().into()),
        code => Fault::Refused(format!("{code:?}: {}", message())),
    }
}

/// Adds what a container's status tells, and returns the id of its pod's sandbox.
pub(crate) fn add_container(
    answer: &cri::ContainerStatusResponse,
    facts: &mut ContainerFacts,
) -> Result<Option<Box<str>>, Fault> {
    let Some(status) = &answer.status else {
        return Err(Fault::Malformed("it has no status".into()));
    };
    if *status.id != *facts.id {
        return Err(Fault::OtherContainer);
    }
    facts.name = status
        .metadata
        .as_ref()
        .and_then(|metadata| sound(&metadata.name));
    facts.image.reference = status.image.as_ref().and_then(|image| sound(&image.image));
    match status.image_ref.split_once('@') {
        Some((_, digest)) => facts.image.digest = sound(digest),
        None => facts.image.id = sound(without_algorithm(&status.image_ref)),
    }
    // containerd shows an id where the image has been given another name since.
    if facts
        .image
        .reference
        .as_deref()
        .is_some_and(|image| image.starts_with("sha256:"))
    {
        facts.image.reference = None;
    }
    facts.labels = sound_labels(status.labels.iter());
    let mount = |mount: &cri::Mount| {
        Some(Mount {
            source: sound(&mount.host_path)?,
            destination: sound(&mount.container_path)?,
            mode: Box::default(),
            is_writable: !mount.readonly,
            propagation: match mount.propagation() {
                cri::MountPropagation::PropagationPrivate => "rprivate",
                cri::MountPropagation::PropagationHostToContainer => "rslave",
                cri::MountPropagation::PropagationBidirectional => "rshared",
            }
            .into(),
        })
    };
    facts.mounts = status.mounts.iter().filter_map(mount).take(MOUNTS_MAX).collect();
    let label = |name: &str| facts.labels.get(name).cloned();
    facts.pod = Some(PodRef {
        name: label("io.kubernetes.pod.name"),
        namespace: label("io.kubernetes.pod.namespace"),
        uid: label("io.kubernetes.pod.uid"),
        sandbox_id: None,
    })
    .filter(|pod| *pod != PodRef::default());
    let info: Value = answer
        .info
        .get("info")
        .and_then(|info| serde_json::from_str(info).ok())
        .unwrap_or_default();
    // containerd keeps the pod's wish, CRI-O has it as a field.
    let context = &info["config"]["linux"]["security_context"];
    facts.is_privileged = context["privileged"]
        .as_bool()
        .or_else(|| info["privileged"].as_bool());
    Ok(info["sandboxID"].as_str().and_then(sound))
}

/// Adds what a pod's status tells.
pub(crate) fn add_pod(
    answer: &cri::PodSandboxStatusResponse,
    id: &str,
    facts: &mut ContainerFacts,
) -> Result<(), Fault> {
    let Some(status) = &answer.status else {
        return Err(Fault::Malformed("it has no status".into()));
    };
    if status.id != id {
        return Err(Fault::OtherContainer);
    }
    if let Some(metadata) = &status.metadata {
        facts.pod = Some(PodRef {
            name: sound(&metadata.name),
            namespace: sound(&metadata.namespace),
            uid: sound(&metadata.uid),
            sandbox_id: sound(id),
        });
    }
    facts.pod_labels = sound_labels(status.labels.iter());
    facts.ip = status
        .network
        .as_ref()
        .and_then(|network| network.ip.parse().ok());
    let linux = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref());
    if let Some(options) = linux.and_then(|namespaces| namespaces.options.as_ref()) {
        let is_node = |mode| mode == cri::NamespaceMode::Node;
        facts.has_host_network = Some(is_node(options.network()));
        facts.has_host_pid = Some(is_node(options.pid()));
        facts.has_host_ipc = Some(is_node(options.ipc()));
    }
    Ok(())
}

/// Adds what an image's status tells.
pub(crate) fn add_image(answer: &cri::ImageStatusResponse, facts: &mut ContainerFacts) {
    let Some(image) = &answer.image else { return };
    let id = without_algorithm(&image.id);
    if facts.image.id.as_deref().is_some_and(|known| known != id) {
        return;
    }
    facts.image.id = sound(id);
    if facts.image.digest.is_none() {
        let digests = image.repo_digests.iter();
        facts.image.digest = digests
            .filter_map(|named| named.split_once('@'))
            .find_map(|(_, digest)| sound(digest));
    }
}
