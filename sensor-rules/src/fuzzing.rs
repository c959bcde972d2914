//! What the fuzz targets do with their input, as functions, so that ordinary tests run them over the corpus too.
//!
//! Each function takes any bytes and holds what it finds to a law: no panic, and where two parts of the crate answer
//! the same question, one answer. The targets of `fuzz/` call these and nothing else.
//!
//! Invariant: a body is deterministic, so that an input that once failed fails again.

use crate::check::check;
use crate::compile::Program;
use crate::diagnostic::{Diagnostic, Style, diagnostics, falco_load_results, render};
use crate::engine::{RuleMatching, RuleSet, Scratch};
use crate::event::Event;
use crate::explain::{Truth, explain};
use crate::field::Catalogue;
use crate::format::Output;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::load::{LoadOptions, Loaded, Loader};
use crate::parse::{ParseOptions, parse_condition};
use crate::testing::{TableEvent, TestFile, run};

/// A target: its name, which is that of its corpus folder, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 4] = [
    ("condition", condition),
    ("output_format", output_format),
    ("rule_file", rule_file),
    ("test_file", test_file),
];

/// Longer inputs only take longer: what is large is tested with the limits.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// The rules that a test file is run against.
const RULES: &str = "
- list: shells
  items: [bash, sh, zsh]
- macro: in_container
  condition: container.id != host
- rule: Shell
  desc: a shell
  condition: evt.type = execve and in_container and proc.name in (shells) and not proc.aname = sshd
  output: '%proc.cmdline by %user.name'
  priority: INFO
- rule: Read
  desc: a secret is read
  condition: evt.type in (open, openat) and fd.name startswith /etc/shadow
  output: '%fd.name by %proc.name'
  priority: WARNING
  exceptions: [{name: known, fields: [proc.name, fd.name], comps: [=, startswith], values: [[login, /etc]]}]
";

/// A rule file: it loads or says why not, every message can be drawn, and what loaded can be matched.
///
/// # Panics
/// Where the crate breaks one of these laws.
pub fn rule_file(input: &[u8]) {
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let loaded = load(input);
    assert_eq!(
        loaded.rule_set.is_some(),
        loaded.is_ok(),
        "rules without a fault, or neither"
    );
    for diagnostic in diagnostics(&loaded) {
        assert!(!render(&diagnostic, &loaded.sources, Style::Plain).is_empty());
    }
    for lint in loaded.lint() {
        let diagnostic = Diagnostic::lint(&lint, &loaded.sources);
        assert!(!render(&diagnostic, &loaded.sources, Style::Plain).is_empty());
    }
    assert!(!falco_load_results(&loaded).is_null());
    let Some(rules) = &loaded.rule_set else { return };
    let (event, mut scratch) = (event(), Scratch::new());
    rules.evaluate(&event, &mut scratch, |id| {
        assert!(rules.rule(id).is_some(), "a match is one of the rules");
    });
    for rule in rules.rules() {
        let mut text = String::new();
        rule.output.render(&event, &mut text, &mut scratch);
    }
}

/// A condition: printed and parsed again it is the same, and evaluator and explanation agree on it.
///
/// # Panics
/// Where the crate breaks one of these laws.
pub fn condition(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if text.len() > INPUT_BYTES_MAX {
        return;
    }
    let Ok(expr) = parse_condition(text, &ParseOptions::default()) else {
        return;
    };
    let printed = expr.to_string();
    match parse_condition(&printed, &ParseOptions::RULE) {
        Ok(again) => assert_eq!(again.to_string(), printed, "what is printed is parsed as it was"),
        Err(error) => panic!("{printed:?}, printed for {text:?}, does not parse: {error}"),
    }
    let catalogue = Catalogue::new();
    let Ok(checked) = check(&expr, &catalogue) else {
        return;
    };
    let event = event();
    let holds = Program::new(&checked).matches(&event, &mut Scratch::new());
    assert!(
        !holds || checked.event_types.contains(event.event_type()),
        "{printed} holds for a type that it cannot match"
    );
    match explain(&expr, &catalogue, &event) {
        Ok(explanation) => {
            let truth = explanation.lines.first().map(|line| line.truth == Truth::True);
            assert!(
                truth.is_none_or(|truth| truth == holds),
                "{printed}\n{explanation}"
            );
        }
        Err(errors) => panic!("{printed} was checked, but is not explained: {errors:?}"),
    }
}

/// An output format: it is parsed or refused at a place that it has, and its text keeps its bound.
///
/// # Panics
/// Where the crate breaks one of these laws.
pub fn output_format(input: &[u8]) {
    let Ok(format) = std::str::from_utf8(input) else {
        return;
    };
    if format.len() > INPUT_BYTES_MAX {
        return;
    }
    match Output::parse(format, &Catalogue::new()) {
        Ok(output) => {
            let (event, mut scratch, mut text) = (event(), Scratch::new(), String::new());
            output.render(&event, &mut text, &mut scratch);
            assert!(text.len() <= OUTPUT_BYTES_MAX, "{} bytes of output", text.len());
            for field in output.fields() {
                let _ = output.value(field, &event, &mut scratch);
            }
        }
        Err(error) => {
            let end = error.offset.saturating_add(error.bytes);
            assert!(
                format.get(error.offset..end).is_some(),
                "{error:?} lies outside {format:?}"
            );
        }
    }
}

/// A file of rule tests: it is read or refused at a place, and every case that it has gets a result.
///
/// # Panics
/// Where the crate breaks one of these laws.
pub fn test_file(input: &[u8]) {
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let catalogue = Catalogue::new();
    let Ok(file) = TestFile::parse("fuzz.test.yaml", input, &catalogue) else {
        return;
    };
    let cases = file.cases.len();
    match run(&[file], &rules(), &catalogue) {
        Ok(report) => assert_eq!(report.cases.len(), cases, "each case has a result"),
        Err(error) => panic!("{error}"),
    }
}

fn load(content: &[u8]) -> Loaded {
    let mut loader = Loader::new(LoadOptions {
        rule_matching: RuleMatching::All,
        ..LoadOptions::default()
    });
    loader.add_file("fuzz.yaml", content);
    loader.finish()
}

#[expect(clippy::expect_used, reason = "the rules are a constant that a test loads")]
fn rules() -> RuleSet {
    load(RULES.as_bytes()).rule_set.expect("the rules load")
}

/// An event with values of most types, some of which are odd.
#[expect(clippy::expect_used, reason = "the event is a constant that a test makes")]
fn event() -> TableEvent {
    let catalogue = Catalogue::new();
    let fields = [
        ("evt.type", "openat"),
        ("evt.rawres", "-2"),
        ("evt.rawtime", "1700000000000000001"),
        ("evt.arg.flags", "O_RDONLY|O_CLOEXEC"),
        ("proc.name", "bash"),
        ("proc.cmdline", "bash -c \u{1b}[31mid\n"),
        ("proc.exepath", "/usr/bin/../bin/bash"),
        ("proc.pid", "9223372036854775807"),
        ("proc.tty", "34816"),
        ("proc.is_exe_writable", "false"),
        ("fd.name", "/etc/shadow"),
        ("fd.num", "-1"),
        ("fd.sip", "::ffff:10.0.0.1"),
        ("fd.cip", "192.0.2.7"),
        ("fd.sport", "443"),
        ("user.name", ""),
        ("container.id", "3ad7b26ded6d"),
    ];
    let ancestors = [
        vec![("proc.name", "node"), ("proc.cmdline", "node x.js")],
        vec![("proc.name", "sshd")],
    ];
    TableEvent::new(&catalogue, fields, &ancestors)
        .and_then(|event| Ok(event.with_incomplete(&catalogue, ["proc.cmdline"])?))
        .expect("the event is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bodies_need_can_be_made() {
        assert_eq!(rules().rules().len(), 2);
        assert_eq!(event().event_type().name(), "openat");
    }
}
