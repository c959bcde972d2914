//! The keys of the configuration, as types.
//!
//! `schema.yaml` describes each of them for users; a test keeps the two alike, defaults included.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use sensor_proto::v1::Priority;
use serde::{Deserialize, Serialize};

use crate::respond::config::{Mode, RespondConfig};
use crate::sink::Format;
use crate::state::programs::When;

/// All that can be configured. The default is what an empty file gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name that detections carry; the system's name when left out.
    pub hostname: Option<String>,
    /// Which rules are loaded.
    pub rules: RulesConfig,
    /// The kernel side.
    pub kernel: KernelConfig,
    /// The tables of processes and containers.
    pub state: StateConfig,
    /// What is looked up of programs.
    pub identity: IdentityConfig,
    /// Which sockets of container runtimes are asked.
    pub runtimes: RuntimesConfig,
    /// What the Kubernetes API is asked.
    pub kubernetes: KubernetesConfig,
    /// The gRPC server.
    pub grpc: GrpcConfig,
    /// Detections on standard output.
    pub stdout: StdoutConfig,
    /// Detections in a file.
    pub file: FileConfig,
    /// The HTTP server for Prometheus and health.
    pub metrics: MetricsConfig,
    /// How detections are answered.
    pub respond: RespondConfig,
    /// What the kernel denies.
    pub enforce: EnforceConfig,
    /// What is remembered of workloads.
    pub inventory: InventoryConfig,
    /// How the sensor looks after itself.
    pub selftest: SelfTestConfig,
    /// The sensor's own log, on standard error.
    pub log: LogConfig,
}

/// What is remembered of workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InventoryConfig {
    /// Whether it is.
    pub enabled: bool,
    /// Workloads.
    pub workloads_max: u32,
    /// Programs of each.
    pub programs_max: u32,
    /// Ports that each listens on.
    pub ports_max: u32,
    /// Peers that each connected to.
    pub peers_max: u32,
    /// Folders that each wrote to.
    pub folders_max: u32,
}

impl Default for InventoryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            workloads_max: 256,
            programs_max: 64,
            ports_max: 32,
            peers_max: 128,
            folders_max: 64,
        }
    }
}

/// How the sensor looks after itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfTestConfig {
    /// Seconds between two rounds; 0 for no self-test.
    pub interval_s: u32,
}

impl Default for SelfTestConfig {
    fn default() -> Self {
        Self { interval_s: 30 }
    }
}

/// What rules with `action: deny` do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnforceConfig {
    /// Whether they deny, or only count and report.
    pub mode: Mode,
    /// While it exists, the rules that it names only observe; all of them when it is empty.
    pub off_file: PathBuf,
    /// Denials that one cgroup may have in a minute.
    pub denials_per_cgroup_max: u64,
    /// Cgroups whose processes nothing is denied, with all below them: paths in the v2 hierarchy.
    pub protected_cgroups: Vec<PathBuf>,
}

impl Default for EnforceConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            off_file: "/run/sensor/enforce.off".into(),
            denials_per_cgroup_max: 1_000,
            protected_cgroups: Vec::new(),
        }
    }
}

/// Which rules are loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// Files, and folders whose `.yaml` and `.yml` files are read in the order of their names.
    pub files: Vec<PathBuf>,
    /// Rules to leave out.
    pub disable: Vec<RuleSelector>,
    /// Rules to load although they are disabled, by their file or by `disable`.
    pub enable: Vec<RuleSelector>,
    /// Rules that are less severe are left out.
    #[serde(with = "priority")]
    pub priority: Priority,
    /// How many rules may report one event.
    pub matching: Matching,
    /// What is added to outputs.
    pub append_output: Vec<AppendOutputConfig>,
    /// Whether changes of the files are noticed.
    pub watch: bool,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            files: vec!["/etc/sensor/rules.d".into()],
            disable: Vec::new(),
            enable: Vec::new(),
            priority: Priority::Debug,
            matching: Matching::All,
            append_output: Vec::new(),
            watch: true,
        }
    }
}

/// Names rules, either by name or by tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSelector {
    /// The rule's name, in which `*` stands for any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// One of the rule's tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Adds to the outputs of rules: an entry of Falco's `append_output`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppendOutputConfig {
    /// Of which rules; of all when nothing is said.
    #[serde(rename = "match")]
    pub rules: OutputMatch,
    /// Text added to the output.
    pub extra_output: String,
    /// Fields added to `output_fields`: a field's name, or a name and an output format.
    pub extra_fields: Vec<ExtraFieldConfig>,
    /// Whether the fields that tell container and pod are added.
    pub suggested_output: bool,
}

/// A field added to `output_fields`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExtraFieldConfig {
    /// A field by its own name, with its own type.
    Field(String),
    /// Names, each with the output format whose text is its value.
    Formats(BTreeMap<String, String>),
}

/// Rules whose outputs are added to: all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputMatch {
    /// The rule's source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Tags that the rule has, all of them.
    pub tags: Vec<String>,
    /// The rule's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// How many rules may report one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// Only the first that matches, as Falco does by default.
    First,
    /// Each that matches: no rule can hide another.
    #[default]
    All,
}

/// The kernel side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelConfig {
    /// How much is followed.
    pub profile: Profile,
    /// A BTF file to use instead of the kernel's own.
    pub btf: Option<PathBuf>,
    /// Bytes of the ring for fork, exec and exit: a power of two, at least a page.
    pub lifecycle_ring_bytes: u32,
    /// Bytes of the ring for what is rare and matters by itself: a power of two, at least a page.
    pub critical_ring_bytes: u32,
    /// Bytes of the ring for everything else: a power of two, at least a page.
    pub activity_ring_bytes: u32,
    /// Opens and connects a second that each cgroup may report; 0 for no limit.
    pub cgroup_events_per_second: u32,
    /// Leave out system calls that failed.
    pub drop_failed_exit: bool,
    /// Leave out in the kernel what no rule can match.
    pub filter: bool,
}

/// How much of the machine is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// No system call: processes, and connects of internet sockets.
    Lite,
    /// What the loaded rules need.
    #[default]
    Default,
    /// Everything that can be.
    All,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Default,
            btf: None,
            lifecycle_ring_bytes: 4 << 20,
            critical_ring_bytes: 2 << 20,
            activity_ring_bytes: 8 << 20,
            cgroup_events_per_second: 100_000,
            drop_failed_exit: false,
            filter: true,
        }
    }
}

/// The tables of processes and containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateConfig {
    /// Processes that are remembered.
    pub processes_max: u32,
    /// Seconds for which an exited process is remembered, for events that come late.
    pub exited_keep_s: u32,
    /// Containers that are remembered.
    pub containers_max: u32,
    /// Milliseconds for which an event waits for the facts of its container.
    pub facts_wait_ms: u32,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            processes_max: 65_536,
            exited_keep_s: 30,
            containers_max: 4_096,
            facts_wait_ms: 250,
        }
    }
}

/// What is looked up of programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// When program files are hashed, and their packages looked up.
    pub programs: When,
    /// Longest file that is hashed, in bytes.
    pub file_bytes_max: u32,
    /// Bytes that are read for it in a second.
    pub bytes_per_second: u32,
    /// Environment variables with one of these words in their names are masked.
    pub secret_names: Vec<String>,
}

/// Words in names of variables that usually hold secrets.
const SECRET_NAMES: [&str; 8] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "key",
    "credential",
    "auth",
];

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            programs: When::Rules,
            file_bytes_max: 128 << 20,
            bytes_per_second: 64 << 20,
            secret_names: SECRET_NAMES.map(String::from).into(),
        }
    }
}

/// Which sockets of container runtimes are asked for what is in no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimesConfig {
    /// Sockets that speak CRI.
    pub cri: Vec<PathBuf>,
    /// Docker's sockets.
    pub docker: Vec<PathBuf>,
    /// Podman's sockets.
    pub podman: Vec<PathBuf>,
    /// Milliseconds in which all is told of a container, or the socket is left alone for a while.
    pub timeout_ms: u32,
}

impl Default for RuntimesConfig {
    fn default() -> Self {
        let cri = [
            "/run/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/cri-dockerd.sock",
        ];
        Self {
            cri: cri.map(PathBuf::from).into(),
            docker: vec!["/run/docker.sock".into()],
            podman: vec!["/run/podman/podman.sock".into()],
            timeout_ms: 1_000,
        }
    }
}

/// What the Kubernetes API is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Whether pods are followed; where nothing is said, when the agent runs in a pod with a service account.
    pub enabled: Option<bool>,
    /// `https://HOST[:PORT]`; what the environment says when left out.
    pub api_server: Option<String>,
    /// The node's name in Kubernetes; `hostname` when left out.
    pub node: Option<String>,
    /// The token; the service account's when left out.
    pub token_file: Option<PathBuf>,
    /// The authority's certificates; the service account's when left out.
    pub ca_file: Option<PathBuf>,
}

/// The gRPC server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// The unix socket; none when null.
    pub socket: Option<PathBuf>,
    /// The TCP listener; none when null.
    pub tcp: Option<TcpConfig>,
    /// Items that may wait for one subscriber.
    pub queue_items_max: u32,
    /// Subscribers at one time, with the sinks and the responder.
    pub subscribers_max: u32,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            socket: Some("/run/sensor/sensor.sock".into()),
            tcp: None,
            queue_items_max: 4_096,
            subscribers_max: 64,
        }
    }
}

/// The TCP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpConfig {
    /// Where it listens.
    #[serde(deserialize_with = "address::required")]
    pub address: SocketAddr,
    /// Mutual TLS; without it the address must be a loopback address.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
}

/// Mutual TLS: both sides show a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the server's certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file with the server's private key.
    pub key: PathBuf,
    /// PEM file with the authorities that clients' certificates must come from.
    pub client_ca: PathBuf,
}

/// Detections on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutConfig {
    /// Whether they are written.
    pub enabled: bool,
    /// How.
    pub format: Format,
}

impl Default for StdoutConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            format: Format::Json,
        }
    }
}

/// Detections in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Whether they are written.
    pub enabled: bool,
    /// Where to; appended to, opened anew on SIGUSR1.
    pub path: PathBuf,
    /// How.
    pub format: Format,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/var/log/sensor/detections.jsonl".into(),
            format: Format::Json,
        }
    }
}

/// The HTTP server for Prometheus and health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where it listens; nowhere when null.
    #[serde(deserialize_with = "address::optional")]
    pub address: Option<SocketAddr>,
}

/// The sensor's own log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least severe lines that are written.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what is lost.
    Error,
    /// Also what does not work as it should.
    Warn,
    /// Also what an operator wants to know.
    #[default]
    Info,
    /// Also what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Priorities by Falco's names, in any case.
mod priority {
    use sensor_proto::v1::Priority;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::sink::{parse_priority, priority_name};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(priority: &Priority, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&priority_name(*priority).to_lowercase())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_priority(&text).ok_or_else(|| {
            const NAMES: &[&str] = &[
                "emergency",
                "alert",
                "critical",
                "error",
                "warning",
                "notice",
                "informational",
                "debug",
            ];
            serde::de::Error::unknown_variant(&text, NAMES)
        })
    }
}

/// Addresses with a message that says how to write them.
mod address {
    use std::net::SocketAddr;

    use serde::{Deserialize as _, Deserializer};

    fn parse<E: serde::de::Error>(text: &str) -> Result<SocketAddr, E> {
        text.parse().map_err(|_| {
            E::custom(format_args!(
                "`{text}` is not an address; write IP:PORT, such as 127.0.0.1:9000 or [::1]:9000"
            ))
        })
    }

    pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }

    pub(super) fn optional<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| parse(&text))
            .transpose()
    }
}
