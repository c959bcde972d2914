use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::load::{LoadOptions, Loader};
use crate::testing::TableEvent;

const RULES: &str = r#"
- list: excused
  items: [/usr/sbin/cron]
- macro: in_container
  condition: (container.id != host)
- rule: Shell
  desc: a shell
  condition: evt.type = execve and in_container and (proc.name in (sh, bash) or proc.aname = sshd) and not fd.ip = 1.2.3.4
  exceptions:
    - name: known
      fields: proc.exepath
      comps: startswith oneof
      values: [excused, /opt]
  output: "%proc.name"
  priority: INFO
"#;

fn event(fields: &[(&str, &str)], incomplete: &[&str]) -> TableEvent {
    let catalogue = Catalogue::new();
    let event = TableEvent::new(&catalogue, fields.iter().copied(), &[]).unwrap();
    event
        .with_incomplete(&catalogue, incomplete.iter().copied())
        .unwrap()
}

fn check_explanation(event: &TableEvent, expected: &Expect) {
    let mut loader = Loader::new(LoadOptions::default());
    let result = loader.add_file("test.yaml", RULES.as_bytes());
    assert!(result.is_ok(), "{:?}", result.errors);
    let rules = loader.finish().rule_set.unwrap();
    let explanation = explain(&rules.rules()[0].condition, &Catalogue::new(), event).unwrap();
    expected.assert_eq(&explanation.to_string());
}

#[test]
fn a_rule_that_matches() {
    let event = event(
        &[
            ("evt.type", "execve"),
            ("container.id", "3ad7"),
            ("proc.name", "ba\x1b[2Jsh"),
            ("proc.pname", "sshd"),
            ("proc.exepath", "/bin/bash"),
        ],
        &[],
    );
    check_explanation(
        &event,
        &expect![[r#"
        true    and
        true      and
        true        evt.type = execve  <- evt.type is "execve"
        true        in_container
        true          container.id != host  <- container.id is "3ad7"
        true        or
        false         proc.name in (sh, bash)  <- proc.name is "ba\u{1b}[2Jsh"
        true          proc.aname = sshd  <- proc.aname[1] is "sshd"
        true        not fd.ip = 1.2.3.4
        unknown       fd.ip = 1.2.3.4  <- fd.cip has no value, fd.sip has no value
        true      not exception known
        false       exception known
        false         proc.exepath startswith oneof (/usr/sbin/cron, /opt)  <- proc.exepath is "/bin/bash"
    "#]],
    );
}

#[test]
fn an_excused_event_and_missing_values() {
    let event = event(
        &[
            ("evt.type", "execve"),
            ("proc.name", "sh"),
            ("proc.exepath", "/opt/agent"),
            ("fd.sip", "1.2.3.4"),
        ],
        &[],
    );
    check_explanation(
        &event,
        &expect![[r#"
        false   and
        false     and
        true        evt.type = execve  <- evt.type is "execve"
        false       in_container
        unknown       container.id != host  <- container.id has no value
        true        or
        true          proc.name in (sh, bash)  <- proc.name is "sh"
        unknown       proc.aname = sshd  <- proc.aname has no value
        false       not fd.ip = 1.2.3.4
        true          fd.ip = 1.2.3.4  <- fd.cip has no value, fd.sip is 1.2.3.4
        false     not exception known
        true        exception known
        true          proc.exepath startswith oneof (/usr/sbin/cron, /opt)  <- proc.exepath is "/opt/agent"
    "#]],
    );
}

#[test]
fn an_incomplete_value_excuses_nothing() {
    let event = event(
        &[
            ("evt.type", "execve"),
            ("container.id", "3ad7"),
            ("proc.name", "sh"),
            ("proc.exepath", "/opt/agent"),
        ],
        &["proc.exepath"],
    );
    check_explanation(
        &event,
        &expect![[r#"
        true    and
        true      and
        true        evt.type = execve  <- evt.type is "execve"
        true        in_container
        true          container.id != host  <- container.id is "3ad7"
        true        or
        true          proc.name in (sh, bash)  <- proc.name is "sh"
        unknown       proc.aname = sshd  <- proc.aname has no value
        true        not fd.ip = 1.2.3.4
        unknown       fd.ip = 1.2.3.4  <- fd.cip has no value, fd.sip has no value
        true      not exception known
        false       exception known  <- proc.exepath is "/opt/agent" (incomplete)
        true          proc.exepath startswith oneof (/usr/sbin/cron, /opt)  <- proc.exepath is "/opt/agent" (incomplete)
    "#]],
    );
}

#[test]
fn the_whole_is_what_the_engine_says() {
    let mut loader = Loader::new(LoadOptions::default());
    loader.add_file("test.yaml", RULES.as_bytes());
    let rules = loader.finish().rule_set.unwrap();
    for (name, id, exe) in [
        ("sh", "host", "/bin/sh"),
        ("sh", "3ad7", "/bin/sh"),
        ("sh", "3ad7", "/opt/sh"),
        ("vi", "3ad7", "/vi"),
    ] {
        let event = event(
            &[
                ("evt.type", "execve"),
                ("proc.name", name),
                ("container.id", id),
                ("proc.exepath", exe),
            ],
            &[],
        );
        let mut matched = false;
        rules.evaluate(&event, &mut Scratch::new(), |_| matched = true);
        let explanation = explain(&rules.rules()[0].condition, &Catalogue::new(), &event).unwrap();
        assert_eq!(
            explanation.lines[0].truth == Truth::True,
            matched,
            "{name} {id} {exe}"
        );
    }
}

#[test]
fn macros_that_double_end() {
    let mut rules = "- macro: m0\n  condition: (proc.name = a)\n".to_owned();
    for level in 1..14 {
        let below = level - 1;
        writeln!(
            rules,
            "- macro: m{level}\n  condition: (m{below} or not m{below})"
        )
        .unwrap();
    }
    rules += "- rule: R\n  desc: d\n  condition: evt.type = open and m13\n  output: o\n  priority: INFO\n";
    let mut loader = Loader::new(LoadOptions::default());
    let result = loader.add_file("test.yaml", rules.as_bytes());
    assert!(result.is_ok(), "{:?}", result.errors);
    let rules = loader.finish().rule_set.unwrap();
    let explanation = explain(
        &rules.rules()[0].condition,
        &Catalogue::new(),
        &event(&[("evt.type", "open")], &[]),
    )
    .unwrap();
    assert_eq!(explanation.lines.len(), PARTS_MAX);
}
