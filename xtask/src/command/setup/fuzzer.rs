//! cargo-fuzz, which builds and runs the fuzz targets.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::ebpf_recipe;
use crate::process;
use crate::repo::Repo;
use crate::step;

/// The release that the targets are built with.
const VERSION: &str = "0.13.2";

/// Builds cargo-fuzz into the cache unless it is there, and returns its path.
pub(in crate::command) fn ensure(repo: &Repo) -> Result<PathBuf> {
    let folder = ebpf_recipe::cache_folder()?.join("cargo-fuzz");
    let program = folder.join("bin/cargo-fuzz");
    // As cargo calls it: its own name is the first argument.
    let version = process::output(Command::new(&program).args(["fuzz", "--version"]));
    if version.is_ok_and(|version| version.trim().ends_with(VERSION)) {
        return Ok(program);
    }
    println!(
        "to be built from crates.io, in about a minute, into {}:",
        folder.display()
    );
    println!("  cargo-fuzz {VERSION}            builds and runs the fuzz targets");
    let mut cargo = repo.cargo("install");
    cargo
        .args([
            "cargo-fuzz",
            "--locked",
            "--version",
            VERSION,
            "--force",
            "--root",
        ])
        .arg(&folder);
    step::quiet(repo, "building cargo-fuzz", &mut cargo)?;
    Ok(program)
}
