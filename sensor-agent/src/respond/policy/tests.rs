use sensor_proto::v1::{Detection, Priority};

use super::super::config::{Mode, RespondConfig};
use super::Policy;

fn config(yaml: &str) -> RespondConfig {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The errors of `yaml`, one a line.
fn errors(yaml: &str) -> String {
    let errors = Policy::new(&config(yaml)).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

#[test]
fn defaults_make_sense_and_only_observe() {
    let config = config("{}");
    assert_eq!(config, RespondConfig::default());
    assert_eq!(config.mode, Mode::Observe);
    config.check().unwrap();
}

#[test]
fn unknown_keys_are_refused() {
    for yaml in [
        "modus: act",
        "hooks: [{nam: a}]",
        "limits: {runs: 3}",
        "bindings: [{rules: a}]",
        "protected: {x: 1}",
    ] {
        assert!(serde_saphyr::from_str::<RespondConfig>(yaml).is_err(), "{yaml}");
    }
}

#[test]
fn every_mistake_is_named_with_its_key_and_the_way_out() {
    let found = errors(
        r"
journal: response.jsonl
limits: {queue_max: 0}
protected: {containers: [abc], paths: [sshd]}
hooks:
  - {name: 'a b', builtin: kill-process-tree, user: nobody}
  - {name: kill, builtin: kill-process-tree, timeout_ms: 0, include_init: true}
  - {name: kill, program: bin/x}
  - {name: none}
  - {name: both, builtin: restore-file, program: /usr/bin/env, copies: /c, paths: [/x]}
  - {name: restore, builtin: restore-file, paths: [etc/passwd]}
  - {name: root, program: /usr/bin/env, user: root}
  - {name: who, program: /usr/bin/env, user: no-such-user}
  - {name: two, program: /usr/bin/env, user: nobody, privileged: true}
  - {name: link, program: /proc/self/exe}
bindings:
  - {rule: a, hooks: [kil]}
  - {tag: a, rule: b, hooks: [kill]}
  - {hooks: []}
  - {rule: a, hooks: [kill], min_priority: criticl}
",
    );
    expect_test::expect![[r"
        respond.journal: `response.jsonl` is not an absolute path without `..`; start it with `/`
        respond.limits.queue_max: 0 is out of range; give a number from 1 to 65536
        respond.protected.containers[0]: `abc` is too short to name one container; give at least 12 characters of the id, or `host`
        respond.protected.paths[0]: `sshd` is not an absolute path without `..`; start it with `/`
        respond.hooks[0].name: `a b` is not a name for a hook; give 1 to 64 letters, digits, `-`, `_` or `.`
        respond.hooks[0].user: `user` is only for a `program`; remove `user`
        respond.hooks[1].timeout_ms: 0 is out of range; give a number from 1 to 600000
        respond.hooks[2].name: `kill` is the name of respond.hooks[1] already; give each hook its own name
        respond.hooks[2].program: `bin/x` is not an absolute path without `.` and `..`; give the whole path, from `/`
        respond.hooks[3]: a hook has neither `program` nor `builtin`; add `program: /absolute/path`, `builtin: kill-process-tree` or `builtin: restore-file`
        respond.hooks[4]: a hook has both `program` and `builtin`; write one hook for each
        respond.hooks[5]: `restore-file` has no `copies`; add `copies: /var/lib/sensor/copies`
        respond.hooks[5].paths[0]: `etc/passwd` is not an absolute path without `..`; start it with `/`
        respond.hooks[6].user: `root` is root; say `privileged: true` instead
        respond.hooks[7].user: there is no user `no-such-user`; make it (`useradd --system`), give another, or say `privileged: true`
        respond.hooks[8].user: a hook has both `user` and `privileged`; keep `user`, or keep `privileged` to run as the agent's own user
        respond.hooks[9].program: `/proc/self` is a symbolic link; give the real path, `<this test>`
        respond.bindings[0].hooks[0]: there is no hook `kil`; did you mean `kill`?
        respond.bindings[1]: a binding has both `rule` and `tag`; write one binding for each
        respond.bindings[2].hooks: a binding names no hook; list at least one name from `respond.hooks`
        respond.bindings[2]: a binding has neither `rule` nor `tag`; add `rule: <name>` or `tag: <tag>`
        respond.bindings[3].min_priority: there is no priority `criticl`; did you mean `critical`?
    "]]
    .assert_eq(&found.replace(&std::env::current_exe().unwrap().display().to_string(), "<this test>"));
}

fn detection(rule: &str, tags: &[&str], priority: Priority) -> Detection {
    let tags = tags.iter().map(ToString::to_string).collect();
    Detection {
        rule: rule.into(),
        tags,
        priority: priority.into(),
        ..Detection::default()
    }
}

#[test]
fn bindings_select_by_rule_tag_and_priority() {
    let policy = Policy::new(&config(
        r"
hooks: [{name: a, builtin: kill-process-tree}, {name: b, builtin: kill-process-tree}]
bindings:
  - {rule: 'Shell *', hooks: [b]}
  - {tag: T1059, min_priority: Critical, hooks: [a, b]}
",
    ))
    .unwrap();
    let cases = [
        (detection("Shell in a container", &[], Priority::Debug), vec![1]),
        (
            detection("Shell in a container", &["T1059"], Priority::Critical),
            vec![1, 0],
        ),
        (detection("x", &["T1059"], Priority::Alert), vec![0, 1]),
        (detection("x", &["T1059"], Priority::Error), vec![]),
        (detection("x", &["T1059"], Priority::Unspecified), vec![]),
        (detection("a Shell in", &["T1"], Priority::Alert), vec![]),
    ];
    for (detection, expected) in cases {
        assert_eq!(policy.hooks_for(&detection), expected, "{detection:?}");
    }
}

#[test]
fn only_complete_detections_are_acted_upon() {
    let yaml = r"
mode: act
hooks:
  - {name: acts, builtin: kill-process-tree}
  - {name: dares, builtin: kill-process-tree, allow_incomplete: true}
  - {name: looks, builtin: kill-process-tree, mode: observe}
";
    let modes = |yaml: &str, detection: &Detection| {
        let policy = Policy::new(&config(yaml)).unwrap();
        policy
            .hooks
            .iter()
            .map(|hook| policy.mode(hook, detection).0)
            .collect::<Vec<_>>()
    };
    let whole = Detection::default();
    let cut = Detection {
        incomplete: vec!["proc.cmdline: truncated".into()],
        ..Detection::default()
    };
    assert_eq!(modes(yaml, &whole), [Mode::Act, Mode::Act, Mode::Observe]);
    assert_eq!(modes(yaml, &cut), [Mode::Observe, Mode::Act, Mode::Observe]);
    let observe = yaml.replace("mode: act\n", "mode: observe\n");
    assert_eq!(modes(&observe, &whole), [Mode::Observe; 3]);
}
