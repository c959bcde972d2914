//! The agent where there is too little of something: attention, processor, disk, room in its tables, time to live. What
//! it does not see it tells. Each test is an entry of the catalogue in `docs/evasion.md`.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sensor_proto::v1::{Detection, hook_run::Outcome, subscribe_response::Item};
use sensor_tests::{
    client::{Client, Subscription},
    helper, report,
    scrape::{free_address, scrape},
    sensor::{Builder, Sensor},
    values::Values as _,
    wait::{self, DEADLINE},
};

use crate::{Ended, machine};

const RULES: &str = "
- rule: needle
  desc: a program of the test's
  condition: evt.type = execve and proc.args startswith e2e-needle-
  output: '%proc.args %proc.pname %proc.lineage.incomplete'
  priority: WARNING
- rule: noise
  desc: what is told so often that somebody might stop listening
  condition: evt.type = openat and fd.name = /etc/hostname and proc.name = e2e-storm
  output: opened
  priority: NOTICE
- rule: signal
  desc: a signal that stops or ends
  condition: evt.type = kill and evt.arg.sig in (SIGSTOP, SIGKILL, SIGTERM)
  output: '%evt.arg.pid %evt.arg.sig %proc.pid %proc.exepath'
  priority: CRITICAL
";

fn agent() -> Builder {
    Sensor::builder().rules(RULES).set("stdout.enabled=false")
}

fn start(builder: Builder) -> (Sensor, Client) {
    let sensor = builder.start().unwrap();
    let client = sensor.client().unwrap();
    (sensor, client)
}

/// Makes so many needles, one after the other.
fn needles(count: u32) {
    for number in 0..count {
        let argument = format!("e2e-needle-{number}");
        assert!(
            Command::new("/usr/bin/true")
                .arg(argument)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// The needles that come, until all are there or no more come; and what the stream told besides.
fn found(stream: &mut Subscription<'_>, count: u32) -> (Vec<Detection>, Vec<Item>) {
    let (mut found, mut others, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    let end = Instant::now() + 2 * DEADLINE;
    while names.len() < count as usize && Instant::now() < end {
        match stream.next(DEADLINE).unwrap() {
            Some(Item::Detection(one)) if one.rule == "needle" => {
                names.insert(one.text("proc.args"));
                found.push(one);
            }
            Some(other) => others.push(other),
            None => break,
        }
    }
    (found, others)
}

/// The next detection of the sensor's own by this name.
fn own(stream: &mut Subscription<'_>, sensor: &Sensor, rule: &str) -> Detection {
    let found = stream.find(2 * DEADLINE, |found| found.rule == rule).unwrap();
    let found = found.unwrap_or_else(|| panic!("no {rule:?} came; the agent's log:\n{}", sensor.log()));
    assert_eq!(found.source, "internal");
    found
}

/// F03: 10,000 detections of one rule do not make the sensor deaf for another, nor for the same one.
#[test]
fn f03_many_detections_mute_nothing() {
    let Some(_machine) = machine() else { return };
    let (_sensor, client) = start(agent().set("grpc.queue_items_max=65536"));
    let mut stream = client.subscribe(None).unwrap();
    let status = Command::new(helper::path("storm").unwrap())
        .args(["opens", "10000", "/etc/hostname"])
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    needles(5);
    let (found, mut others) = found(&mut stream, 5);
    assert_eq!(found.len(), 5);
    // Programs come by a ring of their own, before the opens that were made before them.
    let counted = |others: &[Item]| {
        let mut counts = (0, 0);
        for item in others {
            match item {
                Item::Detection(one) if one.rule == "noise" => counts.0 += 1,
                Item::Gap(gap) => counts.1 += gap.count,
                _ => {}
            }
        }
        counts
    };
    while counted(&others).0 + counted(&others).1 < 10_000 {
        let item = stream.next(DEADLINE).unwrap();
        others.push(item.unwrap_or_else(|| panic!("only {:?} of 10,000 came", counted(&others))));
    }
    let (noise, lost) = counted(&others);
    report::note(format_args!(
        "F03: 10,000 detections of one rule, {noise} told, {lost} lost and told so; 5 of 5 of another"
    ));
}

/// F05: a hook that hangs holds up no detection.
#[test]
fn f05_a_hook_that_hangs_holds_up_nothing() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::Builder::new()
        .prefix("sensor-e2e-")
        .tempdir_in("/var/lib")
        .unwrap();
    let base = folder.path().display();
    let config = format!(
        "
respond:
  mode: act
  journal: {base}/journal
  kill_switch: {base}/off
  breaker: {base}/breaker
  hooks:
    - {{ name: hang, program: /usr/bin/sleep, args: ['60'], cooldown_s: 0, timeout_ms: 60000, mode: act }}
  bindings:
    - {{ rule: needle, hooks: [hang] }}
"
    );
    let (sensor, client) = start(agent().config(&config));
    let mut stream = client.subscribe(None).unwrap();
    needles(1);
    let hangs = wait::until(DEADLINE, || {
        has_child(sensor.pid(), "/usr/bin/sleep").then_some(())
    });
    assert!(hangs.is_some(), "no hook began: {}", sensor.log());
    needles(200);
    let (found, others) = found(&mut stream, 200);
    let names: BTreeSet<_> = found.iter().map(|one| one.text("proc.args")).collect();
    assert_eq!(names.len(), 200);
    let has_ended = |item: &Item| matches!(item, Item::HookRun(run) if matches!(run.outcome(), Outcome::Done | Outcome::Failed | Outcome::TimedOut));
    assert!(!others.iter().any(has_ended), "{others:#?}");
    assert!(
        has_child(sensor.pid(), "/usr/bin/sleep"),
        "the hook hangs: {}",
        sensor.log()
    );
}

/// Whether a process has a child that was started with this program.
fn has_child(pid: u32, program: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let parent = format!("\nPPid:\t{pid}\n");
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    processes
        .filter(|process| read(process.join("status")).contains(&parent))
        .any(|process| read(process.join("cmdline")).starts_with(program))
}

/// F06: more processes than the table holds: who was forgotten is counted, and a lineage that lacks somebody says so.
#[test]
fn f06_a_full_table_of_processes_is_counted_and_told() {
    let Some(_machine) = machine() else { return };
    let address = free_address().unwrap();
    let config = format!("metrics: {{address: \"{address}\"}}\n");
    let (sensor, client) = start(agent().set("state.processes_max=1024").config(&config));
    let mut stream = client.subscribe(None).unwrap();
    let script = "for i in $(seq 1300); do sleep 60 & done
        for i in $(seq 40); do bash -c '/usr/bin/true e2e-needle-'$i'; :'; done
        kill $(jobs -p); wait";
    let status = Command::new("bash")
        .args(["-c", script])
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let (found, _) = found(&mut stream, 40);
    assert_eq!(found.len(), 40, "{}", sensor.log());
    let evicted = wait::until(DEADLINE, || {
        let samples = scrape(address).ok()?;
        let (_, count) = samples
            .iter()
            .find(|(name, _)| name.starts_with("sensor_processes_evicted"))?;
        (*count > 0.0).then_some(*count)
    });
    let evicted = evicted.expect("processes were forgotten, and that is counted");
    // Whose parent is not known says so.
    let silent: Vec<_> = found
        .iter()
        .filter(|one| one.text("proc.pname") != "bash" && !one.is("proc.lineage.incomplete"))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
    let incomplete = found
        .iter()
        .filter(|one| one.is("proc.lineage.incomplete"))
        .count();
    report::note(format_args!(
        "F06: {evicted} processes forgotten and counted; 40 of 40 programs told, {incomplete} with an incomplete lineage"
    ));
}

/// F07: somebody keeps every processor for himself, above whom the agent is not.
#[test]
fn f07_who_takes_every_processor_delays_and_hides_nothing() {
    let Some(_machine) = machine() else { return };
    let (_sensor, client) = start(agent());
    let mut stream = client.subscribe(None).unwrap();
    // The kernel itself ends each after two seconds of processor time, whatever becomes of this test.
    let greedy = |_| {
        let mut command = Command::new("prlimit");
        command.args(["--rttime=2000000:2000000", "--cpu=4:4", "chrt", "--fifo", "10"]);
        command.args(["sh", "-c", "while :; do :; done"]);
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    let processors = std::thread::available_parallelism().unwrap().get();
    let _greedy = Ended((0..processors).map(greedy).collect());
    // Above those who are greedy, or it would have to wait for them, too.
    let script = "for i in $(seq 100); do /usr/bin/true e2e-needle-$i; done";
    let status = Command::new("chrt")
        .args(["--fifo", "20", "sh", "-c", script])
        .status();
    if !status.unwrap().success() {
        report::skip("no real-time scheduling here");
        return;
    }
    let (found, others) = found(&mut stream, 100);
    let lost = others.iter().any(|item| matches!(item, Item::Gap(_)));
    report::note(format_args!("F07: {} of 100 told, gaps: {lost}", found.len()));
    assert!(found.len() == 100 || lost, "{} of 100, and no gap", found.len());
}

/// F08: the disk that detections are written to is full.
#[test]
fn f08_a_full_disk_is_told_and_stops_nothing() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(folder.path())
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
    let file = folder.path().join("detections.jsonl");
    let (sensor, client) = start(
        agent()
            .set("file.enabled=true")
            .set(format!("file.path={}", file.display())),
    );
    let mut stream = client.subscribe(None).unwrap();
    needles(300);
    let (told, _) = found(&mut stream, 300);
    assert_eq!(told.len(), 300, "the stream knows nothing of the disk");
    let said = wait::until(DEADLINE, || {
        sensor.log().contains("a sink cannot be written to").then_some(())
    });
    said.expect("a full disk is said");
    // There is room again: it goes on, and the first line says what is missing.
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(0)
        .unwrap();
    needles(1);
    let text = wait::until(DEADLINE, || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        (text.contains("sink_failed") && text.contains("e2e-needle-0")).then_some(text)
    });
    let ended = sensor.stop();
    mount(&["umount"]);
    assert!(text.is_some(), "{ended:?}");
}

/// A01: SIGSTOP: what happened meanwhile is told afterwards, with who did it, and that nobody looked.
#[test]
fn a01_an_agent_that_is_stopped_tells_that_it_was_and_by_whom() {
    let Some(_machine) = machine() else { return };
    let (sensor, client) = start(agent());
    let mut stream = client.subscribe(None).unwrap();
    let kill = |signal: &str| {
        let mut command = Command::new("/usr/bin/env");
        let child = command.args(["kill", signal, &sensor.pid().to_string()]).spawn();
        let mut child = child.unwrap();
        assert!(child.wait().unwrap().success());
        child.id()
    };
    let killer = kill("-STOP");
    needles(50);
    // Longer than a note may be late.
    std::thread::sleep(Duration::from_secs(7));
    kill("-CONT");
    let (told, others) = found(&mut stream, 50);
    assert_eq!(told.len(), 50, "{}", sensor.log());
    // Which of them is told first is chance: the signal waits in a ring, and the agent looks at the clock when it wakes.
    let (mut signal, mut stood_still) = (None, None);
    let mut items = others.into_iter();
    let end = Instant::now() + 2 * DEADLINE;
    while (signal.is_none() || stood_still.is_none()) && Instant::now() < end {
        match items.next().or_else(|| stream.next(DEADLINE).unwrap()) {
            Some(Item::Detection(one)) if one.rule == "signal" => signal = signal.or(Some(one)),
            Some(Item::Detection(one)) if one.rule == "Sensor stood still" => stood_still = Some(one),
            _ => {}
        }
    }
    let signal = signal.expect("who stopped the agent is told");
    assert_eq!(signal.text("evt.arg.pid"), sensor.pid().to_string());
    assert_eq!(signal.text("evt.arg.sig"), "SIGSTOP");
    assert_eq!(signal.number("proc.pid"), i64::from(killer));
    let stood_still = stood_still.unwrap_or_else(|| panic!("it is not told; the log:\n{}", sensor.log()));
    assert_eq!(stood_still.source, "internal");
}

/// A01, F09: SIGKILL, by whoever or for want of memory: the next agent tells from when until when nobody looked. One that
/// stops as it should leaves nothing to tell.
#[test]
fn a01_f09_an_agent_that_was_killed_is_told_by_the_next_one() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = agent().start_in(folder.path()).unwrap();
    let note = folder.path().join("running");
    wait::until(DEADLINE, || note.exists().then_some(())).expect("the agent notes that it runs");
    let pid = first.pid();
    first.signal(Signal::KILL).unwrap();
    drop(first);
    let second = agent().start_in(folder.path()).unwrap();
    let client = second.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    let found = own(&mut stream, &second, "Sensor was down");
    assert!(
        found.text("sensor.reason").contains(&format!("process {pid} ")),
        "{found:#?}"
    );
    assert!(
        found.text("sensor.since") < found.text("sensor.until"),
        "{found:#?}"
    );
    drop(stream);
    drop(client);
    let (status, log, _) = second.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!note.exists(), "an orderly stop leaves no note");
}
