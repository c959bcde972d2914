//! The capabilities of deploy/daemonset.yaml are enough, and what is lost by those that it does not ask for is said.

use std::process::Command;

use sensor_tests::{
    binary,
    scrape::{free_address, scrape},
    sensor::Sensor,
    wait::{self, DEADLINE},
};

use crate::{machine, run_true};

/// The second one is a filter in the kernel, which the self-test looks after.
const RULES: &str = "
- rule: ran
  desc: a program of the test's
  condition: evt.type = execve and proc.args = e2e-few-rights
  output: ran
  priority: NOTICE
- rule: opened
  desc: something that is filtered in the kernel
  condition: evt.type = openat and fd.name = /etc/e2e-nothing
  output: opened
  priority: NOTICE
";

/// What the manifest adds, but for what kernels before 5.11 need.
fn capabilities() -> String {
    let manifest = std::fs::read_to_string(binary::repository().join("deploy/daemonset.yaml")).unwrap();
    let (_, rest) = manifest.split_once("              add:\n").unwrap();
    let names = rest
        .lines()
        .take_while(|line| line.trim_start().starts_with(['#', '-']) && !line.contains("SYS_RESOURCE"))
        .filter_map(|line| line.trim_start().strip_prefix("- "));
    let names: Vec<_> = names.map(|name| format!("+{}", name.to_lowercase())).collect();
    assert!(names.len() >= 2, "{manifest}");
    format!("--bounding-set=-all,{}", names.join(","))
}

#[test]
fn the_daemonsets_capabilities_are_enough_and_what_they_lack_is_said() {
    let Some(_machine) = machine() else { return };
    let capabilities = capabilities();
    let with_these = ["setpriv", &capabilities, "--inh-caps=-all", "--"];
    let address = free_address().unwrap();
    let sensor = Sensor::builder()
        .rules(RULES)
        .set("selftest.interval_s=1")
        .set(format!("metrics.address={address}"))
        .under(&with_these)
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    let mut is_told = || {
        run_true(&["e2e-few-rights"]);
        let found = stream.find(DEADLINE, |found| found.rule == "ran").unwrap();
        assert!(found.is_some(), "{}", sensor.log());
    };
    is_told();
    // It has looked after itself, and takes nothing for a change that it only may not see.
    let looked = wait::until(DEADLINE, || {
        let samples = scrape(address).ok()?;
        let count = |name: &str| samples.get(name).copied();
        (count("sensor_selftest_rounds_total")? >= 2.0).then(|| count("sensor_tamperings_total"))
    });
    assert_eq!(looked, Some(Some(0.0)), "{}", sensor.log());
    is_told();
    let doctor = Command::new(with_these[0])
        .args(&with_these[1..])
        .arg(binary::sensor())
        .arg("doctor")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success(), "{said}");
    let lacks = said.lines().find(|line| line.contains("CAP_SYS_ADMIN"));
    assert!(lacks.is_some_and(|line| line.contains("not held")), "{said}");
}
