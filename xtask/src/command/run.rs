//! `cargo xtask run`: the agent from this tree, on this machine.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use clap::Args;

use crate::repo::Repo;

use super::build::{self, Profile};
use super::harness;
use super::setup::{self, Need};

/// Build the agent and run it, as root, with the rules of this tree.
///
/// Stop it with Ctrl-C. Example: `cargo xtask run -- --rules my-rules.yaml`; see `sensor run --help`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Arguments of `sensor run`
    #[arg(last = true)]
    args: Vec<String>,
}

impl Run {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        setup::ensure(repo, Need::Build)?;
        build::agent(repo, Profile::Release)?;
        let rules = format!("rules.files={}", repo.path("rules").display());
        let mut command = harness::as_root(repo, &repo.sensor())?;
        // As a setting, because a `--rules` of the user's replaces it.
        command.args(["run", "--set", &rules]).args(&self.args);
        // In place of this program, so that Ctrl-C and the exit status are the agent's own.
        Err(command.exec()).context("cannot start the agent")
    }
}
