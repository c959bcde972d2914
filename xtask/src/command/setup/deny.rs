//! cargo-deny, which checks licences, sources and bans.

use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::repo::Repo;
use crate::step;

/// The release that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Installs cargo-deny unless it is there: 4 minutes on two cores, so only when asked for.
pub(super) fn ensure(repo: &Repo) -> Result<()> {
    if exists() {
        return Ok(());
    }
    println!("to be built from crates.io, in about four minutes:");
    println!("  cargo-deny {VERSION}            checks licences, sources and bans of dependencies");
    let mut cargo = repo.cargo("install");
    cargo.args(["cargo-deny", "--locked", "--version", VERSION]);
    step::quiet(repo, "building cargo-deny", &mut cargo)
}

/// Whether `cargo deny` can be run.
pub(super) fn exists() -> bool {
    process::output(Command::new("cargo-deny").arg("--version")).is_ok()
}
