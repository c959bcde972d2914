//! The one recipe that turns `sensor-ebpf` into an eBPF object.
//!
//! `sensor-agent/build.rs` includes this file, so that a plain `cargo build` embeds the object,
//! and `cargo xtask` uses it as a module; neither has a second copy of the flags. For the build
//! script's sake it uses the standard library alone.
//!
//! Invariant: nothing here installs or downloads a tool. What is missing is an [`Error`] that
//! says how to get it; installing is the work of `cargo xtask setup`.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release of bpf-linker that this tree is tested with.
pub(crate) const LINKER_VERSION: &str = "0.13.0";

/// Environment variable that names a linker to use instead of the one `setup` built.
pub(crate) const LINKER_ENV: &str = "SENSOR_BPF_LINKER";

const TARGET: &str = "bpfel-unknown-none";
/// The profile of `sensor-ebpf/Cargo.toml` again, as variables: a cargo configuration in a folder above would go before
/// the manifest, and the verifier takes only what was compiled in this way.
const PROFILE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
];
/// Name of the binary in `sensor-ebpf/Cargo.toml`.
const OBJECT_NAME: &str = "sensor";

/// Why there is no eBPF object.
#[derive(Debug)]
pub(crate) enum Error {
    /// No compiler here has, or can build, `core` for the eBPF target.
    NoCompiler,
    /// There is no bpf-linker that matches the compiler's LLVM.
    NoLinker {
        /// Where `cargo xtask setup` would have put it.
        expected: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where tools are kept.
    NoCacheFolder,
    /// A program could not be started.
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The compiler's `-vV` names no LLVM release.
    NoLlvmVersion {
        /// The compiler.
        rustc: PathBuf,
    },
    /// cargo ran and refused; its own messages stand above.
    Compile {
        /// The crate's folder.
        folder: PathBuf,
    },
    /// cargo succeeded but the object is not where it belongs.
    NoObject {
        /// Where it was looked for.
        expected: PathBuf,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCompiler => write!(
                out,
                "no Rust compiler here can build for {TARGET}: run `cargo xtask setup` \
                 (it installs Debian's rustc-web and libstd-rust-web-dev-bpf, \
                 or uses a nightly toolchain with rust-src)"
            ),
            Self::NoLinker { expected } => write!(
                out,
                "bpf-linker {LINKER_VERSION} is not at {}: run `cargo xtask setup`, \
                 or set {LINKER_ENV} to one built for the compiler's LLVM",
                expected.display()
            ),
            Self::NoCacheFolder => {
                write!(
                    out,
                    "no cache folder for bpf-linker: set HOME, XDG_CACHE_HOME or {LINKER_ENV}"
                )
            }
            Self::Spawn { program, source } => write!(out, "cannot start {}: {source}", program.display()),
            Self::NoLlvmVersion { rustc } => {
                write!(
                    out,
                    "`{} -vV` names no LLVM version: cannot choose a bpf-linker",
                    rustc.display()
                )
            }
            Self::Compile { folder } => {
                write!(
                    out,
                    "the eBPF programs in {} did not compile: see the messages above",
                    folder.display()
                )
            }
            Self::NoObject { expected } => write!(
                out,
                "cargo built no {}: the binary in sensor-ebpf/Cargo.toml must be named {OBJECT_NAME}",
                expected.display()
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spawn { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A compiler that can produce eBPF, and how it gets `core`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The compiler itself.
    pub(crate) rustc: PathBuf,
    /// The cargo to drive it with; `None` means the one that runs us.
    cargo: Option<PathBuf>,
    /// `core` is compiled from rust-src rather than shipped ready.
    build_std: bool,
}

impl Compiler {
    /// Finds a compiler: Debian's rustc-web first, since it has `core` ready, then a nightly with rust-src.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] when there is neither.
    pub(crate) fn find() -> Result<Self, Error> {
        Self::debian().or_else(Self::nightly).ok_or(Error::NoCompiler)
    }

    fn debian() -> Option<Self> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        let core = sysroot(Command::new(&rustc))?
            .join("lib/rustlib")
            .join(TARGET)
            .join("lib");
        core.is_dir().then_some(Self {
            rustc,
            cargo: None,
            build_std: false,
        })
    }

    fn nightly() -> Option<Self> {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", "nightly", "rustc"]);
        let sysroot = sysroot(rustup)?;
        let core = sysroot.join("lib/rustlib/src/rust/library/core");
        core.is_dir().then(|| Self {
            rustc: sysroot.join("bin/rustc"),
            cargo: Some(sysroot.join("bin/cargo")),
            build_std: true,
        })
    }

    /// Major release of the LLVM inside the compiler; the linker must be built for the same one.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the compiler does not start, [`Error::NoLlvmVersion`] when it does not say.
    pub(crate) fn llvm_major(&self) -> Result<u32, Error> {
        let output = clean(Command::new(&self.rustc))
            .arg("-vV")
            .output()
            .map_err(|source| Error::Spawn {
                program: self.rustc.clone(),
                source,
            })?;
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(|line| {
                line.strip_prefix("LLVM version: ")?
                    .split('.')
                    .next()?
                    .parse()
                    .ok()
            })
            .ok_or_else(|| Error::NoLlvmVersion {
                rustc: self.rustc.clone(),
            })
    }
}

/// Asks a compiler for its sysroot; `None` when it is not installed.
fn sysroot(rustc: Command) -> Option<PathBuf> {
    let output = clean(rustc)
        .args(["--print", "sysroot"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
    (output.status.success() && path.is_dir()).then_some(path)
}

/// Folder that `cargo xtask setup` installs the linker to, for one LLVM release.
///
/// # Errors
/// [`Error::NoCacheFolder`] when the environment names no home.
pub(crate) fn linker_folder(llvm_major: u32) -> Result<PathBuf, Error> {
    Ok(cache_folder()?.join(format!("bpf-linker-{LINKER_VERSION}-llvm-{llvm_major}")))
}

/// Folder of the tools that are built once a machine.
///
/// It lies outside the repository: a second clone on the same machine finds it ready.
///
/// # Errors
/// [`Error::NoCacheFolder`] when the environment names no home.
pub(crate) fn cache_folder() -> Result<PathBuf, Error> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .ok_or(Error::NoCacheFolder)?;
    Ok(cache.join("sensor"))
}

/// Finds the linker for a compiler with this LLVM release: the one [`LINKER_ENV`] names, or the one `setup` built.
///
/// A bpf-linker on `PATH` is not used unasked, because nothing tells which LLVM it reads.
///
/// # Errors
/// [`Error::NoLinker`] with the place where it is expected.
pub(crate) fn find_linker(llvm_major: u32) -> Result<PathBuf, Error> {
    let linker = match env::var_os(LINKER_ENV) {
        Some(named) => PathBuf::from(named),
        None => linker_folder(llvm_major)?.join("bin/bpf-linker"),
    };
    if linker.is_file() {
        Ok(linker)
    } else {
        Err(Error::NoLinker { expected: linker })
    }
}

/// What one cargo command over the eBPF crate needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Recipe<'a> {
    /// The repository's root.
    pub(crate) repo: &'a Path,
    /// cargo's target folder for this build. It must not be one that a running cargo holds the lock of.
    pub(crate) target_dir: &'a Path,
    /// Architecture of the kernel that will load the object, as Rust names it; it decides register layouts.
    pub(crate) kernel_arch: &'a str,
}

impl Recipe<'_> {
    /// A cargo command (`build`, `clippy`…) for the eBPF crate with compiler, linker and flags in place.
    ///
    /// # Errors
    /// Whatever is missing of the toolchain.
    pub(crate) fn cargo(&self, subcommand: &str) -> Result<Command, Error> {
        let compiler = Compiler::find()?;
        let linker = find_linker(compiler.llvm_major()?)?;
        let own_cargo = || env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let cargo_path = compiler.cargo.clone().unwrap_or_else(own_cargo);
        // clippy is tied to one compiler, so it must be the one that was installed beside it.
        let program = match subcommand {
            "clippy" => compiler.rustc.with_file_name("cargo-clippy"),
            _ => cargo_path.clone(),
        };
        let mut cargo = clean(Command::new(program));
        cargo
            .current_dir(self.folder())
            .env("CARGO", cargo_path)
            .args([subcommand, "--release", "--locked", "--target", TARGET])
            .arg("--target-dir")
            .arg(self.target_dir)
            .env("RUSTC", &compiler.rustc)
            // `core` for eBPF and aya-ebpf's intrinsics are behind feature gates of the compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags())
            .envs(PROFILE);
        if compiler.build_std {
            cargo.arg("-Zbuild-std=core");
        }
        Ok(cargo)
    }

    /// Builds the object and returns its path below the target folder.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn build(&self) -> Result<PathBuf, Error> {
        let mut cargo = self.cargo("build")?;
        // A build script's standard output is a protocol; cargo's messages belong on standard error.
        let status = cargo
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|source| Error::Spawn {
                program: cargo.get_program().into(),
                source,
            })?;
        if !status.success() {
            return Err(Error::Compile {
                folder: self.folder(),
            });
        }
        let object = self.target_dir.join(TARGET).join("release").join(OBJECT_NAME);
        if object.is_file() {
            Ok(object)
        } else {
            Err(Error::NoObject { expected: object })
        }
    }

    fn folder(&self) -> PathBuf {
        self.repo.join("sensor-ebpf")
    }

    /// Debug information becomes the object's BTF, without which maps have no types and programs no line numbers.
    fn rustflags(&self) -> String {
        let arch = format!("--cfg=bpf_target_arch=\"{}\"", self.kernel_arch);
        ["-Cdebuginfo=2", "-Clink-arg=--btf", &arch].join("\x1f")
    }
}

/// Takes from a command what an outer cargo put into the environment for its own compiler.
///
/// Left in place, `RUSTFLAGS`, a clippy wrapper or the outer target folder would reach the eBPF compiler.
/// Settings of the network and of the registry stay.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if is_cargo_internal(&name) {
            command.env_remove(&name);
        }
    }
    command
}

fn is_cargo_internal(name: &OsStr) -> bool {
    const KEPT: [&str; 5] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_TERM_",
    ];
    const OTHERS: [&str; 11] = [
        "CLIPPY_ARGS",
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "TARGET",
        "RUSTUP_TOOLCHAIN",
        "MAKEFLAGS",
        "MFLAGS",
    ];
    let name = name.to_string_lossy();
    let cargo = name == "CARGO" || name.starts_with("CARGO_");
    (cargo && !KEPT.iter().any(|kept| name.starts_with(kept)))
        || name.starts_with("RUSTC")
        || name.starts_with("RUSTFLAGS")
        || name.starts_with("RUSTDOC")
        || OTHERS.contains(&name.as_ref())
}

/// The folder that cargo is building into, found from a path below it (such as `OUT_DIR`) by cargo's own mark.
///
/// The topmost mark counts: with `--target` there is a second one further down.
#[must_use]
pub(crate) fn target_root(below: &Path) -> Option<&Path> {
    below
        .ancestors()
        .filter(|folder| folder.join("CACHEDIR.TAG").is_file())
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_cargo_and_not_of_a_build_pass_on() {
        for (name, internal) in [
            ("CARGO", true),
            ("CARGO_ENCODED_RUSTFLAGS", true),
            ("CARGO_MANIFEST_DIR", true),
            ("CARGO_TARGET_DIR", true),
            ("CARGO_PROFILE_RELEASE_STRIP", true),
            ("RUSTC_WORKSPACE_WRAPPER", true),
            ("RUSTFLAGS", true),
            ("RUSTUP_TOOLCHAIN", true),
            ("TARGET", true),
            ("CARGO_HOME", false),
            ("CARGO_HTTP_CAINFO", false),
            ("CARGO_REGISTRIES_MIRROR_INDEX", false),
            ("PATH", false),
            ("HOME", false),
            ("TARGETS", false),
        ] {
            assert_eq!(is_cargo_internal(OsStr::new(name)), internal, "{name}");
        }
    }

    #[test]
    fn the_target_folder_is_the_topmost_that_cargo_marked() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target");
        let out_dir = target.join("x86_64-unknown-linux-gnu/release/build/sensor-agent-0123/out");
        std::fs::create_dir_all(&out_dir)?;
        assert_eq!(target_root(&out_dir), None);
        for marked in [&target, &target.join("x86_64-unknown-linux-gnu")] {
            std::fs::write(marked.join("CACHEDIR.TAG"), "")?;
        }
        assert_eq!(target_root(&out_dir), Some(target.as_path()));
        Ok(())
    }

    #[test]
    fn what_is_missing_is_told_with_the_way_out() {
        let missing = Error::NoLinker {
            expected: "/cache/bpf-linker".into(),
        };
        assert_eq!(
            missing.to_string(),
            "bpf-linker 0.13.0 is not at /cache/bpf-linker: run `cargo xtask setup`, or set SENSOR_BPF_LINKER to one \
             built for the compiler's LLVM"
        );
        assert!(Error::NoCompiler.to_string().contains("run `cargo xtask setup`"));
    }
}
