//! The end: everything let go, nothing kept back.

use std::time::Duration;

use sensor_tests::{bpf::Loaded, sensor::Sensor, wait::DEADLINE};

use crate::{balance::assert_nothing_left, machine, run_true};

const RULES: &str = "
- rule: ran
  desc: a program of the test's
  condition: evt.type = execve and proc.args startswith e2e-
  output: ran %proc.args
  priority: NOTICE
- rule: opened
  desc: asks for opens
  condition: evt.type = openat and fd.name = /nonexistent/e2e
  output: opened
  priority: NOTICE
";

#[test]
fn a_stop_hands_out_what_was_detected_and_lets_go_of_the_kernel() {
    let Some(_machine) = machine() else { return };
    let sensor = Sensor::builder().rules(RULES).start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    let loaded = Loaded::by(sensor.pid()).unwrap();
    assert!(loaded.programs.len() >= 4, "{loaded:?}");
    let socket = sensor.socket();
    let mut expected: Vec<String> = (0..50).map(|number| format!("e2e-{number}")).collect();
    for argument in &expected {
        run_true(&[argument]);
    }
    let (status, log, output) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    assert_nothing_left(&loaded);
    assert!(!socket.exists(), "its socket is gone");

    let lines: Vec<serde_json::Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut written: Vec<&str> = lines
        .iter()
        .map(|line| line["output_fields"]["proc.args"].as_str().unwrap())
        .collect();
    assert_eq!(
        written, expected,
        "every detection is on standard output, in order"
    );
    let mut streamed = Vec::new();
    while let Ok(Some(detection)) = stream.find(DEADLINE, |_| true) {
        streamed.push(detection.output.replace("ran ", ""));
        if streamed.len() == expected.len() {
            break;
        }
    }
    expected.sort();
    streamed.sort();
    written.sort_unstable();
    assert_eq!(streamed, expected, "and on the stream");
}

#[test]
fn an_interrupt_is_a_stop_too() {
    let Some(_machine) = machine() else { return };
    let mut sensor = Sensor::builder().rules(RULES).start().unwrap();
    sensor.signal(rustix::process::Signal::INT).unwrap();
    let status = sensor.wait(Duration::from_secs(20)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", sensor.log());
}
