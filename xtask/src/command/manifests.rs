//! `cargo xtask manifests`: the Kubernetes manifests against Kubernetes' own schemas, without a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use crate::repo::Repo;
use crate::report::Outcome;
use crate::step;

/// The checker, which carries the schemas inside.
const CHECKER: &str = "kubernetes-validate==1.37.0";

/// Oldest and newest API that a manifest must fit; `appArmorProfile` came with 1.30.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];

/// Check the manifests in deploy/ against the Kubernetes schemas, strictly and offline.
///
/// The checker (PyPI kubernetes-validate, pinned) goes into a virtual environment below the target folder.
#[derive(Debug, Args)]
pub(super) struct Manifests {}

impl Manifests {
    #[expect(clippy::unused_self, reason = "every command runs by the same signature")]
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        match check(repo)? {
            Outcome::Passed(what) => println!("manifests: {what}"),
            Outcome::Skipped(why) => println!("skip: {why}"),
        }
        Ok(())
    }
}

/// Runs the check; skipped only when the checker is not here and PyPI cannot be reached.
pub(super) fn check(repo: &Repo) -> Result<Outcome> {
    let venv = repo.target("venv-manifests");
    if let Some(why) = install(repo, &venv)? {
        return Ok(Outcome::Skipped(why));
    }
    let manifests = manifests(&repo.path("deploy"))?;
    for version in KUBERNETES {
        let mut checker = Command::new(venv.join("bin/kubernetes-validate"));
        checker
            .args(["--strict", "--quiet", "-k", version])
            .args(&manifests);
        step::loud(
            &format!("checking manifests against Kubernetes {version}"),
            &mut checker,
        )?;
    }
    Ok(Outcome::Passed(format!(
        "{} files against Kubernetes {}",
        manifests.len(),
        KUBERNETES.join(", ")
    )))
}

fn manifests(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        // The agent's own configuration lies there too.
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if text.lines().any(|line| line.starts_with("apiVersion:")) {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("no manifest in {}", folder.display());
    }
    files.sort();
    Ok(files)
}

/// Installs the checker unless it is there. `Some` says why it could not be had.
fn install(repo: &Repo, venv: &Path) -> Result<Option<String>> {
    // Written last, so that an installation that was interrupted is done again.
    let mark = venv.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == CHECKER) {
        return Ok(None);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(venv);
    step::quiet(repo, "making a Python environment", &mut make).context("run `cargo xtask setup --test`")?;
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args([
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--retries",
        "2",
        CHECKER,
    ]);
    if let Err(error) = step::quiet(repo, "installing kubernetes-validate", &mut pip) {
        if pypi_answers(venv) {
            return Err(error);
        }
        return Ok(Some(format!(
            "PyPI cannot be reached, so {CHECKER} is not to be had"
        )));
    }
    fs::write(&mark, CHECKER).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(None)
}

/// Whether the package index that pip is set up with answers at all.
fn pypi_answers(venv: &Path) -> bool {
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args([
        "download",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-cache-dir",
    ]);
    pip.args(["--retries", "0", "--dest"])
        .arg(venv)
        .arg("six")
        .stderr(Stdio::null());
    process::output(&mut pip).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What stands in the list of a DaemonSet's `capabilities.add`, as the kernel names it.
    fn granted_in_daemonset(yaml: &str) -> BTreeSet<String> {
        let mut lines = yaml
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "capabilities:");
        let added = lines.by_ref().skip_while(|line| *line != "add:").skip(1);
        let list = added.take_while(|line| line.starts_with("- ") || line.starts_with('#'));
        list.filter_map(|line| line.strip_prefix("- "))
            .map(|name| format!("CAP_{name}"))
            .collect()
    }

    #[test]
    fn the_unit_and_the_daemonset_grant_the_same_capabilities() -> Result<()> {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let unit = fs::read_to_string(deploy.join("sensor.service"))?;
        let in_unit = unit
            .lines()
            .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let in_unit: BTreeSet<_> = in_unit
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let in_daemonset = granted_in_daemonset(&fs::read_to_string(deploy.join("daemonset.yaml"))?);
        assert_eq!(in_daemonset, in_unit);
        assert!(in_unit.contains("CAP_BPF"), "{in_unit:?}");

        let readme = fs::read_to_string(deploy.join("README.md"))?;
        for capability in &in_unit {
            assert!(
                readme.contains(&format!("`{capability}`")),
                "deploy/README.md does not explain {capability}"
            );
        }
        Ok(())
    }
}
