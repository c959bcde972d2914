//! `cargo xtask image`: the container image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::oci::{self, File};
use crate::repo::Repo;
use crate::rules;
use crate::step;

use super::setup::{self, Need};

/// Make the container image as a tar file, without docker and without a registry.
///
/// The agent is linked statically, so the image holds one program, its rules and its configuration, and
/// nothing to keep up to date. Load it with `docker load -i`, `podman load -i` or `ctr images import`. The same
/// content also goes to <target>/image/rootfs, from which deploy/Dockerfile builds the same image.
#[derive(Debug, Args)]
pub(super) struct Image {
    /// Repository and tag of the image
    #[arg(long, default_value = concat!("localhost/sensor:", env!("CARGO_PKG_VERSION")))]
    name: String,
    /// Where to write it [default: <target>/image/sensor.tar]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Where things lie in the image. deploy/Dockerfile and deploy/daemonset.yaml rely on it.
const PROGRAM: &str = "usr/bin/sensor";
const CONFIG: &str = "etc/sensor/sensor.yaml";
const RULES: &str = "etc/sensor/rules.d";

/// Makes the image under its usual name.
pub(super) fn make(repo: &Repo, output: &Path) -> Result<()> {
    let image = Image {
        name: concat!("localhost/sensor:", env!("CARGO_PKG_VERSION")).to_owned(),
        output: Some(output.to_owned()),
    };
    image.run(repo)
}

impl Image {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            other => bail!("no image for {other}: the agent's programs are for x86_64"),
        };
        setup::ensure(repo, Need::Build)?;
        let program = build_static(repo)?;
        let files = content(repo, &program)?;
        unpack(&repo.target("image/rootfs"), &files)?;

        let image = oci::archive(&oci::Image {
            name: &self.name,
            architecture,
            entrypoint: &["/usr/bin/sensor"],
            cmd: &["run"],
            labels: &[
                ("org.opencontainers.image.title", "sensor"),
                (
                    "org.opencontainers.image.description",
                    "A runtime threat sensor for containers and hosts",
                ),
                ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
                ("org.opencontainers.image.licenses", "Apache-2.0"),
            ],
            files: &files,
        })?;
        let output = self
            .output
            .clone()
            .unwrap_or_else(|| repo.target("image/sensor.tar"));
        fs::write(&output, &image.bytes).with_context(|| format!("cannot write {}", output.display()))?;
        println!(
            "{} ({} bytes), {}, id {}",
            output.display(),
            image.bytes.len(),
            self.name,
            image.id
        );
        Ok(())
    }
}

/// Builds the agent with glibc inside. `--target` keeps the flag away from build scripts and macros.
fn build_static(repo: &Repo) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let rustflags = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        target.to_uppercase().replace('-', "_")
    );
    let mut cargo = repo.cargo("build");
    cargo
        .args([
            "--profile",
            "dist",
            "--package",
            "sensor-agent",
            "--bin",
            "sensor",
            "--target",
            &target,
        ])
        .env(rustflags, "-Ctarget-feature=+crt-static");
    step::loud("building the agent, linked statically", &mut cargo)?;
    Ok(repo.target(&target).join("dist/sensor"))
}

/// The image's files by their path.
fn content(repo: &Repo, program: &Path) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    let mut add = |from: &Path, to: String, executable| -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        files.insert(to, File { content, executable });
        Ok(())
    };
    add(program, PROGRAM.to_owned(), true)?;
    add(&repo.path("deploy/sensor.yaml"), CONFIG.to_owned(), false)?;
    let folder = repo.path("rules");
    for file in rules::files(&folder)? {
        let name = file.strip_prefix(&folder).unwrap_or(&file).display().to_string();
        add(&file, format!("{RULES}/{name}"), false)?;
    }
    Ok(files)
}

/// Writes the image's content as a folder, in place of what an earlier run left there.
fn unpack(folder: &Path, files: &BTreeMap<String, File>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    for (path, file) in files {
        let to = folder.join(path);
        let context = || format!("cannot write {}", to.display());
        fs::create_dir_all(to.parent().unwrap_or(folder)).with_context(context)?;
        fs::write(&to, &file.content).with_context(context)?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).with_context(context)?;
    }
    Ok(())
}
