//! Results as `falco -V` prints them with JSON output.

use serde_json::{Value, json};

use super::{SHOWN_BYTES_MAX, shown};
use crate::load::{FileResult, Issue, Loaded, Location, Sources, Span};

/// The whole of a load as Falco's `{"falco_load_results": […]}`.
///
/// Beside Falco's keys, each error and warning has `help` and, where its exact place is known, `span` with the
/// file, line and column (from 1) and the bytes.
#[must_use]
pub fn falco_load_results(loaded: &Loaded) -> Value {
    let results: Vec<Value> = loaded
        .results
        .iter()
        .map(|result| file(result, &loaded.sources))
        .collect();
    json!({ "falco_load_results": results })
}

fn file(result: &FileResult, sources: &Sources) -> Value {
    let errors = result
        .errors
        .iter()
        .map(|error| issue(error, error.code.as_str(), error.code.description(), sources));
    let warnings = result.warnings.iter().map(|warning| {
        issue(
            warning,
            warning.code.as_str(),
            warning.code.description(),
            sources,
        )
    });
    json!({
        "name": result.name,
        "successful": result.is_ok(),
        "errors": errors.collect::<Vec<_>>(),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

fn issue<C>(issue: &Issue<C>, code: &str, description: &str, sources: &Sources) -> Value {
    let locations: Vec<Value> = issue.locations.iter().map(location).collect();
    let snippet = issue.span.map_or_else(
        || "<No context available>\n".to_owned(),
        |span| snippet(span, sources),
    );
    let mut value = json!({
        "code": code,
        "codedesc": description,
        "message": issue.message,
        "context": { "locations": locations, "snippet": snippet },
    });
    if let Some(help) = &issue.help {
        value["help"] = json!(help);
    }
    if let Some(span) = issue.span {
        let place = sources.line_column(span);
        value["span"] = json!({
            "name": sources.name(span.file),
            "line": place.line,
            "column": place.column,
            "start": span.start,
            "end": span.end,
        });
    }
    value
}

fn location(location: &Location) -> Value {
    json!({
        "item_type": location.item_type.as_str(),
        "item_name": location.item_name,
        "position": {
            "name": &*location.name,
            "line": location.line,
            "column": location.column,
            "offset": location.offset,
        },
    })
}

/// The line of a place with a `^` below it.
fn snippet(span: Span, sources: &Sources) -> String {
    let shown = shown(span, sources);
    match shown.source {
        Some((line, from)) => {
            let before = line[..shown.start - from].chars().count();
            format!("{line}\n{}^\n", " ".repeat(before))
        }
        None => format!("<line {} is longer than {SHOWN_BYTES_MAX} bytes>\n", shown.line),
    }
}
