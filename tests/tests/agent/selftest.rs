//! The self-test: a canary comes back through every hook; what is cut or emptied is noticed within a round, told, and
//! put right. Each test is an entry of the catalogue in `docs/evasion.md`.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sensor_proto::v1::{Detection, subscribe_response::Item};
use sensor_tests::{
    client::{Client, Subscription},
    helper, report,
    scrape::{free_address, get},
    sensor::Sensor,
    values::Values as _,
    wait,
};

use crate::machine;

/// Every hook is in use, and a rule says what reaches rules: the canary must not.
const RULES: &str = "
- rule: sensor
  desc: what the sensor's own programs do
  condition: >
    (proc.name = sensor or proc.cmdline contains canary or fd.name contains canary)
    and evt.type in (execve, clone, procexit, openat, connect, mkdirat, unlinkat, setsid, memfd_create, kill)
  output: \"%evt.type %proc.cmdline %fd.name\"
  priority: NOTICE
- rule: reads
  desc: a file of the tests
  condition: evt.type in (open, openat) and fd.name startswith /tmp/e2e-selftest
  output: \"%fd.name\"
  priority: NOTICE
- rule: talks
  desc: a port of the tests
  condition: evt.type = connect and fd.sport = 9
  output: \"%evt.hook\"
  priority: NOTICE
";

/// Long enough for a round that finds fault, is done again, and its repair.
const PATIENCE: Duration = Duration::from_mins(1);

fn start() -> (Sensor, Client) {
    let sensor = Sensor::builder()
        .rules(RULES)
        .set("selftest.interval_s=2")
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    (sensor, client)
}

/// Has another root process act; what it said.
fn tamper(sensor: &Sensor, action: &str, name: &str) -> String {
    let output = Command::new(helper::path("tamper").unwrap())
        .args([&sensor.pid().to_string(), action, name])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{action} {name}: nothing of the kind is held: {said}"
    );
    said
}

/// The next detection of the sensor's own with this name.
fn own(stream: &mut Subscription<'_>, rule: &str, part: &str) -> Detection {
    let found = stream
        .find(PATIENCE, |found| {
            found.rule == rule && found.output.contains(part)
        })
        .unwrap();
    let found = found.unwrap_or_else(|| panic!("no {rule:?} with {part:?} came"));
    assert_eq!(found.source, "internal");
    found
}

/// That a rule's event still comes.
fn comes(stream: &mut Subscription<'_>, rule: &str, act: impl Fn()) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        act();
        let found = stream
            .find(Duration::from_millis(500), |found| found.rule == rule)
            .unwrap();
        if found.is_some() {
            return;
        }
    }
    panic!("{rule} does not come any more");
}

fn read_file() {
    let path = "/tmp/e2e-selftest-file";
    std::fs::write(path, "").unwrap();
    let _ = Command::new("/bin/cat").arg(path).status();
    let _ = std::fs::remove_file(path);
}

fn talk() {
    let _ = std::net::TcpStream::connect(("127.0.0.1", 9));
}

#[test]
fn a12_the_canary_comes_back_and_no_rule_of_the_user_sees_it() {
    let Some(_machine) = machine() else { return };
    let (sensor, client) = start();
    let mut stream = client.subscribe(None).unwrap();
    let end = Instant::now() + Duration::from_secs(12);
    let mut seen = Vec::new();
    while Instant::now() < end {
        if let Some(Item::Detection(found)) = stream.next(Duration::from_millis(500)).unwrap() {
            seen.push(found);
        }
    }
    let of_canary: Vec<_> = seen
        .iter()
        .filter(|found| found.rule == "sensor" || found.source == "internal")
        .map(|found| &found.output)
        .collect();
    assert!(of_canary.is_empty(), "{of_canary:#?}\n{}", sensor.log());
    let status = client.status().unwrap();
    assert_eq!(status.degraded, Vec::<String>::new());
}

#[test]
fn a02_a_detached_link_is_noticed_told_and_attached_again() {
    let Some(_machine) = machine() else { return };
    let (sensor, client) = start();
    let mut stream = client.subscribe(None).unwrap();
    comes(&mut stream, "talks", talk);
    for action in ["detach", "replace"] {
        let said = tamper(&sensor, action, "connect4");
        assert!(said.contains("done"), "{said}");
        let found = own(&mut stream, "Sensor tampered with", "connect4");
        assert_eq!(found.text("sensor.repair"), "it was put right");
        comes(&mut stream, "talks", talk);
    }
    report::note("A02: a detached link and a replaced program were told and put right");
}

#[test]
fn a03_emptied_maps_are_refused_or_told_and_filled_again() {
    let Some(_machine) = machine() else { return };
    let (sensor, client) = start();
    let mut stream = client.subscribe(None).unwrap();
    comes(&mut stream, "reads", read_file);
    // Constant maps: the attacker is refused.
    for name in ["HANDLERS", "CONTINUE"] {
        let said = tamper(&sensor, "empty", name);
        assert!(said.contains(" 0 done") && !said.contains(" 0 refused"), "{said}");
    }
    let said = tamper(&sensor, "zero", "CALLS");
    assert!(said.contains(" 0 done") && !said.contains(" 0 refused"), "{said}");
    comes(&mut stream, "reads", read_file);
    // The others: noticed, told, filled again.
    for (action, name) in [("zero", "ROUTES"), ("empty", "FILTERS"), ("zero", "SOURCES")] {
        tamper(&sensor, action, name);
        let found = own(&mut stream, "Sensor tampered with", &name.to_lowercase());
        assert_eq!(found.text("sensor.repair"), "it was put right", "{name}");
        comes(&mut stream, "reads", read_file);
        comes(&mut stream, "talks", talk);
    }
    assert_eq!(client.status().unwrap().degraded, Vec::<String>::new());
}

/// What no comparison of maps shows, the canary does: here the scratch slots are said to be taken, so that every event is
/// lost.
#[test]
fn a13_who_mutes_the_programs_mutes_the_canary_too_and_that_is_told() {
    let Some(_machine) = machine() else { return };
    let (sensor, client) = start();
    let mut stream = client.subscribe(None).unwrap();
    comes(&mut stream, "reads", read_file);
    tamper(&sensor, "mute", "SCRATCH_DEPTH");
    let found = own(&mut stream, "Sensor degraded", "did not come back");
    assert!(found.text("sensor.reason").contains("open"), "{found:#?}");
    let degraded = wait::until(PATIENCE, || {
        let degraded = client.status().unwrap().degraded;
        (!degraded.is_empty()).then_some(degraded)
    });
    assert!(degraded.unwrap()[0].contains("is silent"));
}

/// Programs that were not run because they ran already are a number of their own.
#[test]
fn f13_misses_of_programs_are_a_metric() {
    let Some(_machine) = machine() else { return };
    let address = free_address().unwrap();
    let sensor = Sensor::builder()
        .rules(RULES)
        .set(format!("metrics.address={address}"))
        .start()
        .unwrap();
    let text = get(address, "/metrics").unwrap();
    assert!(
        text.contains("sensor_program_misses_total{program=\"sys_exit\"} "),
        "{text}"
    );
    assert_eq!(
        get(address, "/healthz").unwrap().trim().lines().last(),
        Some("ok")
    );
    drop(sensor);
}
