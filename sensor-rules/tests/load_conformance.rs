//! Loads rule files as Falco's own tests do and compares what comes of it.
//!
//! The data lies outside the repository, in `../shared` or where `SENSOR_SHARED` points.
#![expect(clippy::print_stdout, reason = "a test prints its figures")]

#[path = "support/cases.rs"]
mod cases;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sensor_rules::load::{AppendOutput, FileResult, LoadError, LoadOptions, Loaded, Loader, Location};
use serde_json::Value;

fn strings(case: &Value, key: &str) -> Vec<String> {
    let items = case[key].as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// `m_engine->add_extra_output_format("FORMAT", "SOURCE", {}, "RULE")`
fn append_output(call: &str) -> AppendOutput {
    let texts: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
    let given = |at: usize| {
        texts
            .get(at)
            .filter(|text| !text.is_empty())
            .map(|text| (*text).to_owned())
    };
    AppendOutput {
        extra_output: given(0),
        source: given(1),
        rule: given(2),
        ..AppendOutput::default()
    }
}

fn load(case: &Value) -> Loaded {
    let options = LoadOptions {
        append_output: strings(case, "needs_extra_output")
            .iter()
            .map(|call| append_output(call))
            .collect(),
        ..LoadOptions::default()
    };
    let mut loader = Loader::new(options);
    match case["files"].as_array() {
        Some(files) => {
            for file in files {
                let name = file["name"].as_str().unwrap_or("rules.yaml");
                loader.add_file(name, file["yaml"].as_str().unwrap_or("").as_bytes());
            }
        }
        None => {
            loader.add_file("rules.yaml", case["yaml"].as_str().unwrap_or("").as_bytes());
        }
    }
    loader.finish()
}

/// Collects what differs from one expected value.
struct Differences(Vec<String>);

impl Differences {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

fn errors(loaded: &Loaded) -> Vec<&LoadError> {
    loaded.results.iter().flat_map(|result| &result.errors).collect()
}

/// Falco's tests look for an item anywhere on the way to the place.
fn names_item(locations: &[Location], expected: &Value) -> bool {
    let is = |key: &str, value: &str| expected[key].as_str().is_none_or(|expected| expected == value);
    locations
        .iter()
        .any(|location| is("ItemType", location.item_type.as_str()) && is("ItemName", &location.item_name))
}

fn check_errors(case: &Value, loaded: &Loaded, differences: &mut Differences) {
    let found = errors(loaded);
    let ok = case["load_ok"].as_bool() == Some(true);
    differences.expect(found.is_empty() == ok, || {
        let found: Vec<_> = found.iter().map(|error| (error.code, &error.message)).collect();
        format!("expected ok: {ok}, found {found:?}")
    });
    if let Some(code) = case["error_code"].as_str() {
        let first = found.first().map(|error| error.code.as_str());
        differences.expect(first == Some(code), || {
            format!("first error is {first:?}, not {code}")
        });
    }
    if let Some(text) = case["error_message_contains"].as_str() {
        let first = found.first().map(|error| error.message.as_str());
        let contains = first.is_some_and(|message| message.contains(text));
        differences.expect(contains, || format!("first error is {first:?}, not {text:?}"));
    }
    for expected in case["errors"].as_array().into_iter().flatten() {
        let matches = |error: &&LoadError| {
            expected["Code"].as_str() == Some(error.code.as_str())
                && expected["Message"]
                    .as_str()
                    .is_none_or(|message| message == error.message)
                && names_item(&error.locations, expected)
        };
        differences.expect(found.iter().any(matches), || {
            format!("no error {expected} in {found:?}")
        });
    }
}

fn check_warnings(case: &Value, loaded: &Loaded, differences: &mut Differences) {
    let found: Vec<_> = loaded
        .results
        .iter()
        .flat_map(|result| &result.warnings)
        .collect();
    let has_code = |code: &str| found.iter().any(|warning| warning.code.as_str() == code);
    let says = |text: &str| found.iter().any(|warning| warning.message.contains(text));
    for code in strings(case, "warning_codes") {
        differences.expect(has_code(&code), || format!("no warning {code} in {found:?}"));
    }
    for code in strings(case, "absent_warning_codes") {
        differences.expect(!has_code(&code), || format!("warning {code} in {found:?}"));
    }
    for text in strings(case, "warning_message_contains") {
        differences.expect(says(&text), || format!("no warning says {text:?} in {found:?}"));
    }
    for text in strings(case, "absent_warning_message_contains") {
        differences.expect(!says(&text), || format!("a warning says {text:?}"));
    }
    if case["no_warnings"].as_bool() == Some(true) {
        differences.expect(found.is_empty(), || format!("warnings {found:?}"));
    }
    if case["has_warnings"].as_bool() == Some(true) {
        differences.expect(!found.is_empty(), || "no warnings".to_owned());
    }
    for expected in case["warnings"].as_array().into_iter().flatten() {
        let any = found.iter().any(|warning| {
            expected["Code"].as_str() == Some(warning.code.as_str())
                && expected["Message"]
                    .as_str()
                    .is_none_or(|message| message == warning.message)
                && names_item(&warning.locations, expected)
        });
        differences.expect(any, || format!("no warning {expected} in {found:?}"));
    }
    let expected: BTreeSet<String> = strings(case, "warned_rules").into_iter().collect();
    if !expected.is_empty() {
        let rules = found
            .iter()
            .filter(|warning| warning.code.as_str() == "LOAD_NO_EVTTYPE");
        let rules = rules
            .filter_map(|warning| warning.locations.last())
            .map(|location| location.item_name.clone());
        let rules: BTreeSet<String> = rules.collect();
        differences.expect(rules == expected, || {
            format!("warned about {rules:?}, not {expected:?}")
        });
    }
}

fn check_rules(case: &Value, loaded: &Loaded, differences: &mut Differences) {
    for (name, expected) in case["compiled_condition"].as_object().into_iter().flatten() {
        let compiled = loaded
            .rule(name)
            .and_then(|rule| rule.compiled_condition.as_ref());
        let compiled = compiled.map(ToString::to_string);
        differences.expect(compiled.as_deref() == expected.as_str(), || {
            format!("condition of {name} is {compiled:?}, not {expected}")
        });
    }
    for (name, expected) in case["compiled_output"].as_object().into_iter().flatten() {
        let compiled = loaded.rule(name).and_then(|rule| rule.compiled_output.as_deref());
        differences.expect(compiled == expected.as_str(), || {
            format!("output of {name} is {compiled:?}, not {expected}")
        });
    }
    for (key, expected) in case["rule_info"].as_object().into_iter().flatten() {
        let Some(rule) = loaded.rules.first() else {
            differences.0.push("no rule".to_owned());
            continue;
        };
        let value = match key.as_str() {
            "condition" => Value::from(rule.condition.clone()),
            "output" => Value::from(rule.output.clone()),
            "description" => Value::from(rule.description.clone()),
            "priority" => Value::from(rule.priority.name()),
            "capture" => Value::from(rule.capture),
            "capture_duration" => Value::from(rule.capture_duration_ms),
            other => panic!("the data has a new key {other}"),
        };
        differences.expect(value == *expected, || format!("{key} is {value}, not {expected}"));
    }
    if let Some(expected) = case["enabled_rules"].as_u64() {
        let enabled = loaded.rule_set.as_ref().map(|rules| rules.rules().len() as u64);
        differences.expect(enabled == Some(expected), || {
            format!("{enabled:?} rules enabled, not {expected}")
        });
    }
}

#[test]
fn every_case_of_falco_loads_as_in_falco() {
    let Some(data) = cases::read("rule_load.json") else {
        return;
    };
    let cases = data.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut wrong = Vec::new();
    for case in cases {
        let loaded = load(case);
        let mut differences = Differences(Vec::new());
        check_errors(case, &loaded, &mut differences);
        check_warnings(case, &loaded, &mut differences);
        check_rules(case, &loaded, &mut differences);
        if !differences.0.is_empty() {
            wrong.push(format!("{}:\n  {}", case["name"], differences.0.join("\n  ")));
        }
    }
    cases::conclude("rule_load", cases.len(), &wrong);
}

/// The folder with Falco's own rules, if there is one.
fn falco_rules() -> Option<PathBuf> {
    let from_env = std::env::var_os("SENSOR_SHARED").map(PathBuf::from);
    // A worktree lies one level deeper than the repository.
    let above = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(2)
        .take(2)
        .map(|above| above.join("shared"));
    from_env
        .into_iter()
        .chain(above)
        .map(|shared| shared.join("falco-rules"))
        .find(|folder| folder.is_dir())
}

#[test]
fn falcos_rules_load_without_a_word() {
    let Some(folder) = falco_rules() else {
        println!("skip: no rules of Falco");
        return;
    };
    for name in ["falco_rules.yaml", "falco-incubating_rules.yaml"] {
        let content = std::fs::read(folder.join(name)).unwrap();
        let mut files = Loader::new(LoadOptions::default());
        files.add_file(name, &content);
        assert_silent(&files.finish());
    }
}

fn assert_silent(loaded: &Loaded) {
    for FileResult {
        name,
        errors,
        warnings,
    } in &loaded.results
    {
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        assert!(warnings.is_empty(), "{name}: {warnings:#?}");
    }
    assert_eq!(loaded.unmet_plugins, Vec::<String>::new());
    let rules = loaded.rule_set.as_ref().map_or(0, |rules| rules.rules().len());
    println!(
        "{}: {rules} rules enabled of {}",
        loaded.results[0].name,
        loaded.rules.len()
    );
    assert!(rules > 0);
}
