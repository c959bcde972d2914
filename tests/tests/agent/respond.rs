//! What a detection sets in motion: hooks bound by rule and by tag, watching or acting.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
};

use sensor_proto::v1::{
    HookRun,
    hook_run::{Mode, Outcome},
    subscribe_response::Item,
};
use sensor_tests::{
    client::Subscription,
    sensor::{Builder, Sensor},
    wait::{self, DEADLINE},
};

use crate::machine;

const GOOD: &str = "listen: 127.0.0.1\n";
const BAD: &str = "listen: 0.0.0.0\n";

const RULES: &str = "
- rule: written
  desc: a file that the test looks after was written
  condition: evt.type = openat and evt.is_open_write = true and fd.name startswith /var/lib/sensor-e2e-
    and fd.filename = app.conf and proc.name = sh
  output: written %fd.name by %proc.cmdline
  priority: WARNING
  tags: [files]
- rule: victim
  desc: a tree of processes that the test made
  condition: evt.type = execve and proc.cmdline contains e2e-victim and proc.name = sh
  output: victim %proc.cmdline
  priority: CRITICAL
  tags: [processes]
";

/// A folder that only root can write in, as hooks demand it of what they use.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("sensor-e2e-")
        .tempdir_in("/var/lib")
        .unwrap()
}

/// An agent with one file to restore, one tree to kill and one program to call.
fn agent(folder: &Path, mode: &str) -> Builder {
    let base = folder.display();
    let config = format!(
        "
respond:
  mode: {mode}
  journal: {base}/own/journal
  kill_switch: {base}/own/off
  breaker: {base}/own/breaker
  hooks:
    - {{ name: restore, builtin: restore-file, copies: {base}/own/copies, paths: [{base}/app.conf], cooldown_s: 0 }}
    - {{ name: kill, builtin: kill-process-tree, cooldown_s: 0 }}
    - {{ name: tell, program: /usr/bin/tee, args: [{base}/told], privileged: true, cooldown_s: 0 }}
  bindings:
    - {{ rule: writ*, hooks: [restore, tell] }}
    - {{ tag: processes, hooks: [kill] }}
"
    );
    Sensor::builder().rules(RULES).config(&config)
}

/// The next runs of these hooks, in the order in which they are asked for; other items are left aside.
fn runs_of<const N: usize>(stream: &mut Subscription<'_>, hooks: [&str; N]) -> [HookRun; N] {
    let mut found = hooks.map(|_| None);
    while let Some(missing) = found.iter().position(Option::is_none) {
        match stream.next(DEADLINE).unwrap() {
            Some(Item::HookRun(run)) => {
                if let Some(at) = hooks.iter().position(|hook| *hook == run.hook) {
                    found[at].get_or_insert(run);
                }
            }
            Some(_) => {}
            None => panic!("no run of {} was told", hooks[missing]),
        }
    }
    found.map(Option::unwrap)
}

/// Writes a file as an attacker would.
fn tamper(file: &Path) {
    let mut shell = Command::new("/bin/sh");
    let wrote = shell
        .args(["-c", "echo 'listen: 0.0.0.0' > \"$0\""])
        .arg(file)
        .status()
        .unwrap();
    assert!(wrote.success());
}

/// A shell and its child, which would run for long.
fn victim() -> Child {
    Command::new("/bin/sh")
        .args(["-c", "sleep 1000 & echo > /dev/null; wait # e2e-victim"])
        .spawn()
        .unwrap()
}

#[test]
fn hooks_only_watch_until_they_are_told_to_act() {
    let Some(_machine) = machine() else { return };
    let folder = folder();
    let file = folder.path().join("app.conf");
    fs::write(&file, GOOD).unwrap();
    let sensor = agent(folder.path(), "observe").start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    tamper(&file);
    let [run] = runs_of(&mut stream, ["restore"]);
    assert_eq!(
        (run.mode(), run.outcome()),
        (Mode::Observe, Outcome::Observed),
        "{run:?}"
    );
    assert!(run.detail.contains(file.to_str().unwrap()), "{run:?}");
    assert_eq!(run.rule, "written");

    let mut victim = victim();
    let [run] = runs_of(&mut stream, ["kill"]);
    assert_eq!(
        (run.mode(), run.outcome()),
        (Mode::Observe, Outcome::Observed),
        "{run:?}"
    );
    assert!(run.detail.contains(&victim.id().to_string()), "{run:?}");
    assert!(victim.try_wait().unwrap().is_none(), "it lives");
    assert_eq!(fs::read_to_string(&file).unwrap(), BAD, "it is as it was written");
    assert!(!folder.path().join("told").exists(), "the program was not called");
    kill_tree(&mut victim);
    let (status, log, _) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_file_is_put_back_and_a_program_is_told() {
    let Some(_machine) = machine() else { return };
    let folder = folder();
    let file = folder.path().join("app.conf");
    fs::write(&file, GOOD).unwrap();
    let sensor = agent(folder.path(), "act").start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    tamper(&file);
    let detection = stream
        .find(DEADLINE, |detection| detection.rule == "written")
        .unwrap()
        .unwrap();
    for run in runs_of(&mut stream, ["restore", "tell"]) {
        assert_eq!((run.mode(), run.outcome()), (Mode::Act, Outcome::Done), "{run:?}");
        assert_eq!(run.detection_id, detection.id);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), GOOD);
    let told = fs::read(folder.path().join("told")).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["rule"], "written");
    assert_eq!(told["output_fields"]["fd.name"], file.to_str().unwrap());

    let (status, log, _) = sensor.stop().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    let journal = fs::read_to_string(folder.path().join("own/journal")).unwrap();
    assert!(
        journal.lines().count() >= 4,
        "an intent and an outcome of each run: {journal}"
    );
    assert!(journal.contains(&detection.id), "{journal}");
}

#[test]
fn a_tree_of_processes_is_ended() {
    let Some(_machine) = machine() else { return };
    let folder = folder();
    fs::write(folder.path().join("app.conf"), GOOD).unwrap();
    let sensor = agent(folder.path(), "act").start().unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();
    let mut victim = victim();
    let [run] = runs_of(&mut stream, ["kill"]);
    assert_eq!((run.mode(), run.outcome()), (Mode::Act, Outcome::Done), "{run:?}");
    assert_eq!(run.rule, "victim");
    let ended = wait::until(DEADLINE, || victim.try_wait().unwrap());
    if ended.is_none() {
        kill_tree(&mut victim);
    }
    let ended = ended.expect("the shell was killed");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    sensor.stop().unwrap();
}

/// Ends a shell and its children, which are in nobody's way any more.
fn kill_tree(shell: &mut Child) {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id())).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(child) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
}
