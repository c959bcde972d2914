//! The built-in action `kill-process-tree`.
//!
//! Whatever is asked, it spares pid 1, kernel threads, the agent, the agent's ancestors and its hooks, what the
//! configuration protects, and the first process of a container unless it is told otherwise.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sensor_proto::v1::Detection;

use super::action::{Refusal, Verdict};
use super::policy::{KillAction, Protected};
use super::process::{self, Held, Start, Stat};
use super::tree;

/// A process tree that may be killed.
#[derive(Debug)]
pub(crate) struct KillPlan {
    action: KillAction,
    target: Held,
    members: Vec<Stat>,
}

impl KillPlan {
    /// Holds the detection's process and finds its descendants. Changes nothing.
    pub(crate) fn new(action: &KillAction, detection: &Detection) -> Result<Self, Refusal> {
        let process = detection.process.as_ref();
        let process = process.ok_or_else(|| Refusal::new("the detection is about no process"))?;
        if let Some(reason) = action.protected.refuses_container(detection) {
            return Err(Refusal(reason));
        }
        if process.pid <= 1 {
            return Err(Refusal(format!("process {} is never killed", process.pid)));
        }
        let target =
            Held::new(process.pid, Start::Nanoseconds(process.start_time_ns)).map_err(Refusal::new)?;
        let all = process::all().map_err(Refusal::new)?;
        let sparing = Sparing::new(action, &all);
        if let Some(reason) = sparing.reason(&target.stat) {
            return Err(Refusal(format!(
                "process {} is spared: {reason}",
                target.stat.describe()
            )));
        }
        let members = tree::descendants(process.pid, &all, |process| sparing.reason(process).is_some());
        Ok(Self {
            action: action.clone(),
            target,
            members,
        })
    }

    pub(crate) fn describe(&self) -> String {
        format!("kill {}", list(&self.members))
    }

    /// Kills; returns by `deadline`.
    pub(crate) fn run(self, deadline: Instant) -> Verdict {
        let Self { action, target, .. } = self;
        let pid = target.stat.pid;
        let mut spared: Vec<String> = Vec::new();
        let members = |all: &[Stat]| {
            let sparing = Sparing::new(&action, all);
            spared.clear();
            tree::descendants(pid, all, |process| {
                let reason = sparing.reason(process);
                spared.extend(
                    reason
                        .iter()
                        .map(|reason| format!("{} ({reason})", process.describe())),
                );
                reason.is_some()
            })
        };
        match tree::stop_and_kill(vec![target], members, deadline) {
            Err(error) => Verdict::failed(format!("process {pid} cannot be stopped: {error}")),
            Ok(killed) => {
                let mut detail = format!("killed {}", list(&killed.ended));
                if !spared.is_empty() {
                    detail.push_str("; spared ");
                    detail.push_str(&spared.join(", "));
                }
                if !killed.alive.is_empty() {
                    detail.push_str("; still alive: ");
                    detail.push_str(&list(&killed.alive));
                }
                if let Some(why) = &killed.incomplete {
                    detail.push_str("; there may be more: ");
                    detail.push_str(why);
                }
                if killed.alive.is_empty() && killed.incomplete.is_none() {
                    Verdict::done(detail)
                } else {
                    Verdict::failed(detail)
                }
            }
        }
    }
}

/// Names at most 64 processes.
fn list(processes: &[Stat]) -> String {
    let named: Vec<String> = processes.iter().take(64).map(Stat::describe).collect();
    match processes.len().saturating_sub(named.len()) {
        0 if named.is_empty() => "nothing".into(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Whom to spare, as things stand.
struct Sparing<'a> {
    action: &'a KillAction,
    own: u32,
    /// The agent's ancestors.
    above: Vec<u32>,
    /// The agent's descendants.
    below: HashSet<u32>,
}

impl<'a> Sparing<'a> {
    fn new(action: &'a KillAction, all: &[Stat]) -> Self {
        let own = std::process::id();
        let below = tree::descendants(own, all, |_| false)
            .iter()
            .map(|process| process.pid)
            .collect();
        Self {
            action,
            own,
            above: process::ancestors(own, all),
            below,
        }
    }

    /// Why `process` is spared; `None` when it is not.
    fn reason(&self, process: &Stat) -> Option<String> {
        if process.pid == 1 {
            return Some("it is the system's first process".into());
        }
        if process.is_kernel_thread() {
            return Some("it is a kernel thread".into());
        }
        if process.pid == self.own {
            return Some("it is the agent".into());
        }
        if self.above.contains(&process.pid) {
            return Some("the agent descends from it".into());
        }
        if self.below.contains(&process.pid) {
            return Some("it belongs to the agent's own hooks".into());
        }
        if !self.action.include_init && is_container_init(process.pid) {
            return Some("it is the first process of a container, and `include_init` is not set".into());
        }
        self.action.protected.refuses_process(process)
    }
}

impl Protected {
    /// Why nothing in the detection's container, or on the host, may be touched.
    pub(crate) fn refuses_container(&self, detection: &Detection) -> Option<String> {
        match &detection.container {
            None => self.host.then(|| "processes of the host are protected".into()),
            Some(container) => self
                .containers
                .iter()
                .find(|start| container.id.starts_with(start.as_str()))
                .map(|start| format!("container `{start}` is protected")),
        }
    }

    /// Why `process` may not be touched.
    fn refuses_process(&self, process: &Stat) -> Option<String> {
        let exe = executable(process.pid);
        let file_name = exe
            .as_deref()
            .and_then(Path::file_name)
            .map(std::ffi::OsStr::as_encoded_bytes);
        let named = |pattern: &&super::pattern::Pattern| {
            pattern.fits(&process.name) || file_name.is_some_and(|name| pattern.fits(name))
        };
        if self.processes.iter().any(|pattern| named(&pattern)) {
            return Some("its name is protected".into());
        }
        let exe = exe?;
        let exe = exe.as_os_str().as_encoded_bytes();
        if is_on_host(process.pid) && self.paths.iter().any(|pattern| pattern.fits(exe)) {
            return Some("its executable is protected".into());
        }
        None
    }
}

/// Where the executable is, or was: an upgrade removes the files of programs that go on running.
fn executable(pid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let bytes = exe.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    Some(std::ffi::OsString::from_vec(bytes.to_vec()).into())
}

/// Whether `pid` sees the host's files, as the first process does, or the agent's. When that cannot be told, yes:
/// protection is the safe side.
fn is_on_host(pid: u32) -> bool {
    let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let its = namespace(pid);
    its.is_none() || its == namespace(std::process::id()) || namespace(1).is_none_or(|host| its == Some(host))
}

/// Whether `pid` is number 1 of a process id namespace below ours.
fn is_container_init(pid: u32) -> bool {
    let Ok(status) = std::fs::read(format!("/proc/{pid}/status")) else {
        return false;
    };
    let numbers = status
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"NSpid:"));
    let numbers: Vec<&[u8]> = numbers
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .filter(|part| !part.is_empty())
        .collect();
    numbers.len() > 1 && numbers.last() == Some(&b"1".as_slice())
}
