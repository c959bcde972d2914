//! What a name means changes while it is opened: T02, T03, T05, T06, T09.

use std::{fs, time::Duration};

use sensor_proto::v1::{Detection, subscribe_response::Item};
use sensor_tests::{report, values::Values as _, wait::DEADLINE};

use crate::agent::{Agent, Vault, Watch, agent, pid_of, run, text};

const COUNT: usize = 1000;

/// Runs a race: the vault, the process's id, how many opens there were, and how many of them were the secret.
fn race(way: &str) -> (Vault, u32, usize, usize) {
    let vault = Vault::new();
    let public = vault.secret.with_file_name("public");
    fs::write(&public, "public\n").unwrap();
    fs::write(vault.place.join("shadow"), "not the secret\n").unwrap();
    let arguments = [
        way,
        text(&vault.secret),
        text(&public),
        text(&vault.place),
        &COUNT.to_string(),
    ];
    let (pid, printed) = run("races", &arguments);
    let (opened, found) = printed.split_once(' ').unwrap();
    (vault, pid, opened.parse().unwrap(), found.parse().unwrap())
}

/// Detections of a rule and a process that fit: so many, and none for a moment after the last.
fn all(
    watch: &mut Watch<'_>,
    rule: &str,
    pid: u32,
    expected: usize,
    fits: impl Fn(&Detection) -> bool,
) -> usize {
    let mut count = 0;
    loop {
        let patience = if count < expected {
            DEADLINE
        } else {
            Duration::from_millis(500)
        };
        match watch.next(patience) {
            Some(Item::Detection(found)) if found.rule == rule && pid_of(&found) == pid && fits(&found) => {
                count += 1;
            }
            Some(Item::Gap(gap)) => panic!("events were lost: {gap:?}"),
            Some(_) => {}
            None => return count,
        }
    }
}

/// As many opens are told as the secret as were the secret, however the name read at the time.
fn is_counted(agent: &Agent, way: &str) {
    let mut watch = agent.watch();
    let (vault, pid, opened, really) = race(way);
    let told = all(&mut watch, "secret read", pid, really, |found| {
        found.text("evt.res") == "SUCCESS" && found.text("fd.name") == text(&vault.secret)
    });
    report::note(format_args!(
        "{way}: {opened} opens, {really} of the secret, {told} told"
    ));
    assert_eq!(told, really, "{way}: of {opened}");
}

#[test]
fn t02_a_name_that_changes_in_memory() {
    let Some(agent) = agent() else { return };
    is_counted(&agent, "memory");
}

#[test]
fn t03_a_link_that_changes() {
    let Some(agent) = agent() else { return };
    is_counted(&agent, "link");
}

#[test]
fn t05_a_call_that_a_long_filter_delays() {
    let Some(agent) = agent() else { return };
    is_counted(&agent, "filter");
}

#[test]
fn t06_a_descriptor_that_changes_before_it_is_looked_at() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let (vault, pid, opened, _) = race("descriptor");
    assert_eq!(opened, COUNT);
    let secret = text(&vault.secret).to_owned();
    let swapped = std::cell::Cell::new(0);
    let told = all(&mut watch, "secret asked for", pid, opened, |found| {
        let is_seen = found.text("fd.name") == secret && found.text("evt.incomplete").is_empty();
        // Another file was there by then, or none: either is said.
        let is_said = found.text("path.mismatch") == "true"
            || found.text("evt.incomplete") == "fd.name: the descriptor changed before it could be read";
        swapped.set(swapped.get() + usize::from(!is_seen));
        assert!(is_seen || is_said, "{found:#?}");
        true
    });
    let swapped = swapped.get();
    report::note(format_args!(
        "descriptor: {opened} opens, {told} told, {swapped} of them with another file"
    ));
    assert_eq!(told, opened);
}

#[test]
fn t09_a_working_directory_that_changes() {
    let Some(agent) = agent() else { return };
    is_counted(&agent, "folder");
}
