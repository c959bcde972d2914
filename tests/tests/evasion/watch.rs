//! An agent, and all that it tells of a helper from its start to its end.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sensor_proto::v1::Detection;
use sensor_tests::{
    client::{Client, Subscription},
    lock::{self, Claim},
    report,
    sensor::Sensor,
    wait::DEADLINE,
};

/// What the end of a helper is told by.
const END: &str = r#"
- rule: end
  desc: the end of a helper
  condition: evt.type = procexit and proc.name startswith e2e-
  output: "%proc.name"
  priority: NOTICE
"#;

/// How long after a helper's last event another may still come: those that wait for an end that nobody tells.
const LATER: Duration = Duration::from_millis(500);

/// A running agent, with the machine to itself as far as other agents go.
pub(crate) struct Agent {
    /// Its client.
    pub(crate) client: Client,
    // Ends after its client, and before the machine is given back.
    _sensor: Sensor,
    _claim: Claim,
}

/// An agent with a profile and rules; `None` without root, which is said.
pub(crate) fn agent(profile: &str, rules: &str) -> Option<Agent> {
    start(profile, rules, lock::shared)
}

/// As [`agent`], for a test whose flood would hold up what agents of other tests tell.
pub(crate) fn agent_alone(profile: &str, rules: &str) -> Option<Agent> {
    start(profile, rules, lock::alone)
}

fn start(profile: &str, rules: &str, claim: impl FnOnce() -> anyhow::Result<Claim>) -> Option<Agent> {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return None;
    }
    let claim = claim().unwrap();
    let sensor = Sensor::builder()
        .rules(rules)
        .rules(END)
        .set("stdout.enabled=false")
        .set("kernel.activity_ring_bytes=67108864")
        .set("grpc.queue_items_max=65536")
        .set(format!("kernel.profile={profile}"))
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    Some(Agent {
        client,
        _sensor: sensor,
        _claim: claim,
    })
}

/// The process that a detection is about.
pub(crate) fn pid_of(detection: &Detection) -> u32 {
    detection.process.as_ref().map_or(0, |process| process.pid)
}

/// Runs a helper to its end: the numbers that it printed, and its events. All of them, since its end is told after them.
pub(crate) fn events(
    stream: &mut Subscription<'_>,
    program: &Path,
    arguments: &[&str],
) -> (Vec<i64>, Vec<Detection>) {
    let output = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = output.id();
    let output = output.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let numbers = printed.split_whitespace().map(|number| number.parse().unwrap());
    let numbers = numbers.collect();
    let mut found = Vec::new();
    let (mut has_ended, mut last) = (false, Instant::now());
    let end = Instant::now() + DEADLINE;
    // The end may be told before what came before it: it has a ring of its own, which is read first.
    while Instant::now() < end && (!has_ended || last.elapsed() < LATER) {
        let Some(detection) = stream
            .find(Duration::from_millis(100), |detection| pid_of(detection) == pid)
            .unwrap()
        else {
            continue;
        };
        last = Instant::now();
        if detection.rule == "end" {
            has_ended = true;
        } else {
            found.push(detection);
        }
    }
    assert!(has_ended, "the end of {arguments:?} did not come");
    (numbers, found)
}
