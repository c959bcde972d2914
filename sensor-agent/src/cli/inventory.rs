//! `sensor inventory`: shows what workloads were seen to do.

mod backstage;
mod json;
mod policy;
mod table;
#[cfg(test)]
mod tests;

use clap::{Args, ValueEnum};
use sensor_proto::v1::{
    GetInventoryRequest, InventorySummary, Workload, get_inventory_response::Item,
    inventory_client::InventoryClient,
};
use tonic::{Status, transport::Channel};

use super::connect::{ConnectArgs, unanswered};
use super::{Exit, block_on, fail, one_line, print};

/// Arguments of `sensor inventory`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
A workload is the pods of one owner (Deployment, DaemonSet, ...), else the containers of one image and name, else a unit of the
host's service manager, else a cgroup. Of each are shown the programs that ran, the ports that it listens on, the peers that it
connected to, and the folders in which it wrote.

It is made of the events that flow for the rules, and makes the kernel collect no more. What is not collected is named before the
workloads (\"not covered\"). To see more of it, load a rule that asks for the events, or set kernel.profile to all, and
kernel.filter to false, for a while.

networkpolicy proposes policies that allow what was seen, and no more. Each says what it does not know: read it before you use it.

Examples:
  sensor inventory
  sensor inventory --namespace shop --name cart
  sensor inventory --format json | jq '.workloads[] | select(.ports != [])'
  sensor inventory --format networkpolicy --namespace shop > policies.yaml
  sensor inventory --format backstage --owner team-shop > catalog-info.yaml

Exit codes:
  0  shown
  1  the sensor cannot be reached, or keeps no inventory
  2  wrong usage")]
pub struct InventoryArgs {
    /// How it is written
    #[arg(long, value_enum, default_value_t = InventoryFormat::Table)]
    format: InventoryFormat,
    /// Only workloads of this Kubernetes namespace
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true)]
    namespace: String,
    /// Only the workloads of this name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Who owns the entities, with --format backstage
    #[arg(long, value_name = "OWNER", default_value = "unknown")]
    owner: String,
    #[command(flatten)]
    connection: ConnectArgs,
}

/// How an inventory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InventoryFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// catalog-info.yaml for Backstage: a Component a workload, a Resource a peer.
    Backstage,
    /// A Kubernetes `NetworkPolicy` a workload, that allows what was seen.
    Networkpolicy,
}

/// All that was answered.
#[derive(Debug, Default)]
struct Inventory {
    summary: InventorySummary,
    workloads: Vec<Workload>,
}

pub(super) fn run(args: &InventoryArgs) -> Exit {
    block_on(async {
        let channel = match args.connection.connect_or_say().await {
            Ok(channel) => channel,
            Err(exit) => return exit,
        };
        match ask(channel, args).await {
            Ok(inventory) => match render(args.format, &args.owner, &inventory) {
                Ok(text) => print(&text),
                Err(error) => fail(Exit::Failed, &format_args!("cannot write YAML: {error}")),
            },
            Err(status) => unanswered(&status),
        }
    })
}

async fn ask(channel: Channel, args: &InventoryArgs) -> Result<Inventory, Status> {
    let request = GetInventoryRequest {
        namespace: args.namespace.clone(),
        name: args.name.clone(),
    };
    let mut stream = InventoryClient::new(channel)
        .get_inventory(request)
        .await?
        .into_inner();
    let mut inventory = Inventory::default();
    while let Some(message) = stream.message().await? {
        match message.item {
            Some(Item::Summary(summary)) => inventory.summary = summary,
            Some(Item::Workload(workload)) => inventory.workloads.push(workload),
            None => {}
        }
    }
    Ok(inventory)
}

/// The whole answer as text.
fn render(
    format: InventoryFormat,
    owner: &str,
    inventory: &Inventory,
) -> Result<String, serde_saphyr::ser::Error> {
    match format {
        InventoryFormat::Table => Ok(table::render(inventory)),
        InventoryFormat::Json => Ok(format!("{:#}\n", json::render(inventory))),
        InventoryFormat::Backstage => backstage::render(inventory, owner),
        InventoryFormat::Networkpolicy => policy::render(inventory),
    }
}

/// A workload's kind and name, and its namespace before them.
fn title(workload: &Workload) -> String {
    let namespace = if workload.namespace.is_empty() {
        String::new()
    } else {
        format!("{}/", workload.namespace)
    };
    format!("{namespace}{} {}", workload.kind, workload.name)
}

/// Text as comments of YAML: a line each.
fn comment(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str("# ");
        text.push_str(&one_line(line));
        text.push('\n');
        text
    })
}

/// What the inventory does not see of one part of it, as sentences.
fn not_covered<'a>(summary: &'a InventorySummary, aspect: &str) -> impl Iterator<Item = &'a str> {
    summary
        .coverage
        .iter()
        .filter(move |coverage| coverage.aspect == aspect)
        .flat_map(|coverage| &coverage.missing)
        .map(String::as_str)
}
