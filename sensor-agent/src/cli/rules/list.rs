//! `sensor rules list`

use clap::Args;
use sensor_rules::load::{Loaded, RuleInfo};
use serde_json::{Value, json};

use super::{FileArgs, Format, event_names, place, print_json};
use crate::cli::{Exit, print, table::Table};

/// Event types that are shown by name; more are counted.
const EVENTS_SHOWN_MAX: usize = 6;

/// Arguments of `sensor rules list`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor rules list
  sensor rules list --tag container rules/
  sensor rules list --format json | jq -r '.[] | select(.enabled | not) | .name'

Exit codes:
  0  done
  2  the rules cannot be loaded")]
pub(super) struct ListArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Only rules with this tag; repeated: with each of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// How the list is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &ListArgs) -> Result<Exit, Exit> {
    let loaded = args.files.load_valid()?;
    let rules: Vec<_> = loaded
        .rules
        .iter()
        .filter(|rule| args.tags.iter().all(|tag| rule.tags.contains(tag)))
        .collect();
    Ok(match args.format {
        Format::Text => print(&text(&loaded, &rules)),
        Format::Json => {
            let all: Vec<_> = rules.iter().map(|rule| as_json(&loaded, rule)).collect();
            print_json(&json!(all))
        }
    })
}

fn text(loaded: &Loaded, rules: &[&RuleInfo]) -> String {
    let mut table = Table::new(["NAME", "PRIORITY", "ENABLED", "EVENTS", "TAGS", "PLACE"]);
    for rule in rules {
        let events = event_names(rule).map_or("skipped".to_owned(), |names| {
            if names.len() > EVENTS_SHOWN_MAX {
                format!("{} kinds", names.len())
            } else {
                names.join(",")
            }
        });
        table.row([
            rule.name.clone(),
            rule.priority.name().to_owned(),
            if rule.id.is_some() { "yes" } else { "no" }.to_owned(),
            events,
            rule.tags.join(","),
            place(loaded, rule),
        ]);
    }
    let mut text = String::new();
    table.render(&mut text);
    text
}

pub(super) fn as_json(loaded: &Loaded, rule: &RuleInfo) -> Value {
    json!({
        "name": rule.name,
        "priority": rule.priority.name(),
        "source": rule.source,
        "tags": rule.tags,
        "enabled": rule.id.is_some(),
        "event_types": event_names(rule),
        "place": place(loaded, rule),
    })
}
