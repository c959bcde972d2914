//! A real Kubernetes node: API server, controllers, scheduler, kubelet (1.20, built by `cargo xtask k8s`), etcd and
//! containerd, in mount and network namespaces of their own.
//!
//! It has no pid namespace of its own, because the agent must see the machine's process ids. What it starts is
//! found as descendants of this process, which takes in those whose parents have ended, and is ended one by one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use crate::wait;

const SCRIPT: &str = include_str!("kubernetes/node.sh");

/// How long a node may take to become Ready on a busy machine.
const READY: Duration = Duration::from_mins(3);

/// A running node. Dropping it ends it.
#[derive(Debug)]
pub struct Node {
    script: Child,
    folder: tempfile::TempDir,
}

/// What `cargo xtask k8s` has made.
#[derive(Debug)]
pub struct Made {
    /// The folder of the server programs.
    pub programs: PathBuf,
    /// Images to be loaded: pause, busybox and the agent.
    pub images: Vec<PathBuf>,
}

impl Made {
    /// What the environment names; the reason why there is nothing otherwise.
    pub fn find() -> Result<Self, &'static str> {
        let programs = std::env::var_os("SENSOR_K8S_PROGRAMS").map(PathBuf::from);
        let images = std::env::var_os("SENSOR_K8S_IMAGES");
        match (programs, images) {
            (Some(programs), Some(images)) if programs.join("kubelet").is_file() => Ok(Self {
                programs,
                images: std::env::split_paths(&images).collect(),
            }),
            _ => Err(
                "there is no Kubernetes here: `cargo xtask k8s --test` builds one (6 minutes once) and runs this",
            ),
        }
    }
}

impl Node {
    /// Starts a node and waits until it is Ready.
    pub fn start(made: &Made) -> anyhow::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let folder = tempfile::Builder::new().prefix("sensor-k8s-").tempdir()?;
        fs::write(folder.path().join("node.sh"), SCRIPT)?;
        let log = fs::File::create(folder.path().join("node.log"))?;
        let script = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "bash"])
            .arg(folder.path().join("node.sh"))
            .arg(&made.programs)
            .arg(folder.path())
            .args(&made.images)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("unshare cannot be run")?;
        let mut node = Self { script, folder };
        let ready = wait::until(READY, || {
            if let Ok(Some(status)) = node.script.try_wait() {
                return Some(Err(status));
            }
            node.path("ready").exists().then_some(Ok(()))
        });
        match ready {
            Some(Ok(())) => Ok(node),
            Some(Err(status)) => bail!("the node ended with {status}: {}", node.said("node.log")),
            None => bail!("the node was not ready in time: {}", node.said("log/kubelet")),
        }
    }

    /// A file of the node's folder.
    #[must_use]
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// A path as processes of the node see it, from outside.
    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.script.id()))
    }

    /// The end of a log.
    #[must_use]
    pub fn said(&self, log: &str) -> String {
        let text = fs::read(self.path(log)).unwrap_or_default();
        let start = text.len().saturating_sub(2000);
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// Asks the API server, as an administrator. The answer's JSON.
    pub fn api(&self, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<serde_json::Value> {
        let mut curl = Command::new("nsenter");
        curl.arg(format!("--net=/proc/{}/ns/net", self.script.id()));
        curl.args(["curl", "-sS", "-m", "20", "--fail-with-body", "-X", method]);
        curl.arg("--cacert").arg(self.path("certs/ca.crt"));
        curl.args(["-H", "Authorization: Bearer admin-token"]);
        if let Some(body) = body {
            fs::write(self.path("body"), body)?;
            curl.args(["-H", "Content-Type: application/yaml", "--data-binary"]);
            curl.arg(format!("@{}", self.path("body").display()));
        }
        let output = curl.arg(format!("https://127.0.0.1{path}")).output()?;
        ensure!(
            output.status.success(),
            "{method} {path}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What containers of pods of a namespace have written.
    #[must_use]
    pub fn pods_said(&self, namespace: &str) -> String {
        let folder = self.inside("/var/log/pods");
        let mut files: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(namespace))
            .map(|entry| entry.path())
            .collect();
        let mut text = String::new();
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(
                    fs::read_dir(path)
                        .into_iter()
                        .flatten()
                        .flatten()
                        .map(|entry| entry.path()),
                );
            } else {
                text.push_str(&fs::read_to_string(path).unwrap_or_default());
            }
        }
        text
    }

    /// What the agent's pod counts: the text of its metrics.
    pub fn metrics(&self, address: &str) -> anyhow::Result<String> {
        let is_agent = |pid: &u32| {
            let program = fs::read_link(format!("/proc/{pid}/exe"));
            program.is_ok_and(|program| program == Path::new("/usr/bin/sensor"))
        };
        let agent = descendants(std::process::id()).into_iter().find(is_agent);
        let agent = agent.context("the agent does not run")?;
        let output = Command::new("nsenter")
            .arg(format!("--net=/proc/{agent}/ns/net"))
            .args(["curl", "-sS", "-m", "20", &format!("http://{address}/metrics")])
            .output()?;
        ensure!(output.status.success(), "curl: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Sends the API server a signal.
    pub fn signal_api(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.path("log/apiserver.pid"))?;
        let pid = rustix::process::Pid::from_raw(text.trim().parse()?).context("no process id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Starts the API server again and waits until it answers.
    pub fn restart_api(&self) -> anyhow::Result<()> {
        fs::write(self.path("restart"), "")?;
        wait::until(READY, || {
            (!self.path("restart").exists() && self.api("GET", "/api/v1/nodes/node-a", None).is_ok())
                .then_some(())
        })
        .with_context(|| format!("the API server did not come back: {}", self.said("log/apiserver")))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let own = std::process::id();
        // New ones may be made while they are ended: again, until there is none.
        let _all_gone = wait::until(wait::DEADLINE, || {
            let found = descendants(own);
            for pid in &found {
                if let Some(pid) = i32::try_from(*pid).ok().and_then(rustix::process::Pid::from_raw) {
                    let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    let _not_ours = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
                }
            }
            found.is_empty().then_some(())
        });
        let _ended = self.script.wait();
        remove_cgroups();
    }
}

/// Removes what pods leave of cgroups.
pub(crate) fn remove_cgroups() {
    if let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") {
        for hierarchy in hierarchies.flatten() {
            remove_empty(&hierarchy.path().join("kubepods"));
        }
    }
    remove_empty(Path::new("/sys/fs/cgroup/kubepods"));
}

/// Processes whose line of parents leads here.
fn descendants(of: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = vec![of];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            parents
                .iter()
                .filter(|(_, above)| *above == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.remove(0);
    found
}

/// Removes a cgroup and those below it, as far as nothing runs in them.
fn remove_empty(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _busy_or_gone = fs::remove_dir(cgroup);
}
