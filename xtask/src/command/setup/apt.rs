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
pub(in crate::command) struct Package<'a> {
    pub(in crate::command) name: &'a str,
    pub(in crate::command) why: &'a str,
}

/// Whether this system has apt.
pub(in crate::command) fn exists() -> bool {
    process::find("apt-get").is_some() && process::find("dpkg-query").is_some()
}

/// Installs those of the packages that are missing.
pub(in crate::command) fn ensure(repo: &Repo, packages: &[Package<'_>]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!("to be installed from this system's package archive:");
    for package in &missing {
        println!("  {:<26} {}", package.name, package.why);
    }
    let mut fresh = false;
    if !without_candidate(&missing)?.is_empty() {
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

/// Those of the packages that the archive, as far as the local lists know it, does not have.
fn without_candidate<'a>(packages: &[Package<'a>]) -> Result<Vec<&'a str>> {
    let mut policy = Command::new("apt-cache");
    policy
        .arg("policy")
        .args(packages.iter().map(|package| package.name))
        .env("LC_ALL", "C");
    let answer = process::output(&mut policy)?;
    let known = with_candidate(&answer);
    Ok(packages
        .iter()
        .map(|package| package.name)
        .filter(|name| !known.contains(name))
        .collect())
}

/// Reads `apt-cache policy`: a line `NAME:`, then indented lines, of which one is `Candidate: VERSION`.
///
/// A package that apt has never heard of has no lines at all.
fn with_candidate(answer: &str) -> HashSet<&str> {
    let mut found = HashSet::new();
    let mut package = None;
    for line in answer.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = Some(name);
        } else if let (Some(name), Some(candidate)) = (package, line.trim().strip_prefix("Candidate: "))
            && candidate != "(none)"
        {
            found.insert(name);
        }
    }
    found
}

fn update(repo: &Repo) -> Result<()> {
    let mut command = apt_get()?;
    command.arg("update");
    step::quiet(repo, "apt-get update", &mut command)
}

fn install(repo: &Repo, packages: &[Package<'_>]) -> Result<()> {
    let lacking = without_candidate(packages)?;
    if !lacking.is_empty() {
        bail!(
            "this system's package archive has no {}: on Debian 12 it comes from the suite bookworm-security, \
             which must stand in /etc/apt/sources.list",
            lacking.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_a_version() {
        let answer = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n     \
                      1.96.0+dfsg1-1~deb12u2 500\nlibfoo:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(with_candidate(answer), HashSet::from(["rustc-web"]));
        assert_eq!(with_candidate(""), HashSet::new());
    }
}
