//! Where and of what the figures are.

use std::{fs, process::Command, thread};

use anyhow::Context as _;

use super::output_of;
use crate::binary;

/// What does not change during a run, and the load at its start.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory_gib: u64,
    pub(super) kernel: String,
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) sensor: String,
    pub(super) load: Load,
}

/// How busy the machine is.
#[derive(Debug)]
pub(super) struct Load {
    /// Processes that ran or wanted to, over the last minute.
    pub(super) average: String,
    /// Clock ticks since the start of the machine: all, and those that the host took away.
    pub(super) ticks: u64,
    pub(super) stolen: u64,
}

impl Machine {
    pub(super) fn look() -> anyhow::Result<Self> {
        let of = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = of(&fs::read_to_string("/proc/meminfo")?, "MemTotal").context("no MemTotal")?;
        let memory: u64 = memory.trim_end_matches(" kB").parse()?;
        let git = |arguments: &[&str]| {
            output_of(
                Command::new("git")
                    .current_dir(binary::repository())
                    .args(arguments),
            )
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_| "unknown".into());
        let is_changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
        Ok(Self {
            processor: of(&fs::read_to_string("/proc/cpuinfo")?, "model name")
                .unwrap_or_else(|| "unknown".into()),
            cores: thread::available_parallelism()?.get(),
            memory_gib: memory.div_ceil(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            date: output_of(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]))?,
            commit: if is_changed {
                format!("{commit}, with changes")
            } else {
                commit
            },
            sensor: output_of(Command::new(binary::sensor()).arg("version"))?,
            load: Load::look()?,
        })
    }
}

impl Load {
    pub(super) fn look() -> anyhow::Result<Self> {
        let average = fs::read_to_string("/proc/loadavg")?;
        let times = fs::read_to_string("/proc/stat")?;
        let times: Vec<u64> = times
            .lines()
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        Ok(Self {
            average: average.split(' ').next().unwrap_or("").to_owned(),
            // The first eight are user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
            ticks: times.iter().take(8).sum(),
            stolen: times.get(7).copied().unwrap_or(0),
        })
    }

    /// Per cent of the time since `before` that the host gave to others.
    pub(super) fn stolen_since(&self, before: &Self) -> f64 {
        100.0
            * super::statistics::ratio(self.stolen - before.stolen, self.ticks - before.ticks).unwrap_or(0.0)
    }
}
