//! `sensor rules` and `sensor fields`, as users run them. `UPDATE_EXPECT=1` writes the generated files anew.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_raw_string_hashes,
    reason = "a test fails by panicking and says what it skips; UPDATE_EXPECT writes the hashes"
)]

#[path = "rules_cli/generated.rs"]
mod generated;
#[path = "rules_cli/schema.rs"]
mod schema;

use std::path::Path;
use std::process::{Command, Output};

use expect_test::expect;
use serde_json::Value;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A folder with files of these names and texts.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs the command in a folder, with no configuration but the default.
fn sensor(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sensor"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const RULES: &str = "\
- list: shells
  items: [bash, sh]

- macro: by_shell
  condition: (proc.name in (shells))

- rule: Shell in container
  desc: A shell was started in a container.
  condition: evt.type = execve and container.id != host and by_shell
  output: Shell | command=%proc.cmdline user=%user.name
  priority: NOTICE
  tags: [container, T1059]
  exceptions:
    - name: parents
      fields: proc.pexepath
      comps: in
      values: [/usr/bin/tini]

- rule: Off
  desc: A rule that is not loaded.
  condition: evt.type = connect and fd.sport = 22
  output: Off
  priority: INFO
  enabled: false
";

const TESTS: &str = "\
- rule: Shell in container
  event: {evt.type: execve, proc.name: sh, container.id: 3ad7b26ded6d, proc.pexepath: /app/worker}
  cases:
    - {name: by a service, expect: [Shell in container]}
    - {name: by an entry point, change: {proc.pexepath: /usr/bin/tini}, expect: []}
- rule: 'Off'
  event: {evt.type: connect, fd.sport: 22}
  cases:
    - {name: ssh, expect: ['Off']}
";

const WRONG: &str = "\
- rule: Wrong
  desc: d
  condition: evt.type = open and proc.nmae = x
  output: o
  priority: INFO
";

fn sample() -> tempfile::TempDir {
    folder(&[("a.yaml", RULES), ("a.test.yaml", TESTS), ("wrong.yml", WRONG)])
}

#[test]
fn check_accepts_good_rules_and_says_how_many() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "check", "a.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("2 rules in 1 file: 0 errors, 0 warnings, 0 lints\n"));
}

#[test]
fn check_underlines_what_is_wrong_and_ends_with_2() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "check", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        error[LOAD_ERR_COMPILE_CONDITION]: filter_check called with nonexistent field proc.nmae
         --> wrong.yml:3:34
          |
        3 |   condition: evt.type = open and proc.nmae = x
          |                                  ^^^^^^^^^
          |
          = note: in rule "Wrong"
          = help: did you mean `proc.name`?

        1 rule in 1 file: 1 error, 0 warnings, 0 lints
    "#]]
    .assert_eq(&stdout(&output));
}

#[test]
fn check_takes_folders_and_judges_after_all_files() {
    let macros = "- macro: used_later\n  condition: (proc.name = x)\n";
    let rules =
        "- {rule: R, desc: d, condition: evt.type = execve and used_later, output: o, priority: INFO}\n";
    let folder = folder(&[("1.yaml", macros), ("2.yaml", rules)]);
    let output = sensor(folder.path(), &["rules", "check", "--deny-warnings", "."]);
    assert!(
        !stdout(&output).contains("LOAD_UNUSED_MACRO"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn lints_fail_only_when_warnings_are_denied() {
    let unused = "- macro: unused\n  condition: (proc.name = x)\n";
    let folder = folder(&[("a.yaml", unused)]);
    let output = sensor(folder.path(), &["rules", "check", "a.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).contains("lint[unused-macro]"),
        "{}",
        stdout(&output)
    );
    let output = sensor(folder.path(), &["rules", "check", "--deny-warnings", "a.yaml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_that_is_not_there_is_an_error_among_others() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "check", "none.yaml", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(
        text.contains("LOAD_ERR_FILE_READ") && text.contains("proc.nmae"),
        "{text}"
    );
}

#[test]
fn check_gives_falcos_json_and_our_diagnostics() {
    let folder = sample();
    let output = sensor(
        folder.path(),
        &["rules", "check", "--format", "json", "wrong.yml"],
    );
    assert_eq!(output.status.code(), Some(2));
    let value = json(&output);
    let error = &value["falco_load_results"][0]["errors"][0];
    assert_eq!(error["code"], "LOAD_ERR_COMPILE_CONDITION");
    let found = &value["diagnostics"][0];
    assert_eq!(found["severity"], "error");
    assert_eq!(
        (&found["span"]["line"], &found["file"]),
        (&3.into(), &"wrong.yml".into())
    );
    assert_eq!(found["help"], "did you mean `proc.name`?");
}

#[test]
fn check_gives_sarif() {
    let folder = sample();
    let output = sensor(
        folder.path(),
        &["rules", "check", "--format", "sarif", "wrong.yml"],
    );
    assert_eq!(output.status.code(), Some(2));
    let value = json(&output);
    assert_eq!(value["version"], "2.1.0");
    let result = &value["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "wrong.yml");
    assert_eq!(place["region"]["startLine"], 3);
}

#[test]
fn paths_default_to_the_configuration() {
    let folder = sample();
    std::fs::write(folder.path().join("sensor.yaml"), "rules: {files: [a.yaml]}\n").unwrap();
    let output = sensor(folder.path(), &["rules", "list", "--config", "sensor.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Shell in container"));
    let output = sensor(
        folder.path(),
        &[
            "rules",
            "list",
            "--set",
            "rules.files=[a.yaml]",
            "--format",
            "json",
        ],
    );
    assert_eq!(json(&output).as_array().unwrap().len(), 2);
}

#[test]
fn list_has_a_row_a_rule() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "list", "a.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    expect![[r#"
          NAME                PRIORITY       ENABLED  EVENTS   TAGS             PLACE
          Shell in container  Notice         yes      execve   T1059,container  a.yaml:7
          Off                 Informational  no       connect                   a.yaml:19
    "#]]
    .assert_eq(&stdout(&output).replace("\n  ", "\n").replacen("  ", "", 1));
    let output = sensor(
        folder.path(),
        &["rules", "list", "--tag", "T1059", "--format", "json", "a.yaml"],
    );
    let value = json(&output);
    assert_eq!(value.as_array().unwrap().len(), 1);
    assert_eq!(value[0]["event_types"], serde_json::json!(["execve"]));
    assert_eq!(value[0]["place"], "a.yaml:7");
}

#[test]
fn list_refuses_wrong_rules_on_standard_error() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "list", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("1 error in the rules"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn show_writes_macros_lists_and_exceptions_out() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "show", "Shell in container", "a.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect![[r#"
        rule         Shell in container
        defined      a.yaml:7
        priority     Notice
        source       syscall
        enabled      yes
        tags         T1059, container
        events       execve
        exception    parents (proc.pexepath): 1 value
        output       Shell | command=%proc.cmdline user=%user.name
        fields       proc.cmdline, user.name
        description  A shell was started in a container.

        condition, as written
            evt.type = execve and container.id != host and by_shell

        condition, written out
            and
              and
                evt.type = execve
                container.id != host
                by_shell
                  proc.name in (bash, sh)
              not exception parents
                exception parents
                  proc.pexepath in (/usr/bin/tini)
    "#]]
    .assert_eq(&stdout(&output));
    let output = sensor(
        folder.path(),
        &[
            "rules",
            "show",
            "Shell in container",
            "a.yaml",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        json(&output)["output_fields"],
        serde_json::json!(["proc.cmdline", "user.name"])
    );
}

#[test]
fn an_unknown_rule_is_told_with_the_nearest() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "show", "Shell in contaner", "a.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("did you mean `Shell in container`?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn explain_says_which_part_failed() {
    let folder = sample();
    let event = r#"{"event": {"evt.type": "execve", "container.id": "host", "proc.name": "sh"}}"#;
    std::fs::write(folder.path().join("event.json"), event).unwrap();
    let arguments = [
        "rules",
        "explain",
        "--rule",
        "Shell in container",
        "--event",
        "event.json",
        "a.yaml",
    ];
    let output = sensor(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect![[r#"
        false   and
        false     and
        true        evt.type = execve  <- evt.type is "execve"
        false       container.id != host  <- container.id is "host"
        true        by_shell
        true          proc.name in (bash, sh)  <- proc.name is "sh"
        true      not exception parents
        false       exception parents
        unknown       proc.pexepath in (/usr/bin/tini)  <- proc.pexepath has no value

        Shell in container does not match
    "#]]
    .assert_eq(&stdout(&output));
}

/// Of rules about each shape of event, what the kernel decides, what it cannot and why, and what would be cheaper.
const FOR_THE_KERNEL: &str = "\
- rule: shadow read
  desc: decided whole
  condition: evt.type in (open, openat) and evt.is_open_read=true and fd.name in (/etc/shadow, /etc/gshadow)
  output: o
  priority: NOTICE
- rule: by a shell
  desc: in part
  condition: evt.type=openat and fd.name contains secret and proc.name in (sh, bash)
  output: o
  priority: NOTICE
- rule: only who
  desc: not at all
  condition: evt.type in (unlink, unlinkat) and proc.pname=nginx and container.id!=host
  output: o
  priority: NOTICE
- rule: to the metadata service
  desc: before the call
  condition: evt.type=connect and fd.sip=169.254.169.254 and user.name=root
  output: o
  priority: NOTICE
- rule: set-user-id
  desc: before the name is read
  condition: evt.type in (chmod, fchmodat) and evt.arg.mode contains S_ISUID and basename(fs.path.name)=sh
  output: o
  priority: NOTICE
- rule: program
  desc: never filtered
  condition: evt.type=execve and proc.name=nc
  output: o
  priority: NOTICE
";

#[test]
fn explain_says_what_the_kernel_decides_and_what_would_be_cheaper() {
    let folder = folder(&[("kernel.yaml", FOR_THE_KERNEL)]);
    let output = sensor(folder.path(), &["rules", "explain", "--kernel", "kernel.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect_test::expect_file!["rules_cli/explain-kernel.txt"].assert_eq(&stdout(&output));
    let arguments = ["rules", "explain", "--kernel", "--format", "json", "kernel.yaml"];
    let told = json(&sensor(folder.path(), &arguments));
    let connect = &told[3]["kinds"][0];
    assert_eq!(
        (&connect["kind"], &connect["verdict"], &connect["begins"]),
        (&"connect".into(), &"part".into(), &true.into())
    );
}

#[test]
fn explain_takes_the_event_of_a_case() {
    let folder = sample();
    let with_case = |case: &str| {
        let arguments = [
            "rules",
            "explain",
            "--rule",
            "Shell in container",
            "--event",
            "a.test.yaml",
            "--format",
            "json",
            "--case",
            case,
            "a.yaml",
        ];
        sensor(folder.path(), &arguments)
    };
    assert_eq!(json(&with_case("by a service"))["matches"], true);
    assert_eq!(json(&with_case("by an entry point"))["matches"], false);
    let output = with_case("none");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("has no case `none`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_event_has_its_place() {
    let folder = sample();
    std::fs::write(
        folder.path().join("event.yaml"),
        "event: {evt.type: execve, proc.pid: x}\n",
    )
    .unwrap();
    let arguments = [
        "rules",
        "explain",
        "--rule",
        "Off",
        "--event",
        "event.yaml",
        "a.yaml",
    ];
    let output = sensor(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("event.yaml:1:37: `x` is no value"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn tests_pass_and_the_disabled_rule_is_tested_too() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "test", "--coverage", "a.yaml"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    expect![[r#"
        Shell in container: 4 of 9 parts, 1 that match, 1 that do not
          never false: and
          never false: evt.type = execve
          never false: container.id != host
          never false: by_shell
          never false: proc.name in (bash, sh)
          decides no case: evt.type = execve
          decides no case: container.id != host
          decides no case: by_shell
        Off: 0 of 3 parts, 1 that match, 0 that do not
          never false: and
          never false: evt.type = connect
          never false: fd.sport = 22
          decides no case: evt.type = connect
          decides no case: fd.sport = 22
        Off: no case in which it does not match
        3 cases of 2 rules: 3 passed, 0 failed; 4 of 12 parts of conditions were both true and false
    "#]]
    .assert_eq(&stdout(&output));
}

#[test]
fn a_failing_case_ends_with_1_and_is_explained() {
    let folder = sample();
    let wrong = TESTS.replace("expect: ['Off']", "expect: []");
    std::fs::write(folder.path().join("a.test.yaml"), wrong).unwrap();
    let output = sensor(folder.path(), &["rules", "test", "a.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("a.test.yaml:9: Off: ssh: FAILED"), "{text}");
    assert!(text.contains("true      fd.sport = 22"), "{text}");
    let output = sensor(folder.path(), &["rules", "test", "--format", "json", "a.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["cases"][2]["passed"], false);
}

#[test]
fn no_test_is_an_error() {
    let folder = sample();
    let output = sensor(folder.path(), &["rules", "test", "wrong.yml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no test file"), "{}", stderr(&output));
}

#[test]
fn our_rules_pass_check_and_test() {
    let output = sensor(repository(), &["rules", "check", "--deny-warnings", "rules"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let output = sensor(repository(), &["rules", "test", "rules"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    // A part of the tests, with all rules.
    let output = sensor(
        repository(),
        &["rules", "test", "--rules", "rules", "rules/execution"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn a_control_character_of_a_rule_file_does_not_reach_the_terminal() {
    let rules = RULES.replace("Shell in container", "\"Shell \\e[31m\"");
    let folder = folder(&[("a.yaml", &rules)]);
    for command in [
        &["rules", "list", "a.yaml"][..],
        &["rules", "show", "Shell \u{1b}[31m", "a.yaml"],
    ] {
        let output = sensor(folder.path(), command);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!output.stdout.contains(&0x1b), "{}", stdout(&output));
    }
}

#[test]
fn fmt_writes_only_what_changes_and_check_writes_nothing() {
    let ugly = RULES.replace(
        "condition: evt.type = execve and container.id != host and by_shell",
        "condition: >  \n    evt.type = execve and container.id != host\n    and by_shell  ",
    );
    let folder = folder(&[("ugly.yaml", &ugly), ("good.yaml", RULES)]);
    let path = folder.path().join("ugly.yaml");
    let output = sensor(folder.path(), &["rules", "fmt", "--check", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "would change: ./ugly.yaml\n2 files: 1 would change\n"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ugly);
    let output = sensor(folder.path(), &["rules", "fmt", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains(
            "condition: >\n    evt.type = execve and container.id != host\n    and by_shell\n  output"
        ),
        "{text}"
    );
    let output = sensor(folder.path(), &["rules", "fmt", "--check", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    std::fs::write(&path, "- [a\n").unwrap();
    let output = sensor(folder.path(), &["rules", "fmt", "ugly.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("ugly.yaml: line "),
        "{}",
        stderr(&output)
    );
}
