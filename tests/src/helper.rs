//! Programs that do what no shell can: one system call, made in one particular way.
//!
//! They are C, in `helpers/`, because a test must choose the very call: a library would choose for it. They
//! are compiled when a test first asks, statically, so that they run in any root and open no file of their
//! own. Each is named `e2e-...`, which is how rules tell them from the rest of the machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};

use crate::binary;

static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());

/// The program `e2e-NAME` of `helpers/NAME.c`.
pub fn path(name: &'static str) -> anyhow::Result<PathBuf> {
    build(name, &["-static", "-Wall", "-Werror"])
}

/// The 32-bit program `e2e-NAME` of `helpers/NAME.c`, which brings all that it needs: there need not be a
/// 32-bit C library.
pub fn path_32(name: &'static str) -> anyhow::Result<PathBuf> {
    build(
        name,
        &[
            "-m32",
            "-static",
            "-nostdlib",
            "-ffreestanding",
            "-fno-stack-protector",
            "-fno-pie",
            "-no-pie",
        ],
    )
}

fn build(name: &'static str, flags: &[&str]) -> anyhow::Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let folder = tempfile::Builder::new()
        .prefix("helper-")
        .tempdir_in(binary::build_folder()?)?;
    let program = folder.path().join(format!("e2e-{name}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("helpers")
        .join(format!("{name}.c"));
    let done = Command::new("cc")
        .args(["-O1", "-o"])
        .args([&program, &source])
        .args(flags)
        .output()
        .context("the tests need a C compiler: apt-get install gcc libc6-dev")?;
    ensure!(
        done.status.success(),
        "{}: {}",
        source.display(),
        String::from_utf8_lossy(&done.stderr)
    );
    let path = binary::build_folder()?.join(format!("e2e-{name}"));
    // In one step: another test program may run the one that is there.
    std::fs::rename(&program, &path)?;
    built.insert(name, path.clone());
    Ok(path)
}
