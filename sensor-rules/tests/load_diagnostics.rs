//! What a user sees of errors and warnings. `UPDATE_EXPECT=1` writes the new text into this file.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use expect_test::{Expect, expect};
use sensor_rules::diagnostic::{Diagnostic, Style, diagnostics, falco_load_results, render};
use sensor_rules::load::{LoadOptions, Loaded, Loader};

fn load(files: &[(&str, &str)]) -> Loaded {
    let mut loader = Loader::new(LoadOptions::default());
    for (name, text) in files {
        loader.add_file(name, text.as_bytes());
    }
    loader.finish()
}

fn check(text: &str, expected: &Expect) {
    check_files(&[("rules.yaml", text)], expected);
}

fn check_files(files: &[(&str, &str)], expected: &Expect) {
    let loaded = load(files);
    let shown: Vec<String> = diagnostics(&loaded)
        .iter()
        .map(|one| render(one, &loaded.sources, Style::Plain))
        .collect();
    expected.assert_eq(&(shown.join("\n\n") + "\n"));
}

#[test]
fn misspelled_field_in_a_folded_condition() {
    check(
        "\
- rule: shell in container
  desc: a shell
  condition: >
    evt.type = execve
    and proc.nmae in (bash, sh)
  output: shell
  priority: INFO
",
        &expect![[r#"
            error[LOAD_ERR_COMPILE_CONDITION]: filter_check called with nonexistent field proc.nmae
             --> rules.yaml:5:9
              |
            5 |     and proc.nmae in (bash, sh)
              |         ^^^^^^^^^
              |
              = note: in rule "shell in container"
              = help: did you mean `proc.name`?
        "#]],
    );
}

#[test]
fn misspelled_macro_event_operator_and_output_field() {
    check(
        "\
- macro: spawned_process
  condition: evt.type in (execve, execveat)

- rule: a
  desc: d
  condition: spawned_proces and proc.name = sh
  output: o
  priority: INFO

- rule: b
  desc: d
  condition: evt.type = opne
  output: o
  priority: INFO

- rule: c
  desc: d
  condition: 'spawned_process and proc.name contians \"sh\"'
  output: o
  priority: INFO

- rule: e
  desc: d
  condition: spawned_process
  output: started (%proc.nmae)
  priority: INFO
",
        &expect![[r#"
            error[LOAD_ERR_VALIDATE]: Undefined macro 'spawned_proces' used in filter.
             --> rules.yaml:6:14
              |
            6 |   condition: spawned_proces and proc.name = sh
              |              ^^^^^^^^^^^^^^
              |
              = note: in rule "a"
              = help: did you mean `spawned_process`?

            error[LOAD_ERR_COMPILE_CONDITION]: unknown event type opne
              --> rules.yaml:12:25
               |
            12 |   condition: evt.type = opne
               |                         ^^^^
               |
               = note: in rule "b"
               = help: did you mean `open`?

            error[LOAD_ERR_COMPILE_CONDITION]: expected a valid check operator: one of 'exists', '<=', '<', '>=', '>', '==', '=', '!=', 'glob', 'iglob', 'contains', 'icontains', 'bcontains', 'startswith', 'bstartswith', 'endswith', 'regex', 'intersects', 'in', 'pmatch'
              --> rules.yaml:18:45
               |
            18 |   condition: 'spawned_process and proc.name contians "sh"'
               |                                             ^^^^^^^^
               |
               = note: in rule "c"
               = help: did you mean `contains`?

            error[LOAD_ERR_COMPILE_OUTPUT]: invalid formatting token proc.nmae)
              --> rules.yaml:25:20
               |
            25 |   output: started (%proc.nmae)
               |                    ^^^^^^^^^^
               |
               = note: in rule "e"
               = help: did you mean `%proc.name`?
        "#]],
    );
}

#[test]
fn error_inside_a_list_or_macro_points_there() {
    check_files(
        &[
            ("lists.yaml", "- list: ports\n  items: [22, \"80 443\"]\n"),
            (
                "rules.yaml",
                "\
- macro: to_server
  condition: fd.sport in (ports)
- rule: r
  desc: d
  condition: evt.type = connect and to_server
  output: o
  priority: INFO
",
            ),
        ],
        &expect![[r#"
            warning[LOAD_UNUSED_LIST]: List not referred to by any other rule/macro
             --> lists.yaml:1:3
              |
            1 | - list: ports
              |   ^^^^^^^^^^^
              |
              = note: in list "ports"

            error[LOAD_ERR_COMPILE_CONDITION]: '80 443' is not a valid port number or service name
             --> rules.yaml:2:15
              |
            2 |   items: [22, "80 443"]
              |               ^^^^^^^^
              |
              = note: in rule "r"
        "#]],
    );
}

#[test]
fn structure() {
    check(
        "\
- rule: a
  desc: d
  conditon: evt.type = open
  output: o
  priority: warn
- maco: x
  condition: y
- list: l
  items: {a: b}
",
        &expect![[r#"
            error[LOAD_ERR_YAML_VALIDATE]: Item has no mapping for key 'condition'
             --> rules.yaml:1:3
              |
            1 | - rule: a
              |   ^^^^^^^
              |
              = note: in rule "a"
              = help: key `conditon` is not known; did you mean `condition`?

            error[LOAD_ERR_YAML_VALIDATE]: Invalid priority
             --> rules.yaml:5:13
              |
            5 |   priority: warn
              |             ^^^^
              |
              = note: in rule "a"
              = help: expected one of Emergency, Alert, Critical, Error, Warning, Notice, Informational, Debug

            error[LOAD_ERR_YAML_VALIDATE]: Value is not a sequence
             --> rules.yaml:9:10
              |
            9 |   items: {a: b}
              |          ^^^^^^
              |
              = note: in list "l"

            warning[LOAD_UNKNOWN_KEY]: Unknown key 'conditon'
             --> rules.yaml:3:3
              |
            3 |   conditon: evt.type = open
              |   ^^^^^^^^
              |
              = note: in rule "a"
              = help: did you mean `condition`?

            warning[LOAD_UNKNOWN_ITEM]: Unknown top level item
             --> rules.yaml:6:3
              |
            6 | - maco: x
              |   ^^^^^^^
              |
              = help: did you mean `macro`?
        "#]],
    );
}

#[test]
fn not_yaml() {
    check(
        "- rule: a\n  desc: b: c\n",
        &expect![[r#"
            error[LOAD_ERR_YAML_PARSE]: illegal map value
             --> rules.yaml:2:10
              |
            2 |   desc: b: c
              |          ^
              |
              = help: text that holds `: ` must be quoted
        "#]],
    );
    let mut files = Loader::new(LoadOptions::default());
    files.add_file("rules.yaml", b"- rule: \xff\n");
    let loaded = files.finish();
    let shown = render(&diagnostics(&loaded)[0], &loaded.sources, Style::Plain);
    expect![[r"
        error[LOAD_ERR_YAML_PARSE]: not UTF-8: byte 8 of the file is not part of a character
        --> rules.yaml"]]
    .assert_eq(&shown);
}

#[test]
fn exception_values() {
    check(
        "\
- rule: a
  desc: d
  condition: evt.type = open
  output: o
  priority: INFO
  exceptions:
    - name: known
      fields: [proc.name, fd.name]
      comps: [=, startswth]
    - name: unknown
      fields: [proc.nam]
",
        &expect![[r#"
            error[LOAD_ERR_VALIDATE]: 'startswth' is not a supported comparison operator
             --> rules.yaml:9:18
              |
            9 |       comps: [=, startswth]
              |                  ^^^^^^^^^
              |
              = note: in rule "a", exception "known"
              = help: did you mean `startswith`?

            error[LOAD_ERR_VALIDATE]: 'proc.nam' is not a supported filter field
              --> rules.yaml:11:16
               |
            11 |       fields: [proc.nam]
               |                ^^^^^^^^
               |
               = note: in rule "a", exception "unknown"
               = help: did you mean `proc.name`?
        "#]],
    );
}

#[test]
fn a_long_line_and_control_characters_are_not_shown() {
    let long = format!(
        "- rule: r\n  desc: d\n  condition: no.such = {}\n  output: o\n  priority: INFO\n",
        "x".repeat(10_000)
    );
    check(
        &long,
        &expect![[r#"
        error[LOAD_ERR_COMPILE_CONDITION]: filter_check called with nonexistent field no.such
        --> rules.yaml:3:14
         = note: in rule "r"
    "#]],
    );
    check(
        "- \"r\\e[31mule\": \"\\e[31m\"\n",
        &expect![[r#"
        warning[LOAD_UNKNOWN_ITEM]: Unknown top level item
         --> rules.yaml:1:3
          |
        1 | - "r\e[31mule": "\e[31m"
          |   ^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
}

#[test]
fn color_is_only_added() {
    let loaded = load(&[("rules.yaml", "- foo\n")]);
    let diagnostic = &diagnostics(&loaded)[0];
    let plain = render(diagnostic, &loaded.sources, Style::Plain);
    let color = render(diagnostic, &loaded.sources, Style::Color);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    assert!(color.contains('\u{1b}'), "{color}");
}

#[test]
fn every_place_can_be_shown() {
    // Each cut of a file with many kinds of scalars gives some error; none may panic.
    let text = "- list: é\n  items: ['ü''', \"\\x41\\u00e9\"]\n- macro: m\n  condition: >-\n    évt.type\n    in (é,\n    (\n- rule: r\n  \
                desc: d\n  condition: \"evt.type = \\\"open and m\"\n  output: '%no.such é'\n  priority: INFO\n  exceptions:\n  - {name: é, \
                fields: [é], values: [[é]]}\n";
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let loaded = load(&[("é.yaml", &text[..end])]);
        for diagnostic in diagnostics(&loaded) {
            assert!(!render(&diagnostic, &loaded.sources, Style::Plain).is_empty());
        }
        for lint in loaded.lint() {
            assert!(
                !render(
                    &Diagnostic::lint(&lint, &loaded.sources),
                    &loaded.sources,
                    Style::Plain
                )
                .is_empty()
            );
        }
        assert!(falco_load_results(&loaded)["falco_load_results"].is_array());
    }
}

#[test]
fn json_has_falcos_shape() {
    let loaded = load(&[(
        "rules.yaml",
        "- rule: a\n  desc: d\n  condition: evt.type = open and x\n  output: o\n  priority: INFO\n",
    )]);
    expect![[r#"
        {
          "falco_load_results": [
            {
              "errors": [
                {
                  "code": "LOAD_ERR_VALIDATE",
                  "codedesc": "Error validating rule/macro/list/exception objects",
                  "context": {
                    "locations": [
                      {
                        "item_name": "",
                        "item_type": "rules content",
                        "position": {
                          "column": 0,
                          "line": 0,
                          "name": "rules.yaml",
                          "offset": 0
                        }
                      },
                      {
                        "item_name": "a",
                        "item_type": "rule",
                        "position": {
                          "column": 2,
                          "line": 0,
                          "name": "rules.yaml",
                          "offset": 2
                        }
                      },
                      {
                        "item_name": "",
                        "item_type": "condition expression",
                        "position": {
                          "column": 22,
                          "line": 0,
                          "name": "\"evt.type = open a...\"",
                          "offset": 22
                        }
                      }
                    ],
                    "snippet": "  condition: evt.type = open and x\n                                 ^\n"
                  },
                  "help": "define the macro in this file or in one that is loaded before it",
                  "message": "Undefined macro 'x' used in filter.",
                  "span": {
                    "column": 34,
                    "end": 54,
                    "line": 3,
                    "name": "rules.yaml",
                    "start": 53
                  }
                }
              ],
              "name": "rules.yaml",
              "successful": false,
              "warnings": []
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&falco_load_results(&loaded)).unwrap());
}
