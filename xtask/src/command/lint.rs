//! `cargo xtask lint`: what a reviewer should not have to say.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::ebpf_recipe::Compiler;
use crate::repo::Repo;
use crate::report::{Outcome, Report};
use crate::step;

use super::doc_check;
use super::setup::{self, Need};

/// Check formatting, lints, licences, sources and bans of dependencies, and the documentation.
///
/// `cargo xtask setup --lint` installs what this needs. Known vulnerabilities are not looked up here: that
/// needs a database from the network (`cargo deny check advisories`).
#[derive(Debug, Args)]
pub(super) struct Lint {}

impl Lint {
    #[expect(clippy::unused_self, reason = "every command runs by the same signature")]
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let started = Instant::now();
        setup::ensure(repo, Need::Build)?;
        let mut report = Report::default();
        report.stage("format", || passed(format(repo)));
        report.stage("clippy", || passed(clippy(repo)));
        report.stage("clippy of eBPF", || clippy_ebpf(repo));
        report.stage("dependencies", || dependencies(repo));
        report.stage("doc-check", || doc_check::check(repo));
        report.finish("lint", started)
    }
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed(String::new()))
}

fn format(repo: &Repo) -> Result<()> {
    step::loud("cargo fmt", repo.cargo("fmt").args(["--all", "--check"]))?;
    let manifest = repo.path("sensor-ebpf/Cargo.toml");
    step::loud(
        "cargo fmt of eBPF",
        repo.cargo("fmt")
            .arg("--check")
            .arg("--manifest-path")
            .arg(manifest),
    )
}

fn clippy(repo: &Repo) -> Result<()> {
    let mut cargo = repo.cargo("clippy");
    cargo.args(["--workspace", "--all-targets", "--", "--deny", "warnings"]);
    step::loud("cargo clippy", &mut cargo)
}

/// clippy with the eBPF compiler, which is another release than the workspace's.
fn clippy_ebpf(repo: &Repo) -> Result<Outcome> {
    let clippy = Compiler::find()?.rustc.with_file_name("cargo-clippy");
    if !clippy.is_file() {
        return Ok(Outcome::Skipped(format!(
            "no {}: run `cargo xtask setup --lint`",
            clippy.display()
        )));
    }
    // A folder of its own: checking and building the same crate in one would undo each other's work.
    let mut cargo = repo.ebpf(&repo.target("ebpf-lint")).cargo("clippy")?;
    cargo.args(["--", "--deny", "warnings"]);
    passed(step::loud("cargo clippy of eBPF", &mut cargo))
}

fn dependencies(repo: &Repo) -> Result<Outcome> {
    if !setup::has_cargo_deny() {
        return Ok(Outcome::Skipped(
            "no cargo-deny: run `cargo xtask setup --lint`".to_owned(),
        ));
    }
    // The policy's exceptions are those of the workspace; the eBPF crate need not have them.
    let exceptions_unused = [
        "--allow",
        "unmatched-skip",
        "--allow",
        "unmatched-skip-root",
        "--allow",
        "duplicate",
    ];
    for (label, manifest, allow) in [
        ("cargo deny", "Cargo.toml", [].as_slice()),
        ("cargo deny of eBPF", "sensor-ebpf/Cargo.toml", &exceptions_unused),
    ] {
        let mut deny = Command::new("cargo-deny");
        deny.arg("--manifest-path")
            .arg(repo.path(manifest))
            .arg("--config")
            .arg(repo.path("deny.toml"));
        deny.args(["--locked", "check"])
            .args(allow)
            .args(["bans", "licenses", "sources"]);
        step::loud(label, &mut deny)?;
    }
    Ok(Outcome::Passed(String::new()))
}
