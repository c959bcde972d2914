//! A client in another language, which knows the service by reflection only.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use sensor_tests::{binary, report, sensor::Sensor, wait};

use crate::{machine, run_true};

/// What the client needs, in versions that were seen to work.
const PACKAGES: &str = "grpcio==1.76.0 grpcio-reflection==1.76.0";

/// A Python that has the packages; `None` when they cannot be had, which is said.
fn python() -> Option<PathBuf> {
    let venv = binary::build_folder().unwrap().join("python");
    let (python, mark) = (venv.join("bin/python"), venv.join("installed"));
    // Written last, so that an installation that was interrupted is done again.
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == PACKAGES) {
        return Some(python);
    }
    let made = Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv)
        .output();
    let made = made.expect("the tests need Python: apt-get install python3-venv");
    assert!(made.status.success(), "apt-get install python3-venv: {made:?}");
    let pip = |arguments: &[&str]| {
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "--no-input",
            "--disable-pip-version-check",
            "--retries",
            "1",
        ])
        .args(arguments);
        pip.output().unwrap()
    };
    let packages: Vec<&str> = PACKAGES.split(' ').collect();
    let installed = pip(&[["install", "--quiet"].as_slice(), &packages].concat());
    if !installed.status.success() {
        // A package that cannot be installed although the index answers is a fault.
        let index = pip(&[
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--dest",
            venv.to_str().unwrap(),
            "six",
        ]);
        assert!(!index.status.success(), "{installed:?}");
        report::skip(format_args!(
            "PyPI cannot be reached, so {PACKAGES} are not to be had"
        ));
        return None;
    }
    fs::write(&mark, PACKAGES).unwrap();
    Some(python)
}

#[test]
fn a_client_that_knows_only_the_address_gets_detections() {
    let Some(python) = python() else { return };
    let Some(_machine) = machine() else { return };
    let rules = "
- rule: ran
  desc: a program of the test's
  condition: evt.type = execve and proc.args startswith e2e-
  output: ran %proc.args
  priority: CRITICAL
  tags: [python]
- rule: other
  desc: what the client does not ask for
  condition: evt.type = execve and proc.name = true
  output: other
  priority: NOTICE
";
    let sensor = Sensor::builder().rules(rules).start().unwrap();
    let mut client = Command::new(&python)
        .arg(binary::repository().join("tests/python/subscribe.py"))
        .arg(format!("unix:{}", sensor.socket().display()))
        .args([
            "--count",
            "1",
            "--timeout",
            "60",
            "--filter",
            r#"{"tags": ["python"], "min_priority": "PRIORITY_ERROR"}"#,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Until it has subscribed, nobody can tell it anything.
    let status = wait::until(std::time::Duration::from_mins(1), || {
        run_true(&["e2e-for-python"]);
        client.try_wait().unwrap()
    });
    if status.is_none() {
        client.kill().unwrap();
    }
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).unwrap();
    let detection: serde_json::Value = serde_json::from_str(line.trim()).expect(&line);
    assert_eq!(detection["rule"], "ran");
    assert_eq!(detection["priority"], "PRIORITY_CRITICAL");
    assert_eq!(detection["output"], "ran e2e-for-python");
    assert_eq!(detection["process"]["exe_path"], "/usr/bin/true");
}
