//! `cargo xtask bench`: what the agent costs on this machine.

use anyhow::Result;
use clap::Args;

use crate::repo::Repo;

use super::harness;
use super::setup::{self, Need};

/// Measure latency, memory and cost per event of the release build, as docs/benchmarks.md reports them.
///
/// Let nothing else run meanwhile.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Arguments of the benchmark program; `-- --help` lists them
    #[arg(last = true)]
    args: Vec<String>,
}

impl Bench {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        setup::ensure(repo, Need::Bench)?;
        harness::run_program(repo, "bench", &self.args)
    }
}
