//! The checks, in the order in which the agent needs things.

use std::{path::Path, time::Duration};

use procfs::process::Process;

use super::{Check, CheckState};
use crate::{
    config::{Config, RuntimesConfig},
    kernel::{
        attach::Probes,
        btf::{Btf, VMLINUX},
        fields,
        load::{LoadError, LoadOptions},
    },
    runtime::socket::{self, Socket},
    state::seed::Hierarchies,
};
use sensor_common::syscall::Call;

/// A capability, by number (`include/uapi/linux/capability.h`), whether the agent can do without it, and
/// what it is for.
const CAPABILITIES: &[(&str, u32, bool, &str)] = &[
    ("CAP_BPF", 39, true, "loading eBPF programs"),
    (
        "CAP_PERFMON",
        38,
        true,
        "reading kernel memory from eBPF programs",
    ),
    (
        "CAP_SYS_PTRACE",
        19,
        false,
        "programs and folders of processes that ran before the agent",
    ),
    (
        "CAP_DAC_READ_SEARCH",
        2,
        false,
        "files of other users, for hooks that restore them",
    ),
    ("CAP_KILL", 5, false, "the hook that kills process trees"),
    (
        "CAP_SYS_ADMIN",
        CAP_SYS_ADMIN,
        false,
        "seeing that somebody detached the sensor's links, and putting back filters that somebody took out",
    ),
];

/// `CAP_SYS_ADMIN` includes the first two on every kernel.
const CAP_SYS_ADMIN: u32 = 21;

/// Small rings: the doctor only loads programs to see whether they load.
const RING_BYTES: u32 = 1 << 16;

/// All checks.
pub(super) fn all(config: &Config) -> Vec<Check> {
    let mut checks = permissions();
    checks.push(pid_namespace());
    let btf_path = config.kernel.btf.as_deref().unwrap_or_else(|| Path::new(VMLINUX));
    checks.extend(kernel(btf_path));
    checks.extend(hooks(config));
    checks.push(cgroups());
    checks.extend(runtimes(&config.runtimes));
    checks
}

fn permissions() -> Vec<Check> {
    let effective = Process::myself()
        .and_then(|own| own.status())
        .map_or(0, |status| status.capeff);
    let has = |number: u32| effective & (1 << number) != 0;
    CAPABILITIES
        .iter()
        .map(|(name, number, is_needed, purpose)| {
            if has(*number) || (*is_needed && has(CAP_SYS_ADMIN)) {
                return Check::new("permission", *name, CheckState::Ok, "held");
            }
            let state = if *is_needed {
                CheckState::Failed
            } else {
                CheckState::Degraded
            };
            Check::new("permission", *name, state, "not held")
                .losing(*purpose)
                .helped_by("run as root, or grant the capability (deploy/README.md lists them with reasons)")
        })
        .collect()
}

fn pid_namespace() -> Check {
    match crate::run::own_tgid() {
        Ok(_) => Check::new("permission", "pid namespace", CheckState::Ok, "the machine's own"),
        Err(error) => Check::new(
            "permission",
            "pid namespace",
            CheckState::Failed,
            error.to_string(),
        )
        .losing("telling processes apart")
        .helped_by("run outside a pid namespace; in Kubernetes set hostPID: true"),
    }
}

fn kernel(btf_path: &Path) -> Vec<Check> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut checks = vec![Check::new("kernel", "release", CheckState::Info, release)];
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        checks.push(
            Check::new("kernel", "lockdown", CheckState::Failed, "confidentiality")
                .losing("everything: eBPF programs may not read kernel memory")
                .helped_by("boot with lockdown=integrity or none"),
        );
    }
    let offsets = Btf::from_file(btf_path).and_then(|btf| fields::resolve(&btf));
    match offsets {
        Err(error) => checks.push(
            Check::new("kernel", "BTF", CheckState::Failed, error.to_string())
                .losing("everything: without it the programs do not know the kernel's structures")
                .helped_by("use a kernel with CONFIG_DEBUG_INFO_BTF=y, or set kernel.btf to a BTF file of this very kernel"),
        ),
        Ok(offsets) => {
            let found = offsets.values.len() - offsets.missing.len();
            let what = format!("{}: {found} of {} fields", btf_path.display(), offsets.values.len());
            checks.push(Check::new("kernel", "BTF", CheckState::Ok, what));
            checks.extend(offsets.missing.iter().map(|field| {
                let state = if field.without.is_none() { CheckState::Failed } else { CheckState::Degraded };
                let why = field.reason.clone().unwrap_or_else(|| "not in this kernel".into());
                Check::new("field", field.name, state, why).losing(field.without.unwrap_or("every event"))
            }));
        }
    }
    let tracefs = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];
    let found = if tracefs.iter().any(|path| Path::new(path).exists()) {
        "mounted"
    } else {
        "not mounted"
    };
    checks.push(Check::new(
        "kernel",
        "tracefs",
        CheckState::Info,
        format!("{found}; no hook in use needs it"),
    ));
    checks
}

/// Loads and attaches everything, and lets go of it.
fn hooks(config: &Config) -> Vec<Check> {
    let options = LoadOptions {
        btf: config.kernel.btf.clone(),
        lifecycle_ring_bytes: RING_BYTES,
        critical_ring_bytes: RING_BYTES,
        activity_ring_bytes: RING_BYTES,
        cgroup_events_per_second: 0,
        drop_failed: false,
        agent_tgid: std::process::id(),
    };
    let attached = Probes::load(&options).and_then(|(mut probes, _readers)| {
        probes.attach_lifecycle()?;
        probes.follow(&Call::ALL)?;
        let untranslated: Vec<_> = probes.untranslated().map(str::to_owned).collect();
        Ok((
            probes.hooks(),
            probes.slow_reads().map(str::to_owned),
            untranslated,
        ))
    });
    match attached {
        Ok((hooks, slow_reads, untranslated)) => hooks
            .into_iter()
            .map(|hook| {
                let kinds: Vec<_> = hook.kinds.iter().map(|kind| kind.name()).collect();
                if !hook.attached {
                    return Check::new("hook", hook.name, CheckState::Degraded, hook.reason)
                        .losing("what no system call tells: how connects go that io_uring makes, and who races addresses");
                }
                Check::new(
                    "hook",
                    hook.name,
                    CheckState::Ok,
                    format!("loads and attaches; gives {}", kinds.join(", ")),
                )
            })
            .chain([reads(slow_reads)])
            .chain(untranslated.into_iter().map(|reason| {
                Check::new("hook", "tp_btf/sys_exit (handler)", CheckState::Degraded, reason)
                    .losing("the calls that it names")
            }))
            .collect(),
        Err(error) => {
            let help = match error {
                LoadError::NotPermitted(_) => "run as root, or grant CAP_BPF and CAP_PERFMON",
                LoadError::Btf(_) => "see the check of BTF",
                _ => "send this message with the kernel's release to the project",
            };
            let name = match &error {
                LoadError::Program { program, .. } => *program,
                _ => "all",
            };
            vec![
                Check::new("hook", name, CheckState::Failed, error.to_string())
                    .losing("every event")
                    .helped_by(help),
            ]
        }
    }
}

/// How the programs read the kernel's structures: by plain loads, or with a helper's call for each field.
fn reads(slow: Option<String>) -> Check {
    let found = slow.map_or_else(
        || "by plain loads".to_owned(),
        |why| format!("by a helper, which costs each event more time: {why}"),
    );
    Check::new("kernel", "reads", CheckState::Info, found)
}

fn cgroups() -> Check {
    match Hierarchies::find() {
        Hierarchies {
            v2: Some(_),
            v1: None,
        } => Check::new("container", "cgroups", CheckState::Ok, "version 2"),
        Hierarchies {
            v2: Some(_),
            v1: Some((controller, _)),
        } => Check::new(
            "container",
            "cgroups",
            CheckState::Ok,
            format!("hybrid: version 2, then version 1's {controller}"),
        ),
        Hierarchies {
            v2: None,
            v1: Some((controller, _)),
        } => Check::new(
            "container",
            "cgroups",
            CheckState::Ok,
            format!("version 1: {controller}"),
        ),
        Hierarchies { v2: None, v1: None } => Check::new(
            "container",
            "cgroups",
            CheckState::Degraded,
            "no hierarchy is mounted here",
        )
        .losing("the containers of processes that ran before the agent")
        .helped_by("mount /sys/fs/cgroup into the agent's container"),
    }
}

/// Asks each socket who it is; one that is not there is not told of.
fn runtimes(config: &RuntimesConfig) -> Vec<Check> {
    let timeout = Duration::from_millis(config.timeout_ms.into());
    let check = |socket: Socket| {
        let name = socket.path.display().to_string();
        match socket::hello(&socket, timeout) {
            Ok(who) => Some(Check::new("runtime", name, CheckState::Ok, format!("answers: {who}"))),
            Err(None) => None,
            Err(Some(why)) => Some(
                Check::new("runtime", name, CheckState::Degraded, why)
                    .losing("what is in no file of the runtime's: labels and image digests of containers of CRI and Podman")
                    .helped_by(format!(
                        "see whether the runtime is well; take the socket out of runtimes.{} if it is not to be asked",
                        socket.dialect.name()
                    )),
            ),
        }
    };
    socket::configured(config).into_iter().filter_map(check).collect()
}
