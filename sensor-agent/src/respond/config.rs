//! The `respond` part of the configuration file, as a person writes it.
//!
//! These types only say what can be written. [`RespondConfig::check`] says whether it makes sense.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whether a hook acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Says what it would do, and does nothing.
    #[default]
    Observe,
    /// Does it.
    Act,
}

/// How the sensor answers detections: the key `respond`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespondConfig {
    /// `observe` (the default): no hook acts, whatever its own mode says. `act`: each hook's mode decides.
    pub mode: Mode,
    /// The append-only record of every run: JSON lines, each with the hash of the one before it. At most one
    /// agent uses a journal. Default `/var/lib/sensor/response.jsonl`.
    pub journal: PathBuf,
    /// Size in bytes at which the journal is renamed to `<journal>.1`, in place of the last one of that name,
    /// and a new one continues its chain. 64 KiB to 16 GiB; default 64 MiB.
    pub journal_bytes_max: u64,
    /// While this file exists, or cannot be looked for, no hook acts. Default `/run/sensor/respond.off`.
    pub kill_switch: PathBuf,
    /// Written when the circuit breaker opens (see `limits.breaker_targets_max`), with the rule's name in it. Who removes
    /// it closes the breaker. Default `/run/sensor/respond.breaker`.
    pub breaker: PathBuf,
    /// The folder under which the host's files are found: `/` (the default) for an agent on the host,
    /// `/proc/1/root` for one in a container that shares the host's process ids.
    pub host_root: PathBuf,
    /// What no hook touches.
    pub protected: ProtectedConfig,
    /// How much may be done.
    pub limits: LimitsConfig,
    /// What can be done. At most 64.
    pub hooks: Vec<HookConfig>,
    /// What is done about what. At most 1024.
    pub bindings: Vec<BindingConfig>,
}

impl Default for RespondConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            journal: "/var/lib/sensor/response.jsonl".into(),
            journal_bytes_max: 64 << 20,
            kill_switch: "/run/sensor/respond.off".into(),
            breaker: "/run/sensor/respond.breaker".into(),
            host_root: "/".into(),
            protected: ProtectedConfig::default(),
            limits: LimitsConfig::default(),
            hooks: Vec::new(),
            bindings: Vec::new(),
        }
    }
}

/// What no built-in action touches, besides pid 1, kernel threads, the agent, its ancestors and its own hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtectedConfig {
    /// Starts of container ids, at least 12 characters; `host` stands for all processes outside containers.
    pub containers: Vec<String>,
    /// Names of processes, where `*` stands for any text. A process names itself, so an attacker can carry
    /// such a name too: prefer `paths`.
    pub processes: Vec<String>,
    /// Host paths, where `*` stands for any text but `/`: executables whose processes are not killed, and files that
    /// are not rewritten. Programs in a container's own file system do not match. The default is what a node cannot
    /// lose: the init system, the secure shell's server, the container runtimes, the kubelet.
    pub paths: Vec<String>,
}

impl Default for ProtectedConfig {
    fn default() -> Self {
        let paths = [
            "/usr/lib/systemd/*",
            "/usr/sbin/init",
            "/usr/sbin/sshd",
            "/usr/lib/openssh/*",
            "/usr/bin/containerd*",
            "/usr/local/bin/containerd*",
            "/usr/bin/dockerd",
            "/usr/bin/docker-proxy",
            "/usr/bin/crio",
            "/usr/bin/conmon",
            "/usr/libexec/podman/conmon",
            "/usr/bin/runc",
            "/usr/sbin/runc",
            "/usr/bin/crun",
            "/usr/bin/kubelet",
            "/usr/local/bin/kubelet",
            "/usr/bin/dbus-daemon",
        ];
        Self {
            containers: Vec::new(),
            processes: Vec::new(),
            paths: paths.map(String::from).into(),
        }
    }
}

/// How much the hooks may do together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Runs of all hooks a minute, 1 to 6000; default 30. More are suppressed.
    pub runs_per_minute: u32,
    /// Hooks that run at one time, 1 to 256; default 4. More wait.
    pub concurrent_max: u32,
    /// Detections that wait to be looked at, and runs that wait for their turn, 1 to 65536; default 1024. More are
    /// suppressed.
    pub queue_max: u32,
    /// Different targets (containers, or processes of the host) that one rule may touch within `breaker_window_s`,
    /// 1 to 10000; default 5. One more opens the circuit breaker: no hook acts on that rule until the agent
    /// is started again or the file `breaker` is removed. A rule that hits that many is most often a wrong rule.
    pub breaker_targets_max: u32,
    /// In seconds, 1 to 86400; default 300.
    pub breaker_window_s: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            runs_per_minute: 30,
            concurrent_max: 4,
            queue_max: 1024,
            breaker_targets_max: 5,
            breaker_window_s: 300,
        }
    }
}

/// The actions that need no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// Stops, then kills the detection's process and all its descendants.
    KillProcessTree,
    /// Puts the recorded good copy of the detection's file back.
    RestoreFile,
}

/// One hook: either a `program` or a `builtin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookConfig {
    /// What bindings and records call it: letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// `observe` or `act`; left out: what `respond.mode` says.
    pub mode: Option<Mode>,
    /// Milliseconds after which a run is ended by force, 1 to 600000; default 10000.
    pub timeout_ms: Option<u64>,
    /// Seconds in which the same rule on the same target starts no second run, 0 to 604800; default 60.
    pub cooldown_s: Option<u64>,
    /// Runs of this hook at one time, 1 to 64; default 1. More wait.
    pub concurrency_max: Option<u32>,
    /// Whether to act on a detection that is known to be incomplete; default no: it is then only observed.
    pub allow_incomplete: bool,

    /// A program's absolute path without symbolic links. It, and every folder above it, belongs to root and can be written by
    /// nobody else. It gets the detection as one JSON object on standard input; exit code 0 says done, 75 says that
    /// it may be tried again later, any other that it failed. What it started is killed when it ends.
    pub program: Option<PathBuf>,
    /// Arguments for `program`, always the same; at most 64.
    pub args: Vec<String>,
    /// The user, by name or number, that `program` runs as; default `nobody`.
    pub user: Option<String>,
    /// Runs `program` as the agent's own user, with all its rights.
    pub privileged: bool,

    /// A built-in action: `kill-process-tree` or `restore-file`.
    pub builtin: Option<Builtin>,
    /// For `kill-process-tree`: whether it may kill the first process of a container, which ends the container.
    pub include_init: bool,
    /// For `restore-file`: the folder of the good copies, made with mode 0700.
    pub copies: Option<PathBuf>,
    /// For `restore-file`: the files that it looks after, as absolute host paths without symbolic links, where `*` stands
    /// for any text but `/`. A container's file counts when it is one of them, mounted under whatever path. Files
    /// without a copy are recorded when the agent starts.
    pub paths: Vec<String>,
}

/// Which detections call which hooks: either by `rule` or by `tag`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BindingConfig {
    /// A rule's name, where `*` stands for any text.
    pub rule: Option<String>,
    /// One of the rule's tags.
    pub tag: Option<String>,
    /// This priority or a more severe one; left out: any. Falco's names.
    pub min_priority: Option<String>,
    /// Names of hooks. A hook that several bindings name runs once.
    pub hooks: Vec<String>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}; {help}")]
pub struct ConfigError {
    /// The key, such as `respond.hooks[2].program`.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl RespondConfig {
    /// Finds everything that is wrong, on this machine: programs and users are looked at too.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        super::policy::Policy::new(self).map(|_| ())
    }
}
