//! The loads: short runs of `helpers/load.c`.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::statistics::number;
use crate::helper;

/// One kind of load, and how long a short run of it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    /// As `load` calls it.
    pub(super) name: &'static str,
    /// As a reader calls it.
    pub(super) title: &'static str,
    /// Operations of a short run: about a tenth of a second.
    pub(super) times: u64,
    /// The kind of event that it makes; empty for none.
    pub(super) kind: &'static str,
}

/// From what no rule asks for to what every rule set asks for.
pub(super) const WORKLOADS: [Workload; 9] = [
    of("getppid", "getppid", 600_000, ""),
    of("pipe", "pipe, a byte there and back", 5_000, ""),
    of("open", "open + close", 80_000, "open"),
    of(DEEP, "open + close, 30 folders deep", 50_000, "open"),
    of(MATCHED, "open + close, a rule matches", 2_000, "open"),
    of("exec", "fork + exec + wait", 120, "exec"),
    of("tcp", "TCP connect + close", 2_000, "connect"),
    of("udp", "UDP connect", 150_000, "connect"),
    of("send", "UDP send", 40_000, ""),
];

const fn of(name: &'static str, title: &'static str, times: u64, kind: &'static str) -> Workload {
    Workload {
        name,
        title,
        times,
        kind,
    }
}

/// `open` of a file that lies deep.
const DEEP: &str = "open-deep";
/// `open` of a file that both rule sets watch.
const MATCHED: &str = "open-matched";
/// Each has a rule on whoever reads it.
const WATCHED: &str = "/etc/shadow";
/// Folders above the deep file.
const DEPTH: usize = 30;

/// The programs, compiled, and a harmless file.
#[derive(Debug)]
pub(super) struct Loads {
    load: PathBuf,
    nothing: PathBuf,
    file: tempfile::NamedTempFile,
    deep: PathBuf,
    /// Holds `deep`.
    _folder: tempfile::TempDir,
}

/// What a load says that it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) operations: u64,
    /// On the clock.
    pub(super) time: Duration,
    /// Processor time of the load and its children.
    pub(super) used: Duration,
}

impl Done {
    /// Nanoseconds of one operation, on the clock.
    pub(super) fn each(&self) -> f64 {
        1e9 * self.time.as_secs_f64() / number(self.operations)
    }

    /// Nanoseconds of processor time of one operation.
    pub(super) fn each_used(&self) -> f64 {
        1e9 * self.used.as_secs_f64() / number(self.operations)
    }

    /// What two did at the same time.
    pub(super) fn beside(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            time: self.time.max(other.time),
            used: self.used + other.used,
        }
    }

    /// Operations in a second.
    pub(super) fn per_second(&self) -> f64 {
        1e9 / self.each()
    }
}

impl Loads {
    pub(super) fn build() -> anyhow::Result<Self> {
        let file = tempfile::Builder::new().prefix("sensor-bench-").tempfile()?;
        let folder = tempfile::Builder::new().prefix("sensor-bench-").tempdir()?;
        let inside = (0..DEPTH).fold(folder.path().to_owned(), |at, _| at.join("folder"));
        std::fs::create_dir_all(&inside)?;
        let deep = inside.join("file");
        std::fs::write(&deep, "")?;
        Ok(Self {
            load: helper::path("load")?,
            nothing: helper::path("true")?,
            file,
            deep,
            _folder: folder,
        })
    }

    /// Runs a workload `times` times.
    pub(super) fn run(&self, workload: &Workload, times: u64) -> anyhow::Result<Done> {
        let mut command = Command::new(&self.load);
        let name = match workload.name {
            DEEP | MATCHED => "open",
            name => name,
        };
        command.args([name, &times.to_string()]);
        match workload.name {
            "open" => command.arg(self.file.path()),
            DEEP => command.arg(&self.deep),
            MATCHED => command.arg(WATCHED),
            "exec" => command.arg(&self.nothing),
            _ => &mut command,
        };
        parse(&super::output_of(&mut command)?)
    }

    /// Opens at a rate, until it is waited for.
    pub(super) fn flood_open(&self, seconds: u32, per_second: u32) -> anyhow::Result<Running> {
        self.start("flood-open", seconds, self.file.path(), per_second)
    }

    /// Starts programs at a rate, until it is waited for.
    pub(super) fn flood_exec(&self, seconds: u32, per_second: u32) -> anyhow::Result<Running> {
        self.start("flood-exec", seconds, &self.nothing, per_second)
    }

    /// Opens `path` again and again, with a pause before each.
    pub(super) fn needle(&self, times: u32, path: &str, pause: Duration) -> anyhow::Result<Running> {
        let pause = u32::try_from(pause.as_micros())?;
        self.start("needle", times, Path::new(path), pause)
    }

    fn start(&self, what: &str, number: u32, path: &Path, rate: u32) -> anyhow::Result<Running> {
        let mut command = Command::new(&self.load);
        command
            .args([what, &number.to_string()])
            .arg(path)
            .arg(rate.to_string());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("a load cannot be run")?;
        Ok(Running(Some(child)))
    }
}

/// A load that is at work. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Running(Option<Child>);

impl Running {
    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// Waits for its end, and hands back what it printed.
    pub(super) fn output(mut self) -> anyhow::Result<String> {
        let output = self.0.take().context("the load has ended")?.wait_with_output()?;
        anyhow::ensure!(output.status.success(), "a load ended with {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits for its end, and hands back what it did.
    pub(super) fn done(self) -> anyhow::Result<Done> {
        parse(&self.output()?)
    }

    /// Whether it has ended.
    pub(super) fn is_over(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.0 {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn parse(text: &str) -> anyhow::Result<Done> {
    let numbers = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>();
    match numbers.as_deref() {
        Ok([operations, time, used]) => Ok(Done {
            operations: *operations,
            time: Duration::from_nanos(*time),
            used: Duration::from_nanos(*used),
        }),
        _ => bail!("a load says {text:?}"),
    }
}
