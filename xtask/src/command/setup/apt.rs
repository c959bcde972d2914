//! Packages of Debian and its relatives.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::repo::Repo;
use crate::root;
use crate::step;

/// A package and what it is here for, in words that a user reads before it is installed.
#[derive(Debug, Clone)]
pub(super) struct Package<'a> {
    pub(super) name: &'a str,
    pub(super) why: &'a str,
}

/// Whether this system has apt.
pub(super) fn exists() -> bool {
    process::find("apt-get").is_some() && process::find("dpkg-query").is_some()
}

/// Installs those of the packages that are missing.
pub(super) fn ensure(repo: &Repo, packages: &[Package<'_>]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!("to be installed from this system's package archive:");
    for package in &missing {
        println!("  {:<26} {}", package.name, package.why);
    }
    let mut fresh = false;
    if !all_have_candidates(&missing)? {
        update(repo)?;
        fresh = true;
    }
    if let Err(error) = install(repo, &missing) {
        // Old package lists name files that the archive has replaced since.
        if fresh {
            return Err(error);
        }
        update(repo)?;
        install(repo, &missing)?;
    }
    Ok(())
}

fn missing<'a>(packages: &[Package<'a>]) -> Vec<Package<'a>> {
    if packages.is_empty() {
        return Vec::new();
    }
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n"]);
    query.args(packages.iter().map(|package| package.name));
    // dpkg-query fails when it does not know one of them; what it does know is on its output all the same.
    let known = query.output().map(|output| output.stdout).unwrap_or_default();
    let known = String::from_utf8_lossy(&known);
    let installed: HashSet<&str> = known
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    packages
        .iter()
        .filter(|package| !installed.contains(package.name))
        .cloned()
        .collect()
}

fn all_have_candidates(packages: &[Package<'_>]) -> Result<bool> {
    let mut policy = Command::new("apt-cache");
    policy
        .arg("policy")
        .args(packages.iter().map(|package| package.name))
        .env("LC_ALL", "C");
    let answer = process::output(&mut policy)?;
    let candidates = answer
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(candidates.filter(|candidate| *candidate != "(none)").count() == packages.len())
}

fn update(repo: &Repo) -> Result<()> {
    let mut command = apt_get()?;
    command.arg("update");
    step::quiet(repo, "apt-get update", &mut command)
}

fn install(repo: &Repo, packages: &[Package<'_>]) -> Result<()> {
    if !all_have_candidates(packages)? {
        let names: Vec<_> = packages.iter().map(|package| package.name).collect();
        bail!(
            "the package archive lacks one of: {} (see `apt-cache policy`)",
            names.join(" ")
        );
    }
    let mut command = apt_get()?;
    command.args(["install", "--yes", "--no-install-recommends"]);
    command.args(packages.iter().map(|package| package.name));
    step::quiet(repo, "apt-get install", &mut command)
}

fn apt_get() -> Result<Command> {
    root::command(
        "apt-get",
        "install packages",
        &[("DEBIAN_FRONTEND", "noninteractive")],
    )
}
