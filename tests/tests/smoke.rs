//! The main job, end to end: an attack becomes a detection on a gRPC stream.

use sensor_tests::{lock, report, sensor::Sensor, wait::DEADLINE};

const RULES: &str = "
- rule: Sensitive file read
  desc: a test's rule
  condition: evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.name=/etc/shadow
  output: read (command=%proc.cmdline file=%fd.name)
  priority: WARNING
  tags: [T1003]
";

#[test]
fn an_attack_arrives_as_a_detection() {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return;
    }
    let _claim = lock::shared().unwrap();
    let sensor = Sensor::builder().rules(RULES).start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    std::process::Command::new("cat")
        .arg("/etc/shadow")
        .output()
        .unwrap();
    let found = stream
        .find(DEADLINE, |detection| detection.rule == "Sensitive file read")
        .unwrap()
        .unwrap();
    assert_eq!(found.output, "read (command=cat /etc/shadow file=/etc/shadow)");
    assert_eq!(found.process.unwrap().exe_path, "/usr/bin/cat");
    let (status, log, output) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        output
            .lines()
            .any(|line| line.contains("\"rule\":\"Sensitive file read\"")),
        "{output}"
    );
}
