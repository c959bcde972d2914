//! `cargo xtask demo`: see it work.

use anyhow::Result;
use clap::Args;

use crate::repo::Repo;

use super::harness;
use super::setup::{self, Need};

/// Start the agent, attack this machine and a container harmlessly, and watch the detections arrive.
///
/// Installs and builds what is missing first. Nothing of it stays behind: no process, no file, no program
/// in the kernel.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Arguments of the demo program; `-- --help` lists them
    #[arg(last = true)]
    args: Vec<String>,
}

impl Demo {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        setup::ensure(repo, Need::Demo)?;
        harness::run_program(repo, "demo", &self.args)
    }
}
