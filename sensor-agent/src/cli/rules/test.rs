//! `sensor rules test`
//!
//! Tests stand beside the rules: those of `shell.yaml` in `shell.test.yaml`. They run against all rules, disabled ones
//! too, with every rule that matches reported, so that a case can say exactly which rules match.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use sensor_rules::{
    engine::{RuleMatching, RuleSet},
    explain::{Part, explain},
    field::Catalogue,
    load::{LoadOptions, Selection, SelectionTarget},
    testing::{self, Coverage, Report, TestFile},
};
use serde_json::{Value, json};

use super::{FileArgs, Format, clean, count, explain::read, load, print_json, valid};
use crate::{
    cli::{Exit, fail, print},
    rules,
};

/// Arguments of `sensor rules test`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
A test file has for each rule an event, and cases that change a few of its values:
  - rule: Shell in container
    event: {evt.type: execve, proc.name: sh, container.id: 3ad7b26ded6d}
    cases:
      - name: a service starts a shell
        expect: [Shell in container]
      - name: on the host
        change: {container.id: host}
        expect: []

Examples:
  sensor rules test rules/
  sensor rules test --rules rules/ rules/execution
  sensor rules test --coverage rules/

Exit codes:
  0  every case passed
  1  a case failed, or a file cannot be read
  2  the rules or a test file are wrong, or there is no test")]
pub(super) struct TestArgs {
    #[command(flatten)]
    files: FileArgs,
    /// A rule file or a folder of them to test, instead of the PATHs, which then only say where the tests are
    #[arg(short, long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Name the parts of each condition that no case shows to be needed
    #[arg(long)]
    coverage: bool,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &TestArgs) -> Result<Exit, Exit> {
    let mut config = args.files.config()?;
    let tests = rules::test_files(&config.files).map_err(|error| fail(Exit::Wrong, &error))?;
    if tests.is_empty() {
        let why = "no test file (NAME.test.yaml) beside the rules";
        return Err(fail(Exit::Wrong, &why));
    }
    if !args.rules.is_empty() {
        config.files.clone_from(&args.rules);
    }
    let options = LoadOptions {
        rule_matching: RuleMatching::All,
        selection: vec![Selection {
            enable: true,
            target: SelectionTarget::Rule("*".to_owned()),
        }],
        ..LoadOptions::default()
    };
    let loaded = valid(load(&config, options)?)?;
    let catalogue = Catalogue::new();
    let files = tests
        .iter()
        .map(|path| parse(path, &catalogue))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(set) = &loaded.rule_set else {
        return Err(fail(Exit::Wrong, &"the rules cannot be used"));
    };
    let report = testing::run(&files, set, &catalogue).map_err(|error| fail(Exit::Wrong, &error))?;
    let printed = match args.format {
        Format::Text => print(&text(&report, &files, set, args.coverage)),
        Format::Json => print_json(&as_json(&report)),
    };
    let verdict = if report.passed() { Exit::Done } else { Exit::Failed };
    Ok(if printed == Exit::Done { verdict } else { printed })
}

fn parse(path: &Path, catalogue: &Catalogue) -> Result<TestFile, Exit> {
    let bytes = read(path)?;
    TestFile::parse(&path.display().to_string(), &bytes, catalogue).map_err(|error| fail(Exit::Wrong, &error))
}

fn text(report: &Report, files: &[TestFile], set: &RuleSet, with_parts: bool) -> String {
    let mut text = String::new();
    for (case, result) in files.iter().flat_map(|file| &file.cases).zip(&report.cases) {
        if result.passed() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", clean(&result.to_string()));
        let rule = set.rules().iter().find(|rule| rule.name == case.rule);
        let reason = rule.and_then(|rule| explain(&rule.condition, &Catalogue::new(), &case.event).ok());
        if let Some(reason) = reason {
            let _ = writeln!(text, "  {}", reason.to_string().trim_end().replace('\n', "\n  "));
        }
        text.push('\n');
    }
    let (mut covered, mut parts) = (0, 0);
    for rule in &report.coverage {
        covered += rule.covered();
        parts += rule.parts().len();
        if with_parts {
            write_coverage(rule, &mut text);
        }
    }
    for rule in &report.coverage {
        if rule.positives == 0 {
            let _ = writeln!(text, "{}: no case in which it matches", clean(&rule.rule));
        }
        if rule.near_misses == 0 {
            let _ = writeln!(text, "{}: no case in which it does not match", clean(&rule.rule));
        }
    }
    let failed = report.failures().count();
    let _ = writeln!(
        text,
        "{} of {}: {} passed, {failed} failed; {covered} of {parts} parts of conditions were both true and false",
        count(report.cases.len(), "case"),
        count(report.coverage.len(), "rule"),
        report.cases.len() - failed,
    );
    text
}

fn write_coverage(rule: &Coverage, text: &mut String) {
    let _ = writeln!(
        text,
        "{}: {} of {} parts, {} that match, {} that do not",
        clean(&rule.rule),
        rule.covered(),
        rule.parts().len(),
        rule.positives,
        rule.near_misses,
    );
    let mut name = |what: &str, part: &Part| {
        let _ = writeln!(text, "  {what}: {}", clean(&part.text));
    };
    rule.never_true().for_each(|part| name("never true", part));
    rule.never_false().for_each(|part| name("never false", part));
    rule.never_deciding()
        .for_each(|part| name("decides no case", part));
}

fn as_json(report: &Report) -> Value {
    let cases = report.cases.iter().map(|case| {
        json!({
            "file": case.file,
            "line": case.line,
            "rule": case.rule,
            "name": case.name,
            "passed": case.passed(),
            "expected": case.expected,
            "got": case.got,
        })
    });
    let texts = |parts: Vec<&Part>| parts.iter().map(|part| part.text.clone()).collect::<Vec<_>>();
    let coverage = report.coverage.iter().map(|rule| {
        json!({
            "rule": rule.rule,
            "positives": rule.positives,
            "near_misses": rule.near_misses,
            "parts": rule.parts().len(),
            "covered": rule.covered(),
            "never_true": texts(rule.never_true().collect()),
            "never_false": texts(rule.never_false().collect()),
            "never_deciding": texts(rule.never_deciding().collect()),
        })
    });
    json!({ "cases": cases.collect::<Vec<_>>(), "coverage": coverage.collect::<Vec<_>>() })
}
