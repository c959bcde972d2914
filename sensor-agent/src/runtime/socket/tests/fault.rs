//! The fault servers: Docker's API and CRI, as a broken or hostile runtime would serve them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sensor_proto::cri;
use tonic::{Request, Response, Status, server::NamedService};

use super::{ID, OTHER};

/// What a connection gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Answers,
    /// To one request; then the connection is closed.
    AnswersOnce,
    After(Duration),
    Unknown,
    Hangs,
    Closes,
    /// What is no HTTP.
    Nonsense,
    NoJson,
    OtherContainer,
    Huge,
    Endless,
    EndlessHeaders,
    Status500,
}

/// Docker's API. Connections get these modes in this order, and the last one from then on.
pub(super) struct Server {
    pub(super) path: PathBuf,
    folder: Arc<tempfile::TempDir>,
    answered: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start(modes: &[Mode]) -> Self {
        Self::with(modes.to_vec())
    }

    fn with(modes: Vec<Mode>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&answered);
        let held = Arc::downgrade(&folder);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if held.upgrade().is_none() {
                    return;
                }
                let mode = modes[number.min(modes.len() - 1)];
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || serve(&stream, mode, &counted));
            }
        });
        Self {
            path,
            folder,
            answered,
        }
    }

    /// Answers that were given.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Where a server was that listens no more; its socket's file is still there.
    pub(super) fn end(self) -> PathBuf {
        let left = self.folder.path().join("left");
        drop(UnixListener::bind(&left).unwrap());
        // The folder stays until the test ends.
        std::mem::forget(self.folder);
        left
    }
}

fn serve(mut stream: &UnixStream, mode: Mode, answered: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or("").to_owned();
        let body = body(&path, mode);
        let head = |status: &str, length: usize| {
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        };
        let sent = match mode {
            Mode::Closes => return,
            Mode::Hangs | Mode::Nonsense => {
                if matches!(mode, Mode::Nonsense) {
                    let _ = stream.write_all(b"\0\x01\x02 what?\r\n\r\n");
                }
                // Until the client goes.
                let _ = reader.read_to_end(&mut Vec::new());
                return;
            }
            Mode::Endless => {
                let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                while sent.is_ok() {
                    sent = stream.write_all(format!("1000\r\n{}\r\n", " ".repeat(0x1000)).as_bytes());
                }
                sent
            }
            Mode::EndlessHeaders => {
                let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while sent.is_ok() {
                    sent = stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
                }
                sent
            }
            Mode::Huge => {
                let body = "{}".to_owned() + &" ".repeat(super::ANSWER_BYTES_MAX);
                stream.write_all((head("200 OK", body.len()) + &body).as_bytes())
            }
            Mode::Unknown => stream.write_all((head("404 Not Found", 2) + "{}").as_bytes()),
            Mode::Status500 => stream.write_all((head("500 Internal", 2) + "{}").as_bytes()),
            Mode::NoJson => stream.write_all((head("200 OK", 3) + "{]}").as_bytes()),
            _ => {
                if let Mode::After(pause) = mode {
                    std::thread::sleep(pause);
                }
                answered.fetch_add(1, Ordering::SeqCst);
                stream.write_all((head("200 OK", body.len()) + &body).as_bytes())
            }
        };
        if sent.is_err() || matches!(mode, Mode::AnswersOnce) && path.starts_with("/images") {
            return;
        }
    }
}

fn body(path: &str, mode: Mode) -> String {
    let id = if matches!(mode, Mode::OtherContainer) {
        OTHER
    } else {
        ID
    };
    let answer = match path.split('/').nth(1) {
        Some("containers") => serde_json::json!({
            "Id": id, "Name": "/web", "Image": "sha256:beef",
            "Config": {"Image": "app:1", "Labels": {"team": "shop"}},
            "HostConfig": {"Privileged": true, "NetworkMode": "none",
                "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}},
            "Mounts": [{"Source": "/srv", "Destination": "/data", "Mode": "ro", "RW": false, "Propagation": "rprivate"}],
        }),
        Some("images") => serde_json::json!({"Id": "sha256:beef", "RepoDigests": ["app@sha256:d1"]}),
        _ => serde_json::json!({"Version": "20.10"}),
    };
    answer.to_string()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CriFault {
    None,
    OtherContainer,
    Huge,
    Hangs,
    Refuses,
}

/// CRI over gRPC.
pub(super) struct Cri {
    pub(super) path: PathBuf,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Cri {
    pub(super) fn start(version: &str, fault: CriFault) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let answers = Answers(fault);
        let services = (
            cri::runtime_service_server::RuntimeServiceServer::new(answers),
            cri::image_service_server::ImageServiceServer::new(answers),
        );
        let listener = {
            let _within = runtime.enter();
            tokio::net::UnixListener::bind(&path).unwrap()
        };
        let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
        let mut server = tonic::transport::Server::builder();
        if version == "v1" {
            let server = server.add_service(services.0).add_service(services.1);
            runtime.spawn(server.serve_with_incoming(incoming));
        } else {
            let server = server
                .add_service(Older(services.0))
                .add_service(Older(services.1));
            runtime.spawn(server.serve_with_incoming(incoming));
        }
        Self {
            path,
            _folder: folder,
            _runtime: runtime,
        }
    }
}

/// A service under the name that it had in the version before.
#[derive(Clone)]
struct Older<S>(S);

impl<S> NamedService for Older<S>
where
    S: IsOf,
{
    const NAME: &'static str = S::OLDER;
}

trait IsOf {
    const OLDER: &'static str;
}

impl<T> IsOf for cri::runtime_service_server::RuntimeServiceServer<T> {
    const OLDER: &'static str = "runtime.v1alpha2.RuntimeService";
}

impl<T> IsOf for cri::image_service_server::ImageServiceServer<T> {
    const OLDER: &'static str = "runtime.v1alpha2.ImageService";
}

impl<S, B> tower::Service<hyper::Request<B>> for Older<S>
where
    S: tower::Service<hyper::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: hyper::Request<B>) -> Self::Future {
        let path = request.uri().path().replace("v1alpha2", "v1");
        *request.uri_mut() = path.parse().unwrap();
        self.0.call(request)
    }
}

#[derive(Clone, Copy)]
struct Answers(CriFault);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl cri::image_service_server::ImageService for Answers {
    async fn image_status(
        &self,
        request: Request<cri::ImageStatusRequest>,
    ) -> Answer<cri::ImageStatusResponse> {
        let asked = request.into_inner().image.unwrap().image;
        assert_eq!(asked, "beef");
        Ok(Response::new(cri::ImageStatusResponse {
            image: Some(cri::Image {
                id: "sha256:beef".into(),
                repo_tags: vec!["registry.test/app:1".into()],
                repo_digests: vec!["registry.test/app@sha256:d1".into()],
            }),
        }))
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

#[tonic::async_trait]
impl cri::runtime_service_server::RuntimeService for Answers {
    async fn version(&self, _: Request<cri::VersionRequest>) -> Answer<cri::VersionResponse> {
        Ok(Response::new(cri::VersionResponse {
            runtime_name: "fault server".into(),
            runtime_version: "0".into(),
            ..cri::VersionResponse::default()
        }))
    }

    async fn container_status(
        &self,
        request: Request<cri::ContainerStatusRequest>,
    ) -> Answer<cri::ContainerStatusResponse> {
        let asked = request.into_inner();
        let mut labels = map(&[("team", "shop")]);
        match self.0 {
            CriFault::Hangs => std::future::pending::<()>().await,
            CriFault::Refuses => return Err(Status::permission_denied("not you")),
            CriFault::Huge => {
                labels.insert("long".into(), "x".repeat(super::ANSWER_BYTES_MAX));
            }
            CriFault::None | CriFault::OtherContainer => {}
        }
        if asked.container_id != ID {
            return Err(Status::not_found("no such container"));
        }
        let id = if self.0 == CriFault::OtherContainer {
            OTHER
        } else {
            ID
        };
        let info = serde_json::json!({"sandboxID": OTHER, "config": {"linux": {"security_context": {"privileged": true}}}});
        Ok(Response::new(cri::ContainerStatusResponse {
            status: Some(cri::ContainerStatus {
                id: id.into(),
                metadata: Some(cri::ContainerMetadata {
                    name: "app".into(),
                    attempt: 0,
                }),
                image: Some(cri::ImageSpec {
                    image: "registry.test/app:1".into(),
                }),
                image_ref: "sha256:beef".into(),
                labels,
                mounts: vec![cri::Mount {
                    container_path: "/data".into(),
                    host_path: "/srv".into(),
                    readonly: true,
                    propagation: cri::MountPropagation::PropagationHostToContainer.into(),
                }],
            }),
            info: map(&[("info", &info.to_string())]),
        }))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<cri::PodSandboxStatusRequest>,
    ) -> Answer<cri::PodSandboxStatusResponse> {
        let id = request.into_inner().pod_sandbox_id;
        if id != OTHER {
            return Err(Status::not_found("no such pod"));
        }
        let options = cri::NamespaceOption {
            network: cri::NamespaceMode::Node.into(),
            ..cri::NamespaceOption::default()
        };
        let namespaces = cri::Namespace {
            options: Some(options),
        };
        Ok(Response::new(cri::PodSandboxStatusResponse {
            status: Some(cri::PodSandboxStatus {
                id,
                metadata: Some(cri::PodSandboxMetadata {
                    name: "web-0".into(),
                    uid: "u-1".into(),
                    namespace: "shop".into(),
                    attempt: 0,
                }),
                network: Some(cri::PodSandboxNetworkStatus {
                    ip: "10.1.2.3".into(),
                }),
                linux: Some(cri::LinuxPodSandboxStatus {
                    namespaces: Some(namespaces),
                }),
                labels: map(&[("app", "web")]),
            }),
        }))
    }

    async fn run_pod_sandbox(
        &self,
        _: Request<cri::RunPodSandboxRequest>,
    ) -> Answer<cri::RunPodSandboxResponse> {
        Err(changes())
    }

    async fn stop_pod_sandbox(&self, _: Request<cri::StopPodSandboxRequest>) -> Answer<cri::Nothing> {
        Err(changes())
    }

    async fn remove_pod_sandbox(&self, _: Request<cri::RemovePodSandboxRequest>) -> Answer<cri::Nothing> {
        Err(changes())
    }

    async fn create_container(
        &self,
        _: Request<cri::CreateContainerRequest>,
    ) -> Answer<cri::CreateContainerResponse> {
        Err(changes())
    }

    async fn start_container(&self, _: Request<cri::StartContainerRequest>) -> Answer<cri::Nothing> {
        Err(changes())
    }

    async fn stop_container(&self, _: Request<cri::StopContainerRequest>) -> Answer<cri::Nothing> {
        Err(changes())
    }

    async fn remove_container(&self, _: Request<cri::RemoveContainerRequest>) -> Answer<cri::Nothing> {
        Err(changes())
    }

    async fn exec_sync(&self, _: Request<cri::ExecSyncRequest>) -> Answer<cri::ExecSyncResponse> {
        Err(changes())
    }
}

/// The agent never asks for what changes something.
fn changes() -> Status {
    Status::permission_denied("a call that changes something")
}
