//! `sensor rules explain`

mod kernel;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use clap::Args;
use sensor_rules::{
    ast::Expr,
    error::ConditionError,
    explain::{Explanation, Truth, explain},
    field::Catalogue,
    testing::{TableEvent, TestFile, parse_event},
};
use serde_json::{Value, json};

use super::{FileArgs, Format, print_json, rule};
use crate::{
    cli::{Exit, fail, print},
    hub::Item,
    pipeline::publish::Outlet,
    recording::{header::HeaderError, reader::Reader},
    replay::Replay,
    rules::Rules,
};

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
  sensor rules explain --rule 'Shell in container' --event incident.rec --number 1234 rules/
  sensor rules explain --kernel rules/
  sensor rules explain --kernel --rule 'Password file read' rules/

Exit codes:
  0  done, whether or not the rule matches
  1  the event's file cannot be read
  2  the rules or the event are wrong, or there is no such rule or event
  4  the recording is cut or damaged before the event")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The rule's name
    #[arg(long, value_name = "NAME", required_unless_present = "kernel")]
    rule: Option<String>,
    /// File with the event
    #[arg(long, value_name = "FILE", required_unless_present = "kernel")]
    event: Option<PathBuf>,
    /// Say what the kernel decides of the rules, for each kind of event, what it cannot and why
    #[arg(long, conflicts_with_all = ["event", "case", "number"])]
    kernel: bool,
    /// The event of this case of the rule: the file is then one of tests
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// The event of this `evt.num`: the file is then a recording (`sensor record`)
    #[arg(long, value_name = "N", conflicts_with = "case")]
    number: Option<u64>,
    /// How the answer is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Exit> {
    let loaded = args.files.load_valid()?;
    let (Some(name), Some(path)) = (&args.rule, &args.event) else {
        return kernel::run(&loaded, args.rule.as_deref(), args.format);
    };
    let rule = rule(&loaded, name)?;
    let catalogue = Catalogue::new();
    let Some(condition) = &rule.compiled_condition else {
        let why = format!(
            "the rule `{}` was skipped; `sensor rules check` says why",
            rule.name
        );
        return Err(fail(Exit::Wrong, &why));
    };
    let explained = match args.number {
        Some(number) => in_recording(path, number, condition)?,
        None => explain(condition, &catalogue, &event(args, name, path, &catalogue)?),
    };
    let explanation = explained.map_err(|errors| {
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

/// Explains a condition for one event of a recording, with all that was known when it happened.
fn in_recording(
    path: &Path,
    number: u64,
    condition: &Expr,
) -> Result<Result<Explanation, Vec<ConditionError>>, Exit> {
    let name = path.display();
    let (mut reader, _) = Reader::open(path).map_err(|error| {
        let exit = match error {
            HeaderError::Io(_) => Exit::Failed,
            _ => Exit::Wrong,
        };
        fail(exit, &format_args!("{name} {error}"))
    })?;
    let header = reader.header().clone();
    let mut replay = Replay::new(&header, Arc::new(Rules::none().set), Box::new(Nobody), false)
        .map_err(|error| fail(Exit::Failed, &error))?;
    let found = Arc::new(Mutex::new(None));
    let (slot, condition) = (Arc::clone(&found), condition.clone());
    replay.look(number, move |view| {
        let explained = explain(&condition, &Catalogue::new(), view);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(explained);
    });
    let take = || found.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut explained = None;
    let done = replay.run(&mut reader, |_| {
        explained = take();
        explained.is_none()
    });
    // What waited for its end, or for facts, is told last.
    let explained = explained.or_else(take);
    let events = replay.finish().events;
    explained.ok_or_else(|| match done {
        Err(fault) => fail(Exit::Damaged, &format_args!("{name} is damaged {fault}")),
        Ok(()) => fail(
            Exit::Wrong,
            &format_args!("{name} has no event {number}: its events are 1 to {events}"),
        ),
    })
}

/// Nobody is told of anything.
struct Nobody;

impl Outlet for Nobody {
    fn publish(&mut self, _: &Item) {}
}

fn event(args: &ExplainArgs, rule: &str, path: &Path, catalogue: &Catalogue) -> Result<TableEvent, Exit> {
    let name = path.display().to_string();
    let bytes = read(path)?;
    let wrong = |error| fail(Exit::Wrong, &error);
    let Some(case) = &args.case else {
        return parse_event(&name, &bytes, catalogue).map_err(|error| wrong(error.to_string()));
    };
    let file = TestFile::parse(&name, &bytes, catalogue).map_err(|error| wrong(error.to_string()))?;
    let mut cases = file.cases.into_iter();
    let found = cases.find(|one| one.rule == rule && one.name == *case);
    found
        .map(|case| case.event)
        .ok_or_else(|| wrong(format!("{name} has no case `{case}` of the rule `{rule}`")))
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
