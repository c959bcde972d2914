//! Loads rule files that a test writes down.
#![allow(dead_code, reason = "each test uses its part")]

use sensor_rules::load::{LoadOptions, Loaded, Loader};

/// Loads files one after another, named `0.yaml`, `1.yaml` and so on.
pub(crate) fn load_with(options: LoadOptions, files: &[&str]) -> Loaded {
    let mut files_in = Loader::new(options);
    for (at, file) in files.iter().enumerate() {
        files_in.add_file(&format!("{at}.yaml"), file.as_bytes());
    }
    files_in.finish()
}

/// Loads files without any configuration.
pub(crate) fn load(files: &[&str]) -> Loaded {
    load_with(LoadOptions::default(), files)
}

/// A whole rule `r` with this condition.
pub(crate) fn rule(condition: &str) -> String {
    format!("- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n")
}

/// A rule that loads, with more keys.
pub(crate) fn rule_with(more: &str) -> String {
    format!("{}{more}\n", rule("evt.type = open"))
}

/// All errors, as `CODE: message`.
pub(crate) fn errors(loaded: &Loaded) -> Vec<String> {
    let errors = loaded.results.iter().flat_map(|result| &result.errors);
    errors
        .map(|error| format!("{}: {}", error.code.as_str(), error.message))
        .collect()
}

/// All warnings, as `CODE: message`.
pub(crate) fn warnings(loaded: &Loaded) -> Vec<String> {
    let warnings = loaded.results.iter().flat_map(|result| &result.warnings);
    warnings
        .map(|warning| format!("{}: {}", warning.code.as_str(), warning.message))
        .collect()
}

/// The first error of a file starts like this; nothing, if the file loads.
pub(crate) fn check_error(file: &str, expected: &str) {
    let loaded = load(&[file]);
    let found = errors(&loaded);
    let first = found.first().map_or("", String::as_str);
    let matches = if expected.is_empty() {
        first.is_empty()
    } else {
        first.starts_with(expected)
    };
    assert!(matches, "expected {expected:?}, found {found:#?} in\n{file}");
    assert_eq!(loaded.rule_set.is_none(), !expected.is_empty(), "{file}");
}

/// The condition of rule `r` with everything in it, or the first error.
pub(crate) fn compiled(file: &str) -> String {
    let loaded = load(&[file]);
    let condition = loaded.rule("r").and_then(|rule| rule.compiled_condition.as_ref());
    let first_error = errors(&loaded).into_iter().next();
    first_error
        .or_else(|| Some(condition?.to_string()))
        .unwrap_or_default()
}
