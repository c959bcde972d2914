//! What a load is run beside: an agent, or programs that do nothing.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};

use super::agent::{Agent, Rules};
use crate::{cgroup, helper};

/// An arm of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    /// Programs of two instructions at the hooks of the profile `default`: what no sensor at these hooks can go below.
    Floor,
    /// An agent.
    Agent(Rules),
}

/// An arm at work. Dropping it ends it.
#[expect(dead_code, reason = "they are held until the load is over")]
pub(super) enum Running {
    Floor(Floor),
    Agent(Agent),
}

impl Arm {
    /// The floor, exec alone, our rules, and Falco's in each profile.
    pub(super) fn all() -> Vec<Self> {
        [Self::Floor]
            .into_iter()
            .chain([Rules::ExecOnly, Rules::Ours].map(Self::Agent))
            .chain(Rules::profiles().into_iter().map(Self::Agent))
            .collect()
    }

    /// Its name in tables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Floor => "empty hooks",
            Self::Agent(rules) => rules.name(),
        }
    }

    pub(super) fn start(&self) -> anyhow::Result<Running> {
        Ok(match self {
            Self::Floor => Running::Floor(Floor::start()?),
            Self::Agent(rules) => Running::Agent(Agent::start(rules)?),
        })
    }
}

/// The programs that do nothing.
pub(super) struct Floor(Child);

impl Floor {
    fn start() -> anyhow::Result<Self> {
        let root = cgroup::mount_point()?;
        let mut child = Command::new(helper::path("floor")?)
            .arg(root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let floor = Self(child);
        ensure!(line == "ready\n", "the empty hooks could not be attached");
        Ok(floor)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
