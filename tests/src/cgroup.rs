//! A cgroup of the test's own, in the v2 hierarchy wherever this machine has it.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::wait;

/// A cgroup; dropping it removes it, once what ran in it has ended.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes `path` below the v2 hierarchy's root, with all folders above it.
    pub fn new(path: &str) -> anyhow::Result<Self> {
        let folder = mount_point()?.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    /// The kernel's id.
    pub fn id(&self) -> io::Result<u64> {
        Ok(std::fs::metadata(&self.folder)?.ino())
    }

    /// The file that a process's id is written to, to move it in.
    #[must_use]
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Moves a process into it.
    pub fn admit(&self, pid: u32) -> io::Result<()> {
        std::fs::write(self.folder.join("cgroup.procs"), pid.to_string())
    }

    /// A command that is in this cgroup before it runs `program`: a shell moves itself in and becomes it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel lets a cgroup go when the last process in it is gone, which can take a moment.
        wait::until(wait::DEADLINE, || std::fs::remove_dir(&self.folder).ok());
    }
}

/// Where the v2 hierarchy is mounted.
pub fn mount_point() -> anyhow::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let of = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        (source.split(' ').next() == Some("cgroup2")).then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    };
    mounts
        .lines()
        .find_map(of)
        .context("no cgroup v2 hierarchy is mounted here")
}
