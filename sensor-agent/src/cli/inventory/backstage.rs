//! An inventory as Backstage's catalogue: a Component a workload, a Resource a peer that is none of them.

use std::collections::{BTreeMap, BTreeSet};

use sensor_proto::v1::{Workload, workload::Peer};
use serde_json::{Value, json};

use super::{Inventory, comment, title};

/// Longest name of an entity.
const NAME_CHARS_MAX: usize = 63;

/// The namespace of what Kubernetes does not run.
const NAMESPACE: &str = "default";

pub(super) fn render(inventory: &Inventory, owner: &str) -> Result<String, serde_saphyr::ser::Error> {
    let summary = &inventory.summary;
    let mut notes = vec![format!(
        "Made by sensor of what was seen on {}. What was not seen is not here:",
        summary.hostname
    )];
    for coverage in &summary.coverage {
        let missing = coverage.missing.iter();
        notes.extend(missing.map(|sentence| format!("- {}: {sentence}", coverage.aspect)));
    }
    let names = Names::of(&inventory.workloads);
    let mut resources: BTreeMap<String, &Peer> = BTreeMap::new();
    let mut text = comment(&notes);
    for (workload, name) in inventory.workloads.iter().zip(&names.components) {
        let mut depends_on = BTreeSet::new();
        for peer in &workload.peers {
            if let Some(component) = names.of_peer(peer) {
                depends_on.insert(format!("component:{component}"));
            } else {
                let resource = short(&format!("{}-{}-{}", peer.address, peer.port, peer.protocol));
                depends_on.insert(format!("resource:{NAMESPACE}/{resource}"));
                resources.insert(resource, peer);
            }
        }
        let entity = component(workload, name, owner, &depends_on);
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&entity)?);
    }
    for (name, peer) in resources {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&resource(&name, peer, owner))?);
    }
    Ok(text)
}

/// What the components are called: `namespace/name`.
struct Names {
    components: Vec<String>,
    /// By namespace, kind and name.
    by_owner: BTreeMap<[String; 3], String>,
}

impl Names {
    fn of(workloads: &[Workload]) -> Self {
        let mut taken = BTreeSet::new();
        let (mut components, mut by_owner) = (Vec::new(), BTreeMap::new());
        for workload in workloads {
            let namespace = if workload.namespace.is_empty() {
                NAMESPACE
            } else {
                &workload.namespace
            };
            let stem = short(&workload.name);
            // Two workloads may differ in their kind alone.
            let mut name = format!("{namespace}/{stem}");
            for number in 2.. {
                if taken.insert(name.to_lowercase()) {
                    break;
                }
                let end = format!("-{number}");
                let begin = &stem[..stem.len().min(NAME_CHARS_MAX - end.len())];
                name = format!("{namespace}/{begin}{end}");
            }
            let owner = [&workload.namespace, &workload.kind, &workload.name].map(Clone::clone);
            by_owner.insert(owner, name.clone());
            components.push(name);
        }
        Self { components, by_owner }
    }

    /// The component that a peer is of.
    fn of_peer(&self, peer: &Peer) -> Option<&String> {
        let pod = peer.pod.as_ref()?;
        let owner = [&pod.namespace, &pod.owner_kind, &pod.owner_name].map(Clone::clone);
        let alone = [pod.namespace.clone(), "Pod".into(), pod.name.clone()];
        self.by_owner.get(&owner).or_else(|| self.by_owner.get(&alone))
    }
}

fn component(workload: &Workload, name: &str, owner: &str, depends_on: &BTreeSet<String>) -> Value {
    let (namespace, name) = name.split_once('/').unwrap_or((NAMESPACE, name));
    let mut annotations = BTreeMap::new();
    if workload.r#type == "kubernetes" {
        annotations.insert("backstage.io/kubernetes-namespace", workload.namespace.clone());
        let selector: Vec<_> = workload
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !selector.is_empty() {
            annotations.insert("backstage.io/kubernetes-label-selector", selector.join(","));
        }
    }
    let ports: Vec<_> = workload
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.port, port.protocol))
        .collect();
    let mut description = format!(
        "{} programs, {} peers, {} folders written",
        workload.programs.len(),
        workload.peers.len(),
        workload.folders.len()
    );
    if !ports.is_empty() {
        description = format!("listens on {}; {description}", ports.join(", "));
    }
    if !workload.images.is_empty() {
        description = format!("{}; {description}", workload.images.join(", "));
    }
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "title": title(workload),
            "description": description,
            "annotations": annotations,
        },
        "spec": {
            "type": "service",
            "lifecycle": "production",
            "owner": owner,
            "dependsOn": depends_on,
        },
    })
}

fn resource(name: &str, peer: &Peer, owner: &str) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "title": format!("{} port {}/{}", peer.address, peer.port, peer.protocol),
        },
        "spec": { "type": "network-endpoint", "owner": owner },
    })
}

/// A name that Backstage takes: letters and digits, and single `-`, `_` or `.` between them.
fn short(name: &str) -> String {
    let mut short = String::new();
    for char in name.chars() {
        let is_end = short.is_empty() || short.ends_with(['-', '_', '.']);
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' => short.push(char),
            _ if is_end => {}
            '_' | '.' => short.push(char),
            _ => short.push('-'),
        }
        if short.len() >= NAME_CHARS_MAX {
            break;
        }
    }
    let short = short.trim_end_matches(['-', '_', '.']);
    if short.is_empty() {
        "root".into()
    } else {
        short.to_owned()
    }
}
