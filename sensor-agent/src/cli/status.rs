//! `sensor status`: shows what a running sensor is doing, and how well.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use sensor_proto::v1::agent_client::AgentClient;
use sensor_proto::v1::{StatusRequest, StatusResponse};
use serde_json::json;

use super::connect::{ConnectArgs, unanswered};
use super::table::Table;
use super::{Exit, block_on, print};

/// Arguments of `sensor status`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor status
  sensor status --format json | jq '.kinds[] | select(.lost != {})'

Exit codes:
  0  shown
  1  the sensor cannot be reached
  2  wrong usage")]
pub struct StatusArgs {
    /// How it is written
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    format: StatusFormat,
    #[command(flatten)]
    connection: ConnectArgs,
}

/// How a status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

pub(super) fn run(args: &StatusArgs) -> Exit {
    block_on(async {
        let channel = match args.connection.connect_or_say().await {
            Ok(channel) => channel,
            Err(exit) => return exit,
        };
        match AgentClient::new(channel).status(StatusRequest {}).await {
            Ok(response) => print(&render(args.format, &response.into_inner())),
            Err(status) => unanswered(&status),
        }
    })
}

/// The whole answer as text.
fn render(format: StatusFormat, status: &StatusResponse) -> String {
    match format {
        StatusFormat::Table => table(status),
        StatusFormat::Json => format!("{:#}\n", as_json(status)),
    }
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    counts
        .iter()
        .map(|(name, count)| format!("{name}={count}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn table(status: &StatusResponse) -> String {
    let mut text = String::new();
    let rules = status.rules.clone().unwrap_or_default();
    let state = status.state.unwrap_or_default();
    let _infallible = writeln!(
        text,
        "sensor {} on {}\nfirst event {} ms after the start\n{} rules ({} enabled) from {} files, generation {}\n\
         {} processes, {} containers, {} KiB resident",
        status.version,
        status.hostname,
        status.start_to_first_event_ns / 1_000_000,
        rules.loaded,
        rules.enabled,
        rules.files.len(),
        rules.generation,
        state.processes,
        state.containers,
        state.resident_bytes / 1024,
    );
    for reason in &status.degraded {
        let _infallible = writeln!(text, "degraded: {}", reason.replace(char::is_control, "\u{fffd}"));
    }
    let tables = [
        ("hooks", hooks(status)),
        ("events", kinds(status)),
        ("cgroups", cgroups(status)),
        ("matches", matches(&rules.matches)),
        ("subscribers", subscribers(status)),
    ];
    for (title, table) in tables {
        if !table.is_empty() {
            let _infallible = write!(text, "\n{title}\n");
            table.render(&mut text);
        }
    }
    text
}

fn hooks(status: &StatusResponse) -> Table {
    let mut table = Table::new(["HOOK", "ATTACHED", "KINDS", "WHY NOT"]);
    for hook in &status.hooks {
        let attached = if hook.attached { "yes" } else { "no" };
        table.row([
            hook.name.clone(),
            attached.to_owned(),
            hook.kinds.join(" "),
            hook.reason.clone(),
        ]);
    }
    table
}

fn kinds(status: &StatusResponse) -> Table {
    let mut table = Table::new([
        "KIND",
        "SEEN",
        "FILTERED",
        "SENT",
        "TRUNCATED",
        "DELIVERED",
        "MALFORMED",
        "LOST",
    ]);
    for kind in &status.kinds {
        table.row([
            kind.kind.clone(),
            kind.seen.to_string(),
            kind.filtered.to_string(),
            kind.sent.to_string(),
            kind.truncated.to_string(),
            kind.delivered.to_string(),
            kind.malformed.to_string(),
            counts(&kind.lost),
        ]);
    }
    table
}

fn cgroups(status: &StatusResponse) -> Table {
    let mut table = Table::new(["CGROUP", "CONTAINER", "DELIVERED", "LOST"]);
    for cgroup in &status.cgroups {
        let container = cgroup.container.chars().take(12).collect();
        table.row([
            if cgroup.path.is_empty() {
                "/".to_owned()
            } else {
                cgroup.path.clone()
            },
            container,
            counts(&cgroup.delivered),
            counts(&cgroup.lost),
        ]);
    }
    table
}

fn matches(by_rule: &BTreeMap<String, u64>) -> Table {
    let mut table = Table::new(["RULE", "DETECTIONS"]);
    let mut by_count: Vec<_> = by_rule.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (rule, count) in by_count {
        table.row([rule.clone(), count.to_string()]);
    }
    table
}

fn subscribers(status: &StatusResponse) -> Table {
    let mut table = Table::new([
        "ID",
        "KIND",
        "PEER",
        "DELIVERED",
        "DROPPED",
        "QUEUED",
        "QUEUE MAX",
    ]);
    for subscriber in &status.subscribers {
        table.row([
            subscriber.id.to_string(),
            subscriber.kind.clone(),
            subscriber.peer.clone(),
            subscriber.delivered.to_string(),
            subscriber.dropped.to_string(),
            subscriber.queued.to_string(),
            subscriber.queued_max.to_string(),
        ]);
    }
    table
}

fn as_json(status: &StatusResponse) -> serde_json::Value {
    let time = |time: &prost_types::Timestamp| time.to_string();
    json!({
        "version": status.version,
        "hostname": status.hostname,
        "start_time": status.start_time.as_ref().map(time),
        "start_to_first_event_ns": status.start_to_first_event_ns,
        "hooks": status.hooks.iter().map(|hook| json!({
            "name": hook.name, "attached": hook.attached, "kinds": hook.kinds, "reason": hook.reason,
        })).collect::<Vec<_>>(),
        "kinds": status.kinds.iter().map(|kind| json!({
            "kind": kind.kind, "seen": kind.seen, "filtered": kind.filtered, "sent": kind.sent,
            "truncated": kind.truncated, "delivered": kind.delivered, "malformed": kind.malformed,
            "lost": kind.lost,
        })).collect::<Vec<_>>(),
        "cgroups": status.cgroups.iter().map(|cgroup| json!({
            "cgroup_id": cgroup.cgroup_id, "path": cgroup.path, "container": cgroup.container,
            "delivered": cgroup.delivered, "lost": cgroup.lost,
        })).collect::<Vec<_>>(),
        "rules": status.rules.as_ref().map(|rules| json!({
            "loaded": rules.loaded, "enabled": rules.enabled, "files": rules.files, "matches": rules.matches,
            "generation": rules.generation, "loaded_at": rules.loaded_at.as_ref().map(time),
            "reloads_failed": rules.reloads_failed, "error": rules.error,
        })),
        "state": status.state.as_ref().map(|state| json!({
            "processes": state.processes, "containers": state.containers,
            "resident_bytes": state.resident_bytes,
        })),
        "subscribers": status.subscribers.iter().map(|subscriber| json!({
            "id": subscriber.id, "kind": subscriber.kind, "peer": subscriber.peer,
            "delivered": subscriber.delivered, "dropped": subscriber.dropped,
            "queued": subscriber.queued, "queued_max": subscriber.queued_max,
        })).collect::<Vec<_>>(),
        "degraded": status.degraded,
    })
}

#[cfg(test)]
mod tests;
