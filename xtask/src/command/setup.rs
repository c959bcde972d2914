//! `cargo xtask setup`: what must be on the machine before the build and the tests can run.
//!
//! Invariant: it looks first and acts on what is missing only, so a second run changes nothing and
//! ends in well under a second. It says what it will install, and what for, before it does.

pub(super) mod apt;
mod deny;
pub(super) mod fuzzer;
mod linker;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::ebpf_recipe::{self, Compiler};
use crate::process;
use crate::repo::Repo;

use self::apt::Package;

/// Install the eBPF toolchain: a compiler for bpfel-unknown-none and a matching bpf-linker.
///
/// On Debian 12 and later everything comes from Debian's archive and crates.io; bpf-linker is built once
/// a machine, in about a minute, into `$XDG_CACHE_HOME/sensor` (or `~/.cache/sensor`). Elsewhere a nightly
/// toolchain with rust-src is used when it is there, and what is missing is named.
///
/// Root (or sudo) is needed only when a package is missing. What is there is not installed again.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the command's flags")]
pub(super) struct Setup {
    /// Also what `cargo xtask demo` needs: runc and busybox, for a real container
    #[arg(long)]
    demo: bool,
    /// Also what `cargo xtask test` needs (includes --demo)
    #[arg(long)]
    test: bool,
    /// Also what `cargo xtask vmtest` needs (includes --test): QEMU
    #[arg(long)]
    vm: bool,
    /// Also what `cargo xtask lint` needs: clippy for the eBPF compiler, and cargo-deny (4 minutes to build)
    #[arg(long)]
    lint: bool,
}

/// What a command that calls [`ensure`] is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Compile everything.
    Build,
    /// Besides, start a container.
    Demo,
    /// Besides, look into the kernel, networks and manifests.
    Test,
    /// Besides, measure real programs.
    Bench,
    /// Besides, boot other kernels.
    Vm,
}

/// Compiling eBPF on Debian.
const COMPILER: [Package; 4] = [
    Package {
        name: "rustc-web",
        why: "the Rust compiler that Debian keeps current; it can emit eBPF",
    },
    Package {
        name: "libstd-rust-web-dev-bpf",
        why: "`core`, compiled for eBPF",
    },
    Package {
        name: "gcc",
        why: "links build scripts",
    },
    Package {
        name: "libc6-dev",
        why: "is what gcc links against; the tests' helper programs are made with it too",
    },
];

const DEMO: [Package; 2] = [
    Package {
        name: "runc",
        why: "starts the container that is attacked",
    },
    Package {
        name: "busybox-static",
        why: "is the container's whole content",
    },
];

const TEST: [Package; 7] = [
    Package {
        name: "containerd",
        why: "is one of the container engines that are watched",
    },
    Package {
        name: "containernetworking-plugins",
        why: "gives its pods a network",
    },
    Package {
        name: "docker.io",
        why: "is another",
    },
    Package {
        name: "podman",
        why: "is a third",
    },
    Package {
        name: "bpftool",
        why: "shows that nothing of ours stays in the kernel",
    },
    Package {
        name: "iproute2",
        why: "gives tests a network of their own",
    },
    Package {
        name: "python3-venv",
        why: "runs the Kubernetes schema check and a foreign gRPC client",
    },
];

/// What `cargo xtask bench` watches besides.
const BENCH: [Package; 4] = [
    Package {
        name: "redis-server",
        why: "is one of the programs whose loss is measured",
    },
    Package {
        name: "nginx-light",
        why: "is another",
    },
    Package {
        name: "wrk",
        why: "asks nginx",
    },
    Package {
        name: "make",
        why: "builds the project whose compile is measured",
    },
];

const VM: [Package; 4] = [
    Package {
        name: "qemu-system-x86",
        why: "boots other kernels",
    },
    Package {
        name: "cpio",
        why: "packs a guest's file system",
    },
    Package {
        name: "xz-utils",
        why: "unpacks modules of kernels",
    },
    Package {
        name: "binutils",
        why: "takes debugging symbols away, so that a guest's file system is small",
    },
];

const LINT: [Package; 1] = [Package {
    name: "rust-web-clippy",
    why: "clippy for the eBPF compiler",
}];

impl Setup {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let need = match (self.vm, self.test, self.demo) {
            (true, ..) => Need::Vm,
            (false, true, _) => Need::Test,
            (false, false, true) => Need::Demo,
            (false, false, false) => Need::Build,
        };
        ensure(repo, need)?;
        if self.lint {
            if apt::exists() {
                apt::ensure(repo, &LINT)?;
            }
            deny::ensure(repo)?;
        }
        let compiler = Compiler::find()?;
        let version = process::output(Command::new(&compiler.rustc).arg("--version"))?;
        let linker = ebpf_recipe::find_linker(compiler.llvm_major()?)?;
        println!("eBPF compiler: {} ({})", compiler.rustc.display(), version.trim());
        println!(
            "eBPF linker:   {} ({})",
            linker.display(),
            ebpf_recipe::LINKER_VERSION
        );
        println!("ready: `cargo build` builds everything and embeds the eBPF object");
        Ok(())
    }
}

/// Installs what `need` asks for, and nothing when all is there.
pub(super) fn ensure(repo: &Repo, need: Need) -> Result<()> {
    let compiler = find_compiler(repo)?;
    let llvm_major = compiler.llvm_major()?;
    if !linker::works(llvm_major) {
        linker::install(repo, llvm_major)?;
    }
    let mut packages = Vec::new();
    if need >= Need::Demo {
        packages.extend(DEMO);
    }
    if need >= Need::Test {
        packages.extend(TEST);
    }
    if need == Need::Bench {
        packages.extend(BENCH);
    }
    if need >= Need::Vm {
        packages.extend(VM);
    }
    if apt::exists() {
        return apt::ensure(repo, &packages);
    }
    // Elsewhere the names of packages differ, but the programs are the same.
    let programs = [
        ("runc", Need::Demo),
        ("busybox", Need::Demo),
        ("ip", Need::Test),
        ("python3", Need::Test),
        ("qemu-system-x86_64", Need::Vm),
        ("cpio", Need::Vm),
    ];
    let missing: Vec<_> = programs
        .iter()
        .filter(|(program, since)| need >= *since && process::find(program).is_none())
        .map(|(program, _)| *program)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "not in PATH: {}; install them with this system's package manager",
        missing.join(", ")
    )
}

/// The compiler that is there, or else the one Debian has.
fn find_compiler(repo: &Repo) -> Result<Compiler> {
    if let Ok(compiler) = Compiler::find() {
        return Ok(compiler);
    }
    if !apt::exists() {
        bail!("no Rust compiler here can build eBPF, and this is no Debian system.\n{NIGHTLY}");
    }
    if let Err(error) = apt::ensure(repo, &COMPILER) {
        bail!("{error:#}\nIf this system has no such packages, there is another way:\n{NIGHTLY}");
    }
    Ok(Compiler::find()?)
}

const NIGHTLY: &str = "  1. rustup toolchain install nightly --component rust-src
  2. install LLVM's development files of the release that `rustc +nightly -vV` names
     (Fedora: llvm-devel; Arch: llvm; Ubuntu: llvm-N-dev and libpolly-N-dev from apt.llvm.org),
     and set LLVM_PREFIX when `llvm-config` is not in PATH
  3. cargo xtask setup";

/// Whether `cargo deny` can be run.
pub(super) fn has_cargo_deny() -> bool {
    deny::exists()
}

/// Folder of LLVM's development files for one release: `LLVM_PREFIX`, Debian's place, or what `llvm-config` says.
fn llvm_prefix(llvm_major: u32) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LLVM_PREFIX") {
        return Some(named.into());
    }
    let debian = Path::new("/usr/lib").join(format!("llvm-{llvm_major}"));
    let versioned = format!("llvm-config-{llvm_major}");
    let candidates: [PathBuf; 3] = [
        debian.join("bin/llvm-config"),
        versioned.into(),
        "llvm-config".into(),
    ];
    candidates.iter().find_map(|config| {
        let ask = |what| process::output(Command::new(config).arg(what)).ok();
        let same = ask("--version")?.split('.').next()?.parse() == Ok(llvm_major);
        same.then(|| ask("--prefix").map(|prefix| prefix.trim().into()))?
    })
}
