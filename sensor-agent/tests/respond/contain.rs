//! Hooks that do not behave (R16): each is over within its time, and leaves nothing behind.

use std::time::{Duration, Instant};

use sensor_proto::v1::hook_run::Outcome;

use super::common::{PATIENCE, Rig, about_process, folder, is_root, script, with_argument};

/// Runs `body` for at most `timeout_ms`; returns the run's detail.
async fn run(body: &str, timeout_ms: u64, outcome: Outcome) -> String {
    let folder = folder();
    let program = script(&folder, "hook", body);
    let yaml = format!(
        "mode: act\nhooks: [{{name: h, program: {}, timeout_ms: {timeout_ms}}}]\n\
         bindings: [{{rule: '*', hooks: [h]}}]",
        program.display()
    );
    let rig = Rig::with_json(&folder, &yaml, |_| vec![b'x'; 1 << 20]);
    let started = Instant::now();
    let run = rig.expect(&about_process("d", 4_000_000, 1), outcome, "");
    // Its time, and what is given to the clearing up.
    assert!(
        started.elapsed() < Duration::from_millis(timeout_ms) + Duration::from_secs(15),
        "{run:?}"
    );
    let last = rig.journal_lines().pop().unwrap();
    assert!(last["output"]["stdout"].as_str().unwrap().len() <= 64 << 10);
    rig.stop(PATIENCE).await;
    run.detail
}

/// A length of sleep that only this test's processes have.
fn mark(number: u32) -> String {
    format!("31{:07}{number}", std::process::id())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_without_reading() {
    if !is_root() {
        return;
    }
    let mark = mark(1);
    let detail = run(
        &format!("trap '' TERM INT HUP; sleep {mark}"),
        300,
        Outcome::TimedOut,
    )
    .await;
    assert!(detail.contains("did not end in time"), "{detail}");
    assert!(with_argument(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_starts_others_which_hide() {
    if !is_root() {
        return;
    }
    let mark = mark(2);
    // In the background, in sessions of their own, orphaned, and without our environment.
    let body = format!(
        "sleep {mark} &\n(setsid sleep {mark} &)\nsetsid sh -c 'sleep {mark} & sleep {mark}' &\n\
         env -i setsid sleep {mark} &\necho started\nsleep {mark}"
    );
    let detail = run(&body, 1000, Outcome::TimedOut).await;
    assert!(detail.contains("started"), "{detail}");
    assert!(with_argument(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_a_daemon() {
    if !is_root() {
        return;
    }
    let mark = mark(3);
    // The daemon holds standard output open, too.
    let detail = run(&format!("setsid sleep {mark} &\nexit 0"), 30_000, Outcome::Done).await;
    assert!(
        detail.contains("1 processes that it left were killed"),
        "{detail}"
    );
    assert!(with_argument(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_keeps_forking() {
    if !is_root() {
        return;
    }
    let mark = mark(4);
    let body = format!("i=0; while [ $i -lt 2000 ]; do sleep {mark} & i=$((i+1)); done; wait");
    run(&body, 400, Outcome::TimedOut).await;
    assert!(with_argument(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_prints_a_gigabyte() {
    if !is_root() {
        return;
    }
    run(
        "head -c 1073741824 /dev/zero | tr '\\0' x; exit 0",
        60_000,
        Outcome::Done,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_prints_for_ever() {
    if !is_root() {
        return;
    }
    run("yes & yes >&2", 500, Outcome::TimedOut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_closes_everything_and_stays() {
    if !is_root() {
        return;
    }
    let mark = mark(5);
    run(
        &format!("exec 0<&- 1>&- 2>&-; exec sleep {mark}"),
        300,
        Outcome::TimedOut,
    )
    .await;
    assert!(with_argument(&mark).is_empty());
}
