//! What is generated for users: the list of fields, and the schema of rule files.

use std::path::PathBuf;

use expect_test::expect_file;
use serde_json::Value;

use super::*;

#[test]
fn fields_are_listed_in_three_forms() {
    let folder = folder(&[]);
    let markdown = sensor(folder.path(), &["fields", "--format", "markdown"]);
    expect_file!["../../../docs/fields.md"].assert_eq(&stdout(&markdown));
    let all = json(&sensor(folder.path(), &["fields", "--format", "json"]));
    let filled = json(&sensor(
        folder.path(),
        &["fields", "--format", "json", "--filled"],
    ));
    let (all, filled) = (all.as_array().unwrap(), filled.as_array().unwrap());
    assert_eq!(all.iter().filter(|field| field["own"] == false).count(), 319);
    assert!(filled.len() > 100 && filled.iter().all(|field| field["filled"] == true));
    let text = stdout(&sensor(folder.path(), &["fields", "--filled"]));
    assert_eq!(text.lines().count(), filled.len() + 1);
}

/// Where the shared files are: beside the repository, or beside the folder that holds its worktrees.
fn shared(name: &str) -> Option<PathBuf> {
    let above = repository().ancestors().skip(1).take(2);
    above
        .map(|folder| folder.join("shared").join(name))
        .find(|path| path.exists())
}

#[test]
fn rule_files_follow_the_schema() {
    let folder = folder(&[]);
    let output = sensor(folder.path(), &["rules", "schema"]);
    expect_file!["../../../docs/rule-file.schema.json"].assert_eq(&stdout(&output));
    let schema = json(&output);
    let mut files = Vec::new();
    schema::collect_yaml(&repository().join("rules"), &mut files);
    match shared("falco-rules") {
        Some(folder) => schema::collect_yaml(&folder, &mut files),
        None => println!("skip: no shared rules of Falco"),
    }
    assert!(files.len() > 20, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        wrong.extend(
            schema::check(&schema, &value)
                .err()
                .map(|why| format!("{}: {why}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let folder = folder(&[]);
    let schema = json(&sensor(folder.path(), &["rules", "schema"]));
    let whole = "rule: r, desc: d, condition: c, output: o, priority: INFO";
    for (item, is_right) in [
        (format!("{{{whole}}}"), true),
        (format!("{{{whole}, enabled: no, tags: [a, 1]}}"), true),
        (format!("{{{whole}, enabeld: true}}"), false),
        (
            whole.replace("INFO", "BAD").replace("rule: r", "{rule: r") + "}",
            false,
        ),
        ("{rule: r, condition: c}".to_owned(), false),
        (
            "{rule: r, condition: c, override: {condition: append}}".to_owned(),
            true,
        ),
        (
            "{rule: r, priority: INFO, override: {priority: append}}".to_owned(),
            false,
        ),
        ("{rule: r, enabled: false}".to_owned(), true),
        ("{macro: m, condition: c}".to_owned(), true),
        ("{macro: m}".to_owned(), false),
        ("{list: l, items: [a, 1, true]}".to_owned(), true),
        ("{list: l, items: a}".to_owned(), false),
        ("{required_engine_version: 0.31.0}".to_owned(), true),
        (
            "{required_plugin_versions: [{name: p, version: 1.0.0}]}".to_owned(),
            true,
        ),
        ("{required_plugin_versions: [{name: p}]}".to_owned(), false),
        ("text".to_owned(), false),
    ] {
        let value: Value = serde_saphyr::from_str(&format!("- {item}\n")).unwrap();
        assert_eq!(schema::check(&schema, &value).is_ok(), is_right, "{item}");
    }
}
