//! A guest: an initramfs of this machine's programs with their libraries, booted by QEMU.
//!
//! Programs are copied with what `ldd` names, so nothing is built twice. QEMU emulates the processor (TCG):
//! it needs no /dev/kvm, and takes some ten times the time; nothing is measured in a guest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

use super::kernels::Fetched;

/// Runs as the guest's first program.
const INIT: &str = include_str!("init.sh");

/// How long a guest may run.
const LIMIT: Duration = Duration::from_mins(25);

/// Memory of a guest, in MiB: its whole file system lies there.
const MEMORY_MIB: &str = "1536";

/// A file system for guests.
#[derive(Debug)]
pub(super) struct Root {
    folder: PathBuf,
    libraries: BTreeSet<PathBuf>,
}

impl Root {
    /// An empty one, with busybox and the folders of a merged `/usr`.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        for below in [
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "applets",
            "dev",
            "etc",
            "proc",
            "root",
            "run",
            "sys",
            "tmp",
            "var",
        ] {
            fs::create_dir_all(folder.join(below))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), folder.join(name))?;
        }
        fs::write(
            folder.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
        )?;
        fs::write(folder.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
        let mut root = Self {
            folder: folder.to_owned(),
            libraries: BTreeSet::new(),
        };
        root.text("init", INIT)?;
        root.program(Path::new("/bin/busybox"), "usr/bin/busybox")?;
        Ok(root)
    }

    /// An executable text.
    pub(super) fn text(&self, to: &str, text: &str) -> Result<()> {
        let path = self.folder.join(to);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// A program without its debugging symbols, with its libraries.
    pub(super) fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        let target = self.folder.join(to);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from, &target).with_context(|| format!("cannot copy {}", from.display()))?;
        // Scripts and what else has no symbols stay as they are.
        let _ = Command::new("strip")
            .arg("--strip-debug")
            .arg(&target)
            .stderr(Stdio::null())
            .status();
        let libraries = process::output(Command::new("ldd").arg(from)).unwrap_or_default();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            if self.libraries.insert(library.into()) {
                let target = self.folder.join(library.trim_start_matches('/'));
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::copy(library, &target).with_context(|| format!("cannot copy {library}"))?;
            }
        }
        Ok(())
    }

    /// The program of this name of the machine, at the place where it is here; `false` when there is none.
    pub(super) fn system_program(&mut self, name: &str) -> Result<bool> {
        let Some(found) = process::find(name) else {
            return Ok(false);
        };
        let real = found
            .canonicalize()
            .with_context(|| format!("cannot find {name}"))?;
        let at = real.display().to_string();
        self.program(&real, at.trim_start_matches('/'))?;
        if real.file_name() != found.file_name() {
            let link = self.folder.join("usr/bin").join(name);
            if !link.exists() {
                symlink(&real, link)?;
            }
        }
        Ok(true)
    }

    /// A folder with all that is in it.
    pub(super) fn tree(&self, from: &Path, to: &str) -> Result<()> {
        let target = self.folder.join(to);
        fs::create_dir_all(&target)?;
        process::output(Command::new("cp").arg("-rL").arg(from.join(".")).arg(target))?;
        Ok(())
    }

    /// Packs it, with what this kernel needs besides.
    fn pack(&self, kernel: &Fetched, into: &Path) -> Result<()> {
        let module = self.folder.join("overlay.ko");
        let _ = fs::remove_file(&module);
        if let Some(overlay) = &kernel.overlay {
            if overlay.extension().is_some_and(|extension| extension == "xz") {
                let status = Command::new("xz")
                    .arg("-dc")
                    .arg(overlay)
                    .stdout(File::create(&module)?)
                    .status()
                    .context("cannot start xz")?;
                if !status.success() {
                    bail!("xz could not unpack {}", overlay.display());
                }
            } else {
                fs::copy(overlay, &module)?;
            }
        }
        let pack = "find . | cpio -o -H newc --quiet | gzip -1 >\"$0\"";
        process::output(
            Command::new("sh")
                .args(["-c", pack])
                .arg(into)
                .current_dir(&self.folder),
        )?;
        Ok(())
    }
}

/// What came of a guest.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What its programs printed.
    pub(super) output: String,
    /// Exit code of `/start`; `None` when the guest ended without, or was out of time.
    pub(super) code: Option<i32>,
    /// The end of the kernel's console.
    pub(super) console: String,
    pub(super) took: Duration,
}

/// Boots a kernel with this root; its `/start` is what runs.
pub(super) fn boot(root: &Root, kernel: &Fetched, work: &Path) -> Result<Outcome> {
    fs::create_dir_all(work).with_context(|| format!("cannot make {}", work.display()))?;
    let initrd = work.join("initrd");
    root.pack(kernel, &initrd)?;
    let serial = |name: &str| format!("file:{}", work.join(name).display());
    let started = Instant::now();
    // One host thread for both processors: with one each, kernels that patch their own code (static keys) have
    // run into stale breakpoints (6.18: "Oops: int3"), which no real machine does.
    // The three serial lines: the kernel's console, what the programs print, the exit code.
    let status = Command::new("timeout")
        .arg(LIMIT.as_secs().to_string())
        .args([
            "qemu-system-x86_64",
            "-M",
            "q35",
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-smp",
            "2",
        ])
        .args(["-m", MEMORY_MIB, "-nodefaults", "-display", "none", "-no-reboot"])
        .args([
            "-serial",
            &serial("console"),
            "-serial",
            &serial("out"),
            "-serial",
            &serial("code"),
        ])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&initrd)
        .args([
            "-append",
            "console=ttyS0 panic=-1 oops=panic quiet lsm=lockdown,capability,yama,bpf",
        ])
        .stdin(Stdio::null())
        .status()
        .context("cannot start QEMU: cargo xtask setup --vm")?;
    let read = |name: &str| {
        let bytes = fs::read(work.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    };
    let code = read("code")
        .trim()
        .strip_prefix("exit ")
        .and_then(|code| code.parse().ok());
    let console = read("console");
    let tail: Vec<_> = console.lines().rev().take(30).collect();
    let mut console: Vec<_> = tail.into_iter().rev().map(str::to_owned).collect();
    if status.code() == Some(124) {
        console.push(format!("no result within {} s", LIMIT.as_secs()));
    }
    Ok(Outcome {
        output: read("out"),
        code,
        console: console.join("\n"),
        took: started.elapsed(),
    })
}
