//! Real containers, made by runc without any registry: a busybox root, and cgroups as other runtimes name them.
//!
//! A container has its own mount, pid, network, IPC and UTS namespaces and Docker's capabilities. Everything
//! it is made of lies in one temporary folder, and dropping it ends it and removes it, its cgroups included.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use crate::wait;

mod bundle;
mod cgroup;
mod churn;
mod overlay;

pub use churn::churn;

/// What stands for the container's id in [`Builder::cgroup`].
pub const ID: &str = "{id}";

/// A container to be described.
#[derive(Debug)]
pub struct Builder {
    cgroup: String,
    binds: Vec<(PathBuf, PathBuf)>,
    files: Vec<(PathBuf, Vec<u8>, u32)>,
    capabilities: Vec<String>,
    annotations: Vec<(String, String)>,
    overlay: bool,
    user_namespace: Option<u32>,
    privileged: bool,
}

/// A running container.
#[derive(Debug)]
pub struct Container {
    id: String,
    cgroup: String,
    pid: u32,
    runtime: Child,
    // Fields are dropped in this order: nothing holds the folder when it is removed.
    _overlay: Option<overlay::Overlay>,
    folder: tempfile::TempDir,
    _cgroups: cgroup::Parents,
}

/// What runc needs that this machine lacks, and how to get it; `None` when containers can be run.
#[must_use]
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers need root: run this with sudo");
    }
    if Command::new("runc").arg("--version").output().is_err() {
        return Some("there is no runc: apt-get install runc, or cargo xtask setup --demo");
    }
    if !Path::new(bundle::BUSYBOX).is_file() {
        return Some("there is no /bin/busybox: apt-get install busybox-static, or cargo xtask setup --demo");
    }
    None
}

/// Writes the root that containers have: busybox, and the few files that programs look for.
pub fn write_image(folder: &Path) -> anyhow::Result<()> {
    bundle::write_image(folder)
}

impl Builder {
    /// The cgroup's path from the top, in which [`ID`] stands for the container's id; `/docker/{id}` unless set.
    #[must_use]
    pub fn cgroup(mut self, path: impl Into<String>) -> Self {
        self.cgroup = path.into();
        self
    }

    /// Shows a folder or file of the host, writable, at `inside`.
    #[must_use]
    pub fn bind(mut self, host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.binds.push((host.into(), inside.into()));
        self
    }

    /// A file of the image, with its folders.
    #[must_use]
    pub fn file(mut self, inside: impl Into<PathBuf>, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((inside.into(), content.into(), mode));
        self
    }

    /// A capability besides Docker's, such as `CAP_SYS_PTRACE`.
    #[must_use]
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.push(name.into());
        self
    }

    /// An annotation of the bundle, by which runtimes tell names and images.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.push((key.into(), value.into()));
        self
    }

    /// Whether it is privileged as runtimes make it: every capability that we have, every device, nothing hidden.
    #[must_use]
    pub fn privileged(mut self, privileged: bool) -> Self {
        self.privileged = privileged;
        self
    }

    /// Whether the root is an overlay over the image, as runtimes make it, so that what the container writes is
    /// in another layer than what it came with.
    #[must_use]
    pub fn overlay(mut self, overlay: bool) -> Self {
        self.overlay = overlay;
        self
    }

    /// Gives the container a user namespace, in which id 0 is this one of the host, and so on for 65,536 ids.
    #[must_use]
    pub fn user_namespace(mut self, first_id: u32) -> Self {
        self.user_namespace = Some(first_id);
        self
    }

    /// Starts the container and returns when its first process runs.
    pub fn run<S: AsRef<OsStr>>(self, command: &[S]) -> anyhow::Result<Container> {
        if let Some(missing) = missing() {
            bail!(missing);
        }
        // Whoever is root in a user namespace has to get in.
        let folder = tempfile::Builder::new()
            .prefix("sensor-container-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let id = new_id()?;
        let cgroup = self.cgroup.replace(ID, &id);
        ensure!(
            cgroup.starts_with('/'),
            "the cgroup {cgroup:?} is no path from the top"
        );
        let overlay = bundle::write(&self, &id, &cgroup, folder.path(), command)?;
        let cgroups = cgroup::Parents::of(&cgroup)?;
        let mut runtime = runc(folder.path())
            .args(["run", "--bundle"])
            .arg(folder.path())
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .arg(&id)
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout"))?)
            .stderr(File::create(folder.path().join("stderr"))?)
            .spawn()
            .context("runc cannot be run")?;
        // runc writes the file when the container's own program has been started.
        let pid = wait::until(Duration::from_secs(30), || {
            let pid = fs::read_to_string(folder.path().join("pid"))
                .ok()
                .and_then(|pid| pid.parse().ok());
            pid.map(Ok).or_else(|| runtime.try_wait().ok().flatten().map(Err))
        });
        let stderr = || fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
        let pid = match pid {
            Some(Ok(pid)) => pid,
            Some(Err(status)) => bail!("runc ended with {status} before the container ran: {}", stderr()),
            None => bail!("the container did not start in time: {}", stderr()),
        };
        Ok(Container {
            id,
            cgroup,
            pid,
            runtime,
            _overlay: overlay,
            folder,
            _cgroups: cgroups,
        })
    }
}

impl Container {
    /// A container to be described.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            cgroup: format!("/docker/{ID}"),
            binds: Vec::new(),
            files: Vec::new(),
            capabilities: Vec::new(),
            annotations: Vec::new(),
            overlay: false,
            user_namespace: None,
            privileged: false,
        }
    }

    /// Its id: 64 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its cgroup's path from the top.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Its first process, as the host numbers it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its root as the host sees it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join(bundle::ROOT)
    }

    /// Runs a command in it, as `docker exec` does, and waits for its end.
    pub fn exec<S: AsRef<OsStr>>(&self, command: &[S]) -> anyhow::Result<Output> {
        self.exec_command(command).output().context("runc cannot be run")
    }

    /// The command that runs a command in it, for a caller that does not want to wait for it.
    #[must_use]
    pub fn exec_command<S: AsRef<OsStr>>(&self, command: &[S]) -> Command {
        let mut runc = runc(self.folder.path());
        runc.arg("exec").arg(&self.id).args(command).stdin(Stdio::null());
        runc
    }

    /// The same as a user, `uid:gid`.
    #[must_use]
    pub fn exec_command_as<S: AsRef<OsStr>>(&self, user: &str, command: &[S]) -> Command {
        let mut runc = runc(self.folder.path());
        runc.args(["exec", "--user", user]).arg(&self.id);
        runc.args(command).stdin(Stdio::null());
        runc
    }

    /// As [`exec_command`](Self::exec_command), but it ends once the command has begun, which has the very descriptors
    /// that are given: runc itself would copy what goes through them.
    #[must_use]
    pub fn exec_detached<S: AsRef<OsStr>>(&self, command: &[S]) -> Command {
        let mut runc = runc(self.folder.path());
        runc.args(["exec", "--detach"]);
        runc.arg(&self.id).args(command).stdin(Stdio::null());
        runc
    }

    /// Runs a shell with a terminal in it, as `docker exec -it` does, hands it `line` and waits for its end.
    ///
    /// The terminal is one of `script`, which is on every Debian.
    pub fn exec_terminal(&self, line: &str) -> anyhow::Result<Output> {
        let folder = self.folder.path();
        let state = folder.join("state");
        let command = format!(
            "runc --root {} exec --tty {} sh -c '{line}'",
            state.display(),
            self.id
        );
        ensure!(!line.contains('\''), "the line {line:?} would end its own quotes");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        script
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut script = script.spawn().context("script cannot be run")?;
        // Open until the shell has ended: script types the end of its input into the terminal.
        let _keyboard = script.stdin.take();
        Ok(script.wait_with_output()?)
    }

    /// Waits until its first process has ended.
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let ended = wait::until(timeout, || self.runtime.try_wait().ok().flatten());
        ended.with_context(|| format!("the container did not end in time: {}", self.output()))
    }

    /// Sends a signal to its first process.
    pub fn kill(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let output = runc(self.folder.path())
            .args(["kill", &self.id, &signal.as_raw().to_string()])
            .output()
            .context("runc cannot be run")?;
        ensure!(
            output.status.success(),
            "runc kill: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// What its first process and their children have written: standard output, then standard error.
    #[must_use]
    pub fn output(&self) -> String {
        ["stdout", "stderr"]
            .map(|name| fs::read(self.folder.path().join(name)).unwrap_or_default())
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to delete and runc says so.
        let _ = runc(self.folder.path())
            .args(["delete", "--force", &self.id])
            .output();
        let _ = self.runtime.kill();
        let _ = self.runtime.wait();
    }
}

fn runc(folder: &Path) -> Command {
    let mut command = Command::new("runc");
    command.arg("--root").arg(folder.join("state"));
    command
}

fn new_id() -> anyhow::Result<String> {
    use std::{fmt::Write as _, io::Read as _};
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut id = String::with_capacity(64);
    for byte in bytes {
        write!(id, "{byte:02x}")?;
    }
    Ok(id)
}
