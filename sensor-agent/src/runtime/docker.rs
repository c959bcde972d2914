//! Docker's state of a container: `containers/<id>/config.v2.json` and `hostconfig.json` below its data root, and the
//! names of images in `image/<driver>/repositories.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{labels, text, without_algorithm};
use crate::state::workload::{ContainerFacts, MOUNTS_MAX, Mount, PodRef};

/// Adds what `config.v2.json` tells. False where it is not this container's.
pub fn add_config(bytes: &[u8], facts: &mut ContainerFacts) -> bool {
    let Ok(config) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    if config["ID"].as_str() != Some(&*facts.id) {
        return false;
    }
    facts.runtime = "docker";
    add_described(&config, facts);
    if let Some(points) = config["MountPoints"].as_object() {
        let of = |mount: &Value| {
            Some(Mount {
                source: text(&mount["Source"])?,
                destination: text(&mount["Destination"])?,
                mode: text(&mount["Relabel"]).unwrap_or_default(),
                is_writable: mount["RW"] == true,
                propagation: text(&mount["Propagation"]).unwrap_or_default(),
            })
        };
        facts.mounts = points.values().filter_map(of).take(MOUNTS_MAX).collect();
    }
    true
}

/// Adds what file and API call alike.
pub(super) fn add_described(config: &Value, facts: &mut ContainerFacts) {
    facts.name = text(&config["Name"]).map(|name| name.trim_start_matches('/').into());
    facts.image.reference = text(&config["Config"]["Image"]);
    facts.image.id = text(&config["Image"]).map(|id| without_algorithm(&id).into());
    facts.labels = labels(&config["Config"]["Labels"]);
    let networks = config["NetworkSettings"]["Networks"].as_object();
    facts.ip = networks.and_then(|networks| {
        networks
            .values()
            .find_map(|network| network["IPAddress"].as_str()?.parse().ok())
    });
    add_pod(facts);
}

/// What dockershim and cri-dockerd put into labels.
fn add_pod(facts: &mut ContainerFacts) {
    let label = |name: &str| facts.labels.get(name).cloned();
    let pod = PodRef {
        name: label("io.kubernetes.pod.name"),
        namespace: label("io.kubernetes.pod.namespace"),
        uid: label("io.kubernetes.pod.uid"),
        sandbox_id: label("io.kubernetes.sandbox.id"),
    };
    if pod.uid.is_some() {
        facts.is_sandbox = label("io.kubernetes.docker.type").as_deref() == Some("podsandbox");
        facts.pod = Some(pod);
    }
}

/// Adds what `hostconfig.json` tells.
pub fn add_host_config(bytes: &[u8], facts: &mut ContainerFacts) -> bool {
    let Ok(config) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    add_host(&config, facts);
    true
}

/// Adds what a `HostConfig` tells, of the file or of the API.
pub(super) fn add_host(config: &Value, facts: &mut ContainerFacts) {
    facts.is_privileged = config["Privileged"].as_bool();
    facts.has_host_network = Some(config["NetworkMode"] == "host");
    facts.has_host_pid = Some(config["PidMode"] == "host");
    facts.has_host_ipc = Some(config["IpcMode"] == "host");
    if let Some(bindings) = config["PortBindings"].as_object() {
        facts.ports = bindings
            .iter()
            .flat_map(|(port, hosts)| {
                let hosts = hosts.as_array().into_iter().flatten();
                hosts.filter_map(move |host| {
                    text(&host["HostPort"]).map(|host| format!("{host}:{port}").into())
                })
            })
            .take(MOUNTS_MAX)
            .collect();
    }
}

/// Adds the image's digest by `repositories.json`: `{"Repositories": {name: {reference: id}}}`.
pub fn add_digest(bytes: &[u8], facts: &mut ContainerFacts) -> bool {
    let Ok(file) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    let Some(id) = facts.image.id.clone() else {
        return true;
    };
    let repositories = file["Repositories"].as_object().into_iter().flatten();
    facts.image.digest = repositories
        .flat_map(|(_, references)| references.as_object().into_iter().flatten())
        .filter(|(_, named)| {
            named
                .as_str()
                .is_some_and(|named| without_algorithm(named) == &*id)
        })
        .find_map(|(reference, _)| reference.split_once('@').map(|(_, digest)| digest.into()));
    true
}

/// Where Docker keeps a container's state: its bundle mounts `hosts` and `resolv.conf` from there. Those may be
/// another container's, whose network it shares; the data root is the same.
#[must_use]
pub fn folder(facts: &ContainerFacts) -> Option<PathBuf> {
    facts.mounts.iter().find_map(|mount| {
        let of_container = Path::new(&*mount.source).parent()?;
        let containers = of_container.parent()?;
        let is_dockers = matches!(
            &*mount.destination,
            "/etc/hosts" | "/etc/hostname" | "/etc/resolv.conf"
        ) && containers.file_name()? == "containers";
        is_dockers.then(|| containers.join(&*facts.id))
    })
}
