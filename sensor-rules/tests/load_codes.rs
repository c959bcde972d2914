//! Every error and warning code, by the smallest file that has it.

#[path = "load_support/files.rs"]
mod files;

use files::{check_error, errors, load, rule, rule_with, warnings};

#[test]
fn structure_of_the_file() {
    for (file, expected) in [
        ("", ""),
        ("# nothing\n", ""),
        ("---\n---\n", ""),
        ("- ~\n- null\n", ""),
        ("- [\n", "LOAD_ERR_YAML_PARSE"),
        ("- a: b: c\n", "LOAD_ERR_YAML_PARSE"),
        (
            "this : is : not : yaml",
            "LOAD_ERR_YAML_PARSE: yaml-cpp: error at line 1, column 11: illegal map value",
        ),
        ("foo", "LOAD_ERR_YAML_VALIDATE: Rules content is not yaml"),
        (
            "a: b",
            "LOAD_ERR_YAML_VALIDATE: Rules content is not yaml array of objects",
        ),
        ("- foo", "LOAD_ERR_YAML_VALIDATE: Unexpected element type."),
        ("- [foo]", "LOAD_ERR_YAML_VALIDATE: Unexpected element type."),
        (
            "- list:\n  items: []\n",
            "LOAD_ERR_YAML_VALIDATE: Mapping for key 'list' is empty",
        ),
        (
            "- list: \"\"\n  items: []\n",
            "LOAD_ERR_YAML_VALIDATE: Value must be non-empty",
        ),
        (
            "- list: [x]\n  items: []\n",
            "LOAD_ERR_YAML_VALIDATE: Value is not a scalar value",
        ),
        (
            "- list: x\n",
            "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'items'",
        ),
        (
            "- list: x\n  items: y\n",
            "LOAD_ERR_YAML_VALIDATE: Value is not a sequence",
        ),
        (
            "- list: x\n  items: [[y]]\n",
            "LOAD_ERR_YAML_VALIDATE: sequence value is not scalar",
        ),
        (
            "- list: x\n  items: [~]\n",
            "LOAD_ERR_YAML_VALIDATE: sequence value is not scalar",
        ),
        ("- list: x\n  items: []\n", ""),
        ("- list: x\n  items: [1, 2.5, true, \"null\"]\n", ""),
        (
            "- list: x\n  items: []\n  append: maybe\n",
            "LOAD_ERR_YAML_VALIDATE: Can't decode YAML scalar value",
        ),
        (
            "- macro: x\n",
            "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'condition'",
        ),
    ] {
        check_error(file, expected);
    }
}

#[test]
fn engine_and_plugin_versions() {
    for (file, expected) in [
        ("- required_engine_version: 63\n", ""),
        ("- required_engine_version: \"63\"\n", ""),
        ("- required_engine_version: 0.63.0\n", ""),
        (
            "- required_engine_version: 0.64.0\n",
            "LOAD_ERR_VALIDATE: Rules require engine version 0.64.0",
        ),
        (
            "- required_engine_version: 1.0.0\n",
            "LOAD_ERR_VALIDATE: Rules require engine version 1.0.0",
        ),
        (
            "- required_engine_version: x\n",
            "LOAD_ERR_YAML_VALIDATE: Unable to parse engine version 'x'",
        ),
        (
            "- required_engine_version:\n",
            "LOAD_ERR_YAML_VALIDATE: Mapping for key",
        ),
        (
            "- required_plugin_versions: x\n",
            "LOAD_ERR_YAML_VALIDATE: Value of required_plugin_versions must be",
        ),
        (
            "- required_plugin_versions: [x]\n",
            "LOAD_ERR_YAML_VALIDATE: Plugin version must be a mapping",
        ),
        (
            "- required_plugin_versions: [{name: x}]\n",
            "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'version'",
        ),
        (
            "- required_plugin_versions: [{name: x, version: y}]\n",
            "LOAD_ERR_VALIDATE: Invalid required version 'y'",
        ),
        (
            "- required_plugin_versions: [{name: x, version: 1.0.0, alternatives: [{name: x, version: 2.0.0}]}]\n",
            "LOAD_ERR_VALIDATE: Defined multiple alternative version requirements for plugin 'x'",
        ),
        (
            "- required_plugin_versions: [{name: x, version: 1.0.0, alternatives: {}}]\n",
            "LOAD_ERR_YAML_VALIDATE: Value of plugin version alternatives must be a sequence",
        ),
    ] {
        check_error(file, expected);
    }
    let loaded = load(&[
        "- required_plugin_versions: [{name: container, version: 0.4.0}, {name: k8saudit, version: 0.7.0, alternatives: [{name: k8saudit-eks, version: 0.4.0}]}]\n",
    ]);
    assert_eq!(loaded.unmet_plugins, ["k8saudit 0.7.0 or k8saudit-eks 0.4.0"]);
}

#[test]
fn rules_need_their_keys() {
    for (key, message) in [
        ("condition", "Item has no mapping for key 'condition'"),
        ("output", "Item has no mapping for key 'output'"),
        ("desc", "Item has no mapping for key 'desc'"),
        ("priority", "Item has no mapping for key 'priority'"),
    ] {
        let whole = rule("evt.type = open");
        let lines = whole
            .lines()
            .filter(|line| !line.trim_start().starts_with(&format!("{key}:")));
        let file = lines.collect::<Vec<_>>().join("\n");
        check_error(&file, &format!("LOAD_ERR_YAML_VALIDATE: {message}"));
    }
    for (more, expected) in [
        ("  enabled: yes", ""),
        ("  enabled: OFF", ""),
        ("  enabled: 1", "LOAD_ERR_YAML_VALIDATE: Can't decode"),
        ("  tags: x", "LOAD_ERR_YAML_VALIDATE: Value is not a sequence"),
        (
            "  source:",
            "LOAD_ERR_YAML_VALIDATE: Mapping for key 'source' is empty",
        ),
        ("  capture_duration: -1", "LOAD_ERR_YAML_VALIDATE: Can't decode"),
        ("  exceptions:", ""),
        (
            "  exceptions: x",
            "LOAD_ERR_YAML_VALIDATE: Rule exceptions must be a sequence",
        ),
    ] {
        check_error(&rule_with(more), expected);
    }
    let file = rule("evt.type = open").replace("INFO", "SEVERE");
    check_error(&file, "LOAD_ERR_YAML_VALIDATE: Invalid priority");
    check_error(
        "- rule: r\n  tags: [x]\n",
        "LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'enabled'",
    );
    check_error(
        "- rule: r\n  enabled: true\n",
        "LOAD_ERR_VALIDATE: Rule has 'enabled' key but no rule",
    );
}

#[test]
fn all_errors_of_all_files_are_reported() {
    let bad = rule("evt.type = open")
        .replace("INFO", "SEVERE")
        .replace("output: o", "outptu: o");
    let loaded = load(&[&bad, "- macro: m\n  condition: (x\n- list: l\n", "- [\n"]);
    let codes: Vec<Vec<_>> = loaded
        .results
        .iter()
        .map(|result| result.errors.iter().map(|error| error.code.as_str()).collect())
        .collect();
    assert_eq!(
        codes,
        [
            vec!["LOAD_ERR_YAML_VALIDATE", "LOAD_ERR_YAML_VALIDATE"],
            vec!["LOAD_ERR_YAML_VALIDATE", "LOAD_ERR_COMPILE_CONDITION"],
            vec!["LOAD_ERR_YAML_PARSE"],
        ]
    );
}

#[test]
fn what_follows_from_an_error_is_not_reported() {
    let file = format!(
        "- macro: m\n  condition: and and\n{}",
        rule("m and evt.type = open")
    );
    let loaded = load(&[&file, ""]);
    assert_eq!(errors(&loaded).len(), 1, "{:?}", errors(&loaded));
    let file = format!("- macro: m\n  conditoin: evt.type = open\n{}", rule("m"));
    assert_eq!(
        errors(&load(&[&file])),
        ["LOAD_ERR_YAML_VALIDATE: Item has no mapping for key 'condition'"]
    );
    let bad = rule("evt.type = open").replace("INFO", "SEVERE");
    let change = "- rule: r\n  desc: e\n  override: {desc: append}\n- rule: r\n  enabled: false\n";
    assert_eq!(
        errors(&load(&[&bad, change])),
        ["LOAD_ERR_YAML_VALIDATE: Invalid priority"]
    );
    let change = "- list: l\n  items: x\n- list: l\n  items: []\n  append: true\n";
    assert_eq!(
        errors(&load(&[change])),
        ["LOAD_ERR_YAML_VALIDATE: Value is not a sequence"]
    );
}

#[test]
fn conditions_and_outputs() {
    for (condition, expected) in [
        ("evt.type = open", ""),
        ("evt.type =", "LOAD_ERR_COMPILE_CONDITION"),
        (
            "evt.type = open foo",
            "LOAD_ERR_COMPILE_CONDITION: unexpected token after 'open'",
        ),
        (
            "proc.nobody = x",
            "LOAD_ERR_COMPILE_CONDITION: filter_check called with nonexistent field proc.nobody",
        ),
        (
            "evt.type = opne",
            "LOAD_ERR_COMPILE_CONDITION: unknown event type opne",
        ),
        ("proc.pid = x", "LOAD_ERR_COMPILE_CONDITION"),
        ("proc.pid contains 1", "LOAD_ERR_COMPILE_CONDITION"),
        (
            "nothing",
            "LOAD_ERR_VALIDATE: Undefined macro 'nothing' used in filter.",
        ),
        (
            "evt.type = open and not nothing",
            "LOAD_ERR_VALIDATE: Undefined macro 'nothing' used in filter.",
        ),
    ] {
        check_error(&rule(condition), expected);
    }
    let file = rule("evt.type = open").replace("output: o", "output: o %proc.nobody");
    check_error(
        &file,
        "LOAD_ERR_COMPILE_OUTPUT: invalid formatting token proc.nobody",
    );
    // Output errors come first, as in Falco.
    let file = rule("proc.nobody = x").replace("output: o", "output: o %proc.nobody");
    check_error(&file, "LOAD_ERR_COMPILE_OUTPUT");
    assert_eq!(errors(&load(&[&file])).len(), 2);
}

#[test]
fn every_warning() {
    let exceptions = "  exceptions: [{name: e, fields: [proc.name]}, {name: e, fields: [fd.name]}]";
    let append = "- rule: r\n  exceptions: [{name: e}]\n  override: {exceptions: append}\n";
    let base = rule_with("  exceptions: [{name: e, fields: [proc.name]}]");
    for (file, code) in [
        (
            rule_with("  source: k8s_audit"),
            "LOAD_UNKNOWN_SOURCE: Unknown source k8s_audit, skipping",
        ),
        (
            rule("proc.name = x"),
            "LOAD_NO_EVTTYPE: Rule matches too many evt.type values.",
        ),
        (
            rule("proc.nobody = x") + "  skip-if-unknown-filter: true\n",
            "LOAD_UNKNOWN_FILTER: filter_check called",
        ),
        (
            "- macro: m\n  condition: evt.type = open\n".to_owned(),
            "LOAD_UNUSED_MACRO: Macro not referred to",
        ),
        (
            "- list: l\n  items: []\n".to_owned(),
            "LOAD_UNUSED_LIST: List not referred to",
        ),
        (
            "- foo: bar\n".to_owned(),
            "LOAD_UNKNOWN_ITEM: Unknown top level item",
        ),
        (rule_with("  foo: bar"), "LOAD_UNKNOWN_KEY: Unknown key 'foo'"),
        (
            format!("{}- rule: r\n  enabled: false\n", rule("evt.type = open")),
            "LOAD_DEPRECATED_ITEM: The standalone",
        ),
        (
            format!(
                "{}- rule: r\n  condition: and proc.name = x\n  append: true\n",
                rule("evt.type = open")
            ),
            "LOAD_DEPRECATED_ITEM: 'append' key is deprecated.",
        ),
        (
            rule("evt.type = open").replace("output: o", "output: o %container.info"),
            "LOAD_DEPRECATED_ITEM: %container.info is deprecated",
        ),
        (
            rule("evt.type = open and evt.dir = <"),
            "LOAD_DEPRECATED_ITEM: usage of deprecated field 'evt.dir'",
        ),
        (
            rule("evt.type = open").replace("output: o", "output: o %evt.latency.ns"),
            "LOAD_DEPRECATED_ITEM: usage of deprecated field 'evt.latency.ns'",
        ),
        (
            format!("{base}{append}"),
            "LOAD_APPEND_NO_VALUES: Overriding/appending exception with no values",
        ),
        (
            rule_with(exceptions),
            "LOAD_EXCEPTION_NAME_NOT_UNIQUE: Multiple definitions of exception 'e'",
        ),
        (
            "- macro: a-b\n  condition: evt.type = open\n".to_owned(),
            "LOAD_INVALID_MACRO_NAME: Macro has an invalid name.",
        ),
        (
            "- list: a b\n  items: []\n".to_owned(),
            "LOAD_INVALID_LIST_NAME: List has an invalid name.",
        ),
        (
            rule("evt.type = open and proc.name = proc.pname"),
            "LOAD_COMPILE_CONDITION: 'proc.pname' may be a valid field",
        ),
    ] {
        let loaded = load(&[&file]);
        assert_eq!(errors(&loaded), Vec::<String>::new(), "{file}");
        let found = warnings(&loaded);
        assert!(
            found.iter().any(|warning| warning.starts_with(code)),
            "no {code} in {found:#?}\n{file}"
        );
    }
    let loaded = load(&[&rule("evt.type = open")]);
    assert_eq!(warnings(&loaded), Vec::<String>::new(), "a plain rule has none");
}

#[test]
fn a_warning_is_given_once_for_several_files() {
    let loaded = load(&[&rule("proc.name = x"), "", ""]);
    assert_eq!(warnings(&loaded).len(), 1);
    assert_eq!(loaded.results[0].warnings.len(), 1);
}

#[test]
fn unsafe_na_checks_are_of_plugin_fields() {
    // Their source must be known, else the rule is skipped; then their fields are not in the catalogue.
    let loaded = load(&[&rule("user.name = \"<NA>\" and evt.type = open")]);
    assert_eq!(warnings(&loaded), Vec::<String>::new());
}
