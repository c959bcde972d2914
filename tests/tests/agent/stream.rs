//! Readers of the stream: each gets what it asked for, and only a slow one loses.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use sensor_proto::v1::{Filter, Priority, subscribe_response::Item};
use sensor_tests::{
    client::Subscription,
    container::{self, Container},
    helper, report,
    sensor::Sensor,
    wait::DEADLINE,
};

use crate::{machine, run_true};

/// The last one passes every filter of these tests: it ends what each reader gets.
const RULES: &str = "
- rule: Alpha severe
  desc: a test's rule
  condition: evt.type = execve and proc.args startswith e2e-severe
  output: severe %proc.args
  priority: CRITICAL
  tags: [red]
- rule: Alpha mild
  desc: a test's rule
  condition: evt.type = execve and proc.args startswith e2e-mild
  output: mild %proc.args
  priority: NOTICE
  tags: [blue]
- rule: Beta
  desc: a test's rule
  condition: evt.type = execve and proc.args startswith e2e-beta
  output: beta %proc.args
  priority: WARNING
  tags: [red, blue]
- rule: Alpha end
  desc: a test's rule
  condition: evt.type = execve and proc.args startswith e2e-end
  output: end
  priority: EMERGENCY
  tags: [red, blue]
";

/// The rules of what a stream says until the end is told.
fn until_end(stream: &mut Subscription<'_>) -> Vec<String> {
    let mut rules = Vec::new();
    loop {
        let found = stream
            .find(DEADLINE, |_| true)
            .unwrap()
            .unwrap_or_else(|| panic!("no end came after {rules:?}"));
        if found.rule == "Alpha end" {
            return rules;
        }
        rules.push(found.rule);
    }
}

#[test]
fn each_reader_gets_what_it_asked_for() {
    let Some(_machine) = machine() else { return };
    let sensor = Sensor::builder().rules(RULES).start().unwrap();
    let client = sensor.client().unwrap();
    let list = |entries: &[&str]| entries.iter().map(ToString::to_string).collect::<Vec<_>>();
    let cases: [(Option<Filter>, &[&str]); 6] = [
        (None, &["Alpha severe", "Alpha mild", "Beta"]),
        (
            Some(Filter {
                rules: list(&["Alpha*"]),
                ..Filter::default()
            }),
            &["Alpha severe", "Alpha mild"],
        ),
        (
            Some(Filter {
                rules: list(&["*severe", "Beta", "*end"]),
                ..Filter::default()
            }),
            &["Alpha severe", "Beta"],
        ),
        (
            Some(Filter {
                min_priority: Priority::Warning.into(),
                ..Filter::default()
            }),
            &["Alpha severe", "Beta"],
        ),
        (
            Some(Filter {
                tags: list(&["blue"]),
                ..Filter::default()
            }),
            &["Alpha mild", "Beta"],
        ),
        (
            Some(Filter {
                rules: list(&["Alpha*"]),
                tags: list(&["blue"]),
                min_priority: Priority::Warning.into(),
                ..Filter::default()
            }),
            &[],
        ),
    ];
    let mut readers: Vec<_> = cases
        .iter()
        .map(|(filter, _)| client.subscribe(filter.clone()).unwrap())
        .collect();
    for argument in ["e2e-severe", "e2e-mild", "e2e-beta", "e2e-end"] {
        run_true(&[argument]);
    }
    for (reader, (filter, expected)) in readers.iter_mut().zip(&cases) {
        assert_eq!(until_end(reader), *expected, "{filter:?}");
    }
    let status = client.status().unwrap();
    let streams = status
        .subscribers
        .iter()
        .filter(|subscriber| subscriber.kind == "grpc");
    assert_eq!(streams.count(), cases.len(), "{:?}", status.subscribers);
    let matches = status.rules.unwrap().matches;
    assert_eq!(matches.get("Beta"), Some(&1), "{matches:?}");
}

#[test]
fn a_filter_that_means_nothing_is_refused() {
    let Some(_machine) = machine() else { return };
    let sensor = Sensor::builder().rules(RULES).start().unwrap();
    let client = sensor.client().unwrap();
    let filter = Filter {
        containers: vec!["0123".into()],
        ..Filter::default()
    };
    let refused = client
        .subscribe(Some(filter))
        .err()
        .expect("a container id of four characters")
        .to_string();
    assert!(
        refused.contains("filter.containers[0]") && refused.contains("too short"),
        "{refused}"
    );
}

#[test]
fn a_reader_may_ask_for_one_container() {
    if let Some(missing) = container::missing() {
        report::skip(missing);
        return;
    }
    let Some(_machine) = machine() else { return };
    let sensor = Sensor::builder().rules(RULES).start().unwrap();
    let client = sensor.client().unwrap();
    let containers = [(); 2].map(|()| Container::builder().run(&["/bin/sleep", "1000"]).unwrap());
    let only = |entry: &str| {
        Some(Filter {
            containers: vec![entry.into()],
            ..Filter::default()
        })
    };
    let ids = containers.each_ref().map(|container| container.id().to_owned());
    let mut of_first = client.subscribe(only(&ids[0][..12])).unwrap();
    let mut of_second = client.subscribe(only(&ids[1])).unwrap();
    let mut of_host = client.subscribe(only("host")).unwrap();
    for (container, argument) in containers.iter().zip(["e2e-severe", "e2e-mild"]) {
        for argument in [argument, "e2e-end"] {
            assert!(container.exec(&["/bin/true", argument]).unwrap().status.success());
        }
    }
    run_true(&["e2e-beta"]);
    run_true(&["e2e-end"]);
    assert_eq!(until_end(&mut of_first), ["Alpha severe"]);
    assert_eq!(until_end(&mut of_second), ["Alpha mild"]);
    assert_eq!(until_end(&mut of_host), ["Beta"]);
}

#[test]
fn f04_a_slow_reader_loses_only_its_own_and_is_told_how_much() {
    const OPENS: u64 = 20_000;
    let Some(_machine) = machine() else { return };
    let rule = "
- rule: opened
  desc: one detection for each open of the storm
  condition: evt.type = openat and proc.name = e2e-storm
  output: opened %fd.name by %proc.cmdline from %proc.cwd in %container.id at %evt.time
  priority: NOTICE
";
    let sensor = Sensor::builder()
        .rules(rule)
        .set("grpc.queue_items_max=16")
        .set("stdout.enabled=false")
        .set("kernel.activity_ring_bytes=67108864")
        .start()
        .unwrap();
    let (slow_client, fast_client) = (sensor.client().unwrap(), sensor.client().unwrap());
    let mut slow = slow_client.subscribe(None).unwrap();
    let mut fast = fast_client.subscribe(None).unwrap();
    // The slow one reads nothing until the fast one has everything.
    let mut storm = Command::new(helper::path("storm").unwrap());
    let mut storm = storm
        .args(["opens", &OPENS.to_string(), "/dev/null"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (detections, missed) = read(&mut fast, OPENS);
    assert!(storm.wait().unwrap().success());
    assert_eq!(detections + missed, OPENS, "the fast reader, who missed {missed}");
    let (detections, missed) = read(&mut slow, OPENS);
    assert_eq!(detections + missed, OPENS, "the slow reader, who missed {missed}");
    assert!(missed > 0, "the slow reader missed nothing");
    assert!(detections > 0, "the slow reader got nothing");
    let status = fast_client.status().unwrap();
    let dropped: Vec<u64> = status
        .subscribers
        .iter()
        .map(|subscriber| subscriber.dropped)
        .collect();
    assert!(
        dropped.contains(&missed),
        "the status tells of {missed}: {:?}",
        status.subscribers
    );
    assert_eq!(
        status.rules.unwrap().matches.get("opened"),
        Some(&OPENS),
        "nobody held up the agent"
    );
}

/// Reads until `count` detections came or are known to be missing: how many did, how many are.
fn read(stream: &mut Subscription<'_>, count: u64) -> (u64, u64) {
    let (mut detections, mut missed) = (0, 0);
    while detections + missed < count {
        match stream.next(DEADLINE).unwrap() {
            Some(Item::Detection(_)) => detections += 1,
            Some(Item::Gap(gap)) => {
                assert_eq!(
                    (gap.cause.as_str(), gap.kind.as_str()),
                    ("subscriber_full", "detection"),
                    "{gap:?}"
                );
                missed += gap.count;
            }
            other => panic!("after {detections} detections and {missed} missed ones came {other:?}"),
        }
    }
    // And no more than that.
    if let Some(more) = stream.next(Duration::from_millis(200)).unwrap() {
        panic!("one too many: {more:?}");
    }
    (detections, missed)
}
