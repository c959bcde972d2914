//! bpf-linker, built once a machine for the LLVM of the eBPF compiler.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::ebpf_recipe::{self, LINKER_VERSION};
use crate::process;
use crate::repo::Repo;
use crate::step;

use super::apt::{self, Package};
use super::{NIGHTLY, llvm_prefix};

/// LLVM releases that this bpf-linker has a feature for.
const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// Whether the linker is there, starts (its LLVM library is found), and is the release we want.
pub(super) fn works(llvm_major: u32) -> bool {
    let Ok(linker) = ebpf_recipe::find_linker(llvm_major) else {
        return false;
    };
    let version = process::output(Command::new(linker).arg("--version"));
    version.is_ok_and(|text| text.split_whitespace().any(|word| word == LINKER_VERSION))
}

/// Builds and installs the linker.
pub(super) fn install(repo: &Repo, llvm_major: u32) -> Result<()> {
    if let Some(named) = std::env::var_os(ebpf_recipe::LINKER_ENV) {
        let (variable, named) = (ebpf_recipe::LINKER_ENV, named.display());
        bail!(
            "{variable} names {named}, which is no working bpf-linker {LINKER_VERSION}: correct or unset it"
        );
    }
    if !LLVM_MAJORS.contains(&llvm_major) {
        bail!(
            "the eBPF compiler is built on LLVM {llvm_major}, and bpf-linker {LINKER_VERSION} knows {LLVM_MAJORS:?} \
             only: use another compiler, or set {} to a linker of your own",
            ebpf_recipe::LINKER_ENV
        );
    }
    if apt::exists() {
        install_llvm(repo, llvm_major)?;
    }
    let Some(prefix) = llvm_prefix(llvm_major) else {
        bail!("no LLVM {llvm_major} to build bpf-linker with.\n{NIGHTLY}");
    };
    let folder = ebpf_recipe::linker_folder(llvm_major)?;
    println!("to be built from crates.io, in about a minute:");
    println!(
        "  bpf-linker {LINKER_VERSION}          makes one eBPF object of many crates -> {}",
        folder.display()
    );
    let work = folder.join("build");
    let mut cargo = repo.cargo("install");
    cargo
        .args([
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
            "--no-default-features",
            "--force",
        ])
        .arg(format!("--features=llvm-{llvm_major}"))
        .arg("--root")
        .arg(&folder)
        .arg("--target-dir")
        .arg(&work)
        .env("LLVM_PREFIX", prefix);
    step::quiet(repo, "building bpf-linker", &mut cargo)?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    if !works(llvm_major) {
        bail!(
            "the new bpf-linker in {} does not start: run it with --version to see why",
            folder.display()
        );
    }
    Ok(())
}

fn install_llvm(repo: &Repo, llvm_major: u32) -> Result<()> {
    let (llvm, polly) = (
        format!("llvm-{llvm_major}-dev"),
        format!("libpolly-{llvm_major}-dev"),
    );
    apt::ensure(
        repo,
        &[
            Package {
                name: &llvm,
                why: "the LLVM that reads what the compiler writes; bpf-linker links with it",
            },
            Package {
                name: &polly,
                why: "a part of LLVM that bpf-linker links with",
            },
            Package {
                name: "zlib1g-dev",
                why: "LLVM needs it",
            },
            Package {
                name: "libzstd-dev",
                why: "LLVM needs it",
            },
        ],
    )
}
