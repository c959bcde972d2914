//! Finds rule files and their tests, and loads them.

use std::fs;
use std::path::{Path, PathBuf};

use sensor_rules::engine::RuleMatching;
use sensor_rules::explain::explain;
use sensor_rules::field::Catalogue;
use sensor_rules::load::{LoadOptions, Loaded, Loader, WarningCode};
use sensor_rules::testing::{self, Report, TestFile};

/// The repository.
#[must_use]
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// Loads files in this order, so that an event shows every rule that matches it. Fails with what is wrong with any.
pub(crate) fn load(files: &[PathBuf]) -> Loaded {
    let mut loader = Loader::new(LoadOptions {
        rule_matching: RuleMatching::All,
        ..LoadOptions::default()
    });
    let mut wrong = Vec::new();
    for path in files {
        let result = loader.add_file(&shown(path), &read(path));
        wrong.extend(
            result
                .errors
                .iter()
                .map(|error| format!("{}: {}", result.name, error.message)),
        );
        // Whether a macro is used is only known after the last file; the lints say it then.
        let is_early = |code| matches!(code, WarningCode::UnusedMacro | WarningCode::UnusedList);
        let warnings = result.warnings.iter().filter(|warning| !is_early(warning.code));
        wrong.extend(warnings.map(|warning| format!("{}: warning: {}", result.name, warning.message)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    loader.finish()
}

/// Runs test files against the rules. Fails with every case that goes wrong, and why.
pub(crate) fn run_tests(loaded: &Loaded, tests: &[PathBuf]) -> Report {
    let catalogue = Catalogue::new();
    let files: Vec<_> = tests
        .iter()
        .map(|path| {
            TestFile::parse(&shown(path), &read(path), &catalogue).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    let rules = loaded.rule_set.as_ref().expect("the rules load");
    let report = testing::run(&files, rules, &catalogue).unwrap_or_else(|error| panic!("{error}"));
    let mut wrong = Vec::new();
    for (case, result) in files.iter().flat_map(|file| &file.cases).zip(&report.cases) {
        if result.passed() {
            continue;
        }
        let rule = rules.rules().iter().find(|rule| rule.name == case.rule);
        let reason =
            rule.map(|rule| explain(&rule.condition, &catalogue, &case.event).expect("the rule compiles"));
        wrong.push(format!(
            "{result}\n{}",
            reason.map(|reason| reason.to_string()).unwrap_or_default()
        ));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases fail\n{}",
        wrong.len(),
        report.cases.len(),
        wrong.join("\n")
    );
    report
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository())
        .unwrap_or(path)
        .display()
        .to_string()
}
