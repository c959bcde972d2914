//! What lists, macros, overrides and exceptions do to rules.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "load_support/files.rs"]
mod files;

use files::{check_error, compiled, errors, load, rule, rule_with};
use sensor_rules::ast::Expr;
use sensor_rules::engine::Scratch;
use sensor_rules::field::Catalogue;
use sensor_rules::testing::TableEvent;

#[test]
fn macros_see_what_was_defined_before_them() {
    let a = "- macro: a\n  condition: b\n";
    let b = "- macro: b\n  condition: evt.type = open\n";
    let undefined = "LOAD_ERR_VALIDATE: Undefined macro 'b' used in filter.";
    for (file, expected) in [
        (format!("{b}{a}{}", rule("a")), ""),
        (format!("{a}{b}{}", rule("a")), undefined),
        // The newest definition decides how far a macro sees; the first, where it stands.
        (
            format!("- macro: a\n  condition: evt.type = close\n{b}{a}{}", rule("a")),
            "",
        ),
        (
            format!("{b}{a}- macro: b\n  condition: evt.type = close\n{}", rule("a")),
            "",
        ),
        (
            "- macro: a\n  condition: a\n".to_owned(),
            "LOAD_ERR_VALIDATE: Undefined macro 'a' used in filter.",
        ),
        (
            "- macro: a\n  condition: evt.type = open\n- macro: a\n  condition: a\n".to_owned(),
            "LOAD_ERR_VALIDATE: reference loop in macro 'a'",
        ),
        (
            format!("- macro: a\n  condition: evt.type = close\n- macro: b\n  condition: a\n{a}"),
            "LOAD_ERR_VALIDATE: reference loop in macro",
        ),
        // An unused macro is parsed, but its fields are not looked at.
        ("- macro: a\n  condition: no.such = x\n".to_owned(), ""),
        (
            "- macro: a\n  condition: (b\n".to_owned(),
            "LOAD_ERR_COMPILE_CONDITION",
        ),
    ] {
        check_error(&file, expected);
    }
}

#[test]
fn a_file_does_not_see_the_next_one() {
    let uses = rule("later");
    let defines = "- macro: later\n  condition: evt.type = open\n";
    let loaded = load(&[&uses, defines]);
    assert_eq!(
        errors(&loaded),
        ["LOAD_ERR_VALIDATE: Undefined macro 'later' used in filter."]
    );
    assert!(load(&[defines, &uses]).is_ok());
    assert!(
        load(&[&format!("{uses}{defines}")]).is_ok(),
        "in one file the order does not matter to rules"
    );
}

#[test]
fn overrides() {
    let base = rule_with("  tags: [b, a]\n  exceptions: [{name: e, fields: [proc.name], values: [[x]]}]");
    let item = "- rule: r\n";
    for (change, expected) in [
        (
            "  condition: and proc.name = x\n  override: {condition: append}",
            "",
        ),
        ("  condition: proc.name = x\n  override: {condition: replace}", ""),
        ("  tags: [c]\n  override: {tags: append}", ""),
        (
            "  priority: ERROR\n  enabled: no\n  override: {priority: replace, enabled: replace}",
            "",
        ),
        (
            "  skip-if-unknown-filter: true\n  override: {skip-if-unknown-filter: replace}",
            "",
        ),
        (
            "  override: {condition: append}",
            "LOAD_ERR_YAML_VALIDATE: An append override for 'condition' was specified",
        ),
        (
            "  override: {priority: append}",
            "LOAD_ERR_YAML_VALIDATE: Key 'priority' cannot be appended to, use 'replace'",
        ),
        (
            "  override: {source: replace}",
            "LOAD_ERR_YAML_VALIDATE: Key 'source' cannot be replaced",
        ),
        (
            "  override: {condition: add}",
            "LOAD_ERR_YAML_VALIDATE: Invalid override operation for key 'condition': 'add'. Allowed values are: append replace",
        ),
        (
            "  desc: x\n  output: y\n  override: {desc: replace}",
            "LOAD_ERR_YAML_VALIDATE: Unexpected key 'output': no corresponding entry under 'override' is defined.",
        ),
        (
            "  desc: x\n  append: true\n  override: {desc: replace}",
            "LOAD_ERR_YAML_VALIDATE: Keys 'override' and 'append: true'",
        ),
        (
            "  condition: x\n  source: other\n  override: {condition: replace}",
            "LOAD_ERR_VALIDATE: Rule has been re-defined",
        ),
        (
            "  append: true",
            "LOAD_ERR_VALIDATE: Appended rule must have exceptions or condition property",
        ),
        ("  append: true\n  exceptions:", ""),
        ("  append: true\n  condition: and proc.name = x\n  source:", ""),
    ] {
        check_error(&format!("{base}{item}{change}\n"), expected);
    }
    check_error(
        "- rule: r\n  desc: x\n  override: {desc: append}\n",
        "LOAD_ERR_VALIDATE: Rule uses 'append'",
    );
    check_error(
        "- rule: r\n  desc: x\n  override: {desc: replace}\n",
        "LOAD_ERR_VALIDATE: An 'override.<key>: replace'",
    );
    check_error(
        "- list: l\n  items: []\n  override: {items: append}\n",
        "LOAD_ERR_VALIDATE: List uses 'append'",
    );
    check_error("- list: l\n  items: []\n  override: {items: replace}\n", "");
    check_error(
        "- macro: m\n  condition: evt.type = open\n  append: true\n",
        "LOAD_ERR_VALIDATE: Macro uses 'append'",
    );
}

#[test]
fn what_overrides_do() {
    let base = rule_with("  tags: [b, a]\n  warn_evttypes: false\n  capture_duration: 5");
    let change = "- rule: r\n  condition: or proc.name = x\n  output: \" p \"\n  desc: e\n  tags: [c, a]\n  priority: error\n  \
                  capture: yes\n  capture_duration: 7\n  override:\n    condition: append\n    output: append\n    desc: append\n    \
                  tags: append\n    priority: replace\n    capture: replace\n    capture_duration: replace\n";
    let loaded = load(&[&base, change]);
    assert_eq!(errors(&loaded), Vec::<String>::new());
    let rule = loaded.rule("r").unwrap();
    assert_eq!(rule.condition, "evt.type = open or proc.name = x");
    assert_eq!((&*rule.output, &*rule.description), ("o p", "d e"));
    assert_eq!(rule.tags, ["a", "b", "c"]);
    assert_eq!(rule.priority.name(), "Error");
    assert!(rule.capture);
    assert_eq!(rule.capture_duration_ms, 7);
}

#[test]
fn exceptions() {
    for (exceptions, expected) in [
        ("[{name: e, fields: [proc.name]}]", ""),
        ("[{name: e, fields: [proc.name], values: []}]", ""),
        ("[{name: e, fields: proc.name, values: [a, b]}]", ""),
        ("[{name: e, fields: proc.name, comps: pmatch, values: [/a]}]", ""),
        (
            "[{name: e, fields: proc.name, comps: startswith oneof, values: [a, b c]}]",
            "",
        ),
        (
            "[{name: e, fields: [proc.name, fd.name], comps: [=, !=], values: [[a, b]]}]",
            "",
        ),
        (
            "[{name: e, fields: [proc.name], comps: [= oneof], values: [[[a, b]]]}]",
            "",
        ),
        ("[x]", "LOAD_ERR_YAML_VALIDATE: Rule exception must be a mapping"),
        (
            "[{fields: [proc.name]}]",
            "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'name'",
        ),
        (
            "[{name: e}]",
            "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'fields'",
        ),
        (
            "[{name: e, fields: }]",
            "LOAD_ERR_VALIDATE: Rule exception item must have fields property",
        ),
        (
            "[{name: e, fields: []}]",
            "LOAD_ERR_VALIDATE: Rule exception item must have fields property",
        ),
        (
            "[{name: e, fields: [\"\"]}]",
            "LOAD_ERR_YAML_VALIDATE: Value must be non-empty",
        ),
        (
            "[{name: e, fields: [proc.name], values: x}]",
            "LOAD_ERR_YAML_VALIDATE: Rule exception values must be a sequence",
        ),
        (
            "[{name: e, fields: [proc.name], comps: [=, =]}]",
            "LOAD_ERR_VALIDATE: Fields and comps lists must have equal length",
        ),
        (
            "[{name: e, fields: [proc.name], comps: [no-comp]}]",
            "LOAD_ERR_VALIDATE: 'no-comp' is not a supported comparison",
        ),
        (
            "[{name: e, fields: [no.such]}]",
            "LOAD_ERR_VALIDATE: 'no.such' is not a supported filter field",
        ),
        (
            "[{name: e, fields: no.such}]",
            "LOAD_ERR_VALIDATE: 'no.such' is not a supported filter field",
        ),
        (
            "[{name: e, fields: proc.name, comps: [in]}]",
            "LOAD_ERR_VALIDATE: Fields and comps must both be strings",
        ),
        (
            "[{name: e, fields: proc.name, comps: =}]",
            "LOAD_ERR_VALIDATE: When fields is a single value, comps must be one of",
        ),
        (
            "[{name: e, fields: [proc.name], values: [a]}]",
            "LOAD_ERR_VALIDATE: Fields and values lists must have equal length",
        ),
        (
            "[{name: e, fields: [proc.name], values: [[a, b]]}]",
            "LOAD_ERR_VALIDATE: Fields and values lists must have equal length",
        ),
        (
            "[{name: e, fields: proc.name, values: [[a]]}]",
            "LOAD_ERR_VALIDATE: Expected values array to contain a list of strings",
        ),
    ] {
        check_error(&rule_with(&format!("  exceptions: {exceptions}")), expected);
    }
}

#[test]
fn exceptions_appended() {
    let base = rule_with("  exceptions: [{name: e, fields: [proc.name]}]");
    for (exceptions, expected) in [
        ("[{name: e, values: [[a]]}]", ""),
        ("[{name: f, fields: proc.name, values: [a]}]", ""),
        (
            "[{name: f, values: [a]}]",
            "LOAD_ERR_VALIDATE: Rule exception must have fields property",
        ),
        (
            "[{name: f, fields: proc.name}]",
            "LOAD_ERR_VALIDATE: Rule exception must have values property",
        ),
        (
            "[{name: e, fields: [proc.name], values: [[a]]}]",
            "LOAD_ERR_VALIDATE: Can not append exception fields",
        ),
        (
            "[{name: e, comps: [=], values: [[a]]}]",
            "LOAD_ERR_VALIDATE: Can not append exception comps",
        ),
    ] {
        let append = format!("- rule: r\n  exceptions: {exceptions}\n  override: {{exceptions: append}}\n");
        check_error(&format!("{base}{append}"), expected);
    }
}

#[test]
fn exceptions_become_part_of_the_condition() {
    for (exceptions, expected) in [
        ("[]", "evt.type = open"),
        (
            "[{name: e, fields: proc.name, values: [a, b c]}]",
            "(evt.type = open and not proc.name in (a, \"b c\"))",
        ),
        (
            "[{name: e, fields: [proc.name, fd.name], values: [[a, b], [c, d]]}]",
            "(evt.type = open and not ((proc.name = a and fd.name = b) or (proc.name = c and fd.name = d)))",
        ),
        (
            "[{name: e, fields: [proc.name], values: [[a]]}, {name: f, fields: [fd.name], comps: [in], values: [[[b, c]]]}]",
            "(evt.type = open and not proc.name = a and not fd.name in (b, c))",
        ),
        (
            "[{name: e, fields: [proc.name], comps: [in], values: [[a]]}]",
            "(evt.type = open and not proc.name in (a))",
        ),
        (
            // `(a` and `b)` are two values of a YAML flow sequence, one too many.
            "[{name: e, fields: [proc.name], comps: [in], values: [[(a, b)]]}]",
            "LOAD_ERR_VALIDATE: Fields and values lists must have equal length",
        ),
    ] {
        let file = rule_with(&format!("  exceptions: {exceptions}"));
        assert_eq!(compiled(&file), expected, "{exceptions}");
    }
}

#[test]
fn an_exception_is_marked_for_the_evaluator() {
    let loaded = load(&[&rule_with(
        "  exceptions: [{name: e, fields: [proc.name], values: [[a]]}]",
    )]);
    let condition = loaded.rule("r").unwrap().compiled_condition.clone().unwrap();
    let Expr::And(children) = &*condition else {
        panic!("{condition}")
    };
    let Expr::Not(child) = &children[1] else {
        panic!("{condition}")
    };
    let Expr::Exception(exception) = &**child else {
        panic!("{condition}")
    };
    assert_eq!(exception.name, "e");
    assert_eq!(exception.body.to_string(), "proc.name = a");
}

/// What a rule with one exception says of an open whose path is known to be cut.
fn matches_a_cut_path(exception: &str, more: &str) -> bool {
    let rule = format!("{}{more}", rule_with(&format!("  exceptions: [{exception}]")));
    let loaded = load(&[&rule]);
    assert_eq!(errors(&loaded), Vec::<String>::new(), "{rule}");
    let catalogue = Catalogue::new();
    let fields = [("evt.type", "open"), ("fd.name", "/tmp/a"), ("proc.name", "a")];
    let event = TableEvent::new(&catalogue, fields, &[]).unwrap();
    let event = event.with_incomplete(&catalogue, ["fd.name"]).unwrap();
    let mut matched = false;
    let rules = loaded.rule_set.unwrap();
    rules.evaluate(&event, &mut Scratch::new(), |_| matched = true);
    matched
}

#[test]
fn an_exception_applies_to_an_incomplete_value_only_if_it_says_so() {
    let tmp =
        |more: &str| format!("{{name: e, fields: [fd.name], comps: [startswith], values: [[/tmp]]{more}}}");
    let appended =
        "- rule: r\n  exceptions: [{name: e, values: [[/var]]}]\n  override: {exceptions: append}\n";
    for (exception, more, matches) in [
        (tmp(""), "", true),
        (tmp(", allow_incomplete: false"), "", true),
        (tmp(", allow_incomplete: true"), "", false),
        // Values that are added change nothing about it.
        (tmp(", allow_incomplete: yes"), appended, false),
        (tmp(""), appended, true),
        // What it reads counts, not what the event has besides.
        (
            "{name: e, fields: [proc.name], comps: [=], values: [[a]]}".to_owned(),
            "",
            false,
        ),
    ] {
        assert_eq!(
            matches_a_cut_path(&exception, more),
            matches,
            "{exception} {more}"
        );
    }
    let rule = rule_with(&format!("  exceptions: [{}]", tmp("")));
    check_error(
        &format!(
            "{rule}- rule: r\n  exceptions: [{{name: e, values: [[/x]], allow_incomplete: true}}]\n  override: {{exceptions: append}}\n"
        ),
        "LOAD_ERR_VALIDATE: Can not append exception allow_incomplete to existing exception, only values",
    );
    check_error(
        &rule_with(&format!("  exceptions: [{}]", tmp(", allow_incomplete: perhaps"))),
        "LOAD_ERR_YAML_VALIDATE",
    );
}

#[test]
fn lists() {
    for (lists, condition, expected) in [
        (
            "- {list: l, items: [a, b]}",
            "proc.name in (l)",
            "proc.name in (a, b)",
        ),
        (
            "- {list: l, items: [a, b c]}",
            "proc.name in (x, l)",
            "proc.name in (x, a, \"b c\")",
        ),
        (
            "- {list: l, items: []}",
            "proc.name in (x, l)",
            "proc.name in (x)",
        ),
        ("- {list: l, items: [a]}", "proc.name = l", "proc.name = a"),
        (
            "- {list: l, items: [a]}\n- {list: m, items: [l, b]}",
            "proc.name in (m)",
            "proc.name in (a, b)",
        ),
        // A list sees lists that are defined before it; text that names a later one is replaced all the same.
        (
            "- {list: m, items: [l, b]}\n- {list: l, items: [a]}",
            "proc.name in (m)",
            "proc.name in (a, b)",
        ),
        (
            "- {list: l, items: [a]}\n- {list: l, items: [b]}",
            "proc.name in (l)",
            "proc.name in (b)",
        ),
        (
            "- {list: l, items: [a]}\n- {list: l, items: [b], override: {items: append}}",
            "proc.name in (l)",
            "proc.name in (a, b)",
        ),
        (
            "- {list: l, items: [a]}",
            "fd.name = \"/x l y\"",
            "fd.name = \"/x a y\"",
        ),
        (
            "- {list: l, items: [a]}\n- {macro: l, condition: evt.type = open}",
            // A list's name is replaced wherever it stands, so a macro of that name cannot be used.
            "l and proc.name in (l)",
            "LOAD_ERR_VALIDATE: Undefined macro 'a' used in filter.",
        ),
    ] {
        assert_eq!(
            compiled(&format!(
                "{lists}
{}",
                rule(condition)
            )),
            expected,
            "{lists}"
        );
    }
}
