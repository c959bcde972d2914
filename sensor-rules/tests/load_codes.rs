//! Every error and warning code, by the smallest file that has it.

use sensor_rules::load::{LoadOptions, Loaded, Loader};

fn load(files: &[&str]) -> Loaded {
    let mut loader = Loader::new(LoadOptions::default());
    for (at, file) in files.iter().enumerate() {
        loader.add_file(&format!("{at}.yaml"), file.as_bytes());
    }
    loader.finish()
}

/// A whole rule with this condition.
fn rule(condition: &str) -> String {
    format!("- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n")
}

/// `rule` with more keys.
fn rule_with(more: &str) -> String {
    format!("{}{more}\n", rule("evt.type = open"))
}

fn errors(loaded: &Loaded) -> Vec<String> {
    let errors = loaded.results.iter().flat_map(|result| &result.errors);
    errors
        .map(|error| format!("{}: {}", error.code.as_str(), error.message))
        .collect()
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    let warnings = loaded.results.iter().flat_map(|result| &result.warnings);
    warnings
        .map(|warning| format!("{}: {}", warning.code.as_str(), warning.message))
        .collect()
}

/// The first error of a file starts like this; nothing, if the file loads.
fn check_error(file: &str, expected: &str) {
    let loaded = load(&[file]);
    let found = errors(&loaded);
    let first = found.first().map_or("", String::as_str);
    let matches = if expected.is_empty() {
        first.is_empty()
    } else {
        first.starts_with(expected)
    };
    assert!(matches, "expected {expected:?}, found {found:#?} in\n{file}");
    assert_eq!(loaded.rule_set.is_none(), !expected.is_empty(), "{file}");
}

#[test]
fn structure_of_the_file() {
    for (file, expected) in [
        ("", ""),
        ("# nothing\n", ""),
        ("---\n---\n", ""),
        ("- ~\n- null\n", ""),
        ("- [\n", "LOAD_ERR_YAML_PARSE"),
        ("- a: b: c\n", "LOAD_ERR_YAML_PARSE"),
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
        let file: String = lines.map(|line| format!("{line}\n")).collect();
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
    let compiled = |exceptions: &str| {
        let loaded = load(&[&rule_with(&format!("  exceptions: {exceptions}"))]);
        assert_eq!(errors(&loaded), Vec::<String>::new(), "{exceptions}");
        loaded
            .rule("r")
            .unwrap()
            .compiled_condition
            .as_ref()
            .unwrap()
            .to_string()
    };
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
            "[{name: e, fields: [proc.name], comps: [in], values: [[(a, b)]]}]",
            "",
        ),
    ] {
        if expected.is_empty() {
            // `(a` and `b)` are two values of a YAML flow sequence, one too many.
            let loaded = load(&[&rule_with(&format!("  exceptions: {exceptions}"))]);
            assert_eq!(errors(&loaded).len(), 1);
        } else {
            assert_eq!(compiled(exceptions), expected, "{exceptions}");
        }
    }
}

#[test]
fn an_exception_is_marked_for_the_evaluator() {
    use sensor_rules::ast::Expr;
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

#[test]
fn lists() {
    let compiled = |lists: &str, condition: &str| {
        let loaded = load(&[&format!("{lists}\n{}", rule(condition))]);
        assert_eq!(errors(&loaded), Vec::<String>::new(), "{lists}");
        loaded
            .rule("r")
            .unwrap()
            .compiled_condition
            .as_ref()
            .unwrap()
            .to_string()
    };
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
            "l and proc.name in (l)",
            "",
        ),
    ] {
        if expected.is_empty() {
            // A list's name is replaced wherever it stands, so a macro of that name cannot be used.
            let loaded = load(&[&format!("{lists}\n{}", rule(condition))]);
            assert_eq!(
                errors(&loaded),
                ["LOAD_ERR_VALIDATE: Undefined macro 'a' used in filter."]
            );
        } else {
            assert_eq!(compiled(lists, condition), expected, "{lists}");
        }
    }
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
