//! containerd as the kubelet uses it: pods over CRI, by a client of our own, since Debian has none.
//!
//! containerd runs in a network namespace of its own, so that the pods' bridge is gone when it is. Its images, the
//! pods' pause image included, are made here of busybox. Dropping it ends its pods and itself.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use hyper_util::rt::TokioIo;
use sensor_proto::cri::{self, runtime_service_client::RuntimeServiceClient};
use serde_json::json;
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::transport::{Channel, Endpoint};

use crate::{container, engine, kubernetes, wait};

const PAUSE: &str = "registry.test/pause:1";
const PLUGINS: &str = "/usr/lib/cni";

/// A running containerd with CRI.
#[derive(Debug)]
pub struct Cri {
    daemon: Child,
    // Ends its connection before the folder goes.
    channel: Option<Channel>,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

/// A pod to be made.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`, in the form of Kubernetes' uids.
    pub uid: String,
    /// With the host's network, which for containerd is its own namespace.
    pub has_host_network: bool,
    /// With the host's process ids.
    pub has_host_pid: bool,
    /// May have privileged containers.
    pub is_privileged: bool,
}

/// A pod that runs.
#[derive(Debug)]
pub struct Running<'a> {
    cri: &'a Cri,
    config: cri::PodSandboxConfig,
    /// The id of the container that holds its namespaces.
    pub sandbox: String,
    pod: Pod,
}

impl Cri {
    /// What is missing to run it here; `None` when it can be run.
    #[must_use]
    pub fn missing() -> Option<&'static str> {
        if !Path::new(PLUGINS).join("bridge").is_file() {
            return Some(
                "there are no containernetworking-plugins here: cargo xtask setup --test installs them",
            );
        }
        engine::Kind::Containerd.missing()
    }

    /// Starts it and gives it its images.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-cri-").tempdir()?;
        let path = folder.path();
        let text = |name: &str| path.join(name).display().to_string();
        fs::create_dir(path.join("cni"))?;
        let network = json!({"cniVersion": "0.4.0", "name": "pods", "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "dataDir": text("ipam"), "ranges": [[{"subnet": "10.88.78.0/24"}]]},
        }]});
        fs::write(path.join("cni/10-pods.conflist"), network.to_string())?;
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\n  address = \"{}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{PAUSE}\"\n  restrict_oom_score_adj = true\n  \
             stream_server_address = \"127.0.0.1\"\n  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"{PLUGINS}\"\n    \
             conf_dir = \"{}\"\n",
            text("data"),
            text("state"),
            text("socket"),
            text("cni")
        );
        fs::write(path.join("containerd.toml"), config)?;
        let log = fs::File::create(path.join("log"))?;
        let daemon = Command::new("unshare")
            .args(["--net", "sh", "-c"])
            .arg("busybox ip link set lo up && exec containerd --config \"$0\"")
            .arg(path.join("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let mut started = Self {
            daemon,
            channel: None,
            runtime,
            folder,
        };
        started.channel = Some(started.connect()?);
        let root = started.folder.path().join("root");
        container::write_image(&root)?;
        for (name, command) in [(PAUSE, "sleep 2147483647"), (engine::IMAGE, "sh")] {
            started.import(name, command)?;
        }
        Ok(started)
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn connect(&self) -> anyhow::Result<Channel> {
        let socket = self.socket();
        let try_once = || {
            let socket = socket.clone();
            let connector = tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
            });
            let endpoint = Endpoint::from_static("http://localhost");
            self.runtime.block_on(async {
                let channel = endpoint.connect_with_connector(connector).await.ok()?;
                let request = cri::VersionRequest::default();
                // CRI's plugin comes up after the socket.
                RuntimeServiceClient::new(channel.clone())
                    .version(request)
                    .await
                    .ok()?;
                Some(channel)
            })
        };
        wait::until(Duration::from_secs(30), try_once)
            .with_context(|| format!("containerd did not come up: {}", self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Packs the root as Docker saves images, and loads that.
    fn import(&self, name: &str, command: &str) -> anyhow::Result<()> {
        let folder = self.folder.path().join("image");
        fs::create_dir_all(&folder)?;
        let layer = folder.join("layer.tar");
        if !layer.exists() {
            engine::pack(&self.folder.path().join("root"), &layer)?;
        }
        let command: Vec<_> = command.split(' ').collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": command, "Env": ["PATH=/bin:/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer)?)]},
        });
        fs::write(folder.join("config.json"), config.to_string())?;
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
        fs::write(folder.join("manifest.json"), manifest.to_string())?;
        let archive = self.folder.path().join("image.tar");
        engine::pack(&folder, &archive)?;
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(&archive)
            .output()?;
        ensure!(
            output.status.success(),
            "ctr images import {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Runs a pod.
    pub fn run(&self, pod: &Pod) -> anyhow::Result<Running<'_>> {
        let mode = |is_host| {
            let mode = if is_host {
                cri::NamespaceMode::Node
            } else {
                cri::NamespaceMode::Pod
            };
            mode.into()
        };
        let pids = if pod.has_host_pid {
            cri::NamespaceMode::Node
        } else {
            cri::NamespaceMode::Container
        };
        let options = cri::NamespaceOption {
            network: mode(pod.has_host_network),
            pid: pids.into(),
            ..cri::NamespaceOption::default()
        };
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                namespace: "shop".into(),
                attempt: 0,
            }),
            // The host's network comes with the host's name.
            hostname: if pod.has_host_network {
                String::new()
            } else {
                pod.name.clone()
            },
            log_directory: self.folder.path().join("log-of-pods").display().to_string(),
            labels: BTreeMap::from([
                ("app".into(), "web".into()),
                ("io.kubernetes.pod.name".into(), pod.name.clone()),
                ("io.kubernetes.pod.namespace".into(), "shop".into()),
                ("io.kubernetes.pod.uid".into(), pod.uid.clone()),
            ]),
            annotations: BTreeMap::new(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: format!("/kubepods/besteffort/pod{}", pod.uid),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    privileged: pod.is_privileged,
                }),
            }),
        };
        let request = cri::RunPodSandboxRequest {
            config: Some(config.clone()),
        };
        let answer = self.call(|mut client| async move { client.run_pod_sandbox(request).await })?;
        Ok(Running {
            cri: self,
            config,
            sandbox: answer.pod_sandbox_id,
            pod: pod.clone(),
        })
    }

    fn call<A, F>(&self, ask: impl FnOnce(RuntimeServiceClient<Channel>) -> F) -> anyhow::Result<A>
    where
        F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
    {
        let Some(channel) = self.channel.clone() else {
            bail!("there is no connection")
        };
        Ok(self
            .runtime
            .block_on(ask(RuntimeServiceClient::new(channel)))?
            .into_inner())
    }
}

impl Running<'_> {
    /// Starts a container of the image; its id.
    pub fn start(&self, name: &str, command: &[&str]) -> anyhow::Result<String> {
        self.start_with(name, command, self.options())
    }

    /// The same, with the process ids of another container, as `kubectl debug --target` has the kubelet do it.
    pub fn debug(&self, name: &str, target: &str, command: &[&str]) -> anyhow::Result<String> {
        let options = self.options().map(|options| cri::NamespaceOption {
            pid: cri::NamespaceMode::Target.into(),
            target_id: target.into(),
            ..options
        });
        self.start_with(name, command, options)
    }

    fn options(&self) -> Option<cri::NamespaceOption> {
        self.config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.as_ref())
            .and_then(|context| context.namespace_options.clone())
    }

    fn start_with(
        &self,
        name: &str,
        command: &[&str],
        options: Option<cri::NamespaceOption>,
    ) -> anyhow::Result<String> {
        let config = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: name.into(),
                attempt: 0,
            }),
            image: Some(cri::ImageSpec {
                image: engine::IMAGE.into(),
            }),
            command: command.iter().map(ToString::to_string).collect(),
            labels: BTreeMap::from([
                ("team".into(), "shop".into()),
                ("io.kubernetes.container.name".into(), name.into()),
                ("io.kubernetes.pod.name".into(), self.pod.name.clone()),
                ("io.kubernetes.pod.namespace".into(), "shop".into()),
                ("io.kubernetes.pod.uid".into(), self.pod.uid.clone()),
            ]),
            log_path: format!("{name}.log"),
            linux: Some(cri::LinuxContainerConfig {
                security_context: Some(cri::LinuxContainerSecurityContext {
                    privileged: self.pod.is_privileged,
                    namespace_options: options,
                }),
            }),
            ..cri::ContainerConfig::default()
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: self.sandbox.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let id = self
            .cri
            .call(|mut client| async move { client.create_container(request).await })?
            .container_id;
        let request = cri::StartContainerRequest {
            container_id: id.clone(),
        };
        self.cri
            .call(|mut client| async move { client.start_container(request).await })?;
        Ok(id)
    }

    /// Runs a command in a container, as `kubectl exec` does.
    pub fn exec(&self, container: &str, command: &[&str]) -> anyhow::Result<()> {
        let request = cri::ExecSyncRequest {
            container_id: container.into(),
            cmd: command.iter().map(ToString::to_string).collect(),
            timeout: 30,
        };
        let answer = self
            .cri
            .call(|mut client| async move { client.exec_sync(request).await })?;
        ensure!(
            answer.exit_code == 0,
            "{command:?} ended with {}",
            answer.exit_code
        );
        Ok(())
    }

    /// The pod's address.
    pub fn address(&self) -> anyhow::Result<String> {
        let request = cri::PodSandboxStatusRequest {
            pod_sandbox_id: self.sandbox.clone(),
            ..cri::PodSandboxStatusRequest::default()
        };
        let answer = self
            .cri
            .call(|mut client| async move { client.pod_sandbox_status(request).await })?;
        let network = answer.status.and_then(|status| status.network);
        Ok(network.context("the pod has no network")?.ip)
    }

    /// Stops a container and removes it.
    pub fn stop(&self, container: &str) -> anyhow::Result<()> {
        let request = cri::StopContainerRequest {
            container_id: container.into(),
            timeout: 0,
        };
        self.cri
            .call(|mut client| async move { client.stop_container(request).await })?;
        let request = cri::RemoveContainerRequest {
            container_id: container.into(),
        };
        self.cri
            .call(|mut client| async move { client.remove_container(request).await })?;
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let id = || self.sandbox.clone();
        let stop = cri::StopPodSandboxRequest { pod_sandbox_id: id() };
        let remove = cri::RemovePodSandboxRequest { pod_sandbox_id: id() };
        // What is left over is ended with containerd's shims.
        let _ = self
            .cri
            .call(|mut client| async move { client.stop_pod_sandbox(stop).await });
        let _ = self
            .cri
            .call(|mut client| async move { client.remove_pod_sandbox(remove).await });
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        self.channel = None;
        engine::end(&mut self.daemon);
        engine::unmount_below(self.folder.path());
        kubernetes::remove_cgroups();
    }
}

fn digest(file: &Path) -> anyhow::Result<String> {
    let output = Command::new("sha256sum").arg(file).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let digest = printed.split(' ').next().unwrap_or_default();
    ensure!(digest.len() == 64, "sha256sum says {printed:?}");
    Ok(digest.to_owned())
}
