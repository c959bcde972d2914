//! Real processes are recorded, and a replay finds what was found live.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use sensor_tests::{
    binary,
    container::{self, Container},
    sensor::Sensor,
    wait,
};
use serde_json::Value;

use crate::{machine, run_true};

fn rules(folder: &Path, port: u16) -> String {
    format!(
        "
- rule: Started
  desc: a test's rule
  condition: evt.type = execve and proc.args startswith e2e-rec
  output: started %proc.cmdline by %proc.pname (%proc.ppid) of %user.name in %container.id, %proc.exepath, number %evt.num
  priority: NOTICE
- rule: Read
  desc: a test's rule
  condition: evt.type in (open, openat, openat2) and fd.name startswith {folder}/
  output: read %fd.name by %proc.name of %proc.aname[2], %evt.res, given %fs.path.nameraw
  priority: WARNING
- rule: Connected
  desc: a test's rule
  condition: evt.type = connect and fd.sport = {port}
  output: connected %fd.name, %evt.res
  priority: ERROR
",
        folder = folder.display()
    )
}

/// `sensor replay`: exit code, standard output, standard error.
fn replay(file: &Path, rules: &Path, further: &[&str]) -> (Option<i32>, String, String) {
    let done = Command::new(binary::sensor())
        .arg("replay")
        .arg(file)
        .arg("--rules")
        .arg(rules)
        .args(further)
        .stdin(Stdio::null())
        .env_remove("SENSOR_CONFIG")
        .env_remove("SENSOR_BIN")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// Lines of detections, without their ids.
fn detections(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .filter_map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            // Gaps have none.
            line.as_object_mut()?.remove("id")?;
            Some(line)
        })
        .collect()
}

#[test]
fn a_replay_finds_what_was_found_live_and_what_later_rules_look_for() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let path = fs::canonicalize(&data).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = folder.path().join("real.rec");
    let rules_file = folder.path().join("rules.yaml");
    fs::write(&rules_file, rules(&path, port)).unwrap();

    let sensor = Sensor::builder()
        .record(&file)
        .rule_files(&rules_file)
        .start()
        .unwrap();
    for number in 0..3 {
        run_true(&["e2e-rec", &number.to_string()]);
    }
    // A container tells its facts by its own files; the recording must hold what was found there.
    let container = container::missing().is_none().then(|| {
        Container::builder()
            .cgroup("/docker/{id}")
            .run(&["/bin/true", "e2e-rec", "inside"])
            .unwrap()
    });
    let script = "echo text >one; cat one >/dev/null; cat two 2>/dev/null; rm one; exit 0";
    let ran = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(&path)
        .status()
        .unwrap();
    assert!(ran.success());
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    // Told when it has ended or waited: the last of all.
    let connected = wait::until(wait::DEADLINE, || {
        sensor.output().contains("\"rule\":\"Connected\"").then_some(())
    });
    assert!(connected.is_some(), "{}\n{}", sensor.output(), sensor.log());
    let (status, log, live) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("recorded"), "{log}");

    let expected = detections(&live);
    let count = |rule: &str| expected.iter().filter(|line| line["rule"] == rule).count();
    let started = 3 + usize::from(container.is_some());
    assert_eq!((count("Started"), count("Connected")), (started, 1), "{live}");
    if let Some(container) = &container {
        let short = container.id()[..12].to_owned();
        let inside = |line: &&Value| line["output_fields"]["container.id"] == short.as_str();
        assert_eq!(expected.iter().filter(inside).count(), 1, "{live}");
    }
    assert!(count("Read") >= 2, "{live}");
    let (code, first, said) = replay(&file, &rules_file, &["--summary", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let found = detections(&first);
    assert_eq!(found.len(), expected.len(), "live:\n{live}\nreplay:\n{first}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    let (_, second, _) = replay(&file, &rules_file, &["--summary", "none"]);
    assert_eq!(first, second, "two replays differ");

    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(summary["lost"]["records"], 0, "{said}");
    let rules = summary["rules"].as_array().unwrap();
    let of_started = rules.iter().find(|rule| rule["rule"] == "Started").unwrap();
    assert_eq!(of_started["hits"], started, "{said}");
    assert!(of_started["tested"].as_u64() >= Some(3), "{said}");

    later_rules_find_theirs(folder.path(), &file);
    let number = &expected[0]["output_fields"]["evt.num"];
    explanation_is_of_the_event(&file, &rules_file, &number.to_string());
    damage_is_told(folder.path(), &file, &rules_file, &first);
}

/// Nobody looked for removed files when they were recorded.
fn later_rules_find_theirs(folder: &Path, file: &Path) {
    let later = folder.join("later.yaml");
    let text = "
- rule: Removed
  desc: a test's rule
  condition: evt.type in (unlink, unlinkat) and proc.name = rm and proc.pname = sh
  output: removed %fs.path.name %proc.cmdline
  priority: NOTICE
";
    fs::write(&later, text).unwrap();
    let (code, found, said) = replay(file, &later, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(found.contains("/data/one rm one"), "{found}\n{said}");
    let row = said.lines().find(|line| line.contains("Removed")).unwrap();
    assert!(row.split_whitespace().count() >= 5, "{said}");
}

/// The first detection is of `Started`: all of its condition was true.
fn explanation_is_of_the_event(file: &Path, rules: &Path, number: &str) {
    let explain = |number: &str| {
        let done = Command::new(binary::sensor())
            .args([
                "rules", "explain", "--rule", "Started", "--number", number, "--event",
            ])
            .args([file, rules])
            .env_remove("SENSOR_CONFIG")
            .env_remove("SENSOR_BIN")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, told, said) = explain(number);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        told.contains("Started matches") && told.contains("e2e-rec"),
        "{told}"
    );
    let (code, _, said) = explain("99999999999");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has no event 99999999999"), "{said}");
}

fn damage_is_told(folder: &Path, file: &Path, rules: &Path, all: &str) {
    let bytes = fs::read(file).unwrap();
    let cut = folder.join("cut.rec");
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let (code, found, said) = replay(&cut, rules, &["--summary", "none"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(all.starts_with(&found), "{found}");
    assert!(said.contains("damaged at byte "), "{said}");
    fs::write(&cut, "no recording").unwrap();
    let (code, _, said) = replay(&cut, rules, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is no recording"), "{said}");
    let (code, _, said) = replay(&folder.join("none.rec"), rules, &[]);
    assert_eq!(code, Some(1), "{said}");
}
