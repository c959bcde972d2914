//! An inventory as Kubernetes' network policies: what was seen is allowed, and nothing else.
//!
//! Nothing is restricted of which nothing was seen: a policy that allows nothing, for want of events, would cut a workload
//! off. What a policy does not know stands above it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use sensor_proto::v1::{InventorySummary, Workload, coverage::State};
use serde_json::{Value, json};

use super::{Inventory, comment, not_covered, table, title};

/// The label that Kubernetes gives to each namespace since 1.21.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Protocols that a policy can name.
const PROTOCOLS: [&str; 2] = ["tcp", "udp"];

/// Longest name of a policy.
const NAME_BYTES_MAX: usize = 253;

pub(super) fn render(inventory: &Inventory) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::new();
    let of_pods = inventory
        .workloads
        .iter()
        .filter(|workload| workload.r#type == "kubernetes");
    let mut documents = 0;
    for workload in of_pods {
        if let Some(why) = impossible(workload) {
            text.push_str(&comment(&[format!("No policy for {}: {why}.", title(workload))]));
            continue;
        }
        let policy = Policy::of(workload, &inventory.summary);
        if documents > 0 {
            text.push_str("---\n");
        }
        documents += 1;
        text.push_str(&comment(&policy.notes));
        text.push_str(&serde_saphyr::to_string(&policy.document)?);
    }
    if documents == 0 {
        text.push_str("# No workload of Kubernetes was seen that a policy can be proposed for.\n");
    }
    Ok(text)
}

/// Why no policy can be proposed.
fn impossible(workload: &Workload) -> Option<&'static str> {
    if workload.host_network {
        return Some("it has the host's network, to which policies do not apply");
    }
    if workload.labels.is_empty() {
        return Some("no labels are known by which its pods could be selected");
    }
    let has_ports = ports(workload).next().is_some();
    let has_peers = destinations(workload).next().is_some();
    (!has_ports && !has_peers).then_some("no port and no peer of it was seen")
}

struct Policy {
    notes: Vec<String>,
    document: Value,
}

impl Policy {
    fn of(workload: &Workload, summary: &InventorySummary) -> Self {
        let mut notes = vec![
            format!(
                "Proposed by sensor for {}: what was seen of it on {} from {} to {} is allowed, and nothing else.",
                title(workload),
                summary.hostname,
                table::time(workload.first_seen.as_ref()),
                table::time(summary.time.as_ref()),
            ),
            "It does not know what the workload did before, does on other nodes, or will do; and:".into(),
        ];
        let mut spec = json!({ "podSelector": { "matchLabels": workload.labels } });
        let mut types = Vec::new();
        let listens: Vec<_> = ports(workload).collect();
        if listens.is_empty() {
            notes.push("- no port was seen that it listens on, so what comes in is not restricted".into());
        } else {
            notes.push("- who connects to its ports is not known: they are open to everybody".into());
            notes.push("- ports that it listened on before the sensor began are not known".into());
            types.push("Ingress");
            spec["ingress"] = json!([{ "ports": listens.iter().map(port).collect::<Vec<_>>() }]);
        }
        let rules = egress(workload);
        if rules.is_empty() {
            notes.push("- no peer was seen, so what goes out is not restricted".into());
        } else {
            notes.push(
                "- addresses of Services are seen before they become those of pods: put selectors in their place".into(),
            );
            types.push("Egress");
            spec["egress"] = Value::Array(rules);
            if !workload.peers.iter().any(|peer| peer.port == 53) {
                notes.push("- no DNS was seen: allow port 53 if it looks names up".into());
            }
        }
        for aspect in ["ports", "peers"] {
            let missing = not_covered(summary, aspect).map(|sentence| format!("- {aspect}: {sentence}"));
            notes.extend(missing);
        }
        let others = workload.others.unwrap_or_default();
        for (count, what) in [(others.ports, "ports"), (others.peers, "peers")] {
            if count > 0 {
                notes.push(format!(
                    "- {count} times there were other {what}, for which there was no room (inventory.{what}_max)"
                ));
            }
        }
        let unnamed = unnamed(workload);
        if !unnamed.is_empty() {
            notes.push(format!(
                "- a policy cannot name what was done by {}",
                unnamed.join(", ")
            ));
        }
        if not_collected(summary, "ports") && types.contains(&"Ingress") {
            notes.push("- only what was accepted tells of its ports".into());
        }
        spec["policyTypes"] = json!(types);
        let document = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": name(workload), "namespace": workload.namespace },
            "spec": spec,
        });
        Self { notes, document }
    }
}

fn not_collected(summary: &InventorySummary, aspect: &str) -> bool {
    let of = summary.coverage.iter().find(|coverage| coverage.aspect == aspect);
    of.is_some_and(|coverage| coverage.state() == State::None)
}

/// A name that Kubernetes takes: lower case, digits, dashes.
fn name(workload: &Workload) -> String {
    let whole = format!("{}-{}-seen", workload.kind, workload.name).to_lowercase();
    let name = whole.replace(|char: char| !char.is_ascii_alphanumeric() && char != '.', "-");
    let end = name.len().min(NAME_BYTES_MAX);
    name[..end].trim_matches(['-', '.']).to_owned()
}

/// Ports that others can reach, by protocol and number.
fn ports(workload: &Workload) -> impl Iterator<Item = (String, u32)> {
    let reachable = workload.ports.iter().filter(|port| {
        let is_loopback = |address: &String| address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        PROTOCOLS.contains(&&*port.protocol) && !port.addresses.iter().all(is_loopback)
    });
    reachable.map(|port| (port.protocol.to_uppercase(), port.port))
}

fn port((protocol, number): &(String, u32)) -> Value {
    json!({ "protocol": protocol, "port": number })
}

/// Protocols that were seen and that a policy cannot name.
fn unnamed(workload: &Workload) -> Vec<&str> {
    let of_ports = workload.ports.iter().map(|port| &*port.protocol);
    let of_peers = workload.peers.iter().map(|peer| &*peer.protocol);
    let unnamed: BTreeSet<_> = of_ports
        .chain(of_peers)
        .filter(|protocol| !PROTOCOLS.contains(protocol))
        .collect();
    unnamed.into_iter().collect()
}

/// Where a rule lets connections go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Address(IpAddr),
    Pods(String, BTreeMap<String, String>),
}

fn destinations(workload: &Workload) -> impl Iterator<Item = (To, (String, u32))> {
    workload.peers.iter().filter_map(|peer| {
        let address: IpAddr = peer.address.parse().ok()?;
        if address.is_loopback() || !PROTOCOLS.contains(&&*peer.protocol) {
            return None;
        }
        let pod = peer.pod.as_ref().filter(|pod| !pod.labels.is_empty());
        let to = pod.map_or(To::Address(address), |pod| {
            To::Pods(pod.namespace.clone(), pod.labels.clone())
        });
        Some((to, (peer.protocol.to_uppercase(), peer.port)))
    })
}

/// A rule for each destination.
fn egress(workload: &Workload) -> Vec<Value> {
    let mut by_destination: BTreeMap<To, BTreeSet<(String, u32)>> = BTreeMap::new();
    for (to, port) in destinations(workload) {
        by_destination.entry(to).or_default().insert(port);
    }
    let rules = by_destination.into_iter().map(|(to, ports)| {
        let to = match to {
            To::Address(ip) => {
                let bits = if ip.is_ipv4() { 32 } else { 128 };
                json!({ "ipBlock": { "cidr": format!("{ip}/{bits}") } })
            }
            To::Pods(namespace, labels) => json!({
                "namespaceSelector": { "matchLabels": { NAMESPACE_LABEL: namespace } },
                "podSelector": { "matchLabels": labels },
            }),
        };
        json!({ "to": [to], "ports": ports.iter().map(port).collect::<Vec<_>>() })
    });
    rules.collect()
}
