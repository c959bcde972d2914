//! Writes the catalogue of our rules: `docs/rules.md`.

use std::fmt::Write;

use sensor_rules::load::{Loaded, RuleInfo};
use sensor_rules::testing::{CaseResult, Report};

const HEAD: &str = "\
<!-- Generated from rules/ by sensor-rules/tests/own_rules.rs: UPDATE_EXPECT=1 cargo test -p sensor-rules --test own_rules -->

# Our rules

What `sensor` detects with the rules that come with it. They lie in `rules/`, one folder a topic, and are written in the
Falco language. Files are read in the order of their names, which puts `rules/00-macros.yaml` first.

One event may match several rules. Within `rules/` worse rules come first as far as their tests show, but only
`rule_matching: all` reports everything.

Each rule says what is normal. What is normal for you goes into the list that its description names, in a file of your
own that is loaded later:

```yaml
- list: known_metadata_clients
  items: [/opt/acme/agent]
  override:
    items: append
```

Programs are excused by the path that the kernel resolved, never by a name that a process can choose. Where a path could
not be resolved in full, no exception applies.

Each rule is tested with events: some that it has to match, and near misses, which differ from those in one thing and
must not match. Every condition that a rule demands decides at least one of these cases; a test makes sure of it.

";

/// The catalogue, a section for each rule in the order in which they are loaded.
pub(crate) fn render(loaded: &Loaded, report: &Report) -> String {
    let mut text = HEAD.to_owned();
    text += "| Rule | Priority | Topic | Cases |\n| --- | --- | --- | --- |\n";
    for rule in &loaded.rules {
        let cases = cases(rule, report).count();
        let (name, anchor) = (&rule.name, anchor(&rule.name));
        writeln!(
            text,
            "| [{name}](#{anchor}) | {} | {} | {cases} |",
            rule.priority,
            topic(loaded, rule)
        )
        .expect("text grows");
    }
    let mut last_topic = "";
    for rule in &loaded.rules {
        let topic = topic(loaded, rule);
        if topic != last_topic {
            writeln!(text, "\n## {topic}").expect("text grows");
            last_topic = topic;
        }
        section(&mut text, loaded, rule, report);
    }
    text
}

fn section(text: &mut String, loaded: &Loaded, rule: &RuleInfo, report: &Report) {
    let techniques = rule.tags.iter().filter(|tag| is_technique(tag)).map(|tag| {
        format!(
            "[{tag}](https://attack.mitre.org/techniques/{}/)",
            tag.replace('.', "/")
        )
    });
    let tags = rule
        .tags
        .iter()
        .filter(|tag| !is_technique(tag))
        .map(|tag| format!("`{tag}`"));
    let tags: Vec<_> = techniques.chain(tags).collect();
    let (matching, near): (Vec<_>, Vec<_>) =
        cases(rule, report).partition(|case| case.got.contains(&rule.name));
    writeln!(
        text,
        "\n### {}\n\n**{}**, {}, in `{}`\n\n{}\n\n- matches: {}\n- does not match: {}",
        rule.name,
        rule.priority,
        tags.join(", "),
        file(loaded, rule),
        rule.description.trim(),
        names(&matching),
        names(&near),
    )
    .expect("text grows");
}

fn cases<'a>(rule: &'a RuleInfo, report: &'a Report) -> impl Iterator<Item = &'a CaseResult> {
    report.cases.iter().filter(|case| case.rule == rule.name)
}

fn names(cases: &[&CaseResult]) -> String {
    cases
        .iter()
        .map(|case| case.name.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

fn is_technique(tag: &str) -> bool {
    tag.strip_prefix('T')
        .is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
}

/// The rule's file, from the root of the repository.
fn file<'a>(loaded: &'a Loaded, rule: &RuleInfo) -> &'a str {
    rule.span.map_or("", |span| loaded.sources.name(span.file))
}

/// The folder of the rule's file.
fn topic<'a>(loaded: &'a Loaded, rule: &RuleInfo) -> &'a str {
    file(loaded, rule).split('/').nth(1).unwrap_or_default()
}

/// The anchor that a Markdown heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-'));
    kept.map(|char| {
        if char == ' ' {
            '-'
        } else {
            char.to_ascii_lowercase()
        }
    })
    .collect()
}
