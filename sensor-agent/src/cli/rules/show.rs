//! `sensor rules show`

use std::fmt::Write as _;

use clap::Args;
use sensor_rules::{
    explain::Dissection,
    field::Catalogue,
    format::Output,
    load::{Loaded, RuleInfo},
};
use serde_json::json;

use super::{FileArgs, Format, clean, count, event_names, list, place, print_json, rule};
use crate::cli::{Exit, fail, print};

/// Arguments of `sensor rules show`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor rules show 'Shell in container'
  sensor rules show 'Shell in container' rules/ --format json

Exit codes:
  0  done
  2  the rules cannot be loaded, or there is no such rule")]
pub(super) struct ShowArgs {
    /// The rule's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    files: FileArgs,
    /// How the rule is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &ShowArgs) -> Result<Exit, Exit> {
    let loaded = args.files.load_valid()?;
    let rule = rule(&loaded, &args.name)?;
    let fields = output_fields(rule);
    Ok(match args.format {
        Format::Text => print(&text(&loaded, rule, &fields)?),
        Format::Json => {
            let mut value = list::as_json(&loaded, rule);
            let exceptions: Vec<_> = rule
                .exceptions
                .iter()
                .map(|one| json!({ "name": one.name, "fields": one.fields, "values": one.value_count, "allow_incomplete": one.allows_incomplete }))
                .collect();
            value["description"] = json!(rule.description);
            value["condition"] = json!(rule.condition);
            value["compiled_condition"] = json!(rule.compiled_condition.as_ref().map(ToString::to_string));
            value["exceptions"] = json!(exceptions);
            value["output"] = json!(rule.compiled_output);
            value["output_fields"] = json!(fields);
            print_json(&value)
        }
    })
}

/// Keys of `output_fields`.
fn output_fields(rule: &RuleInfo) -> Vec<String> {
    let output = rule.compiled_output.as_deref();
    let parsed = output.and_then(|text| Output::parse(text, &Catalogue::new()).ok());
    let own = parsed.map(|output| {
        output
            .fields()
            .iter()
            .map(|field| field.key.clone())
            .collect::<Vec<_>>()
    });
    let added = rule.extra_fields.iter().map(|field| field.key.clone());
    own.into_iter().flatten().chain(added).collect()
}

fn text(loaded: &Loaded, rule: &RuleInfo, fields: &[String]) -> Result<String, Exit> {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let value = clean(value.trim_end()).replace('\n', "\n    ");
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<12} {value}");
        }
    };
    line("rule", &rule.name);
    line("defined", &place(loaded, rule));
    line("priority", rule.priority.name());
    line("source", &rule.source);
    line("enabled", if rule.id.is_some() { "yes" } else { "no" });
    line("tags", &rule.tags.join(", "));
    let events = event_names(rule).map_or("none: the rule was skipped".to_owned(), |names| names.join(", "));
    line("events", &events);
    for exception in &rule.exceptions {
        let values = count(exception.value_count, "value");
        line(
            "exception",
            &format!("{} ({}): {values}", exception.name, exception.fields.join(", ")),
        );
    }
    line("output", rule.compiled_output.as_deref().unwrap_or(&rule.output));
    line("fields", &fields.join(", "));
    line("description", &rule.description);
    let _ = writeln!(text, "\ncondition, as written\n    {}", indented(&rule.condition));
    if let Some(condition) = &rule.compiled_condition {
        let parts = Dissection::new(condition, &Catalogue::new())
            .map_err(|errors| fail(Exit::Failed, &format_args!("{errors:?}")))?;
        text.push_str("\ncondition, written out\n");
        for part in parts.parts() {
            let _ = writeln!(
                text,
                "    {:indent$}{}",
                "",
                clean(&part.text),
                indent = 2 * part.depth
            );
        }
    }
    Ok(text)
}

fn indented(text: &str) -> String {
    clean(text.trim_end()).replace('\n', "\n    ")
}
