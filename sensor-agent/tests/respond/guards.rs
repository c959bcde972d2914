//! The guards, seen from outside.

use std::fs;
use std::time::Duration;

use sensor_agent::respond::journal::{JournalError, verify};
use sensor_proto::v1::Detection;
use sensor_proto::v1::hook_run::Outcome;

use super::common::{PATIENCE, Rig, Stranger, about, about_process, folder, is_root, script, wait_for};

const KILL: &str = "mode: act\nhooks: [{name: kill, builtin: kill-process-tree}]\n\
                    bindings: [{rule: '*', hooks: [kill]}]";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_detection_a_hundred_times_is_one_action() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let count = folder.path().join("count");
    let program = script(&folder, "hook", &format!("echo >> {}", count.display()));
    let yaml = format!(
        "mode: act\nhooks: [{{name: h, program: {}, privileged: true}}]\nbindings: [{{rule: '*', hooks: [h]}}]",
        program.display()
    );
    let rig = Rig::new(&folder, &yaml);
    for number in 0..100 {
        // The same process, but another id and another text each time.
        let output = format!("attempt {number}");
        rig.handle(&Detection {
            output,
            ..about_process(&number.to_string(), 4_000_000, 7)
        });
    }
    let mut runs: Vec<_> = (0..100).map(|_| rig.next()).collect();
    runs.extend(rig.stop(PATIENCE).await);
    let outcomes = |outcome| runs.iter().filter(|run| run.outcome() == outcome).count();
    assert_eq!(
        (outcomes(Outcome::Done), outcomes(Outcome::Suppressed), runs.len()),
        (1, 99, 100)
    );
    assert_eq!(fs::read_to_string(count).unwrap(), "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kill_switch_stops_all_acts_until_it_is_removed() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let stranger = Stranger::new("echo ready; read x");
    let rig = Rig::new(&folder, KILL);
    let off = folder.path().join("own/off");
    fs::write(&off, "").unwrap();
    rig.expect(&about("one", stranger.pid), Outcome::Refused, "kill switch");
    assert!(fs::exists(format!("/proc/{}", stranger.pid)).unwrap());
    fs::remove_file(&off).unwrap();
    rig.expect(&about("two", stranger.pid), Outcome::Done, "killed");
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_counted_and_told() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let rig = Rig::new(&folder, &format!("{KILL}\nlimits: {{queue_max: 1}}"));
    let sent = 5000;
    for number in 0..sent {
        rig.handle(&about_process(&number.to_string(), 4_000_000, 7));
    }
    wait_for("the queue never was full", || rig.responder.lost() > 0);
    let lost = rig.responder.lost();
    let runs = rig.stop(PATIENCE).await;
    let told = |what: &str| -> u64 {
        let numbers = runs.iter().filter_map(|run| {
            let before = run.detail.split_once(what)?.0;
            before
                .rsplit(|letter: char| !letter.is_ascii_digit())
                .next()?
                .parse::<u64>()
                .ok()
        });
        numbers.sum()
    };
    assert_eq!(
        told(" detections that hooks are bound to were not looked at"),
        lost
    );
    // Each detection is told one by one, or as one of a number.
    let one_by_one = runs.iter().filter(|run| run.hook == "kill").count() as u64;
    assert_eq!(one_by_one + told(" more runs were held back") + lost, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_kills_what_runs_on_and_records_what_waits() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let started = folder.path().join("started");
    let program = script(
        &folder,
        "hook",
        &format!("touch {}; sleep 600", started.display()),
    );
    let yaml = format!(
        "mode: act\nhooks: [{{name: h, program: {}, privileged: true, timeout_ms: 600000}}]\n\
         bindings: [{{rule: '*', hooks: [h]}}]",
        program.display()
    );
    let rig = Rig::new(&folder, &yaml);
    for pid in 0..4 {
        rig.handle(&about_process(&pid.to_string(), 4_000_000 + pid, 7));
    }
    wait_for("the hook never started", || started.exists());
    let runs = rig.stop(Duration::from_millis(100)).await;
    let mut outcomes: Vec<_> = runs
        .iter()
        .map(|run| (run.outcome(), run.detail.as_str()))
        .collect();
    outcomes.sort();
    let waiting = (Outcome::Suppressed, "the agent is stopping");
    assert_eq!(outcomes[0].0, Outcome::TimedOut);
    assert!(outcomes[0].1.contains("the agent stopped"), "{outcomes:?}");
    assert_eq!(outcomes[1..], [waiting, waiting, waiting]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_journal_is_told_at_the_next_start_and_a_changed_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(&folder, KILL);
    rig.answer(&about_process("d", 4_000_000, 1));
    let path = rig.journal.clone();
    rig.stop(PATIENCE).await;
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let rig = Rig::new(&folder, KILL);
    let told = rig.next();
    assert!(
        told.outcome() == Outcome::Failed && told.detail.contains("torn last line"),
        "{told:?}"
    );
    rig.stop(PATIENCE).await;

    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("opened", "Opened", 1)).unwrap();
    assert!(matches!(verify(&path), Err(JournalError::Broken { line: 2, .. })));
    let rig = Rig::new(&folder, KILL);
    let told = rig.next();
    assert!(told.detail.contains("the chain is broken at line 2"), "{told:?}");
    rig.responder.shutdown(std::time::Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hooks_nothing_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::new(&folder, "mode: act");
    rig.handle(&about_process("d", 4_000_000, 1));
    rig.responder.shutdown(std::time::Instant::now()).await;
    assert!(!folder.path().join("own").exists());
}
