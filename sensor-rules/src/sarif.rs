//! Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the lines.
//!
//! One run with one result a diagnostic. Lints are notes, so that a check that fails on warnings is a choice of whoever
//! runs it. Columns count characters, as everywhere else here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Severity};
use crate::load::{LINTS, Loaded, Sources, Span};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Writes what was found in `loaded` as a SARIF log. `version` is that of the tool.
#[must_use]
pub fn sarif(loaded: &Loaded, diagnostics: &[Diagnostic], version: &str) -> Value {
    let descriptions = descriptions(loaded);
    let mut codes: Vec<&str> = diagnostics.iter().map(|one| one.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules = codes.iter().map(|code| {
        let text = descriptions.get(code).copied().unwrap_or(code);
        json!({ "id": code, "shortDescription": { "text": text } })
    });
    let results = diagnostics
        .iter()
        .map(|one| result(one, codes.binary_search(&one.code).ok(), &loaded.sources));
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "sensor", "version": version, "rules": rules.collect::<Vec<_>>() } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// What each code means.
fn descriptions(loaded: &Loaded) -> BTreeMap<&'static str, &'static str> {
    let mut all: BTreeMap<_, _> = LINTS.iter().map(|lint| (lint.id, lint.summary)).collect();
    for result in &loaded.results {
        let errors = result.errors.iter().map(|error| error.code);
        all.extend(errors.map(|code| (code.as_str(), code.description())));
        let warnings = result.warnings.iter().map(|warning| warning.code);
        all.extend(warnings.map(|code| (code.as_str(), code.description())));
    }
    all
}

fn result(diagnostic: &Diagnostic, rule_index: Option<usize>, sources: &Sources) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Lint => "note",
    };
    let mut text = diagnostic.message.clone();
    if let Some(help) = &diagnostic.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let mut value = json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": { "text": text },
    });
    if let Some(index) = rule_index {
        value["ruleIndex"] = json!(index);
    }
    if !diagnostic.file.is_empty() {
        value["locations"] = json!([location(diagnostic, sources)]);
    }
    value
}

fn location(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&diagnostic.file) } });
    if let Some(span) = diagnostic.span {
        physical["region"] = region(span, sources);
    }
    let mut value = json!({ "physicalLocation": physical });
    if !diagnostic.item.is_empty() {
        value["logicalLocations"] = json!([{ "fullyQualifiedName": diagnostic.item }]);
    }
    value
}

fn region(span: Span, sources: &Sources) -> Value {
    let start = sources.line_column(span);
    let end = sources.line_column(Span {
        start: span.end.max(span.start),
        ..span
    });
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "byteOffset": span.start,
        "byteLength": span.end.saturating_sub(span.start),
    })
}

/// A path as a URI: absolute ones as `file:`, others relative to where the tool ran.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::diagnostics;
    use crate::load::{LoadOptions, Loader};

    #[test]
    fn an_error_has_its_rule_and_its_region() {
        let mut files = Loader::new(LoadOptions::default());
        let text = "- rule: é\n  desc: d\n  condition: proc.nmae = x\n  output: o\n  priority: INFO\n";
        files.add_file("a b.yaml", text.as_bytes());
        let loaded = files.finish();
        let log = sarif(&loaded, &diagnostics(&loaded), "1.2.3");
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["version"], "1.2.3");
        let result = &run["results"][0];
        assert_eq!(result["ruleId"], "LOAD_ERR_COMPILE_CONDITION");
        assert_eq!(result["level"], "error");
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let rule = &run["tool"]["driver"]["rules"][number(&result["ruleIndex"])];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(rule["shortDescription"]["text"], "Error compiling condition");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.yaml");
        let region = &place["region"];
        assert_eq!(
            (&region["startLine"], &region["startColumn"]),
            (&json!(3), &json!(14))
        );
        assert_eq!(
            (&region["endLine"], &region["endColumn"]),
            (&json!(3), &json!(23))
        );
        let from = number(&region["byteOffset"]);
        let to = from + number(&region["byteLength"]);
        assert_eq!(&text[from..to], "proc.nmae");
        assert!(
            result["message"]["text"]
                .as_str()
                .unwrap()
                .contains("did you mean `proc.name`?")
        );
    }

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("/etc/a#b.yaml"), "file:///etc/a%23b.yaml");
        assert_eq!(uri("rules/é.yaml"), "rules/%C3%A9.yaml");
    }
}
