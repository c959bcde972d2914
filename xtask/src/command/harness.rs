//! Running the programs of `sensor-tests` (the demo, the benchmark, end-to-end tests) as root
//! against the release build of the agent.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::repo::Repo;
use crate::root;
use crate::step;

use super::build;

/// Builds the agent and one program of `sensor-tests`, both optimised, and runs the program as root.
pub(super) fn run_program(repo: &Repo, name: &str, args: &[String]) -> Result<()> {
    build::agent(repo, build::Profile::Release)?;
    let mut cargo = repo.cargo("build");
    cargo.args(["--release", "--package", "sensor-tests", "--bin", name]);
    step::loud(&format!("cargo build --release --bin {name}"), &mut cargo)?;
    let program = repo.target("release").join(name);
    let mut command = as_root(repo, &program)?;
    step::loud(name, command.args(args))
}

/// A command that runs a program of `sensor-tests` as root and tells it where the agent is.
///
/// `SENSOR_BIN` is the agent's path; `SENSOR_SHARED` the folder of shared reference data, where there is one.
pub(super) fn as_root(repo: &Repo, program: &std::path::Path) -> Result<Command> {
    as_root_with(repo, program, &[])
}

/// The same, with further variables.
pub(super) fn as_root_with(
    repo: &Repo,
    program: &std::path::Path,
    further: &[(&str, &str)],
) -> Result<Command> {
    let text = |path: PathBuf| {
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("{} is not UTF-8: move the clone", path.display()))
    };
    let sensor = text(repo.sensor())?;
    let shared = repo.shared().map(text).transpose()?;
    let mut environment = vec![("SENSOR_BIN", sensor.as_str())];
    environment.extend(shared.iter().map(|path| ("SENSOR_SHARED", path.as_str())));
    environment.extend(further);
    let program = text(program.to_path_buf())?;
    root::command(&program, "load eBPF programs", &environment)
}

/// Builds the end-to-end tests, as the user who called, and returns the programs.
pub(super) fn build_tests(repo: &Repo) -> Result<Vec<PathBuf>> {
    let mut cargo = repo.cargo("test");
    cargo.args([
        "--package",
        "sensor-tests",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| process::not_started(&cargo))?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let mut programs = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read cargo's messages")?;
        let message: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("cargo wrote no JSON: {line}"))?;
        if message["profile"]["test"] == true
            && let Some(path) = message["executable"].as_str()
        {
            programs.push(path.into());
        }
    }
    if !child.wait().context("cannot wait for cargo")?.success() {
        bail!("the end-to-end tests do not compile: see the messages above");
    }
    Ok(programs)
}
