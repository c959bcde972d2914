#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use expect_test::{Expect, expect, expect_file};

use super::*;

fn errors(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<_> = overrides
        .iter()
        .map(|text| Override::from_flag(text).unwrap())
        .collect();
    parse("sensor.yaml", text, &overrides).unwrap_err().to_string()
}

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&errors(text, &[]));
}

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

#[test]
fn an_empty_file_and_the_example_are_the_default() {
    assert_eq!(parse("", "", &[]).unwrap(), Config::default());
    assert_eq!(parse("", "grpc:\nlog:\n", &[]).unwrap(), Config::default());
    assert_eq!(parse("", &schema::example(), &[]).unwrap(), Config::default());
}

#[test]
fn the_example_file_is_up_to_date() {
    expect_file!["../../../deploy/sensor.yaml"].assert_eq(&schema::example());
}

/// The paths of all values in the configuration's types, and those of the schema with a default.
#[test]
fn the_schema_and_the_types_have_the_same_keys_and_defaults() {
    fn leaves(path: &str, value: &serde_json::Value, into: &mut Vec<(String, serde_json::Value)>) {
        match value.as_object() {
            Some(map) if !map.is_empty() => {
                for (key, value) in map {
                    leaves(&format!("{path}.{key}"), value, into);
                }
            }
            _ => into.push((path.to_owned(), value.clone())),
        }
    }
    fn schema_leaves(path: &str, schema: &serde_json::Value, into: &mut Vec<(String, serde_json::Value)>) {
        assert!(
            path.is_empty() || schema["description"].is_string(),
            "{path} has no description"
        );
        if let Some(default) = schema.get("default") {
            into.push((path.to_owned(), default.clone()));
            return;
        }
        for (key, schema) in schema["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{path} has no default"))
        {
            schema_leaves(&format!("{path}.{key}"), schema, into);
        }
    }
    let (mut from_types, mut from_schema) = (Vec::new(), Vec::new());
    leaves(
        "",
        &serde_json::to_value(Config::default()).unwrap(),
        &mut from_types,
    );
    schema_leaves(
        "",
        &serde_json::from_str(&schema::json().unwrap()).unwrap(),
        &mut from_schema,
    );
    from_types.sort_by(|a, b| a.0.cmp(&b.0));
    from_schema.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(from_types, from_schema);
}

#[test]
fn all_faults_are_shown_where_they_stand() {
    check(
        "grcp:\n  socket: /x\ngrpc:\n  queue_items: 5\n  subscribers_max: many\nstdout: {enabled: yes, format: jsn}\nlog:\n  level: 3\n",
        &expect![[r#"
            error: there is no key `grcp` here
             --> sensor.yaml:1:1
              |
            1 | grcp:
              | ^^^^ did you mean `grpc`?
              |
              = help: one of: hostname, rules, kernel, state, identity, runtimes, kubernetes, grpc, stdout, file, metrics, respond, enforce, inventory, selftest, log

            error: there is no key `queue_items` here
             --> sensor.yaml:4:3
              |
            4 |   queue_items: 5
              |   ^^^^^^^^^^^ did you mean `queue_items_max`?
              |
              = help: one of: socket, tcp, queue_items_max, subscribers_max

            error: expected a whole number from 0 to 4294967295, found the text `many`
             --> sensor.yaml:5:20
              |
            5 |   subscribers_max: many
              |                    ^^^^

            error: expected true or false, found the text `yes`
             --> sensor.yaml:6:19
              |
            6 | stdout: {enabled: yes, format: jsn}
              |                   ^^^

            error: `jsn` is not a value of this key
             --> sensor.yaml:6:32
              |
            6 | stdout: {enabled: yes, format: jsn}
              |                                ^^^ did you mean `json`?
              |
              = help: one of: json, text

            error: expected one of: error, warn, info, debug, trace
             --> sensor.yaml:8:10
              |
            8 |   level: 3
              |          ^"#]],
    );
}

#[test]
fn lists_and_sections() {
    check(
        "rules:\n  files: /etc/rules\n  disable:\n    - rule: a\n      tags: b\n    - {}\n  priority: warn\n",
        &expect![[r#"
            error: expected a list, found the text `/etc/rules`
             --> sensor.yaml:2:10
              |
            2 |   files: /etc/rules
              |          ^^^^^^^^^^
              |
              = help: write `[first, second]`, or one `- item` a line

            error: there is no key `tags` here
             --> sensor.yaml:5:7
              |
            5 |       tags: b
              |       ^^^^ did you mean `tag`?
              |
              = help: one of: rule, tag

            error: rules.disable[1]: expected exactly one of `rule` and `tag`
             --> sensor.yaml:6:7
              |
            6 |     - {}
              |       ^
              |
              = help: write `- rule: NAME` or `- tag: TAG`; `*` in NAME stands for any text

            error: `warn` is not a value of this key
             --> sensor.yaml:7:13
              |
            7 |   priority: warn
              |             ^^^^ did you mean `warning`?
              |
              = help: one of: emergency, alert, critical, error, warning, notice, informational, debug"#]],
    );
    check(
        "grpc:\n  tcp:\n    tls: {certificate: a}\n",
        &expect![[r#"
        error: the key `address` is missing here
         --> sensor.yaml:2:3
          |
        2 |   tcp:
          |   ^^^

        error: the key `key` is missing here
         --> sensor.yaml:3:5
          |
        3 |     tls: {certificate: a}
          |     ^^^"#]],
    );
    check(
        "- grpc\n",
        &expect![[r#"
        error: expected keys with values, found a list
         --> sensor.yaml:1:3
          |
        1 | - grpc
          |   ^^^^"#]],
    );
    check(
        "hostname: 12\nkernel: 4\n",
        &expect![[r#"
        error: expected text, found the number 12
         --> sensor.yaml:1:11
          |
        1 | hostname: 12
          |           ^^
          |
          = help: put quotes around it

        error: expected keys with values, found the number 4
         --> sensor.yaml:2:9
          |
        2 | kernel: 4
          |         ^"#]],
    );
}

#[test]
fn values_that_make_no_sense() {
    check(
        "kernel:\n  lifecycle_ring_bytes: 100000\n  activity_ring_bytes: 5\ngrpc:\n  socket: run/sensor.sock\n  tcp: {address: \"0.0.0.0:9765\"}\n  queue_items_max: 0\nmetrics: {address: localhost}\n",
        &expect![[r#"
            error: kernel.lifecycle_ring_bytes: 100000 is not a power of two, as a ring's size must be
             --> sensor.yaml:2:25
              |
            2 |   lifecycle_ring_bytes: 100000
              |                         ^^^^^^
              |
              = help: the nearest valid sizes are 65536 and 131072

            error: kernel.activity_ring_bytes: a ring of 5 bytes is smaller than a page (4096 bytes)
             --> sensor.yaml:3:24
              |
            3 |   activity_ring_bytes: 5
              |                        ^
              |
              = help: the nearest valid sizes are 4096 and 8192

            error: grpc.socket: `run/sensor.sock` is not an absolute path
             --> sensor.yaml:5:11
              |
            5 |   socket: run/sensor.sock
              |           ^^^^^^^^^^^^^^^
              |
              = help: start it with `/`, or use null for no unix socket

            error: grpc.tcp.address: 0.0.0.0:9765 can be reached from other machines, and without TLS anyone there could read detections
             --> sensor.yaml:6:18
              |
            6 |   tcp: {address: "0.0.0.0:9765"}
              |                  ^^^^^^^^^^^^^^
              |
              = help: set grpc.tcp.tls, or use a loopback address such as 127.0.0.1

            error: grpc.queue_items_max: 0 is out of range: allowed are 16 to 1048576
             --> sensor.yaml:7:20
              |
            7 |   queue_items_max: 0
              |                    ^
              |
              = help: the nearest allowed value is 16

            error: `localhost` is not an address; write IP:PORT, such as 127.0.0.1:9000 or [::1]:9000
             --> sensor.yaml:8:20
              |
            8 | metrics: {address: localhost}
              |                    ^^^^^^^^^"#]],
    );
}

#[test]
fn text_that_is_no_yaml() {
    check(
        "grpc: [\n",
        &expect![[r#"
        error: not YAML: unclosed bracket '['
         --> sensor.yaml:1:1
          |
        1 | grpc: [
          | ^"#]],
    );
    check(
        "log: {}\nlog: {}\n",
        &expect![[r#"
            error: not YAML: duplicate mapping key: log
             --> sensor.yaml:2:1
              |
            2 | log: {}
              | ^^^"#]],
    );
}

#[test]
fn faults_of_flags_and_variables_name_them() {
    expect![[r#"
        error: expected a whole number from 0 to 4294967295, found the text `lots`
         --> --set:1:22
          |
        1 | grpc.queue_items_max=lots
          |                      ^^^^

        error: there is no key `sock` here
         --> --set:1:1
          |
        1 | grpc.sock=/x
          | ^^^^^^^^^ did you mean `socket`?
          |
          = help: one of: socket, tcp, queue_items_max, subscribers_max"#]]
    .assert_eq(&errors("", &["grpc.queue_items_max=lots", "grpc.sock=/x"]));
    let error = load(
        Some(Path::new("/dev/null")),
        environment(&[("SENSOR_LOG_LEVEL", "loud")]),
        &[],
    )
    .unwrap_err();
    expect![[r#"
        error: `loud` is not a value of this key
         --> environment:1:18
          |
        1 | SENSOR_LOG_LEVEL=loud
          |                  ^^^^
          |
          = help: one of: error, warn, info, debug, trace"#]]
    .assert_eq(&error.to_string());
    assert!(
        Override::from_flag("grpc.socket")
            .unwrap_err()
            .contains("KEY=VALUE")
    );
}

#[test]
fn flags_go_before_variables_and_these_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sensor.yaml");
    std::fs::write(
        &path,
        "hostname: file\ngrpc: {queue_items_max: 100, subscribers_max: 5}\nkernel: {btf: /x}\n",
    )
    .unwrap();
    let variables = environment(&[
        ("SENSOR_GRPC_QUEUE_ITEMS_MAX", "200"),
        ("SENSOR_HOSTNAME", "12"),
        ("SENSOR_RULES_FILES", "/a,/b"),
        ("SENSOR_GRPC_TCP_ADDRESS", "127.0.0.1:5"),
        ("SENSOR_KERNEL_BTF", ""),
        ("SENSOR_RULES_DISABLE", "[{tag: noisy}]"),
        ("SENSOR_GRPC_SOKET", "/x"),
        ("SENSOR_CONFIG", "/x"),
        ("SENSOR_SERVICE_HOST", "10.0.0.1"),
        ("SENSOR_PORT_8765_TCP_ADDR", "10.0.0.1"),
        ("OTHER", "x"),
    ]);
    let flag = Override::from_flag("grpc.queue_items_max=300").unwrap();
    let Loaded { config, warnings } = load(Some(&path), variables, &[flag]).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("12"));
    assert_eq!(config.grpc.queue_items_max, 300);
    assert_eq!(config.grpc.subscribers_max, 5);
    assert_eq!(config.grpc.tcp.unwrap().address.port(), 5);
    assert_eq!(config.rules.files, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.rules.disable[0].tag.as_deref(), Some("noisy"));
    assert_eq!(config.kernel.btf, None);
    assert_eq!(
        warnings,
        [
            "the environment variable SENSOR_GRPC_SOKET is not one of the sensor's; did you mean SENSOR_GRPC_SOCKET?"
        ]
    );
}

#[test]
fn every_key_can_be_set_by_a_variable_of_its_own() {
    let mut names: Vec<_> = schema::keys()
        .iter()
        .map(|key| overrides::variable_name(&key.path))
        .collect();
    assert!(
        names.contains(&"SENSOR_GRPC_TCP_TLS_CLIENT_CA".to_owned()),
        "{names:?}"
    );
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two keys share a variable");
}

#[test]
fn files_that_are_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("binary"), [0xff, 0xfe]).unwrap();
    std::fs::write(path("large"), vec![b'#'; 1 << 20 | 1]).unwrap();
    for (name, expected) in [("missing", "--config"), ("binary", "UTF-8"), ("large", "1 MiB")] {
        let message = load(Some(&path(name)), [], &[]).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(name), "{message}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z:\\-\\[\\]{}\"'&*!|>%@ \n\u{e9}0-9.,#]{0,200}") {
        if let Err(errors) = parse("x", &text, &[]) {
            proptest::prop_assert!(!errors.to_string().is_empty());
        }
    }
}

#[test]
fn hooks_are_checked_too() {
    check(
        "respond:\n  hooks:\n    - name: a b\n      builtin: restore-files\n    - name: x\n      builtin: kill-process-tree\n      program: /bin/true\n",
        &expect![[r#"
            error: respond.hooks[0].name: `a b` is not a name for a hook
             --> sensor.yaml:3:13
              |
            3 |     - name: a b
              |             ^^^
              |
              = help: give 1 to 64 letters, digits, `-`, `_` or `.`

            error: `restore-files` is not a value of this key
             --> sensor.yaml:4:16
              |
            4 |       builtin: restore-files
              |                ^^^^^^^^^^^^^ did you mean `restore-file`?
              |
              = help: one of: kill-process-tree, restore-file

            error: respond.hooks[1]: a hook has both `program` and `builtin`
             --> sensor.yaml:5:7
              |
            5 |     - name: x
              |       ^^^^
              |
              = help: write one hook for each"#]],
    );
}
