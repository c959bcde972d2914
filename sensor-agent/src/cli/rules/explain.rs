//! `sensor rules explain`

use std::path::{Path, PathBuf};

use clap::Args;
use sensor_rules::{
    explain::{Explanation, Truth, explain},
    field::Catalogue,
    testing::{TableEvent, TestFile, parse_event},
};
use serde_json::{Value, json};

use super::{FileArgs, Format, print_json, rule};
use crate::cli::{Exit, fail, print};

/// Arguments of `sensor rules explain`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The event is YAML or JSON, as in a test file:
  event: {evt.type: execve, proc.name: bash, container.id: 3ad7b26ded6d}
  ancestors: [{proc.name: node}]
  incomplete: [proc.cmdline]

Examples:
  sensor rules explain --rule 'Shell in container' --event event.yaml rules/
  sensor rules explain --rule 'Shell in container' --event rules/execution/shell.test.yaml --case 'on the host'

Exit codes:
  0  done, whether or not the rule matches
  1  the event's file cannot be read
  2  the rules or the event are wrong, or there is no such rule")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The rule's name
    #[arg(long, value_name = "NAME")]
    rule: String,
    /// File with the event
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// The event of this case of the rule: the file is then one of tests
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Exit> {
    let loaded = args.files.load_valid()?;
    let rule = rule(&loaded, &args.rule)?;
    let catalogue = Catalogue::new();
    let event = event(args, &catalogue)?;
    let Some(condition) = &rule.compiled_condition else {
        let why = format!(
            "the rule `{}` was skipped; `sensor rules check` says why",
            rule.name
        );
        return Err(fail(Exit::Wrong, &why));
    };
    let explanation = explain(condition, &catalogue, &event).map_err(|errors| {
        let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
        fail(Exit::Wrong, &messages.join("; "))
    })?;
    let matches = explanation
        .lines
        .first()
        .is_some_and(|whole| whole.truth == Truth::True);
    Ok(match args.format {
        Format::Text => {
            let verdict = if matches { "matches" } else { "does not match" };
            print(&format!(
                "{explanation}\n{} {verdict}\n",
                super::clean(&rule.name)
            ))
        }
        Format::Json => print_json(&as_json(&rule.name, matches, &explanation)),
    })
}

fn event(args: &ExplainArgs, catalogue: &Catalogue) -> Result<TableEvent, Exit> {
    let name = args.event.display().to_string();
    let bytes = read(&args.event)?;
    let wrong = |error| fail(Exit::Wrong, &error);
    let Some(case) = &args.case else {
        return parse_event(&name, &bytes, catalogue).map_err(|error| wrong(error.to_string()));
    };
    let file = TestFile::parse(&name, &bytes, catalogue).map_err(|error| wrong(error.to_string()))?;
    let mut cases = file.cases.into_iter();
    let found = cases.find(|one| one.rule == args.rule && one.name == *case);
    found
        .map(|case| case.event)
        .ok_or_else(|| wrong(format!("{name} has no case `{case}` of the rule `{}`", args.rule)))
}

/// Reads a file of tests or of an event.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    crate::rules::read_file(path).map_err(|error| {
        fail(
            Exit::Failed,
            &format_args!("cannot read {}: {error}", path.display()),
        )
    })
}

fn as_json(rule: &str, matches: bool, explanation: &Explanation) -> Value {
    let parts = explanation.lines.iter().map(|line| {
        let values = line.values.iter().map(
            |value| json!({ "field": value.field, "value": value.value, "incomplete": value.is_incomplete }),
        );
        json!({
            "depth": line.depth,
            "truth": line.truth.name(),
            "text": line.text,
            "values": values.collect::<Vec<_>>(),
        })
    });
    json!({ "rule": rule, "matches": matches, "parts": parts.collect::<Vec<_>>() })
}
