//! What a caller decides about a load: which rules are enabled, and what is added to outputs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "load_support/files.rs"]
mod files;

use std::collections::BTreeSet;

use files::{errors, load_with};
use sensor_rules::load::{
    AppendOutput, ExtraFieldOption, LoadOptions, Loaded, Loader, Selection, SelectionTarget, Version,
};
use sensor_rules::priority::Priority;

const RULES: &str = "\
- rule: shell in container
  desc: d
  condition: evt.type = execve
  output: shell (%proc.name)
  priority: ERROR
  tags: [shell, process]
- rule: shell on host
  desc: d
  condition: evt.type = execve
  output: shell
  priority: INFO
  tags: [shell]
  enabled: false
- rule: file read
  desc: d
  condition: evt.type = open
  output: file
  priority: DEBUG
  tags: [file]
";

fn load(options: LoadOptions) -> Loaded {
    let loaded = load_with(options, &[RULES]);
    assert_eq!(errors(&loaded), Vec::<String>::new());
    loaded
}

fn active(loaded: &Loaded) -> Vec<&str> {
    let rules = loaded.rule_set.as_ref().unwrap().rules();
    assert_eq!(
        rules.len(),
        loaded.rules.iter().filter(|rule| rule.id.is_some()).count()
    );
    rules.iter().map(|rule| rule.name.as_str()).collect()
}

fn select(selection: &[(bool, SelectionTarget)]) -> Vec<String> {
    let selection = selection.iter().map(|(enable, target)| Selection {
        enable: *enable,
        target: target.clone(),
    });
    let loaded = load(LoadOptions {
        selection: selection.collect(),
        ..LoadOptions::default()
    });
    active(&loaded).into_iter().map(str::to_owned).collect()
}

#[test]
fn rules_are_selected_by_name_and_tag_in_order() {
    let rule = |pattern: &str| SelectionTarget::Rule(pattern.to_owned());
    let tag = |tag: &str| SelectionTarget::Tag(tag.to_owned());
    assert_eq!(select(&[]), ["shell in container", "file read"]);
    assert_eq!(select(&[(false, rule("*"))]), Vec::<String>::new());
    assert_eq!(
        select(&[(true, rule("*"))]),
        ["shell in container", "shell on host", "file read"]
    );
    assert_eq!(
        select(&[(false, rule("*")), (true, tag("shell"))]),
        ["shell in container", "shell on host"]
    );
    assert_eq!(
        select(&[(true, tag("shell")), (false, rule("shell*container"))]),
        ["shell on host", "file read"]
    );
    assert_eq!(
        select(&[(false, rule("Shell*"))]),
        ["shell in container", "file read"],
        "case counts"
    );
    assert_eq!(
        select(&[(false, tag("sh*"))]),
        ["shell in container", "file read"],
        "tags have no wildcard"
    );
}

#[test]
fn less_severe_rules_are_left_out() {
    let min = |min_priority| LoadOptions {
        min_priority,
        ..LoadOptions::default()
    };
    assert_eq!(
        active(&load(min(Priority::Debug))),
        ["shell in container", "file read"]
    );
    assert_eq!(
        active(&load(min(Priority::Informational))),
        ["shell in container"]
    );
    assert_eq!(active(&load(min(Priority::Critical))), Vec::<&str>::new());
}

#[test]
fn outputs_are_appended_to() {
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<BTreeSet<_>>();
    let append_output = vec![
        AppendOutput {
            extra_output: Some("pid=%proc.pid".to_owned()),
            ..AppendOutput::default()
        },
        AppendOutput {
            tags: tags(&["shell", "process"]),
            extra_output: Some("b".to_owned()),
            extra_fields: vec![
                ExtraFieldOption {
                    key: "proc.exepath".to_owned(),
                    format: None,
                },
                ExtraFieldOption {
                    key: "where".to_owned(),
                    format: Some("in %fd.name".to_owned()),
                },
            ],
            ..AppendOutput::default()
        },
        AppendOutput {
            rule: Some("file read".to_owned()),
            extra_output: Some("c".to_owned()),
            ..AppendOutput::default()
        },
        AppendOutput {
            source: Some("other".to_owned()),
            extra_output: Some("d".to_owned()),
            ..AppendOutput::default()
        },
    ];
    let loaded = load(LoadOptions {
        append_output,
        ..LoadOptions::default()
    });
    let output = |name: &str| loaded.rule(name).unwrap().compiled_output.clone().unwrap();
    assert_eq!(output("shell in container"), "shell (%proc.name) pid=%proc.pid b");
    assert_eq!(output("shell on host"), "shell pid=%proc.pid");
    assert_eq!(output("file read"), "file pid=%proc.pid c");
    assert_eq!(loaded.rule("file read").unwrap().output, "file", "as written");
    let extra = &loaded.rule("shell in container").unwrap().extra_fields;
    let extra: Vec<_> = extra
        .iter()
        .map(|field| (field.key.as_str(), field.is_field))
        .collect();
    assert_eq!(extra, [("proc.exepath", true), ("where", false)]);
}

#[test]
fn suggested_fields_are_those_of_containers_and_pods() {
    let append_output = vec![AppendOutput {
        suggested_output: true,
        ..AppendOutput::default()
    }];
    let loaded = load(LoadOptions {
        append_output,
        ..LoadOptions::default()
    });
    let output = loaded.rule("file read").unwrap().compiled_output.clone().unwrap();
    assert!(
        output.starts_with("file container_id=%container.id container_name=%container.name "),
        "{output}"
    );
    assert!(output.contains(" k8s_pod_name=%k8s.pod.name"), "{output}");
}

#[test]
fn errors_of_appended_formats_are_reported() {
    let append_output = vec![AppendOutput {
        extra_output: Some("%no.such".to_owned()),
        ..AppendOutput::default()
    }];
    let loaded = load_with(
        LoadOptions {
            append_output,
            ..LoadOptions::default()
        },
        &[RULES],
    );
    assert!(
        errors(&loaded)[0].starts_with("LOAD_ERR_COMPILE_OUTPUT: "),
        "{:?}",
        errors(&loaded)
    );
}

#[test]
fn the_engine_version_is_the_callers() {
    let load = |engine_version| {
        let options = LoadOptions {
            engine_version,
            ..LoadOptions::default()
        };
        load_with(options, &["- required_engine_version: 0.50.0\n"]).is_ok()
    };
    assert!(load(Version::new(0, 50, 0)));
    assert!(!load(Version::new(0, 49, 9)));
}

#[test]
fn unknown_sources_are_the_callers_too() {
    let file = RULES.replace("tags: [file]", "source: audit");
    let known_sources = vec!["syscall".to_owned(), "audit".to_owned()];
    let loaded = load_with(
        LoadOptions {
            known_sources,
            ..LoadOptions::default()
        },
        &[&file],
    );
    assert_eq!(active(&loaded), ["shell in container", "file read"]);
    let loaded = load_with(LoadOptions::default(), &[&file]);
    assert_eq!(active(&loaded), ["shell in container"]);
    assert!(
        loaded.rule("file read").unwrap().compiled_condition.is_none(),
        "skipped"
    );
}

#[test]
fn a_file_that_cannot_be_read_stands_among_the_results() {
    let mut files = Loader::new(LoadOptions::default());
    files.add_file("rules.yaml", RULES.as_bytes());
    files.unreadable_file("gone.yaml", "no such file");
    let loaded = files.finish();
    assert!(loaded.rule_set.is_none());
    let error = &loaded.results[1].errors[0];
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("LOAD_ERR_FILE_READ", "no such file")
    );
}
