//! Lints: each with rules that have it and rules that nearly have it.

#[path = "load_support/files.rs"]
mod files;

use std::collections::BTreeSet;

use files::{errors, load, rule};
use sensor_rules::load::LINTS;

/// The lints of some files, as `id line`.
fn lints(files: &[&str]) -> Vec<String> {
    let loaded = load(files);
    assert_eq!(errors(&loaded), Vec::<String>::new(), "{files:?}");
    let lints = loaded.lint();
    for lint in &lints {
        assert!(
            LINTS.iter().any(|info| info.id == lint.id),
            "{} is not listed",
            lint.id
        );
    }
    let line = |span| loaded.sources.line_column(span).line;
    lints
        .iter()
        .map(|lint| format!("{} {}", lint.id, lint.span.map_or(0, line)))
        .collect()
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(lints(&[file]), expected, "{file}");
}

#[test]
fn ids_are_unique() {
    let ids: BTreeSet<_> = LINTS.iter().map(|info| info.id).collect();
    assert_eq!(ids.len(), LINTS.len());
}

/// What users read says the same as the code.
#[test]
fn the_list_in_the_documents_is_this_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = std::fs::read_to_string(path).unwrap();
    for info in LINTS {
        let line = format!("| `{}` | {} | {} |", info.id, info.summary, info.reason);
        assert!(text.contains(&line), "docs/compatibility.md lacks\n{line}");
    }
}

#[test]
fn rule_never_matches() {
    check(
        &rule("evt.type = open and evt.type = close"),
        &["rule-never-matches 1"],
    );
    check(
        &rule("evt.type = open and proc.name = a and proc.name in (b, c)"),
        &["rule-never-matches 3"],
    );
    check(&rule("evt.type = open and (proc.name = a or proc.name = b)"), &[]);
    check(
        &rule("evt.type = open and proc.name in (a, b) and proc.name in (b, c)"),
        &[],
    );
    check(
        &rule("evt.type = open and proc.aname = a and proc.aname = b"),
        &[],
    );
    check(&rule("evt.type = connect and fd.port = 1 and fd.port = 2"), &[]);
}

#[test]
fn no_event_type() {
    check(&rule("fd.name = /x"), &["no-event-type 1"]);
    check(
        &(rule("fd.name = /x") + "  warn_evttypes: false\n"),
        &["no-event-type 1"],
    );
    check(&rule("evt.type = open and fd.name = /x"), &[]);
}

#[test]
fn expensive_on_hot_event() {
    check(
        &rule("evt.type = open and fd.name glob /x*"),
        &["expensive-on-hot-event 3"],
    );
    check(
        &rule("evt.type = open and (fd.name glob /x* or fd.name = /y)"),
        &["expensive-on-hot-event 3"],
    );
    check(
        &rule("evt.type = open and fd.typechar = 'f' and fd.name glob /x*"),
        &[],
    );
    check(&rule("evt.type = execve and proc.cmdline glob x*"), &[]);
}

#[test]
fn rename_evades() {
    check(
        &rule("evt.type = open and not proc.name in (a, b)"),
        &["rename-evades 3"],
    );
    check(&rule("evt.type = open and proc.pname != a"), &["rename-evades 3"]);
    let macros = "- macro: known\n  condition: proc.name = a\n";
    check(
        &format!("{macros}{}", rule("evt.type = open and not known")),
        &["rename-evades 2"],
    );
    check(&rule("evt.type = open and not proc.exepath in (/a, /b)"), &[]);
    check(&rule("evt.type = open and proc.name in (a, b)"), &[]);
    check(
        &rule("evt.type = open and not proc.name in (\"<NA>\", \"\")"),
        &[],
    );
    check(
        &rule("evt.type = open and not (proc.name = a and fd.name = /x)"),
        &[],
    );
}

#[test]
fn exception_too_wide() {
    let exception = |fields: &str, value: &str| {
        let exceptions = format!("  exceptions: [{{name: e, fields: {fields}, values: [{value}]}}]\n");
        rule("evt.type = open") + &exceptions
    };
    check(&exception("[proc.name]", "[a]"), &["exception-too-wide 6"]);
    check(&exception("proc.name", "a"), &["exception-too-wide 6"]);
    check(
        &exception("[proc.name, proc.pname]", "[a, b]"),
        &["exception-too-wide 6"],
    );
    check(&exception("[proc.name, fd.name]", "[a, b]"), &[]);
}

#[test]
fn list_name_typo() {
    let list =
        "- list: shell_binaries\n  items: [sh]\n- macro: m\n  condition: proc.name in (shell_binaries)\n";
    check(
        &format!(
            "{list}{}",
            rule("evt.type = execve and m and proc.pname in (shell_binarys)")
        ),
        &["list-name-typo 7"],
    );
    check(
        &format!(
            "{list}{}",
            rule("evt.type = execve and m and proc.pname in (other_binaries)")
        ),
        &[],
    );
}

#[test]
fn unused() {
    check("- list: l\n  items: [a]\n", &["unused-list 1"]);
    check("- macro: m\n  condition: evt.type = open\n", &["unused-macro 1"]);
    let used_later = rule("evt.type = open and m");
    assert_eq!(
        lints(&["- macro: m\n  condition: fd.name = /x\n", &used_later]),
        Vec::<String>::new()
    );
}

#[test]
fn shadowed() {
    let first = "- macro: m\n  condition: fd.name = /x\n";
    let second = "- macro: m\n  condition: fd.name = /y\n";
    let used = rule("evt.type = open and m");
    check(&format!("{first}{second}{used}"), &["shadowed-macro 3"]);
    check(
        &format!("{first}{second}  override: {{condition: replace}}\n{used}"),
        &[],
    );
    let used = rule("evt.type = open and fd.name in (l)");
    check(
        &format!("- list: l\n  items: [a]\n- list: l\n  items: [b]\n{used}"),
        &["shadowed-list 3"],
    );
    check(
        &format!("- list: l\n  items: [a]\n- list: l\n  items: [b]\n  append: true\n{used}"),
        &[],
    );
}

#[test]
fn keys() {
    check(&(rule("evt.type = open") + "  desc: e\n"), &["duplicate-key 6"]);
    let exception = "  exceptions:\n  - name: e\n    fields: [fd.name]\n    value: [a]\n";
    check(
        &(rule("evt.type = open") + exception),
        &["unknown-exception-key 9"],
    );
}
