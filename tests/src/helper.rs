//! Programs that do what no shell can: one system call, made in one particular way.
//!
//! They are C, in `helpers/`, because a test must choose the very call: a library would choose for it. They
//! are compiled when a test first asks, statically, so that they run in any root and open no file of their
//! own. Each is named `e2e-...`, which is how rules tell them from the rest of the machine.
//!
//! In a guest of `cargo xtask vmtest` there is no compiler: `SENSOR_HELPERS` names a folder where [`build_all`]
//! has put them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};

use crate::binary;

const FLAGS: &[&str] = &["-static", "-Wall", "-Werror", "-pthread"];

const FLAGS_32: &[&str] = &[
    "-m32",
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pie",
    "-no-pie",
];

static BUILT: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());

/// The program `e2e-NAME` of `helpers/NAME.c`.
pub fn path(name: &'static str) -> anyhow::Result<PathBuf> {
    build(name, FLAGS)
}

/// Builds all of them into a folder.
pub fn build_all(into: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(into)?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("helpers");
    for entry in std::fs::read_dir(&sources)? {
        let name = entry?
            .path()
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let flags = if name == "compat" { FLAGS_32 } else { FLAGS };
        compile(&name, flags, into)?;
    }
    Ok(())
}

/// The 32-bit program `e2e-NAME` of `helpers/NAME.c`, which brings all that it needs: there need not be a
/// 32-bit C library.
pub fn path_32(name: &'static str) -> anyhow::Result<PathBuf> {
    build(name, FLAGS_32)
}

fn build(name: &'static str, flags: &[&str]) -> anyhow::Result<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    if let Some(folder) = std::env::var_os("SENSOR_HELPERS") {
        return Ok(Path::new(&folder).join(format!("e2e-{name}")));
    }
    let path = compile(name, flags, &binary::build_folder()?)?;
    built.insert(name, path.clone());
    Ok(path)
}

/// Compiles one helper; its path.
fn compile(name: &str, flags: &[&str], into: &Path) -> anyhow::Result<PathBuf> {
    let folder = tempfile::Builder::new().prefix("helper-").tempdir_in(into)?;
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
    let path = into.join(format!("e2e-{name}"));
    // In one step: another test program may run the one that is there.
    std::fs::rename(&program, &path)?;
    Ok(path)
}
