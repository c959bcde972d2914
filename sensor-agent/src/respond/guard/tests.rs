use std::path::Path;
use std::time::{Duration, Instant};

use sensor_proto::v1::hook_run::Outcome;
use sensor_proto::v1::{Ancestor, Container, Detection, Process};

use super::super::config::{Mode, RespondConfig};
use super::super::policy::Policy;
use super::{Bucket, Guards, HeldBack};

/// Guards over a folder of their own, and one hook of each kind.
fn guards(folder: &Path, limits: &str, now: Instant) -> (Guards, Policy) {
    let yaml = format!(
        "hooks: [{{name: kill, builtin: kill-process-tree}}, {{name: run, program: /usr/bin/env}}]\n\
         kill_switch: {0}/off\nbreaker: {0}/breaker\nlimits: {{{limits}}}\n",
        folder.display()
    );
    let config: RespondConfig = serde_saphyr::from_str(&yaml).unwrap();
    (Guards::new(&config, now), Policy::new(&config).unwrap())
}

fn detection(rule: &str, pid: u32, container: Option<&str>) -> Detection {
    let process = Process {
        pid,
        start_time_ns: 7,
        ..Process::default()
    };
    let container = container.map(|id| Container {
        id: id.into(),
        ..Container::default()
    });
    // The text differs each time, as an attacker would have it.
    let output = format!("{rule} {pid} {:?}", Instant::now());
    Detection {
        rule: rule.into(),
        process: Some(process),
        container,
        output,
        ..Detection::default()
    }
}

fn reason(held: Result<(), HeldBack>, outcome: Outcome) -> String {
    let held = held.unwrap_err();
    assert_eq!(held.outcome, outcome, "{held:?}");
    held.reason
}

#[test]
fn cooldown_is_for_hook_rule_and_target() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(folder.path(), "breaker_targets_max: 100", now);
    let (kill, run) = (&policy.hooks[0], &policy.hooks[1]);
    let mut admit = |hook, detection, seconds| {
        guards.admit(hook, Mode::Act, &detection, now + Duration::from_secs(seconds))
    };
    admit(kill, detection("a", 9, None), 0).unwrap();
    for second in 0..60 {
        assert!(
            reason(admit(kill, detection("a", 9, None), second), Outcome::Suppressed).contains("cooldown")
        );
    }
    admit(kill, detection("a", 10, None), 1).unwrap();
    admit(kill, detection("b", 9, None), 1).unwrap();
    admit(run, detection("a", 9, None), 1).unwrap();
    admit(kill, detection("a", 9, None), 60).unwrap();
    // A program's target is the container, whichever process it was; a kill's is the process.
    admit(run, detection("a", 20, Some("c1")), 1).unwrap();
    assert!(admit(run, detection("a", 21, Some("c1")), 1).is_err());
    admit(kill, detection("a", 21, Some("c1")), 1).unwrap();
}

#[test]
fn kill_switch_stops_acts_and_uses_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(folder.path(), "runs_per_minute: 1", now);
    let off = folder.path().join("off");
    // A link to nowhere is there, too.
    std::os::unix::fs::symlink("/nowhere", &off).unwrap();
    let hook = &policy.hooks[0];
    let held = guards.admit(hook, Mode::Act, &detection("a", 9, None), now);
    assert!(reason(held, Outcome::Refused).contains("kill switch"));
    std::fs::remove_file(&off).unwrap();
    guards
        .admit(hook, Mode::Act, &detection("a", 9, None), now)
        .unwrap();
}

#[test]
fn breaker_opens_for_the_rule_and_closes_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(folder.path(), "breaker_targets_max: 5", now);
    let hook = &policy.hooks[0];
    let mut admit = |rule: &str, pid| guards.admit(hook, Mode::Act, &detection(rule, pid, None), now);
    for pid in 100..105 {
        admit("wrong", pid).unwrap();
    }
    for pid in 105..200 {
        assert!(reason(admit("wrong", pid), Outcome::Suppressed).contains("circuit breaker"));
    }
    admit("right", 300).unwrap();
    let file = folder.path().join("breaker");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "wrong\n");
    std::fs::remove_file(&file).unwrap();
    admit("wrong", 200).unwrap();
}

#[test]
fn breaker_forgets_after_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(
        folder.path(),
        "breaker_targets_max: 1, breaker_window_s: 300",
        now,
    );
    let hook = &policy.hooks[0];
    guards
        .admit(hook, Mode::Act, &detection("a", 9, None), now)
        .unwrap();
    let later = now + Duration::from_mins(5);
    guards
        .admit(hook, Mode::Act, &detection("a", 10, None), later)
        .unwrap();
    // One container is one target, whatever its processes.
    for pid in 20..30 {
        let later = later + Duration::from_mins(5);
        guards
            .admit(hook, Mode::Act, &detection("a", pid, Some("c1")), later)
            .unwrap();
    }
}

#[test]
fn rate_is_for_all_hooks_together() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(
        folder.path(),
        "runs_per_minute: 6, breaker_targets_max: 1000",
        now,
    );
    let mut admitted = |seconds: u64, pids: std::ops::Range<u32>| {
        let now = now + Duration::from_secs(seconds);
        let admit = |pid: &u32| {
            let hook = &policy.hooks[*pid as usize % 2];
            guards
                .admit(hook, Mode::Observe, &detection("a", *pid, None), now)
                .is_ok()
        };
        pids.filter(admit).count()
    };
    assert_eq!(admitted(0, 100..120), 6);
    assert_eq!(admitted(20, 200..220), 2);
    assert_eq!(admitted(3600, 300..320), 6);
}

#[test]
fn bucket_never_holds_more_than_it_may() {
    let now = Instant::now();
    let mut bucket = Bucket::new(2.0, 1.0, now);
    let later = now + Duration::from_secs(1000);
    assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 2);
}

#[test]
fn what_the_agent_causes_is_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut guards, policy) = guards(folder.path(), "", now);
    let own = std::process::id();
    let below = {
        let mut detection = detection("a", 9, None);
        let ancestor = |pid| Ancestor {
            pid,
            ..Ancestor::default()
        };
        detection.process.as_mut().unwrap().ancestors = vec![ancestor(8), ancestor(own)];
        detection
    };
    for detection in [detection("a", own, None), below] {
        let held = guards.admit(&policy.hooks[0], Mode::Observe, &detection, now);
        assert!(reason(held, Outcome::Refused).contains("caused"));
    }
}
