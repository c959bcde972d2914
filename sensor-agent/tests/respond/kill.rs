//! `kill-process-tree`.

use std::fs;

use sensor_proto::v1::hook_run::Outcome;

use super::common::{
    PATIENCE, Rig, Stranger, about, about_process, folder, in_container, is_root, start_time_ns,
    with_argument,
};

fn yaml(mode: &str, rest: &str) -> String {
    format!(
        "mode: {mode}\nhooks: [{{name: kill, builtin: kill-process-tree, cooldown_s: 0}}]\n\
         bindings: [{{rule: '*', hooks: [kill]}}]\n{rest}"
    )
}

fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn mark(number: u32) -> String {
    format!("32{:07}{number}", std::process::id())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_and_all_below_it_end() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let mark = mark(1);
    let stranger = Stranger::new(&format!(
        "sleep {mark} & setsid sh -c 'sleep {mark} & sleep {mark}' & sleep 0; echo ready; wait"
    ));
    super::common::wait_for("the tree never grew", || with_argument(&mark).len() == 3);
    let rig = Rig::new(&folder, &yaml("observe", ""));
    let run = rig.expect(&about("look", stranger.pid), Outcome::Observed, "would kill");
    assert!(run.detail.contains(&format!("{} (sh)", stranger.pid)), "{run:?}");
    assert_eq!(with_argument(&mark).len(), 3);
    rig.stop(PATIENCE).await;

    let rig = Rig::new(&folder, &yaml("act", ""));
    let run = rig.expect(&about("act", stranger.pid), Outcome::Done, "killed");
    assert_eq!(run.detail.matches("(sleep)").count(), 3, "{run:?}");
    assert!(!lives(stranger.pid));
    assert!(with_argument(&mark).is_empty());
    rig.expect(&about_process("again", stranger.pid, 7), Outcome::Refused, "");
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_keeps_forking_ends_as_well() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let mark = mark(2);
    let stranger = Stranger::new(&format!(
        "echo ready; i=0; while [ $i -lt 3000 ]; do sleep {mark} & i=$((i+1)); done; wait"
    ));
    let rig = Rig::new(&folder, &yaml("act", ""));
    rig.expect(&about("act", stranger.pid), Outcome::Done, "killed");
    assert!(with_argument(&mark).is_empty());
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_process_id_is_refused() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let stranger = Stranger::new("echo ready; read x");
    let right = start_time_ns(stranger.pid);
    let rig = Rig::new(&folder, &yaml("act", "limits: {breaker_targets_max: 100}"));
    for wrong in [0, 1, right - 50_000_000, right + 50_000_000, u64::MAX] {
        let detection = about_process("d", stranger.pid, wrong);
        rig.expect(&detection, Outcome::Refused, "its id was used again");
        assert!(lives(stranger.pid));
    }
    rig.expect(&about("d", stranger.pid), Outcome::Done, "killed");
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_live_is_refused() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let rig = Rig::new(&folder, &yaml("act", "limits: {breaker_targets_max: 100}"));
    let mut child = std::process::Command::new("/bin/sleep")
        .arg("600")
        .spawn()
        .unwrap();
    rig.expect(&about("first", 1), Outcome::Refused, "never killed");
    rig.expect(&about("self", std::process::id()), Outcome::Refused, "caused");
    let parent = std::os::unix::process::parent_id();
    if parent > 1 {
        rig.expect(
            &about("parent", parent),
            Outcome::Refused,
            "the agent descends from it",
        );
    }
    rig.expect(
        &about("own", child.id()),
        Outcome::Refused,
        "the agent's own hooks",
    );
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
        rig.expect(&about("kernel", 2), Outcome::Refused, "kernel thread");
    }
    assert!(lives(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_protected_is_refused_or_spared() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let mark = mark(3);
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    let protected = [
        ("processes: ['s*']".into(), "its name is protected"),
        (
            format!("paths: ['{}']", shell.display()),
            "its executable is protected",
        ),
        ("containers: [host]".into(), "processes of the host are protected"),
    ];
    let stranger = Stranger::new(&format!("sleep {mark} & sleep 0; echo ready; read x"));
    super::common::wait_for("the tree never grew", || with_argument(&mark).len() == 1);
    for (protected, why) in protected {
        let rig = Rig::new(&folder, &yaml("act", &format!("protected: {{{protected}}}")));
        rig.expect(&about("d", stranger.pid), Outcome::Refused, why);
        rig.stop(PATIENCE).await;
    }
    let rig = Rig::new(&folder, &yaml("act", "protected: {containers: [c0ffeec0ffee]}"));
    let detection = in_container(about("d", stranger.pid));
    rig.expect(
        &detection,
        Outcome::Refused,
        "container `c0ffeec0ffee` is protected",
    );
    rig.stop(PATIENCE).await;

    // One that is protected lives on below one that is not.
    let below = with_argument(&mark)[0];
    let yaml = yaml("act", &format!("protected: {{paths: ['{}']}}", sleep.display()));
    let rig = Rig::new(&folder, &yaml);
    rig.expect(
        &about("d", stranger.pid),
        Outcome::Done,
        &format!("spared {below} (sleep)"),
    );
    assert!(!lives(stranger.pid) && lives(below));
    rig.stop(PATIENCE).await;
    std::process::Command::new("/bin/kill")
        .args(["-KILL", &below.to_string()])
        .status()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_of_a_container_needs_include_init() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let stranger = Stranger::below(&["unshare", "--pid", "--fork"], "echo ready; read x");
    let init = stranger.pid;
    let rig = Rig::new(&folder, &yaml("act", ""));
    rig.expect(
        &about("d", init),
        Outcome::Refused,
        "first process of a container",
    );
    assert!(lives(init));
    rig.stop(PATIENCE).await;
    let yaml = yaml("act", "").replace("cooldown_s: 0", "cooldown_s: 0, include_init: true");
    let rig = Rig::new(&folder, &yaml);
    rig.expect(&about("d", init), Outcome::Done, "killed");
    assert!(!lives(init));
    rig.stop(PATIENCE).await;
}
