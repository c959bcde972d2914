//! Detections as lines of JSON, on standard output and in a file.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path, process::Command};

use sensor_tests::{
    helper,
    sensor::Sensor,
    wait::{self, DEADLINE},
};
use serde_json::Value;

use crate::{machine, run_true};

const RULES: &str = "
- rule: opened
  desc: a file of the test's
  condition: evt.type = openat and proc.name = e2e-files
  output: opened (file=%fd.name raw=%fd.nameraw pid=%proc.pid)
  priority: WARNING
  tags: [files, T1005]
- rule: ran
  desc: a program of the test's
  condition: evt.type = execve and proc.args startswith e2e-
  output: ran %proc.args
  priority: NOTICE
";

/// Fields beside those of the outputs.
const ADDED: &str = "
rules:
  append_output:
    - match: {tags: [files]}
      extra_fields: [proc.ppid, {who: '%proc.name of %user.uid'}]
";

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8(text).expect("output is UTF-8, whatever the names are");
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// What a file may be called by somebody who wants to be overlooked, or to drive whoever looks.
const NAMES: [&[u8]; 4] = [
    b"plain",
    b"\xff\xfe\xc3(",
    b"\n{\"rule\":\"forged\"}\n",
    "\x1b[2J\x7f\x01\u{9b}\u{2028}\"".as_bytes(),
];

/// What the agent prints, in a format, when files of these names are opened.
fn printed(format: &str, folder: &Path) -> String {
    let sensor = Sensor::builder()
        .rules(RULES)
        .config(ADDED)
        .set(format!("stdout.format={format}"))
        .start()
        .unwrap();
    let files = helper::path("files").unwrap();
    for name in NAMES {
        let file = folder.join(OsStr::from_bytes(name));
        fs::write(&file, "").unwrap();
        assert!(
            Command::new(&files)
                .arg("openat")
                .arg(&file)
                .output()
                .unwrap()
                .status
                .success()
        );
    }
    // It was told to end at once, and yet writes all of them before.
    let (status, log, output) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(output.lines().count(), NAMES.len(), "{output}");
    for line in output.lines() {
        let harmful = |letter: char| letter.is_control() || letter == '\u{2028}';
        assert!(!line.contains(harmful), "{line:?}");
    }
    output
}

#[test]
fn a_line_of_json_has_falcos_keys_whatever_a_file_is_called() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = printed("json", folder.path());
    for (line, name) in output.lines().zip(NAMES) {
        let line: Value = serde_json::from_str(line).expect(line);
        for key in [
            "time",
            "rule",
            "priority",
            "output",
            "source",
            "tags",
            "hostname",
            "output_fields",
        ] {
            assert!(line.get(key).is_some(), "{key} is missing: {line}");
        }
        assert_eq!(line["rule"], "opened");
        assert_eq!(line["priority"], "Warning");
        assert_eq!(line["source"], "syscall");
        assert_eq!(line["tags"], serde_json::json!(["T1005", "files"]));
        assert!(line["output_fields"]["proc.pid"].is_u64(), "{line}");
        assert!(line["output_fields"]["evt.time"].is_u64(), "{line}");
        assert_eq!(line["output_fields"]["proc.ppid"], std::process::id());
        assert_eq!(line["output_fields"]["who"], "e2e-files of 0");
        let expected = folder.path().join(String::from_utf8_lossy(name).as_ref());
        assert_eq!(line["output_fields"]["fd.name"], expected.to_str().unwrap());
        assert_eq!(line["file"]["path"], expected.to_str().unwrap());
    }
}

#[test]
fn a_line_of_text_stays_one_whatever_a_file_is_called() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = printed("text", folder.path());
    assert!(
        output
            .lines()
            .all(|line| line.contains(": Warning opened (file=")),
        "{output}"
    );
}

#[test]
fn a_file_is_opened_anew_when_it_was_rotated() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, rotated) = (
        folder.path().join("detections.jsonl"),
        folder.path().join("detections.jsonl.1"),
    );
    let sensor = Sensor::builder()
        .rules(RULES)
        .config(&format!(
            "stdout:\n  enabled: false\nfile:\n  enabled: true\n  path: {}\n",
            file.display()
        ))
        .start()
        .unwrap();
    let outputs = |path: &Path| -> Vec<String> {
        lines(path)
            .iter()
            .map(|line| line["output_fields"]["proc.args"].as_str().unwrap().to_owned())
            .collect()
    };
    let wait_for = |path: &Path, expected: &[&str]| {
        wait::until(DEADLINE, || (outputs(path) == expected).then_some(()));
        assert_eq!(outputs(path), expected, "{}", path.display());
    };
    run_true(&["e2e-before"]);
    wait_for(&file, &["e2e-before"]);

    fs::rename(&file, &rotated).unwrap();
    run_true(&["e2e-between"]);
    wait_for(&rotated, &["e2e-before", "e2e-between"]);

    sensor.signal(rustix::process::Signal::USR1).unwrap();
    wait::until(DEADLINE, || file.exists().then_some(())).expect("the file is made anew");
    run_true(&["e2e-after"]);
    wait_for(&file, &["e2e-after"]);
    assert_eq!(outputs(&rotated), ["e2e-before", "e2e-between"]);
    let (status, log, output) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(output, "", "standard output is off");
}
