//! Our own rules: they load without a word, each has tests, and the tests are sharp.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

#[path = "support/rule_catalogue.rs"]
mod rule_catalogue;
#[path = "support/rule_files.rs"]
mod rule_files;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sensor_rules::load::Loaded;
use sensor_rules::priority::Priority;
use sensor_rules::testing::Report;

/// The rule files of `rules/` and their tests, each in the order of paths, as the agent loads them.
fn files() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = rule_files::repository().join("rules");
    let mut all = Vec::new();
    collect(&folder, &mut all);
    all.sort();
    let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.yaml");
    let (tests, rules) = all.into_iter().partition(is_test);
    (rules, tests)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of rules is there") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// The rules and what their tests say: worked out once for all tests of this file.
static RUN: LazyLock<(Loaded, Report)> = LazyLock::new(|| {
    let (rules, tests) = files();
    let loaded = rule_files::load(&rules);
    let report = rule_files::run_tests(&loaded, &tests);
    (loaded, report)
});

#[test]
fn every_rule_has_a_positive_and_a_near_miss() {
    let (loaded, report) = &*RUN;
    assert!(loaded.rules.len() >= 18, "{} rules", loaded.rules.len());
    let untested: Vec<_> = report
        .coverage
        .iter()
        .filter(|rule| rule.positives == 0 || rule.near_misses == 0)
        .map(|rule| {
            format!(
                "{}: {} positives, {} near misses",
                rule.rule, rule.positives, rule.near_misses
            )
        })
        .collect();
    assert!(untested.is_empty(), "{}", untested.join("\n"));
    println!("{} rules, {} cases", loaded.rules.len(), report.cases.len());
}

/// Of whatever a rule demands, some case must lack this alone: otherwise the demand could go and no test would notice.
#[test]
fn every_demand_of_a_rule_decides_a_case() {
    let (_, report) = &*RUN;
    let mut untested = Vec::new();
    for rule in &report.coverage {
        let demands = rule.never_deciding();
        untested.extend(demands.map(|part| format!("{}: decides no case: {}", rule.rule, part.text)));
        println!(
            "{}: {} of {} parts were true and false",
            rule.rule,
            rule.covered(),
            rule.parts().len()
        );
    }
    assert!(untested.is_empty(), "{}", untested.join("\n"));
}

#[test]
fn nothing_to_warn_of() {
    let (loaded, _) = &*RUN;
    let lints: Vec<_> = loaded
        .lint()
        .iter()
        .map(|lint| format!("{} ({}): {}", lint.id, lint.item, lint.message))
        .collect();
    assert!(lints.is_empty(), "{}", lints.join("\n"));
    assert!(loaded.unmet_plugins.is_empty());
}

/// An agent that reports one rule an event takes the first: it must not hide a worse one.
#[test]
fn of_several_rules_the_most_severe_comes_first() {
    let (loaded, report) = &*RUN;
    let priority = |name: &String| loaded.rule(name).map_or(Priority::Debug, |rule| rule.priority);
    let mut wrong = Vec::new();
    for case in &report.cases {
        if !case.got.is_sorted_by_key(priority) {
            wrong.push(format!("{}:{}: {:?}", case.file, case.line, case.got));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_complete() {
    let (loaded, _) = &*RUN;
    let mut wrong = Vec::new();
    for rule in &loaded.rules {
        let place = |tag: &str| rule.tags.iter().any(|own| own == tag);
        let technique =
            |tag: &String| tag.starts_with('T') && tag[1..].starts_with(|char: char| char.is_ascii_digit());
        for (holds, what) in [
            (
                rule.description.len() > 100,
                "says what it sees, why it matters and what is normal",
            ),
            (place("container") || place("host"), "is tagged container or host"),
            (
                place("process") || place("network") || place("filesystem"),
                "is tagged by kind of event",
            ),
            (
                rule.tags.iter().any(|tag| tag.starts_with("mitre_")),
                "is tagged with a tactic",
            ),
            (rule.tags.iter().any(technique), "is tagged with a technique"),
            (rule.output.contains("exe=%proc.exepath"), "tells the program"),
            (
                rule.output.contains("container=%container.id"),
                "tells the container",
            ),
        ] {
            if !holds {
                wrong.push(format!("{}: no rule that {what}", rule.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_catalogue_in_the_documentation_is_up_to_date() {
    let (loaded, report) = &*RUN;
    expect_test::expect_file!["../../docs/rules.md"].assert_eq(&rule_catalogue::render(loaded, report));
}
