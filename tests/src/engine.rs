//! Container engines as people run them, started by hand in a folder of the test's own: Docker, Podman, containerd.
//!
//! Images are made here, of busybox; no registry is asked. Containers have no network or the host's, so nothing of a
//! bridge stays behind. Dropping an engine ends its containers and itself.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use crate::{container, wait};

/// The image that [`Engine`]s have.
pub const IMAGE: &str = "registry.test/team/app:1";

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// dockerd, with a containerd of its own.
    Docker,
    /// Podman, as root; it has no daemon.
    Podman,
    /// containerd, used through `ctr`.
    Containerd,
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    daemon: Option<Child>,
    folder: tempfile::TempDir,
}

impl Kind {
    /// What is missing to run it here; `None` when it can be run.
    #[must_use]
    pub fn missing(self) -> Option<&'static str> {
        let programs: &[&str] = match self {
            Self::Docker => &["dockerd", "docker"],
            Self::Podman => &["podman"],
            Self::Containerd => &["containerd", "ctr"],
        };
        let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        if programs.iter().all(is_there) {
            return container::missing();
        }
        Some("there is no docker.io, podman or containerd here: cargo xtask setup --test installs them")
    }
}

impl Engine {
    /// Starts it and gives it its image.
    pub fn start(kind: Kind) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-engine-").tempdir()?;
        let mut engine = Self {
            kind,
            daemon: None,
            folder,
        };
        let path = engine.folder.path();
        container::write_image(&path.join("root"))?;
        let text = |name: &str| path.join(name).display().to_string();
        let log = fs::File::create(path.join("log"))?;
        match kind {
            Kind::Docker => {
                fs::write(path.join("docker.json"), "{}")?;
                let mut daemon = Command::new("dockerd");
                daemon.args([
                    "--config-file",
                    &text("docker.json"),
                    "--data-root",
                    &text("data"),
                ]);
                daemon.args(["--exec-root", &text("exec"), "--pidfile", &text("pid")]);
                daemon.args(["--host", &format!("unix://{}", text("socket"))]);
                daemon.args(["--bridge=none", "--iptables=false", "--ip-masq=false"]);
                engine.daemon = Some(daemon.stdout(log.try_clone()?).stderr(log).spawn()?);
                engine.wait_for(&["version"])?;
                engine.import()?;
            }
            Kind::Podman => {
                fs::write(path.join("containers.conf"), PODMAN)?;
                let storage = format!(
                    "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
                    text("graph"),
                    text("run")
                );
                fs::write(path.join("storage.conf"), storage)?;
                engine.import()?;
            }
            Kind::Containerd => {
                let config = format!(
                    "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
                     [grpc]\n  address = \"{}\"\n",
                    text("data"),
                    text("state"),
                    text("socket")
                );
                fs::write(path.join("containerd.toml"), config)?;
                let mut daemon = Command::new("containerd");
                daemon.args(["--config", &text("containerd.toml")]);
                engine.daemon = Some(daemon.stdout(log.try_clone()?).stderr(log).spawn()?);
                engine.wait_for(&["version"])?;
            }
        }
        Ok(engine)
    }

    /// The socket that its API is served on: Docker's at once, Podman's once it [is served](Self::serve).
    #[must_use]
    pub fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("socket")
    }

    /// Has Podman's API served, which no daemon does by itself.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        let address = format!("unix://{}", self.socket().display());
        let service = self
            .command(&["system", "service", "--time", "0", &address])
            .spawn()?;
        self.daemon = Some(service);
        let is_up = || std::os::unix::net::UnixStream::connect(self.socket()).ok();
        wait::until(Duration::from_secs(30), is_up).context("podman's service did not come up")?;
        Ok(())
    }

    /// Its client, with arguments.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let path = self.folder.path();
        let mut command = Command::new(match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Containerd => "ctr",
        });
        match self.kind {
            Kind::Docker => {
                command.env("DOCKER_HOST", format!("unix://{}", path.join("socket").display()));
            }
            Kind::Podman => {
                command
                    .env("CONTAINERS_CONF", path.join("containers.conf"))
                    .env("CONTAINERS_STORAGE_CONF", path.join("storage.conf"));
            }
            Kind::Containerd => {
                command.arg("--address").arg(path.join("socket"));
            }
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs its client to a good end; what it printed.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments).output()?;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success(),
            "{:?} {arguments:?}: {printed} {}",
            self.kind,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(printed)
    }

    /// Runs a container of this name without a network, and waits until it is gone; `rest` is the image with what it
    /// runs, and options before it.
    pub fn run_once(&self, name: &str, rest: &[&str]) -> anyhow::Result<String> {
        self.run(&[&["run", "--rm", "--network", "none", "--name", name], rest].concat())
    }

    /// The image's root folder, for `ctr run --rootfs`.
    #[must_use]
    pub fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn wait_for(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let is_up = || {
            // `ctr` waits ten seconds for a socket that is not there yet.
            let socket = self.folder.path().join("socket");
            (socket.exists()
                && self
                    .command(arguments)
                    .output()
                    .is_ok_and(|output| output.status.success()))
            .then_some(())
        };
        wait::until(Duration::from_secs(30), is_up)
            .with_context(|| format!("{:?} did not come up: {}", self.kind, self.log()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn import(&self) -> anyhow::Result<()> {
        let tar = self.folder.path().join("image.tar");
        pack(&self.root(), &tar)?;
        self.run(&["import", &tar.display().to_string(), IMAGE]).map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        match self.kind {
            Kind::Docker => {
                let all = self.run(&["ps", "--all", "--quiet"]).unwrap_or_default();
                for id in all.lines() {
                    let _ = self.run(&["rm", "--force", id]);
                }
            }
            Kind::Podman => {
                let _ = self.run(&["rm", "--all", "--force", "--time", "0"]);
                let _ = self.run(&["rmi", "--all", "--force"]);
            }
            Kind::Containerd => {
                for name in self
                    .run(&["containers", "list", "--quiet"])
                    .unwrap_or_default()
                    .lines()
                {
                    let _ = self.run(&["tasks", "kill", "--signal", "9", name]);
                    let _ = self.run(&["containers", "delete", name]);
                }
            }
        }
        if let Some(daemon) = &mut self.daemon {
            end(daemon);
        }
        unmount_below(self.folder.path());
    }
}

/// Ends a daemon, by force where it takes its time.
pub(crate) fn end(daemon: &mut Child) {
    let pid = rustix::process::Pid::from_child(daemon);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    if wait::until(Duration::from_secs(20), || daemon.try_wait().ok().flatten()).is_none() {
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

/// What an engine has left mounted, the deepest first.
pub(crate) fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(folder));
    let mut below: Vec<_> = below.collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in below {
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Packs a folder's content.
pub(crate) fn pack(root: &Path, tar: &Path) -> anyhow::Result<()> {
    let status = Command::new("tar")
        .arg("--directory")
        .arg(root)
        .arg("--create")
        .arg("--file")
        .arg(tar)
        .arg(".")
        .status()?;
    if !status.success() {
        bail!("tar says {status}");
    }
    Ok(())
}

/// This machine's root may not raise limits, and has no systemd.
const PODMAN: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"#;
