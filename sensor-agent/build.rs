//! Builds the eBPF object and tells the crate where it is.
//!
//! `env!("SENSOR_EBPF_OBJECT")` in the agent is the path for `aya::include_bytes_aligned!`. With
//! `SENSOR_EBPF_OBJECT_PREBUILT=/path/to/object` no eBPF toolchain is needed: that object is embedded.
//!
//! The programs are compiled in a target folder of their own, `<target>/ebpf`, because the outer cargo
//! holds the lock of the other one. All profiles share it; the copy in `OUT_DIR` is what gets embedded,
//! so that a build that runs meanwhile cannot change the bytes under the compiler.

#[path = "../xtask/src/ebpf_recipe.rs"]
mod ebpf_recipe;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

const PREBUILT_ENV: &str = "SENSOR_EBPF_OBJECT_PREBUILT";

/// What a new object is built after a change of: the programs, and the layout that they share with the agent.
const SOURCES: [&str; 5] = [
    "sensor-common/Cargo.toml",
    "sensor-common/src",
    "sensor-ebpf/Cargo.lock",
    "sensor-ebpf/Cargo.toml",
    "sensor-ebpf/src",
];

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PREBUILT_ENV}");
    let object = match env::var_os(PREBUILT_ENV) {
        Some(path) => prebuilt(PathBuf::from(path))?,
        None => build()?,
    };
    println!("cargo::rustc-env=SENSOR_EBPF_OBJECT={}", object.display());
    Ok(())
}

fn prebuilt(path: PathBuf) -> Result<PathBuf, Box<dyn Error>> {
    if !path.is_absolute() || !path.is_file() {
        return Err(format!(
            "{PREBUILT_ENV} must be the absolute path of a file: {}",
            path.display()
        )
        .into());
    }
    println!("cargo::rerun-if-changed={}", path.display());
    Ok(path)
}

fn build() -> Result<PathBuf, Box<dyn Error>> {
    let variable = |name: &str| env::var(name).map_err(|error| format!("cargo's {name}: {error}"));
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let repo = manifest_dir.parent().ok_or("sensor-agent lies in no workspace")?;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);

    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", repo.join(source).display());
    }
    for name in [ebpf_recipe::LINKER_ENV, "XDG_CACHE_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let target_dir = ebpf_recipe::target_root(&out_dir)
        .unwrap_or(&out_dir)
        .join("ebpf");
    let kernel_arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let recipe = ebpf_recipe::Recipe {
        repo,
        target_dir: &target_dir,
        kernel_arch: &kernel_arch,
    };
    keep(&recipe.build()?, &out_dir)
}

/// Copies the object to the build script's own folder.
fn keep(built: &Path, out_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let kept = out_dir.join("sensor-ebpf.o");
    fs::copy(built, &kept).map_err(|error| format!("{} -> {}: {error}", built.display(), kept.display()))?;
    Ok(kept)
}
