//! `cargo xtask bench`: what the agent costs on this machine, and how soon it tells.

use std::{io::Write as _, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::{Parser, builder::PossibleValuesParser};
use sensor_tests::{
    bench::{self, Bench, Options},
    binary, interrupt,
};

/// Measure what the agent costs on this machine, and how soon it tells.
///
/// Prints a report in Markdown; progress goes to standard error. Takes about ten minutes. Let nothing else run
/// meanwhile.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    after_long_help = "\
Benchmarks:
  start      start to first event; memory and processor time at rest
  overhead   the same loads with and without the agent, in turns
  apps       a compile, redis and nginx with and without the agent, in turns
  latency    from the system call's return to the subscriber
  cost       nanoseconds for each event, in the kernel and in the agent
  flood      as many events as this machine can make, and where each of them went
  churn      thousands of containers, and what the agent still holds when they are gone
  replay     events a second of whole rule sets over a recorded mix
  mix        which share of each kind of event ends in the kernel, while a machine does ordinary work

Needs root and a C compiler; the agent is SENSOR_BIN, or beside this program. Falco's stable rules are measured, too,
where SENSOR_SHARED has them."
)]
struct Arguments {
    /// Which benchmarks; all when none is named
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(Bench::ALL.map(Bench::name)))]
    names: Vec<String>,
    /// How often the arms of `overhead` and `apps` take turns
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each flood lasts, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    flood_seconds: u32,
    /// How many containers come and go in `churn`
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(5..=100_000))]
    containers: u32,
    /// Write the report to docs/benchmarks.md, too; only with all benchmarks
    #[arg(long, conflicts_with = "names")]
    write: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let is_wanted =
        |bench: &Bench| arguments.names.is_empty() || arguments.names.iter().any(|name| name == bench.name());
    let options = Options {
        benches: Bench::ALL.into_iter().filter(is_wanted).collect(),
        rounds: arguments.rounds,
        flood_s: arguments.flood_seconds,
        containers: arguments.containers as usize,
    };
    interrupt::watch()?;
    let report = interrupt::or_interrupted(bench::run(&options))?;
    std::io::stdout().write_all(report.as_bytes())?;
    if arguments.write {
        ensure!(
            !cfg!(debug_assertions),
            "figures of an unoptimised build are not written down: use cargo xtask bench"
        );
        let path = binary::repository().join(bench::DOCUMENT);
        std::fs::write(&path, &report).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
