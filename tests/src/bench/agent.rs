//! An agent under measurement: how it is started, and what the system knows of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use sensor_proto::v1::{KindCounters, StatusResponse};

use crate::{binary, client::Client, sensor::Sensor, wait};

/// What an agent is asked to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// One rule about programs, so that no system call is hooked.
    ExecOnly,
    /// `rules/`.
    Ours,
    /// Falco's stable rules, from this file.
    Falco(PathBuf),
    /// The same in the profile `lite`.
    FalcoLite(PathBuf),
    /// The same in the profile `all`.
    FalcoAll(PathBuf),
}

const EXEC_ONLY: &str = "
- rule: Program that nobody has
  desc: makes the agent look at every program that is started
  condition: evt.type in (execve, execveat) and proc.name = no-such-program
  output: started (command=%proc.cmdline)
  priority: NOTICE
";

impl Rules {
    /// Its name in tables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ExecOnly => "rules on exec only",
            Self::Ours => "our rules",
            Self::Falco(_) => "Falco's stable rules",
            Self::FalcoLite(_) => "Falco's, profile lite",
            Self::FalcoAll(_) => "Falco's, profile all",
        }
    }

    /// Falco's in each profile, where the shared reference data are.
    pub(super) fn profiles() -> Vec<Self> {
        let Some(Self::Falco(file)) = Self::falco() else {
            return Vec::new();
        };
        vec![
            Self::FalcoLite(file.clone()),
            Self::Falco(file.clone()),
            Self::FalcoAll(file),
        ]
    }

    /// Falco's, where the shared reference data are.
    pub(super) fn falco() -> Option<Self> {
        let shared = std::env::var_os("SENSOR_SHARED")
            .map_or_else(|| binary::repository().join("../shared"), PathBuf::from);
        let file = shared.join("falco-rules/falco_rules.yaml");
        file.is_file().then_some(Self::Falco(file))
    }
}

/// A running agent and a connection to it. Dropping it ends it.
pub(super) struct Agent {
    sensor: Sensor,
    client: Client,
}

/// What ran in the kernel for an agent since its programs were loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KernelTime {
    pub(super) runs: u64,
    pub(super) nanoseconds: u64,
}

impl Agent {
    pub(super) fn start(rules: &Rules) -> anyhow::Result<Self> {
        Self::start_with(rules, &[])
    }

    /// The same, with settings.
    pub(super) fn start_with(rules: &Rules, settings: &[&str]) -> anyhow::Result<Self> {
        let builder = Sensor::builder().set("stdout.enabled=false");
        let builder = settings.iter().fold(builder, |builder, set| builder.set(*set));
        let builder = match rules {
            Rules::ExecOnly => builder.rules(EXEC_ONLY),
            Rules::Ours => builder.rule_files(binary::repository().join("rules")),
            Rules::Falco(file) => builder.rule_files(file),
            Rules::FalcoLite(file) => builder.rule_files(file).set("kernel.profile=lite"),
            Rules::FalcoAll(file) => builder.rule_files(file).set("kernel.profile=all"),
        };
        let sensor = builder.start()?;
        let client = sensor.client()?;
        Ok(Self { sensor, client })
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.sensor.socket()
    }

    pub(super) fn status(&self) -> anyhow::Result<StatusResponse> {
        self.client.status()
    }

    /// Its counters once all that was sent has been read from the rings; as they are when that takes too long.
    pub(super) fn settled(&self) -> anyhow::Result<Vec<KindCounters>> {
        let is_read = |kind: &KindCounters| kind.sent == kind.delivered + kind.malformed;
        let settled = wait::until(Duration::from_secs(30), || {
            let kinds = self.status().ok()?.kinds;
            kinds.iter().all(is_read).then_some(kinds)
        });
        settled.map_or_else(|| Ok(self.status()?.kinds), Ok)
    }

    /// Processor time of all its threads so far.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.sensor.pid()))? {
            // A thread may end meanwhile; the agent's worker threads do not.
            let times = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += times
                .split(' ')
                .next()
                .and_then(|time| time.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.sensor.pid()
    }

    /// What its programs have used since they were loaded; counts only while `bpf_stats_enabled` is set.
    pub(super) fn kernel_time(&self) -> anyhow::Result<KernelTime> {
        let mut total = KernelTime::default();
        for program in self.kernel_objects("bpf-prog", "prog_id")?.values() {
            total.runs += program.get("run_cnt").copied().unwrap_or(0);
            total.nanoseconds += program.get("run_time_ns").copied().unwrap_or(0);
        }
        Ok(total)
    }

    /// Bytes that its maps hold in the kernel: rings, counters, scratch.
    pub(super) fn map_bytes(&self) -> anyhow::Result<u64> {
        let maps = self.kernel_objects("bpf-map", "map_id")?;
        Ok(maps.values().filter_map(|map| map.get("memlock")).sum())
    }

    /// The numbers that the kernel gives of each object of a kind that the agent has open, by the object's id.
    fn kernel_objects(&self, kind: &str, id: &str) -> anyhow::Result<BTreeMap<u64, BTreeMap<String, u64>>> {
        let process = PathBuf::from(format!("/proc/{}", self.sensor.pid()));
        let mut objects = BTreeMap::new();
        for descriptor in fs::read_dir(process.join("fd"))? {
            let descriptor = descriptor?;
            let is_kind = |target: &Path| target.to_string_lossy().ends_with(kind);
            if !fs::read_link(descriptor.path()).is_ok_and(|target| is_kind(&target)) {
                continue;
            }
            let text = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name()))?;
            let numbers: BTreeMap<String, u64> = text.lines().filter_map(entry).collect();
            let id = numbers
                .get(id)
                .with_context(|| format!("a {kind} without {id}"))?;
            objects.insert(*id, numbers);
        }
        Ok(objects)
    }
}

/// `name:<tab>number`
fn entry(line: &str) -> Option<(String, u64)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().parse().ok()?))
}

/// Bytes of a process's memory that are resident now.
pub(super) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// The counters of one kind.
pub(super) fn kind<'a>(kinds: &'a [KindCounters], name: &str) -> anyhow::Result<&'a KindCounters> {
    kinds
        .iter()
        .find(|kind| kind.kind == name)
        .with_context(|| format!("the agent counts no {name}"))
}
