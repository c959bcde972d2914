//! An agent of the test's own: its binary, in a folder of its own, with its own socket.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{binary, client::Client, wait};

/// How an agent is to be run.
#[derive(Debug, Default)]
pub struct Builder {
    rules: Vec<PathBuf>,
    rule_text: String,
    config: String,
    settings: Vec<String>,
    wrapper: Vec<String>,
    record: Option<PathBuf>,
}

/// A running agent. Dropping it ends it.
#[derive(Debug)]
pub struct Sensor {
    child: Child,
    folder: PathBuf,
    own_folder: Option<tempfile::TempDir>,
}

impl Builder {
    /// Rules as text.
    #[must_use]
    pub fn rules(mut self, text: &str) -> Self {
        self.rule_text.push_str(text);
        self
    }

    /// A rule file or folder.
    #[must_use]
    pub fn rule_files(mut self, path: impl Into<PathBuf>) -> Self {
        self.rules.push(path.into());
        self
    }

    /// The configuration file's text.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self
    }

    /// One key of the configuration, as `key=value`.
    #[must_use]
    pub fn set(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// A command that runs the agent in its own place (`setpriv`, `unshare`), with its arguments.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// Records to this file, in place of a daemon.
    #[must_use]
    pub fn record(mut self, file: impl Into<PathBuf>) -> Self {
        self.record = Some(file.into());
        self
    }

    /// The command that runs the agent in `folder`.
    pub fn command(&self, folder: &Path) -> anyhow::Result<Command> {
        std::fs::write(folder.join("sensor.yaml"), &self.config)?;
        let mut words = self
            .wrapper
            .iter()
            .map(OsString::from)
            .chain([binary::sensor().into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        match &self.record {
            Some(file) => command.arg("record").arg("--write").arg(file),
            None => command.arg("run"),
        };
        command.arg("--config").arg(folder.join("sensor.yaml"));
        command.args([
            "--set",
            &format!("grpc.socket={}", folder.join("sensor.sock").display()),
        ]);
        // Tests count events; those of the self-test ask for it.
        command.args(["--set", "selftest.interval_s=0"]);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        if !self.rule_text.is_empty() {
            std::fs::write(folder.join("rules.yaml"), &self.rule_text)?;
            command.arg("--rules").arg(folder.join("rules.yaml"));
        }
        for path in &self.rules {
            command.arg("--rules").arg(path);
        }
        command
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("stdout"))?)
            .stderr(File::create(folder.join("stderr"))?)
            .env_remove("SENSOR_CONFIG")
            // Ours, of which the agent would say that it is none of its own.
            .env_remove("SENSOR_BIN");
        Ok(command)
    }

    /// Runs the agent where it must refuse to: its exit code and what it said.
    pub fn refused(self) -> anyhow::Result<(Option<i32>, String)> {
        let folder = tempfile::tempdir()?;
        self.refused_in(folder.path())
    }

    /// As [`refused`](Self::refused), in a folder that has been prepared.
    pub fn refused_in(self, folder: &Path) -> anyhow::Result<(Option<i32>, String)> {
        let mut child = self
            .command(folder)?
            .spawn()
            .context("the agent's binary cannot be run")?;
        let said = || read(&folder.join("stderr"));
        let ended = wait::until(wait::DEADLINE, || child.try_wait().ok().flatten());
        let Some(status) = ended else {
            child.kill()?;
            child.wait()?;
            bail!("the agent was to refuse, and runs:\n{}", said());
        };
        Ok((status.code(), said()))
    }

    /// Runs the agent and waits until it is ready.
    pub fn start(self) -> anyhow::Result<Sensor> {
        let own = tempfile::tempdir()?;
        let mut sensor = self.start_in(own.path())?;
        sensor.own_folder = Some(own);
        Ok(sensor)
    }

    /// As [`start`](Self::start), in a folder of the caller's, which stays.
    pub fn start_in(self, folder: &Path) -> anyhow::Result<Sensor> {
        let child = self
            .command(folder)?
            .spawn()
            .context("the agent's binary cannot be run")?;
        let mut sensor = Sensor {
            child,
            folder: folder.to_owned(),
            own_folder: None,
        };
        let ready = wait::until(Duration::from_mins(1), || {
            if let Ok(Some(status)) = sensor.child.try_wait() {
                return Some(Err(status));
            }
            sensor.log().contains(" ready ").then_some(Ok(()))
        });
        match ready {
            Some(Ok(())) => Ok(sensor),
            Some(Err(status)) => bail!("the agent ended with {status}:\n{}", sensor.log()),
            None => bail!("the agent was not ready in time:\n{}", sensor.log()),
        }
    }
}

impl Sensor {
    /// An agent to be described.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder: configuration, rules, socket, output.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("sensor.sock")
    }

    /// A client of it.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.socket())
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.folder.join("stderr"))
    }

    /// What it has written to standard output: JSON lines.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.folder.join("stdout"))
    }

    /// Ends it as a service manager would, and returns its exit status, log and output.
    pub fn stop(mut self) -> anyhow::Result<(ExitStatus, String, String)> {
        self.signal(rustix::process::Signal::TERM)?;
        let status = self.wait(wait::DEADLINE)?;
        Ok((status, self.log(), self.output()))
    }

    /// Waits until it has ended.
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let ended = wait::until(timeout, || self.child.try_wait().ok().flatten());
        ended.with_context(|| format!("the agent did not stop:\n{}", self.log()))
    }

    /// Ends it without a chance to clean up.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is our own child and still there; when it is gone by now, so much the better.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
