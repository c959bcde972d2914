//! Where things are: the repository, cargo's target folder, and cargo itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::ebpf_recipe::{self, Recipe};

/// A checkout of this project.
#[derive(Debug)]
pub(crate) struct Repo {
    root: PathBuf,
    target: PathBuf,
}

impl Repo {
    /// Finds the checkout that this program was started from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .parent()
            .context("xtask lies in no repository")?
            .to_path_buf();
        let exe = env::current_exe().context("cannot find the path of this program")?;
        let target = ebpf_recipe::target_root(&exe).map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target })
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// A path inside cargo's target folder: what is there can be made again.
    pub(crate) fn target(&self, below: &str) -> PathBuf {
        self.target.join(below)
    }

    /// Path of the release build of the agent.
    pub(crate) fn sensor(&self) -> PathBuf {
        self.target("release/sensor")
    }

    /// The folder of shared reference data that conformance tests read, where there is one.
    pub(crate) fn shared(&self) -> Option<PathBuf> {
        let named = env::var_os("SENSOR_SHARED").map(PathBuf::from);
        named.or_else(|| Some(self.path("../shared")).filter(|folder| folder.is_dir()))
    }

    /// A cargo command in the checkout.
    ///
    /// What `cargo run` told this program about xtask is taken from the environment: ring, for one, is
    /// rebuilt with all that stands on it when `CARGO_MANIFEST_DIR` differs from the last time.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.arg(subcommand).current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let names_xtask = ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
            if text.starts_with("CARGO_PKG_")
                || text.starts_with("CARGO_MANIFEST_")
                || names_xtask.contains(&text.as_ref())
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The recipe of the eBPF object for kernels of this machine's architecture.
    pub(crate) fn ebpf<'a>(&'a self, target_dir: &'a Path) -> Recipe<'a> {
        Recipe {
            repo: &self.root,
            target_dir,
            kernel_arch: env::consts::ARCH,
        }
    }
}
