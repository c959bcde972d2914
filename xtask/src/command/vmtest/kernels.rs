//! Debian's kernels: which, and how to get them without touching this system's apt.
//!
//! Names of kernel packages move with each security update, so a kernel is found through a metapackage or,
//! where Debian has none, as the newest package of its series. Each suite has an apt state of its own: an
//! entry in `/etc/apt` would let an ordinary `apt-get install` take a newer libc from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A kernel of the matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// As the command line and the table name it.
    pub(super) name: &'static str,
    /// Suite of Debian's archive.
    suite: &'static str,
    /// Where the kernel's package is found.
    package: Package,
}

#[derive(Debug, Clone, Copy)]
enum Package {
    /// The one that this metapackage depends on.
    Of(&'static str),
    /// The newest of this series that the suite has.
    Series(&'static str),
}

/// From the oldest that we say we run on to the newest that Debian has.
pub(super) const MATRIX: [Kernel; 5] = [
    Kernel {
        name: "5.10",
        suite: "bullseye-security",
        package: Package::Of("linux-image-cloud-amd64"),
    },
    Kernel {
        name: "6.1",
        suite: "bookworm-security",
        package: Package::Of("linux-image-cloud-amd64"),
    },
    Kernel {
        name: "6.12",
        suite: "trixie-security",
        package: Package::Of("linux-image-cloud-amd64"),
    },
    Kernel {
        name: "6.18",
        suite: "trixie-backports",
        package: Package::Series("linux-image-6.18."),
    },
    Kernel {
        name: "newest",
        suite: "trixie-backports",
        package: Package::Of("linux-image-cloud-amd64"),
    },
];

/// A kernel on the disk.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The image that boots.
    pub(super) image: PathBuf,
    /// overlayfs, which is a module in all of them; the file may be compressed.
    pub(super) overlay: Option<PathBuf>,
}

/// Fetches a kernel into `folder`, unless it is there; about three seconds.
pub(super) fn fetch(kernel: Kernel, folder: &Path) -> Result<Fetched> {
    let apt = Apt::new(kernel.suite, &folder.join("apt").join(kernel.suite))?;
    apt.run("apt-get", &["-qq", "update"])?;
    let package = match kernel.package {
        Package::Of(metapackage) => apt
            .depends(metapackage)?
            .into_iter()
            .find(|name| name.starts_with("linux-image-"))
            .with_context(|| format!("{} of {} depends on no kernel", metapackage, kernel.suite))?,
        Package::Series(prefix) => apt.newest(prefix)?,
    };
    let root = folder.join(&package);
    if !root.is_dir() {
        // From 7.2 on the image and the modules are packages of their own.
        let mut packages: Vec<_> = apt
            .depends(&package)?
            .into_iter()
            .filter(|name| name.starts_with("linux-binary-") || name.starts_with("linux-modules-"))
            .collect();
        packages.push(package.clone());
        let part = folder.join(format!("{package}.part"));
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        apt.download(&packages, &part)?;
        fs::rename(&part, &root).with_context(|| format!("cannot make {}", root.display()))?;
    }
    let image = find(&root, &|name| name.starts_with("vmlinuz"))
        .with_context(|| format!("{package} has no kernel image"))?;
    let overlay = find(&root, &|name| name.starts_with("overlay.ko"));
    Ok(Fetched { image, overlay })
}

/// An apt that knows one suite only.
struct Apt {
    options: Vec<String>,
    folder: PathBuf,
}

impl Apt {
    fn new(suite: &str, folder: &Path) -> Result<Self> {
        for below in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(below))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let label = if suite.ends_with("-security") {
            "Label: Debian-Security"
        } else {
            "Label: Debian"
        };
        // The archive that this system uses, whatever its address.
        let answer = process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            label,
        ]))?;
        let archive = answer
            .lines()
            .next()
            .with_context(|| format!("apt knows no archive with {label}: run apt-get update"))?;
        let source = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {suite} main\n"
        );
        let list = folder.join("sources.list");
        fs::write(&list, source).with_context(|| format!("cannot write {}", list.display()))?;
        fs::write(folder.join("status"), "")
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let at = folder.display();
        let options = vec![
            format!("Dir::Etc::SourceList={at}/sources.list"),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={at}/lists"),
            format!("Dir::State::status={at}/status"),
            format!("Dir::Cache={at}/cache"),
            "APT::Sandbox::User=root".to_owned(),
        ];
        Ok(Self {
            options,
            folder: folder.to_owned(),
        })
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        process::output(command.args(args).current_dir(&self.folder).env("LC_ALL", "C"))
    }

    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let answer = self.run(
            "apt-cache",
            &["depends", "--no-recommends", "--no-suggests", package],
        )?;
        let name = |line: &str| {
            Some(
                line.trim()
                    .trim_start_matches('|')
                    .strip_prefix("Depends: ")?
                    .to_owned(),
            )
        };
        Ok(answer.lines().filter_map(name).collect())
    }

    /// The newest package whose name begins so and ends as the cloud kernels' do.
    fn newest(&self, prefix: &str) -> Result<String> {
        let names = self.run("apt-cache", &["pkgnames", prefix])?;
        names
            .lines()
            .filter(|name| name.ends_with("-cloud-amd64"))
            .max_by_key(|name| numbers(name))
            .map(str::to_owned)
            .with_context(|| format!("{} has no package {prefix}*-cloud-amd64", self.folder.display()))
    }

    fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        let mut args = vec!["-qq", "download"];
        args.extend(packages.iter().map(String::as_str));
        self.run("apt-get", &args)?;
        for entry in fs::read_dir(&self.folder).context("cannot read the download's folder")? {
            let path = entry.context("cannot read the download's folder")?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                process::output(Command::new("dpkg-deb").arg("-x").args([&path, into]))?;
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// The numbers of a version, which order as versions do.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// The first file below a folder whose name is as wanted.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            if let Some(found) = find(&path, wanted) {
                return Some(found);
            }
        } else if wanted(&entry.file_name().to_string_lossy()) {
            return Some(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert!(numbers("linux-image-6.18.15+deb13") > numbers("linux-image-6.18.9+deb13"));
    }
}
