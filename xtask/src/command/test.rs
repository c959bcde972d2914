//! `cargo xtask test`: everything that can be checked on this machine.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::repo::Repo;
use crate::report::{Outcome, Report};
use crate::tally::Tally;

use super::build::{self, Profile};
use super::setup::{self, Need};
use super::{configurations, doc_check, harness, manifests};

/// Run all tests: unit tests, the documentation and manifest checks, and, as root, the end-to-end tests.
///
/// End-to-end tests load the release build into this machine's kernel. `--unit` needs no root once the
/// toolchain is installed. Examples: `cargo xtask test --unit`, `cargo xtask test --e2e -- connect`.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Unit tests and the documentation check only: no root, no kernel
    #[arg(long, conflicts_with = "e2e")]
    unit: bool,
    /// End-to-end tests only
    #[arg(long)]
    e2e: bool,
    /// Run the tests whose name contains this; other arguments go to the test programs too
    #[arg(last = true, value_name = "FILTER")]
    args: Vec<String>,
}

impl Test {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let started = Instant::now();
        setup::ensure(repo, if self.unit { Need::Build } else { Need::Test })?;
        let mut report = Report::default();
        if !self.e2e {
            report.stage("unit tests", || unit(repo, &self.args));
            report.stage("doc-check", || doc_check::check(repo));
        }
        if !self.e2e && !self.unit {
            report.stage("manifests", || manifests::check(repo));
        }
        if !self.unit {
            report.stage("configurations", || {
                build::agent(repo, Profile::Release)?;
                configurations::check(repo)
            });
            report.stage("end-to-end tests", || end_to_end(repo, &self.args));
        }
        report.finish("test", started)
    }
}

fn unit(repo: &Repo, args: &[String]) -> Result<Outcome> {
    let mut tally = Tally::default();
    let mut cargo = repo.cargo("test");
    cargo
        .args(["--workspace", "--exclude", "sensor-tests", "--no-fail-fast", "--"])
        .args(args);
    cargo.envs(repo.shared().map(|folder| ("SENSOR_SHARED", folder)));
    tally.run(&mut cargo)?;
    verdict(&tally)
}

fn end_to_end(repo: &Repo, args: &[String]) -> Result<Outcome> {
    build::agent(repo, Profile::Release)?;
    let mut tally = Tally::default();
    for program in harness::build_tests(repo)? {
        println!("     Running {}", program.display());
        let mut command = harness::as_root(repo, &program)?;
        // As `cargo test` does: tests find their files from their crate's folder.
        tally.run(command.current_dir(repo.path("tests")).args(args))?;
    }
    verdict(&tally)
}

fn verdict(tally: &Tally) -> Result<Outcome> {
    if tally.failed > 0 || tally.bad_exits > 0 {
        bail!("{tally}; {} commands ended badly", tally.bad_exits);
    }
    Ok(Outcome::Passed(tally.to_string()))
}
