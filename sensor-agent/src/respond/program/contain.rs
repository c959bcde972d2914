//! Sees to it that nothing a hook's program starts outlives the run.
//!
//! Its processes are those in its process group, those that descend from it, those that carry the run's id in their
//! environment, and, where a cgroup v2 can be made, all in the one that it is moved into right after its start.
//! Without a cgroup, one that leaves the group, its parent and its environment all at once escapes;
//! hooks are programs of root's choice, so this contains mistakes, not malice.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::process::{self, Stat};
use super::super::tree;

/// The environment variable that names the run.
pub(super) const RUN_ID: &str = "SENSOR_RUN_ID";

/// The processes of one run.
#[derive(Debug)]
pub(super) struct Containment {
    run_id: String,
    program: Option<u32>,
    cgroup: Option<Cgroup>,
}

impl Containment {
    pub(super) fn new(run_id: &str) -> Self {
        Self {
            run_id: run_id.into(),
            program: None,
            cgroup: Cgroup::new(run_id),
        }
    }

    /// Takes the program in, and what it started in its first moments.
    pub(super) fn add(&mut self, program: Option<u32>) {
        self.program = program;
        let (Some(program), Some(cgroup)) = (program, &self.cgroup) else {
            return;
        };
        cgroup.add(program);
        if let Ok(all) = process::all() {
            for started in tree::descendants(program, &all, |_| false) {
                cgroup.add(started.pid);
            }
        }
    }

    /// Kills all that is left. Says so when the program was not alone, or something lives on.
    ///
    /// The program must not have been reaped yet: as long as it is there, its process group's number is its own.
    pub(super) fn kill_all(self, deadline: Instant) -> Option<String> {
        let program = self.program?;
        let marker = format!("{RUN_ID}={}", self.run_id);
        let members = |all: &[Stat]| {
            let mut found = tree::descendants(program, all, |_| false);
            let within = self.cgroup.as_ref().map(Cgroup::pids).unwrap_or_default();
            let others = all.iter().filter(|process| {
                process.group == program
                    || within.contains(&process.pid)
                    || carries(process.pid, marker.as_bytes())
            });
            found.extend(others.cloned());
            found
        };
        let killed = tree::stop_and_kill(Vec::new(), members, deadline);
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        let killed = match killed {
            Ok(killed) => killed,
            Err(error) => return Some(format!("its processes may live on: {error}")),
        };
        if !killed.alive.is_empty() {
            return Some(format!("{} of its processes live on", killed.alive.len()));
        }
        if let Some(why) = killed.incomplete {
            return Some(format!("its processes may live on: {why}"));
        }
        let left = killed
            .ended
            .iter()
            .filter(|process| process.pid != program)
            .count();
        (left > 0).then(|| format!("{left} processes that it left were killed"))
    }
}

/// Whether a process has `variable` in the environment that it was started with.
fn carries(pid: u32, variable: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == variable))
}

/// A cgroup v2 for one run, below the agent's own; removed when it goes.
#[derive(Debug)]
struct Cgroup(PathBuf);

impl Cgroup {
    /// `None` where there is no cgroup v2 that we may make one in.
    fn new(run_id: &str) -> Option<Self> {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|root| Path::new(root).join("cgroup.procs").exists())?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let path = Path::new(root).join(own).join(format!("sensor-hook-{run_id}"));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn add(&self, pid: u32) {
        // One that has ended meanwhile need not be added.
        let _ = fs::write(self.0.join("cgroup.procs"), pid.to_string());
    }

    fn pids(&self) -> Vec<u32> {
        let pids = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        pids.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Kills what the search by process missed.
    fn kill(&self) {
        // Before Linux 5.14 there is no such file, and the search has to do.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What was killed needs a moment to leave.
        for _ in 0..100 {
            if !matches!(fs::remove_dir(&self.0), Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy)
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        tracing::warn!(cgroup = %self.0.display(), "the cgroup of a hook's run cannot be removed");
    }
}
