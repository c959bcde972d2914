//! An inventory for people.

use std::fmt::Write as _;

use prost_types::Timestamp;
use sensor_proto::v1::{Workload, workload};

use super::{Inventory, title};
use crate::cli::{one_line, table::Table};

pub(super) fn render(inventory: &Inventory) -> String {
    let mut text = String::new();
    let summary = &inventory.summary;
    let _infallible = writeln!(
        text,
        "{} workloads on {}, of at most {}, seen since {}",
        summary.workloads,
        one_line(&summary.hostname),
        summary.workloads_max,
        time(summary.since.as_ref()),
    );
    if summary.workloads_forgotten > 0 {
        let _infallible = writeln!(
            text,
            "{} further ones were forgotten, because there were too many (inventory.workloads_max)",
            summary.workloads_forgotten
        );
    }
    if summary.events_unattributed > 0 {
        let _infallible = writeln!(
            text,
            "{} events belong to nobody that is known",
            summary.events_unattributed
        );
    }
    for coverage in &summary.coverage {
        for sentence in &coverage.missing {
            let _infallible = writeln!(text, "not covered: {}: {}", coverage.aspect, one_line(sentence));
        }
    }
    for workload in &inventory.workloads {
        describe(&mut text, workload);
    }
    text
}

fn describe(text: &mut String, workload: &Workload) {
    let _infallible = writeln!(
        text,
        "\n{}, from {} to {}",
        one_line(&title(workload)),
        time(workload.first_seen.as_ref()),
        time(workload.last_seen.as_ref()),
    );
    let labels: Vec<_> = workload
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for (what, list) in [
        ("images", &workload.images),
        ("containers", &workload.containers),
        ("labels", &labels),
    ] {
        if !list.is_empty() {
            let _infallible = writeln!(text, "  {what}: {}", one_line(&list.join(", ")));
        }
    }
    if workload.host_network {
        text.push_str("  has the host's network\n");
    }
    let others = workload.others.unwrap_or_default();
    for (table, others, what) in [
        (programs(workload), others.programs, "programs"),
        (ports(workload), others.ports, "ports"),
        (peers(workload), others.peers, "peers"),
        (folders(workload), others.folders, "folders"),
    ] {
        if !table.is_empty() {
            table.render(text);
        }
        if others > 0 {
            let _infallible = writeln!(
                text,
                "  and {others} times others, for which there was no room (inventory.{what}_max) or whose path is not known"
            );
        }
    }
}

fn programs(workload: &Workload) -> Table {
    let mut table = Table::new(["PROGRAM", "TIMES", "LAST"]);
    for program in &workload.programs {
        let (count, last) = times(program.times.as_ref());
        table.row([program.path.clone(), count, last]);
    }
    table
}

fn ports(workload: &Workload) -> Table {
    let mut table = Table::new(["LISTENS ON", "ADDRESSES", "PROGRAM", "TIMES", "LAST"]);
    for port in &workload.ports {
        let (count, last) = times(port.times.as_ref());
        table.row([
            format!("{}/{}", port.port, port.protocol),
            port.addresses.join(" "),
            port.program.clone(),
            count,
            last,
        ]);
    }
    table
}

fn peers(workload: &Workload) -> Table {
    let mut table = Table::new(["CONNECTS TO", "PORT", "POD", "PROGRAM", "TIMES", "LAST"]);
    for peer in &workload.peers {
        let (count, last) = times(peer.times.as_ref());
        table.row([
            peer.address.clone(),
            format!("{}/{}", peer.port, peer.protocol),
            peer.pod
                .as_ref()
                .map_or_else(String::new, |pod| format!("{}/{}", pod.namespace, pod.name)),
            peer.program.clone(),
            count,
            last,
        ]);
    }
    table
}

fn folders(workload: &Workload) -> Table {
    let mut table = Table::new(["WRITES IN", "TIMES", "LAST"]);
    for folder in &workload.folders {
        let (count, last) = times(folder.times.as_ref());
        table.row([folder.path.clone(), count, last]);
    }
    table
}

fn times(times: Option<&workload::Times>) -> (String, String) {
    times.map_or_else(Default::default, |times| {
        (times.count.to_string(), time(times.last.as_ref()))
    })
}

/// To the second: these are no moments that anything is ordered by.
pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(String::new, |time| {
        let whole = Timestamp { nanos: 0, ..*time };
        whole.to_string()
    })
}
