//! Cases of our own beside Falco's: how rule files load, by what their kin among Falco's tests do.
//!
//! A file of cases has one YAML document for each: what the loader is given, and what must come of it.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

use std::path::Path;

use sensor_rules::engine::RuleSet;
use sensor_rules::load::{LoadOptions, Loaded, Loader};

/// One case: `### name`, lines of `# key: value` that say what must come of it, then the rule file.
struct Case<'a> {
    name: &'a str,
    wanted: Vec<(&'a str, &'a str)>,
    yaml: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("### ")
        .skip(1)
        .map(|case| {
            let (name, mut rest) = case.split_once('\n').expect("a case has lines");
            let mut wanted = Vec::new();
            while let Some(line) = rest.strip_prefix("#= ") {
                let (line, after) = line.split_once('\n').expect("a case has a file");
                wanted.push(line.split_once(": ").unwrap_or((line, "")));
                rest = after;
            }
            Case {
                name,
                wanted,
                yaml: rest,
            }
        })
        .collect()
}

fn errors(loaded: &Loaded) -> Vec<String> {
    let errors = loaded.results.iter().flat_map(|result| &result.errors);
    errors
        .map(|error| format!("{} {}", error.code.as_str(), error.message))
        .collect()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    let warnings = loaded.results.iter().flat_map(|result| &result.warnings);
    warnings
        .map(|warning| format!("{} {}", warning.code.as_str(), warning.message))
        .collect()
}

/// What is not as it must be.
fn wrong(case: &Case<'_>) -> Vec<String> {
    let mut files = Loader::new(LoadOptions::default());
    for (position, file) in case.yaml.split("#--- next file\n").enumerate() {
        files.add_file(&format!("{position}.yaml"), file.as_bytes());
    }
    let loaded = files.finish();
    let (errors, warnings) = (errors(&loaded), warnings(&loaded));
    let rule = |name: &str| loaded.rule(name);
    let mut wrong = Vec::new();
    if !case.wanted.iter().any(|(key, _)| *key == "error") && !errors.is_empty() {
        wrong.push(format!("does not load: {errors:?}"));
    }
    for (key, value) in &case.wanted {
        // `rule: what` of the rule `r`, unless the key says whose: `output of x`.
        let (key, name) = key.split_once(" of ").unwrap_or((key, "r"));
        let found = match key {
            "error" => errors.first().cloned().unwrap_or_default(),
            "warning" if warnings.iter().any(|one| one.contains(value)) => continue,
            "no warning" if !warnings.iter().any(|one| one.contains(value)) => continue,
            "warning" | "quiet" | "no warning" => format!("{warnings:?}"),
            "condition" => rule(name)
                .and_then(|rule| rule.compiled_condition.as_ref())
                .map(ToString::to_string)
                .unwrap_or_default(),
            "output" => rule(name)
                .and_then(|rule| rule.compiled_output.clone())
                .unwrap_or_default(),
            "description" => rule(name)
                .map(|rule| rule.description.clone())
                .unwrap_or_default(),
            "tags" => rule(name)
                .map(|rule| {
                    rule.tags
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                })
                .unwrap_or_default(),
            "priority" => rule(name)
                .map(|rule| rule.priority.name().to_owned())
                .unwrap_or_default(),
            "enabled" => {
                let rules = loaded.rule_set.as_ref().map(RuleSet::rules);
                let names = rules.into_iter().flatten().map(|rule| rule.name.to_string());
                names.collect::<Vec<_>>().join(", ")
            }
            other => panic!("{}: no such demand: {other}", case.name),
        };
        let holds = match key {
            "error" => found.contains(value) && !found.is_empty(),
            "quiet" => warnings.is_empty(),
            _ => found == *value,
        };
        if !holds {
            wrong.push(format!("{key}: wanted {value:?}, found {found}"));
        }
    }
    wrong
}

#[test]
fn rule_files_load_as_their_kin_do_in_falco() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/load");
    let (mut count, mut failed) = (0, Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases is text");
        for case in cases(&text) {
            count += 1;
            let wrong = wrong(&case);
            if !wrong.is_empty() {
                failed.push(format!("{}:\n  {}", case.name, wrong.join("\n  ")));
            }
        }
    }
    println!("{count} cases of our own: {} differ", failed.len());
    assert!(
        failed.is_empty(),
        "{} of {count} differ\n{}",
        failed.len(),
        failed.join("\n")
    );
}
