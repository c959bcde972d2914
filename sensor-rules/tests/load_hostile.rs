//! Files that try to use up memory, time or the stack.
//!
//! Each ends with an error or loads; the runner's limit on time and the size of test threads' stacks do the rest.

#[path = "load_support/files.rs"]
mod files;

use std::fmt::Write as _;

use files::{load, rule};
use proptest::prelude::*;
use sensor_rules::diagnostic::{Style, diagnostics, render};
use sensor_rules::load::Loaded;

/// The first error says this.
fn refused(file: &str, expected: &str) {
    let loaded = load(&[file]);
    let message = loaded.results[0]
        .errors
        .first()
        .map(|error| error.message.clone());
    let found = message.unwrap_or_default();
    assert!(found.contains(expected), "{expected:?} is not in {found:?}");
}

fn loads(file: &str) -> Loaded {
    let loaded = load(&[file]);
    assert!(loaded.is_ok(), "{:?}", loaded.results[0].errors.first());
    loaded
}

#[test]
fn deep_yaml() {
    refused(&"[".repeat(1_000_000), "");
    refused(&"- ".repeat(1_000_000), "");
    refused(&"{a: ".repeat(1_000_000), "");
}

#[test]
fn alias_bomb() {
    let mut file = "- &a0 {list: x, items: [a]}\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{},", level - 1).repeat(10);
        let _ = writeln!(file, "- &a{level} [{before}]");
    }
    refused(&file, "YAML values");
}

#[test]
fn aliases_may_be_used() {
    let file = "- list: a\n  items: &i [x, y]\n- list: b\n  items: *i\n";
    assert_eq!(loads(file).lists[1].items, ["x", "y"]);
}

#[test]
fn a_list_of_100_000_items() {
    let items: Vec<String> = (0..100_000).map(|item| format!("item-{item}")).collect();
    let file = format!(
        "- list: l\n  items: [{}]\n{}",
        items.join(", "),
        rule("evt.type = open and proc.name in (l)")
    );
    let loaded = loads(&file);
    assert_eq!(loaded.lists[0].items.len(), 100_000);
}

#[test]
fn lists_that_multiply() {
    // 1,000 names of a list of 10,000 items are 10 million.
    let wide = vec!["x"; 10_000].join(",");
    let many = vec!["a"; 1000].join(",");
    let file = format!("- list: a\n  items: [{wide}]\n- list: b\n  items: [{many}]\n");
    refused(&file, "lists inside lists");
    // 4,000 uses of 10,000 bytes and more in one condition.
    let uses = vec!["a"; 4000].join(",");
    refused(
        &format!(
            "- list: a\n  items: [{wide}]\n{}",
            rule(&format!("proc.name in ({uses})"))
        ),
        "lists written out",
    );
}

#[test]
fn lists_that_multiply_in_steps() {
    // Each list's text names the next one ten times, in quotes, so that one list is not inside another.
    let mut file = String::new();
    for level in 0..12 {
        let next = vec![format!("'\"l{} x\"'", level + 1); 10].join(",");
        let _ = write!(file, "- list: l{level}\n  items: [{next}]\n");
    }
    refused(&format!("{file}{}", rule("proc.name in (l0)")), "");
}

#[test]
fn macros_that_double() {
    let mut file = "- macro: m0\n  condition: evt.type = open\n".to_owned();
    for level in 1..64 {
        let _ = write!(file, "- macro: m{level}\n  condition: m{0} or m{0}\n", level - 1);
    }
    refused(&format!("{file}{}", rule("m63")), "parts");
}

#[test]
fn macros_that_double_and_see_later_ones() {
    let mut file = String::new();
    for _ in 0..2 {
        for level in 0..64 {
            let _ = write!(file, "- macro: m{level}\n  condition: m{0} or m{0}\n", level + 1);
        }
        file += "- macro: m64\n  condition: evt.type = open\n";
    }
    refused(&format!("{file}{}", rule("m0")), "parts");
}

#[test]
fn macros_in_a_long_chain() {
    let chain = |length: usize| {
        let mut file = "- macro: m0\n  condition: evt.type = open\n".to_owned();
        for level in 1..length {
            let _ = write!(file, "- macro: m{level}\n  condition: not m{}\n", level - 1);
        }
        format!("{file}{}", rule(&format!("m{}", length - 1)))
    };
    loads(&chain(200));
    refused(&chain(5000), "levels");
}

#[test]
fn macros_in_a_ring() {
    let mut file = String::new();
    for _ in 0..2 {
        for level in 0..1000 {
            let _ = write!(file, "- macro: m{level}\n  condition: m{}\n", (level + 1) % 1000);
        }
    }
    refused(&format!("{file}{}", rule("m0")), "");
}

#[test]
fn deep_conditions() {
    let nested = |depth: usize| {
        rule(&format!(
            "{}evt.type = open{}",
            "(".repeat(depth),
            ")".repeat(depth)
        ))
    };
    loads(&nested(100));
    refused(&nested(100_000), "depth");
    refused(
        &rule(&format!("{}evt.type = open", "not (".repeat(100_000))),
        "depth",
    );
}

#[test]
fn wide_conditions() {
    let condition = vec!["evt.type = open"; 50_000].join(" or ");
    loads(&rule(&condition));
}

#[test]
fn many_exceptions() {
    let values: Vec<String> = (0..5000).map(|at| format!("[a{at}, /b{at}]")).collect();
    let exception = format!(
        "  exceptions: [{{name: e, fields: [proc.name, fd.name], values: [{}]}}]\n",
        values.join(", ")
    );
    loads(&(rule("evt.type = open") + &exception));
}

#[test]
fn many_rules() {
    let file: String = (0..3000)
        .map(|at| rule("evt.type = open").replace("rule: r", &format!("rule: r{at}")))
        .collect();
    assert_eq!(loads(&file).rules.len(), 3000);
}

#[test]
fn many_errors() {
    let file = "- foo\n".repeat(50_000);
    let loaded = load(&[&file]);
    assert_eq!(loaded.results[0].errors.len(), 1000);
}

#[test]
fn a_large_file() {
    refused(&"# comment\n".repeat(2_000_000), "larger than");
}

/// Pieces that rule files are made of, and some that they are not.
const PIECES: &[&str] = &[
    "- ",
    "list: l\n",
    "macro: m\n",
    "rule: r\n",
    "  items: [l, m, x]\n",
    "  condition: ",
    "m and ",
    "not ",
    "(",
    ")",
    "evt.type = open\n",
    "proc.name in (l)\n",
    "  output: %proc.name\n",
    "  output: %x\n",
    "  desc: d\n",
    "  priority: INFO\n",
    "  override: {condition: append}\n",
    "  append: true\n",
    "  exceptions: [{name: e, fields: ",
    "proc.name",
    ", values: [x, [y]]}]\n",
    "  enabled: false\n",
    "\n",
    "  ",
    ">\n    ",
    "\"",
    "'",
    "\\",
    "é",
    "\u{0}",
    "\t",
    "&a ",
    "*a",
    "---\n",
    "#",
    ": ",
    "[",
    "]",
    "{",
    "}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_gives_a_result(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let file = pieces.concat();
        let loaded = load(&[&file, &file]);
        prop_assert_eq!(loaded.rule_set.is_some(), loaded.is_ok());
        for diagnostic in diagnostics(&loaded) {
            prop_assert!(!render(&diagnostic, &loaded.sources, Style::Plain).is_empty());
        }
        prop_assert!(loaded.lint().len() < 1000);
    }
}
