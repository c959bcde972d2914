//! A bundle's `config.json`, which every OCI runtime is given (runtime-spec, `config.md`).
//!
//! Its annotations tell of the pod: containerd and CRI-O write there what the kubelet asked for.

use serde_json::Value;

use super::text;
use crate::state::workload::{ContainerFacts, MOUNTS_MAX, Mount, PodRef};

/// Names of one fact in the annotations of containerd's CRI and of CRI-O.
const NAMES: &[(What, &[&str])] = &[
    (
        What::Kind,
        &[
            "io.kubernetes.cri.container-type",
            "io.kubernetes.cri-o.ContainerType",
        ],
    ),
    (
        What::Container,
        &["io.kubernetes.cri.container-name", "io.kubernetes.container.name"],
    ),
    (
        What::Image,
        &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"],
    ),
    (
        What::PodName,
        &["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"],
    ),
    (
        What::PodNamespace,
        &[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ],
    ),
    (
        What::PodUid,
        &["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"],
    ),
    (
        What::Sandbox,
        &["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"],
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Kind,
    Container,
    Image,
    PodName,
    PodNamespace,
    PodUid,
    Sandbox,
}

/// What the bundle alone tells of its container; `None` where it is no bundle's description.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<ContainerFacts> {
    let config: Value = serde_json::from_slice(bytes).ok()?;
    config.get("ociVersion")?;
    let annotations = &config["annotations"];
    let annotation = |what| {
        let (_, names) = NAMES.iter().find(|(named, _)| *named == what)?;
        names.iter().find_map(|name| text(&annotations[*name]))
    };
    let namespaces = config["linux"]["namespaces"].as_array();
    // A namespace of some process, as the containers of a pod join it, may be the host's: that is not for us to guess.
    let is_hosts = |kind: &str| {
        let joined = namespaces.and_then(|all| all.iter().find(|namespace| namespace["type"] == kind));
        let path = joined.map(|namespace| namespace["path"].as_str().unwrap_or_default());
        match path {
            None => Some(true),
            Some(path) if path.starts_with("/proc/") => None,
            Some(_) => Some(false),
        }
    };
    let pod = PodRef {
        name: annotation(What::PodName),
        namespace: annotation(What::PodNamespace),
        uid: annotation(What::PodUid),
        sandbox_id: annotation(What::Sandbox),
    };
    let runtime = if annotations["io.container.manager"] == "cri-o" {
        "cri-o"
    } else if annotations["io.container.manager"] == "libpod" {
        "podman"
    } else if annotations.get("io.kubernetes.cri.container-type").is_some() {
        "containerd"
    } else {
        ""
    };
    let mut facts = ContainerFacts {
        runtime,
        name: annotation(What::Container),
        is_privileged: Some(is_privileged(&config)),
        has_host_pid: is_hosts("pid"),
        has_host_network: is_hosts("network"),
        has_host_ipc: is_hosts("ipc"),
        mounts: mounts(&config["mounts"]),
        is_sandbox: annotation(What::Kind).as_deref() == Some("sandbox"),
        pod: (pod != PodRef::default()).then_some(pod),
        ..ContainerFacts::default()
    };
    facts.image.reference = annotation(What::Image);
    Some(facts)
}

/// Privileged as runtimes make it of the flag: every capability, every device, and nothing of /proc hidden. The flag
/// itself is not in the description.
fn is_privileged(config: &Value) -> bool {
    let has_all_devices = config["linux"]["resources"]["devices"]
        .as_array()
        .is_some_and(|rules| {
            rules
                .iter()
                .any(|rule| rule["allow"] == true && rule["type"].is_null_or("a") && rule["access"] == "rwm")
        });
    let capabilities = config["process"]["capabilities"]["bounding"].as_array();
    let has_admin = capabilities.is_some_and(|all| {
        all.iter().any(|name| name == "CAP_SYS_ADMIN") && all.iter().any(|name| name == "CAP_SYS_MODULE")
    });
    let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    has_all_devices && has_admin && is_empty(&config["linux"]["maskedPaths"])
}

trait NullOr {
    fn is_null_or(&self, text: &str) -> bool;
}

impl NullOr for Value {
    fn is_null_or(&self, text: &str) -> bool {
        self.is_null() || self == text
    }
}

/// Mounts of the host's files; what the kernel makes for each container (proc, tmpfs, ...) is left out.
fn mounts(mounts: &Value) -> Vec<Mount> {
    let Some(mounts) = mounts.as_array() else {
        return Vec::new();
    };
    let of = |mount: &Value| {
        let options: Vec<&str> = mount["options"]
            .as_array()
            .map(|options| options.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let is_bind =
            mount["type"] == "bind" || options.iter().any(|option| matches!(*option, "bind" | "rbind"));
        let propagation = options.iter().find(|option| {
            option.trim_start_matches('r').ends_with("private")
                || option.ends_with("slave")
                || option.ends_with("shared")
        });
        Some(Mount {
            source: text(&mount["source"]).filter(|_| is_bind)?,
            destination: text(&mount["destination"])?,
            mode: Box::default(),
            is_writable: !options.contains(&"ro"),
            propagation: propagation.map_or_else(Box::default, |option| (*option).into()),
        })
    };
    mounts.iter().filter_map(of).take(MOUNTS_MAX).collect()
}
