//! Rules are changed while the agent runs: nothing is lost or unmatched, and rules with errors change nothing.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sensor_proto::v1::{RulesReload, subscribe_response::Item};
use sensor_tests::{
    binary,
    client::{Client, Subscription},
    helper, report,
    sensor::Sensor,
    wait::DEADLINE,
};

use crate::machine;

/// Openings that a rule of every generation matches.
const NEEDLES: u64 = 2_000;
/// For how long, at least, files are opened as fast as it goes.
const FLOOD_SECONDS: &str = "5";

/// A thousand rules, of which the last matches what is opened at `needle`.
fn thousand(generation: u32, needle: &Path) -> String {
    let mut text = String::new();
    for number in 0..999 {
        let _infallible = writeln!(
            text,
            "- rule: rule {number} of {generation}\n  desc: one of many\n  condition: evt.type in (open, openat) and fd.name startswith /nonexistent/{number}/ and proc.name in (a{number}, b{number})\n  output: opened\n  priority: NOTICE"
        );
    }
    let _infallible = writeln!(
        text,
        "- rule: needle\n  desc: what must not be missed\n  condition: evt.type in (open, openat) and fd.name = {}\n  output: opened\n  priority: NOTICE",
        needle.display()
    );
    text
}

/// Rules in one step, so that no half of them is read.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn next_reload(stream: &mut Subscription<'_>) -> RulesReload {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Some(Item::RulesReload(reload)) = stream.next(Duration::from_secs(1)).unwrap() {
            return reload;
        }
    }
    panic!("no word of new rules");
}

fn command(sensor: &Sensor) -> (Option<i32>, String) {
    let output = Command::new(binary::sensor())
        .args(["rules", "reload", "--address"])
        .arg(sensor.socket())
        .env_remove("SENSOR_ADDRESS")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn lost(client: &Client) -> u64 {
    let status = client.status().unwrap();
    status.kinds.iter().flat_map(|kind| kind.lost.values()).sum()
}

#[test]
fn a_thousand_rules_are_replaced_under_full_load_and_nothing_is_missed() {
    let Some(_claim) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (needle, other) = (folder.path().join("needle"), folder.path().join("other"));
    fs::write(&needle, "").unwrap();
    fs::write(&other, "").unwrap();
    let rules = folder.path().join("rules.yaml");
    fs::write(&rules, thousand(0, &needle)).unwrap();
    let sensor = Sensor::builder()
        .rule_files(&rules)
        .set("rules.watch=false")
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    let load = helper::path("load").unwrap();

    let mut flood = Command::new(&load)
        .args(["flood-open", FLOOD_SECONDS])
        .arg(&other)
        .arg("0")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut needles = Command::new(&load)
        .args(["needle", &NEEDLES.to_string()])
        .arg(&needle)
        .arg("1000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut times = Vec::new();
    let mut generation = 0;
    while needles.try_wait().unwrap().is_none() {
        generation += 1;
        replace(&rules, &thousand(generation, &needle));
        let begin = Instant::now();
        let (code, said) = command(&sensor);
        times.push(begin.elapsed());
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(flood.wait().unwrap().success() && needles.wait().unwrap().success());
    assert!(generation >= 2, "only {generation} reloads");

    let found = || {
        client
            .status()
            .unwrap()
            .rules
            .unwrap()
            .matches
            .get("needle")
            .copied()
            .unwrap_or(0)
    };
    let end = Instant::now() + DEADLINE;
    while found() + lost(&client) < NEEDLES && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (found, lost) = (found(), lost(&client));
    times.sort_unstable();
    report::note(format_args!(
        "{generation} reloads of 1,000 rules under load: median {:?}, longest {:?}; {found} of {NEEDLES} needles, {lost} events lost",
        times[times.len() / 2],
        times[times.len() - 1]
    ));
    for line in sensor
        .log()
        .lines()
        .filter(|line| line.contains("new rules are in use"))
        .take(3)
    {
        report::note(line);
    }
    // What a full ring lost is counted; what was delivered is matched once, by one set or the other.
    assert!(
        found <= NEEDLES && found + lost >= NEEDLES,
        "{found} found, {lost} lost"
    );
    let status = client.status().unwrap();
    assert!(status.kinds.iter().all(|kind| kind.malformed == 0));
    assert_eq!(status.rules.unwrap().generation, u64::from(generation) + 1);
}

#[test]
fn rules_with_errors_are_refused_and_the_former_stay() {
    let Some(_claim) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let needle = folder.path().join("needle");
    fs::write(&needle, "").unwrap();
    let rules = folder.path().join("rules.yaml");
    fs::write(&rules, thousand(0, &needle)).unwrap();
    let sensor = Sensor::builder().rule_files(&rules).start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();

    // Nobody asks: the change itself is noticed.
    replace(
        &rules,
        "- rule: broken\n  desc: d\n  condition: no.such.field = 1\n  output: o\n  priority: NOTICE\n",
    );
    let refused = next_reload(&mut stream);
    assert_eq!(
        (refused.applied, refused.trigger.as_str()),
        (false, "files_changed")
    );
    assert!(refused.error.contains("rules.yaml:3"), "{}", refused.error);
    let status = client.status().unwrap();
    assert!(
        status.degraded.iter().any(|reason| reason.contains("refused")),
        "{:?}",
        status.degraded
    );
    assert_eq!(
        status
            .rules
            .as_ref()
            .map(|rules| (rules.generation, rules.enabled)),
        Some((1, 1000))
    );
    fs::read(&needle).unwrap();
    let found = stream
        .find(DEADLINE, |detection| detection.rule == "needle")
        .unwrap();
    assert!(found.is_some(), "the former rules are at work");
    let (code, said) = command(&sensor);
    assert!(
        code == Some(2) && said.contains("no.such.field"),
        "{code:?} {said}"
    );

    // A rule that needs another call: its hook comes, and goes with the rule.
    replace(
        &rules,
        "- rule: connects\n  desc: d\n  condition: evt.type = connect and fd.sport = 1\n  output: o\n  priority: NOTICE\n",
    );
    assert!(next_reload(&mut stream).applied || next_reload(&mut stream).applied);
    let status = client.status().unwrap();
    assert!(
        !status.degraded.iter().any(|reason| reason.contains("refused")),
        "{:?}",
        status.degraded
    );
    let kinds: Vec<_> = status.hooks.iter().flat_map(|hook| hook.kinds.clone()).collect();
    assert!(
        kinds.contains(&"connect".to_owned()) && !kinds.contains(&"open".to_owned()),
        "{kinds:?}"
    );
}
