//! `sensor rules check`

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use sensor_rules::{
    diagnostic::{self, Diagnostic, Severity, Style},
    load::{Loaded, Sources},
    sarif::sarif,
};
use serde_json::{Value, json};

use super::{FileArgs, count, diagnostics, print_json};
use crate::cli::{Exit, may_colour, print};

/// Arguments of `sensor rules check`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor rules check
  sensor rules check my-rules.yaml
  sensor rules check --deny-warnings rules/
  sensor rules check --format sarif rules/ > rules.sarif

Exit codes:
  0  the rules can be used
  2  they cannot; with --deny-warnings: something looks like a mistake")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    files: FileArgs,
    /// How what was found is written
    #[arg(long, value_enum, default_value = "text")]
    format: CheckFormat,
    /// Fail on warnings and lints too
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// Annotated source
    Text,
    /// Falco's `falco_load_results`, and `diagnostics` with the lints
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

pub(super) fn run(args: &CheckArgs) -> Result<Exit, Exit> {
    let loaded = args.files.load()?;
    let found = diagnostics(&loaded);
    let is_wrong = |one: &Diagnostic| one.severity == Severity::Error || args.deny_warnings;
    let verdict = if found.iter().any(is_wrong) {
        Exit::Wrong
    } else {
        Exit::Done
    };
    let printed = match args.format {
        CheckFormat::Text => print(&text(&loaded, &found)),
        CheckFormat::Json => {
            let mut value = diagnostic::falco_load_results(&loaded);
            let all: Vec<_> = found.iter().map(|one| as_json(one, &loaded.sources)).collect();
            value["diagnostics"] = json!(all);
            print_json(&value)
        }
        CheckFormat::Sarif => print_json(&sarif(&loaded, &found, env!("CARGO_PKG_VERSION"))),
    };
    Ok(if printed == Exit::Done { verdict } else { printed })
}

fn text(loaded: &Loaded, found: &[Diagnostic]) -> String {
    let style = if may_colour(&std::io::stdout()) {
        Style::Color
    } else {
        Style::Plain
    };
    let mut text = String::new();
    for one in found {
        text.push_str(&diagnostic::render(one, &loaded.sources, style));
        text.push_str("\n\n");
    }
    let of = |severity| found.iter().filter(|one| one.severity == severity).count();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} in {}: {}, {}, {}",
        count(loaded.rules.len(), "rule"),
        count(loaded.results.len(), "file"),
        count(of(Severity::Error), "error"),
        count(of(Severity::Warning), "warning"),
        count(of(Severity::Lint), "lint"),
    );
    text
}

fn as_json(one: &Diagnostic, sources: &Sources) -> Value {
    let span = one.span.map(|span| {
        let place = sources.line_column(span);
        json!({ "line": place.line, "column": place.column, "start": span.start, "end": span.end })
    });
    json!({
        "severity": one.severity.name(),
        "code": one.code,
        "message": one.message,
        "file": one.file,
        "span": span,
        "item": one.item,
        "help": one.help,
    })
}
