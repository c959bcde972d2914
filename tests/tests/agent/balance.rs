//! Nothing is lost silently: what was made to happen is delivered, or counted as lost.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sensor_proto::v1::{KindCounters, StatusResponse, subscribe_response::Item};
use sensor_tests::{
    bpf::Loaded,
    cgroup::Cgroup,
    client::{Client, Subscription},
    helper, report,
    sensor::{Builder, Sensor},
    wait::{self, DEADLINE},
};

use crate::{machine, run_true};

/// Opens are reported because of this rule; nothing matches it.
const RULES: &str = "
- rule: opens
  desc: asks for every open and matches none
  condition: evt.type in (open, openat, openat2, creat, open_by_handle_at) and fd.name = /nonexistent/e2e
  output: opened
  priority: NOTICE
- rule: marker
  desc: the sign that the agent works
  condition: evt.type = execve and proc.args = e2e-marker
  output: marker
  priority: NOTICE
";
/// How long the machine is flooded.
const STORM_SECONDS: &str = "3";

pub(crate) type Counts = BTreeMap<String, u64>;

fn agent() -> Builder {
    // Every event is to be accounted for here, those that no rule matches too.
    Sensor::builder().rules(RULES).set("kernel.filter=false")
}

/// Floods the kernel from a cgroup of its own: what happened, as who made it happen counted.
fn storm(cgroup: &Cgroup) -> Counts {
    let mut command = cgroup.command(&helper::path("storm").unwrap());
    let output = command
        .args(["both", STORM_SECONDS, "/dev/null"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let counts: Counts = printed
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(kind, count)| (kind.to_owned(), count.parse().unwrap()))
        .collect();
    report::note(format_args!("in {STORM_SECONDS} s: {counts:?}"));
    assert!(
        counts["open"] > 10_000 && counts["exec"] > 50,
        "that was no storm: {counts:?}"
    );
    counts
}

/// What the agent counted in a cgroup: delivered, lost.
pub(crate) fn counted(status: &StatusResponse, cgroup_id: u64) -> (Counts, Counts) {
    let (mut delivered, mut lost) = (Counts::new(), Counts::new());
    for cgroup in status
        .cgroups
        .iter()
        .filter(|cgroup| cgroup.cgroup_id == cgroup_id)
    {
        for (kind, count) in &cgroup.delivered {
            *delivered.entry(kind.clone()).or_default() += count;
        }
        for (kind, count) in &cgroup.lost {
            *lost.entry(kind.clone()).or_default() += count;
        }
    }
    (delivered, lost)
}

/// Waits until the agent has accounted for all that the storm did, and checks that it did so exactly.
fn assert_accounted(client: &Client, cgroup_id: u64, generated: &Counts) -> Counts {
    let mut last = (Counts::new(), Counts::new());
    let sums = |(delivered, lost): &(Counts, Counts)| -> Counts {
        let sum = |kind: &String| delivered.get(kind).unwrap_or(&0) + lost.get(kind).unwrap_or(&0);
        generated.keys().map(|kind| (kind.clone(), sum(kind))).collect()
    };
    wait::until(DEADLINE, || {
        last = counted(&client.status().unwrap(), cgroup_id);
        (sums(&last) == *generated).then_some(())
    });
    assert_eq!(sums(&last), *generated, "delivered and lost: {last:?}");
    // Still so when everything that could come late has come.
    run_true(&["e2e-after"]);
    assert_eq!(sums(&counted(&client.status().unwrap(), cgroup_id)), *generated);
    last.1
}

/// Waits for a moment in which nothing is in flight on the whole machine, and checks the books of each kind.
fn assert_balanced(client: &Client) -> Vec<KindCounters> {
    let is_balanced = |kind: &KindCounters| {
        let lost: u64 = kind.lost.values().sum();
        kind.seen == kind.filtered + kind.sent + lost && kind.sent == kind.delivered && kind.malformed == 0
    };
    let mut kinds = Vec::new();
    let balanced = wait::until(DEADLINE, || {
        kinds = client.status().unwrap().kinds;
        kinds.iter().all(is_balanced).then_some(())
    });
    assert!(balanced.is_some(), "the books do not close: {kinds:#?}");
    kinds
}

/// What gaps on a stream say was lost, by kind, until they say `expected`.
fn gaps(stream: &mut Subscription<'_>, expected: &Counts) -> Counts {
    let end = Instant::now() + DEADLINE;
    let mut said = Counts::new();
    while said != *expected && Instant::now() < end {
        if let Some(Item::Gap(gap)) = stream.next(Duration::from_secs(1)).unwrap() {
            assert!(
                ["ring_full", "scratch_busy", "budget"].contains(&gap.cause.as_str()),
                "{gap:?}"
            );
            assert!(gap.count > 0, "{gap:?}");
            *said.entry(gap.kind).or_default() += gap.count;
        }
    }
    said
}

#[test]
fn a_flood_is_delivered_or_counted_as_lost_exactly() {
    let Some(_machine) = machine() else { return };
    let cgroup = Cgroup::new("/sensor-e2e-flood").unwrap();
    let sensor = agent().start().unwrap();
    let client = sensor.client().unwrap();
    let generated = storm(&cgroup);
    let lost = assert_accounted(&client, cgroup.id().unwrap(), &generated);
    report::note(format_args!("lost: {lost:?}"));
    assert_balanced(&client);
    let (status, log, _) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn what_no_longer_fits_is_counted_and_told() {
    let Some(_machine) = machine() else { return };
    let cgroup = Cgroup::new("/sensor-e2e-tiny").unwrap();
    let tiny = agent()
        .set("kernel.activity_ring_bytes=65536")
        .set("kernel.lifecycle_ring_bytes=65536");
    let sensor = tiny.start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    let generated = storm(&cgroup);
    let lost = assert_accounted(&client, cgroup.id().unwrap(), &generated);
    report::note(format_args!("lost: {lost:?}"));
    assert!(
        lost.get("open").is_some_and(|count| *count > 0),
        "a ring of 64 KiB held all of it: {generated:?}"
    );

    let kinds = assert_balanced(&client);
    let all_lost: Counts = kinds
        .iter()
        .map(|kind| (kind.kind.clone(), kind.lost.values().sum()))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(
        gaps(&mut stream, &all_lost),
        all_lost,
        "the stream's gaps tell of every loss"
    );
    // The flood is over: the agent sees again.
    let pid = run_true(&["e2e-marker"]);
    let found = stream.find(DEADLINE, |detection| {
        detection
            .process
            .as_ref()
            .is_some_and(|process| process.pid == pid)
    });
    assert!(found.unwrap().is_some());
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_and_starts_again() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cgroup = Cgroup::new("/sensor-e2e-killed").unwrap();
    let sensor = agent().start_in(folder.path()).unwrap();
    let loaded = Loaded::by(sensor.pid()).unwrap();
    assert!(!loaded.programs.is_empty(), "an agent that runs holds programs");
    // Killed while it is busy.
    let mut busy = cgroup
        .command(&helper::path("storm").unwrap())
        .args(["both", "1", "/dev/null"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = sensor.client().unwrap();
    wait::until(DEADLINE, || (opens(&client) > 1_000).then_some(())).expect("a flood is on its way");
    drop(client);
    sensor.kill().unwrap();

    // Its socket is still there, and is nobody's.
    assert!(folder.path().join("sensor.sock").exists());
    let again = agent().start_in(folder.path()).unwrap();
    busy.wait().unwrap();
    let client = again.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    run_true(&["e2e-marker"]);
    assert!(
        stream
            .find(DEADLINE, |detection| detection.rule == "marker")
            .unwrap()
            .is_some()
    );
    assert_nothing_left(&loaded);
}

fn opens(client: &Client) -> u64 {
    let status = client.status().unwrap();
    status
        .kinds
        .iter()
        .find(|kind| kind.kind == "open")
        .map_or(0, |kind| kind.seen)
}

/// Checks that what an agent had loaded is gone from the kernel.
pub(crate) fn assert_nothing_left(loaded: &Loaded) {
    match loaded.left() {
        Some(left) => assert_eq!(left, Loaded::default(), "left in the kernel"),
        None => report::skip("no bpftool: whether something is left in the kernel was not looked at"),
    }
}

/// The load of a machine that works: the books close then, too.
#[test]
fn ordinary_work_loses_nothing() {
    let Some(_machine) = machine() else { return };
    let cgroup = Cgroup::new("/sensor-e2e-work").unwrap();
    let sensor = agent().start().unwrap();
    let client = sensor.client().unwrap();
    let script = "i=0; while [ $i -lt 200 ]; do /bin/cat /etc/passwd > /dev/null; i=$((i+1)); done";
    let mut command: Command = cgroup.command(Path::new("/bin/sh"));
    assert!(command.args(["-c", script]).status().unwrap().success());
    let id = cgroup.id().unwrap();
    let mut books = (Counts::new(), Counts::new());
    wait::until(DEADLINE, || {
        books = counted(&client.status().unwrap(), id);
        (books.0.get("exit") == Some(&201)).then_some(())
    });
    let (delivered, lost) = books;
    assert_eq!(
        (delivered["fork"], delivered["exec"], delivered["exit"]),
        (200, 201, 201),
        "{delivered:?}"
    );
    assert_eq!(lost, Counts::new());
}
