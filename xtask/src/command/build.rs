//! `cargo xtask build`: the agent.

use anyhow::Result;
use clap::Args;

use crate::repo::Repo;
use crate::step;

use super::setup::{self, Need};

/// Build the agent, optimised, with its eBPF object inside.
///
/// The result is <target>/release/sensor. This is `cargo build --release` after `cargo xtask setup`.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// Build without optimisation, faster to compile, to <target>/debug/sensor
    #[arg(long)]
    debug: bool,
}

/// How the agent is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// Unoptimised.
    Debug,
    /// As users get it.
    Release,
}

impl Build {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        setup::ensure(repo, Need::Build)?;
        let (profile, folder) = if self.debug {
            (Profile::Debug, "debug")
        } else {
            (Profile::Release, "release")
        };
        agent(repo, profile)?;
        println!("{}", repo.target(folder).join("sensor").display());
        Ok(())
    }
}

/// Builds the agent's binary.
pub(super) fn agent(repo: &Repo, profile: Profile) -> Result<()> {
    let mut cargo = repo.cargo("build");
    cargo.args(["--package", "sensor-agent", "--bin", "sensor"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    step::loud("building the agent", &mut cargo)
}
