//! What a process has loaded into the kernel, told by the kernel itself.

use std::{collections::BTreeSet, fs, process::Command};

use crate::wait;

/// Ids of eBPF programs and of their attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Ids of programs.
    pub programs: BTreeSet<u32>,
    /// Ids of attachments.
    pub links: BTreeSet<u32>,
}

impl Loaded {
    /// What a process holds.
    pub fn by(pid: u32) -> std::io::Result<Self> {
        let mut loaded = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // A descriptor may be closed by now.
            let Ok(info) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            let number = |key: &str| {
                let value = info
                    .lines()
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
                value.trim().parse::<u32>().ok()
            };
            loaded.programs.extend(number("prog_id"));
            loaded.links.extend(number("link_id"));
        }
        Ok(loaded)
    }

    /// Waits until the kernel has none of it any more, and returns what is left. `None` when there is no `bpftool`
    /// to ask it with.
    #[must_use]
    pub fn left(&self) -> Option<Self> {
        let mut left = present()?;
        wait::until(wait::DEADLINE, || {
            left = present()?;
            left.programs.retain(|id| self.programs.contains(id));
            left.links.retain(|id| self.links.contains(id));
            (left == Self::default()).then_some(())
        });
        Some(left)
    }
}

/// All that the kernel has.
fn present() -> Option<Loaded> {
    let ids = |what: &str| {
        let output = Command::new("bpftool")
            .args(["--json", what, "show"])
            .output()
            .ok()?;
        let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
        Some(
            list.iter()
                .filter_map(|entry| u32::try_from(entry.get("id")?.as_u64()?).ok())
                .collect(),
        )
    };
    Some(Loaded {
        programs: ids("prog")?,
        links: ids("link")?,
    })
}
