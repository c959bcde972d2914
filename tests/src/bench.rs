//! The benchmarks: what the agent costs on this machine, and how soon it tells.
//!
//! Each figure is taken on the release build of the agent, with real system calls and over gRPC. What is compared
//! is compared within one run, in turns, because the machine's own speed changes from minute to minute.

use std::io::Write as _;

use anyhow::{bail, ensure};

use crate::interrupt;

mod agent;
mod apps;
mod arm;
mod churn;
mod cost;
mod flood;
mod latency;
mod machine;
mod mix;
mod overhead;
mod replay;
mod report;
mod start;
mod statistics;
mod workload;

pub use report::DOCUMENT;

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bench {
    /// Start to first event, memory and processor time at rest.
    Start,
    /// What programs lose by the agent's presence.
    Overhead,
    /// What a compile, redis and nginx lose.
    Apps,
    /// From the system call's return to the subscriber.
    Latency,
    /// Nanoseconds for each event, in the kernel and in the agent.
    Cost,
    /// As many events as this machine can make, and where each of them went.
    Flood,
    /// Thousands of containers, and what is left of them.
    Churn,
    /// Events a second of whole rule sets over a recorded mix.
    Replay,
    /// Which share of each kind of event ends in the kernel.
    Mix,
}

impl Bench {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Overhead,
        Self::Apps,
        Self::Latency,
        Self::Cost,
        Self::Flood,
        Self::Churn,
        Self::Replay,
        Self::Mix,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Overhead => "overhead",
            Self::Apps => "apps",
            Self::Latency => "latency",
            Self::Cost => "cost",
            Self::Flood => "flood",
            Self::Churn => "churn",
            Self::Replay => "replay",
            Self::Mix => "mix",
        }
    }
}

/// What is to be measured, and how thoroughly.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which benchmarks.
    pub benches: Vec<Bench>,
    /// How often the arms of the overhead benchmark take turns.
    pub rounds: u32,
    /// Seconds that the flood lasts.
    pub flood_s: u32,
    /// Containers that come and go.
    pub containers: usize,
}

/// Measures, and returns the report: Markdown.
pub fn run(options: &Options) -> anyhow::Result<String> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the agent needs root: run this with sudo"
    );
    ensure!(!options.benches.is_empty(), "no benchmark was named");
    if cfg!(debug_assertions) {
        progress("note: this program is not optimised; cargo xtask bench builds what is to be measured")?;
    }
    let machine = machine::Machine::look()?;
    let mut sections = Vec::new();
    for bench in &options.benches {
        progress(&format!("{} ...", bench.name()))?;
        sections.push(match bench {
            Bench::Start => start::run()?,
            Bench::Overhead => overhead::run(options.rounds)?,
            Bench::Apps => apps::run(options.rounds)?,
            Bench::Latency => latency::run()?,
            Bench::Cost => cost::run()?,
            Bench::Flood => flood::run(options.flood_s)?,
            Bench::Churn => churn::run(options.containers)?,
            Bench::Replay => replay::run()?,
            Bench::Mix => mix::run()?,
        });
    }
    Ok(report::write(
        &machine,
        &machine::Load::look()?,
        options,
        &sections,
    ))
}

/// Says on standard error what is done next, unless the user wants to go.
fn progress(what: &str) -> anyhow::Result<()> {
    interrupt::check()?;
    // Who does not listen misses nothing of the result.
    let _ = writeln!(std::io::stderr(), "{what}");
    Ok(())
}

/// Runs `command` and hands back its standard output.
fn output_of(command: &mut std::process::Command) -> anyhow::Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
