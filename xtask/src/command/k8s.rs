//! `cargo xtask k8s`: a real Kubernetes node, and the sensor's DaemonSet on it.
//!
//! Kubernetes 1.20 is built from the source package in Debian's archive, once a machine, into the cache folder:
//! there is no binary of a newer one to be had from a package registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::oci::{self, File};
use crate::repo::Repo;
use crate::step;

use super::harness;
use super::image;
use super::setup::{self, Need, apt};

/// Build Kubernetes (six minutes once), and with --test run the sensor as a DaemonSet on a real node of it.
///
/// The programs and the sources (3 GB) go to `$XDG_CACHE_HOME/sensor/k8s` (or `~/.cache/sensor/k8s`). The node runs in
/// mount and network namespaces of its own, and nothing of it stays behind.
#[derive(Debug, Args)]
pub(super) struct K8s {
    /// Deploy deploy/daemonset.yaml on a node and check what it says of pods
    #[arg(long)]
    test: bool,
}

const PROGRAMS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
];

/// How the build goes; it takes the folder to work in and the folder of the programs.
const BUILD: &str = include_str!("k8s/build.sh");

const PACKAGES: [apt::Package<'_>; 9] = [
    package("golang-go", "compiles Kubernetes"),
    package(
        "golang-github-modern-go-reflect2-dev",
        "is the library whose copy in Kubernetes crashes with today's Go",
    ),
    package("dpkg-dev", "fetches the source package"),
    package("etcd-server", "is the node's store"),
    package("containerd", "runs its pods"),
    package("containernetworking-plugins", "gives pods a network"),
    package("iproute2", "gives the node an address"),
    package("openssl", "makes the node's certificates"),
    package("curl", "asks its API server"),
];

const fn package<'a>(name: &'a str, why: &'a str) -> apt::Package<'a> {
    apt::Package { name, why }
}

impl K8s {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        if !apt::exists() {
            bail!("Kubernetes is built from Debian's source package, and this is no Debian system");
        }
        setup::ensure(repo, Need::Test)?;
        apt::ensure(repo, &PACKAGES)?;
        let cache = cache()?;
        let programs = cache.join("bin");
        if PROGRAMS.iter().any(|program| !programs.join(program).is_file()) {
            let mut script = Command::new("bash");
            script
                .args(["-c", BUILD, "build.sh"])
                .arg(cache.join("work"))
                .arg(&programs);
            step::loud("building Kubernetes 1.20", &mut script)?;
        }
        println!("Kubernetes: {}", programs.display());
        if self.test { test(repo, &programs) } else { Ok(()) }
    }
}

fn test(repo: &Repo, programs: &Path) -> Result<()> {
    let sensor = repo.target("image/sensor.tar");
    image::make(repo, &sensor)?;
    let mut images = vec![sensor];
    for (name, cmd) in [
        ("pause", &["/bin/sleep", "2147483647"][..]),
        ("busybox", &["/bin/sh"]),
    ] {
        images.push(busybox(repo, name, cmd)?);
    }
    let programs_text = programs
        .to_str()
        .context("the cache folder's path is not UTF-8")?;
    let images = env::join_paths(images)?;
    let images = images.to_str().context("the target folder's path is not UTF-8")?;
    for program in harness::build_tests(repo)? {
        let is_ours = program
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("kubernetes-"));
        if is_ours {
            let environment = [
                ("SENSOR_K8S_PROGRAMS", programs_text),
                ("SENSOR_K8S_IMAGES", images),
            ];
            let mut command = harness::as_root_with(repo, &program, &environment)?;
            command.current_dir(repo.path("tests")).arg("--nocapture");
            return step::loud("the DaemonSet on a real node", &mut command);
        }
    }
    bail!("there is no test program `kubernetes`")
}

/// An image of busybox under the names of the programs that pods run.
fn busybox(repo: &Repo, name: &str, cmd: &[&str]) -> Result<PathBuf> {
    const BUSYBOX: &str = "/bin/busybox";
    let content = fs::read(BUSYBOX).with_context(|| format!("cannot read {BUSYBOX}"))?;
    let files: BTreeMap<_, _> = ["sh", "cat", "sleep", "mkdir"]
        .into_iter()
        .map(|program| {
            let file = File {
                content: content.clone(),
                executable: true,
            };
            (format!("bin/{program}"), file)
        })
        .collect();
    let archive = oci::archive(&oci::Image {
        name: &format!("registry.test/{name}:1"),
        architecture: "amd64",
        entrypoint: &[],
        cmd,
        labels: &[],
        files: &files,
    })?;
    let path = repo.target(&format!("image/{name}.tar"));
    fs::write(&path, archive.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn cache() -> Result<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    Ok(cache
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("sensor/k8s"))
}
