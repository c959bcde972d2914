//! Falco's own rule files, unmodified: they load without a word, and each rule matches what it is for.
//!
//! The files are not part of the project; where they are missing, the tests say so and pass.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

#[path = "support/rule_files.rs"]
mod rule_files;

use std::path::{Path, PathBuf};

const FILES: [&str; 2] = ["falco_rules.yaml", "falco-incubating_rules.yaml"];

/// `falco-rules` in `$SENSOR_SHARED`, or in a folder `shared` beside the repository or beside what holds its worktrees.
fn files() -> Option<Vec<PathBuf>> {
    let above = rule_files::repository().ancestors().skip(1).take(2);
    let named = std::env::var_os("SENSOR_SHARED").map(PathBuf::from);
    let shared = named.or_else(|| {
        above
            .map(|above| above.join("shared"))
            .find(|shared| shared.is_dir())
    });
    let files = shared.map(|shared| FILES.map(|file| shared.join("falco-rules").join(file)).to_vec());
    let found = files.filter(|files| files.iter().all(|file| file.is_file()));
    if found.is_none() {
        println!("skip: no Falco rule files; set SENSOR_SHARED to the folder that holds falco-rules");
    }
    found
}

#[test]
fn both_files_load_alone_without_a_warning() {
    for file in files().unwrap_or_default() {
        let loaded = rule_files::load(std::slice::from_ref(&file));
        let warnings: Vec<_> = loaded
            .results
            .iter()
            .flat_map(|result| &result.warnings)
            .collect();
        assert!(warnings.is_empty(), "{}: {warnings:?}", file.display());
        assert!(loaded.rule_set.is_some(), "{}", file.display());
    }
}

#[test]
fn every_rule_matches_what_it_is_for_and_not_what_is_nearly_so() {
    let Some(mut files) = files() else { return };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    files.push(data.join("falco_rules_local.yaml"));
    let loaded = rule_files::load(&files);
    let report = rule_files::run_tests(&loaded, &[data.join("falco_rules.test.yaml")]);
    let rules = loaded.rules.iter().map(|rule| rule.name.as_str());
    let untested: Vec<_> = rules
        .filter(|name| {
            let coverage = report.coverage.iter().find(|coverage| coverage.rule == *name);
            coverage.is_none_or(|coverage| coverage.positives == 0 || coverage.near_misses == 0)
        })
        .collect();
    assert!(untested.is_empty(), "no positive or no near miss: {untested:?}");
    println!("{} rules, {} cases", loaded.rules.len(), report.cases.len());
}
