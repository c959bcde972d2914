//! An inventory for programs.

use prost_types::Timestamp;
use sensor_proto::v1::{InventorySummary, Workload, coverage::State, workload};
use serde_json::{Value, json};

use super::Inventory;

pub(super) fn render(inventory: &Inventory) -> Value {
    let InventorySummary {
        hostname,
        since,
        time: put_together,
        coverage,
        workloads,
        workloads_max,
        workloads_forgotten,
        events_unattributed,
    } = &inventory.summary;
    json!({
        "hostname": hostname,
        "since": since.as_ref().map(time),
        "time": put_together.as_ref().map(time),
        "coverage": coverage.iter().map(|coverage| json!({
            "aspect": coverage.aspect,
            "state": state(coverage.state()),
            "missing": coverage.missing,
        })).collect::<Vec<_>>(),
        "workloads_known": workloads,
        "workloads_max": workloads_max,
        "workloads_forgotten": workloads_forgotten,
        "events_unattributed": events_unattributed,
        "workloads": inventory.workloads.iter().map(of_workload).collect::<Vec<_>>(),
    })
}

fn of_workload(workload: &Workload) -> Value {
    let others = workload.others.unwrap_or_default();
    json!({
        "type": workload.r#type,
        "namespace": workload.namespace,
        "kind": workload.kind,
        "name": workload.name,
        "images": workload.images,
        "containers": workload.containers,
        "labels": workload.labels,
        "host_network": workload.host_network,
        "first_seen": workload.first_seen.as_ref().map(time),
        "last_seen": workload.last_seen.as_ref().map(time),
        "programs": workload.programs.iter().map(|program| json!({
            "path": program.path, "times": times(program.times.as_ref()),
        })).collect::<Vec<_>>(),
        "ports": workload.ports.iter().map(|port| json!({
            "protocol": port.protocol, "port": port.port, "addresses": port.addresses,
            "program": port.program, "times": times(port.times.as_ref()),
        })).collect::<Vec<_>>(),
        "peers": workload.peers.iter().map(|peer| json!({
            "address": peer.address, "port": peer.port, "protocol": peer.protocol,
            "program": peer.program, "times": times(peer.times.as_ref()),
            "pod": peer.pod.as_ref().map(|pod| json!({
                "namespace": pod.namespace, "name": pod.name, "labels": pod.labels,
                "owner_kind": pod.owner_kind, "owner_name": pod.owner_name,
            })),
        })).collect::<Vec<_>>(),
        "folders": workload.folders.iter().map(|folder| json!({
            "path": folder.path, "times": times(folder.times.as_ref()),
        })).collect::<Vec<_>>(),
        "others": {
            "programs": others.programs, "ports": others.ports, "peers": others.peers,
            "folders": others.folders,
        },
    })
}

fn times(times: Option<&workload::Times>) -> Value {
    times.map_or(Value::Null, |times| {
        json!({
            "count": times.count,
            "first": times.first.as_ref().map(time),
            "last": times.last.as_ref().map(time),
        })
    })
}

fn time(time: &Timestamp) -> String {
    time.to_string()
}

fn state(state: State) -> &'static str {
    match state {
        State::Complete => "complete",
        State::Partial => "partial",
        State::None => "none",
        State::Unspecified => "unknown",
    }
}
