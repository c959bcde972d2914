//! What a user sees of errors and warnings. `UPDATE_EXPECT=1` writes the new text into this file.

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
    let shown: Vec<String> =
        diagnostics(&loaded).iter().map(|one| render(one, &loaded.sources, Style::Plain)).collect();
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
        &expect![[""]],
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
        &expect![[""]],
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
        &expect![[""]],
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
        &expect![[""]],
    );
}

#[test]
fn not_yaml() {
    check("- rule: a\n  desc: b: c\n", &expect![[""]]);
    let mut loader = Loader::new(LoadOptions::default());
    loader.add_file("rules.yaml", b"- rule: \xff\n");
    let loaded = loader.finish();
    let shown = render(&diagnostics(&loaded)[0], &loaded.sources, Style::Plain);
    expect![[""]].assert_eq(&shown);
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
        &expect![[""]],
    );
}

#[test]
fn a_long_line_and_control_characters_are_not_shown() {
    let long = format!("- rule: r\n  desc: d\n  condition: no.such = {}\n  output: o\n  priority: INFO\n", "x".repeat(10_000));
    check(&long, &expect![[""]]);
    check("- \"r\\e[31mule\": \"\\e[31m\"\n", &expect![[""]]);
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
            assert!(!render(&Diagnostic::lint(&lint, &loaded.sources), &loaded.sources, Style::Plain).is_empty());
        }
        assert!(falco_load_results(&loaded)["falco_load_results"].is_array());
    }
}

#[test]
fn json_has_falcos_shape() {
    let loaded = load(&[("rules.yaml", "- rule: a\n  desc: d\n  condition: evt.type = open and x\n  output: o\n  priority: INFO\n")]);
    expect![[""]].assert_eq(&serde_json::to_string_pretty(&falco_load_results(&loaded)).unwrap());
}
