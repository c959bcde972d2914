//! What a program was told at its start, without its secrets; and as whom it and its ancestors were started.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::{Child, Command, Stdio},
};

use sensor_proto::v1::Detection;
use sensor_tests::{client::Subscription, container::Container, values::Values as _, wait::DEADLINE};

use crate::agent::agent_by;

const RULES: &str = r"
- rule: environment
  desc: what a program was told at its start
  condition: evt.type in (execve, execveat) and proc.env[E2E_WORD] startswith e2e-
  output: >
    %proc.name %container.full_id %proc.env[E2E_WORD] %proc.env[E2E_BYTES] %proc.env[API_TOKEN] %proc.env[DATABASE_URL]
    %proc.env %proc.aenv[E2E_WORD] %proc.aenv[1] %meta.pending %evt.incomplete
  priority: NOTICE
";

/// Something that no value may contain.
const SECRET: &str = "hunter2";

/// The detection of the program that was told this word.
fn told(stream: &mut Subscription<'_>, word: &str) -> Detection {
    let one = told_by_child(stream, word);
    assert!(!format!("{one:?}").contains(SECRET), "{one:#?}");
    one
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/busybox");
    command
        .args(["sh", "-c", script])
        .stdin(Stdio::piped())
        .env_clear()
        .env("API_TOKEN", SECRET)
        .env("DATABASE_URL", format!("postgres://ann:{SECRET}@db/shop"));
    command
}

fn end(mut child: Child) {
    // The shell waits for a line.
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_rule_sees_the_environment_and_nobody_sees_its_secrets() {
    let Some(agent) = agent_by(&[], RULES, |builder| builder) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let child = shell("read line")
        .env("E2E_WORD", "e2e-own")
        .env("E2E_BYTES", OsStr::from_bytes(b"\xff\xfe"))
        .spawn()
        .unwrap();
    let one = told(&mut stream, "e2e-own");
    assert_eq!(one.text("proc.env[API_TOKEN]"), "***", "{one:#?}");
    assert_eq!(one.text("proc.env[DATABASE_URL]"), "postgres://ann:***@db/shop");
    assert_eq!(one.text("proc.env[E2E_BYTES]"), "\u{fffd}\u{fffd}");
    assert_eq!(
        one.text("proc.env"),
        "API_TOKEN=*** DATABASE_URL=postgres://ann:***@db/shop E2E_BYTES=\u{fffd}\u{fffd} E2E_WORD=e2e-own"
    );
    assert!(!one.is("meta.pending"), "{one:#?}");
    end(child);

    // A child has its own, and its ancestors have theirs.
    let script = "E2E_WORD=e2e-child /bin/busybox sh -c 'read line'; :";
    let child = shell(script).env("E2E_WORD", "e2e-parent").spawn().unwrap();
    assert_eq!(told(&mut stream, "e2e-parent").text("proc.aenv[E2E_WORD]"), "");
    let one = told(&mut stream, "e2e-child");
    assert_eq!(one.text("proc.aenv[E2E_WORD]"), "e2e-parent", "{one:#?}");
    assert!(
        one.text("proc.aenv[1]").ends_with("E2E_WORD=e2e-parent"),
        "{one:#?}"
    );
    end(child);

    // What is too long is cut between two variables, and said to be.
    let child = shell("read line")
        .env("E2E_WORD", "e2e-long")
        .env("LONG", "x".repeat(40_000))
        .spawn()
        .unwrap();
    let one = told(&mut stream, "e2e-long");
    assert!(!one.text("proc.env").contains("LONG"), "{one:#?}");
    assert!(
        one.incomplete.iter().any(|why| why == "proc.env: cut"),
        "{one:#?}"
    );
    end(child);

    // In a container.
    let script = format!("export API_TOKEN={SECRET} E2E_WORD=e2e-inside; /bin/sh -c 'sleep 1000'; :");
    let container = Container::builder().run(&["/bin/sh", "-c", &script]).unwrap();
    let one = told_by_child(&mut stream, "e2e-inside");
    assert_eq!(one.text("container.full_id"), container.id());
    assert_eq!(one.text("proc.env[API_TOKEN]"), "***", "{one:#?}");
}

/// As [`told`], where the secret is in an argument of the parent, which nobody masks.
fn told_by_child(stream: &mut Subscription<'_>, word: &str) -> Detection {
    let one = stream
        .find(DEADLINE, |one| one.text("proc.env[E2E_WORD]") == word)
        .unwrap();
    one.unwrap_or_else(|| panic!("no program was told {word}"))
}

#[test]
fn each_ancestor_has_the_ids_that_it_started_its_program_with() {
    const UID: u32 = 54_321;
    let Some(agent) = agent_by(&[], RULES, |builder| builder) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    // root's shell, a user's shell, the user's program.
    let script = "/usr/bin/setpriv --reuid 54321 --clear-groups /bin/busybox sh -c \
        'E2E_WORD=e2e-ids /bin/busybox sh -c \"read line\"; :'; :";
    let child = shell(script).uid(0).spawn().unwrap();
    let one = told(&mut stream, "e2e-ids");
    let process = one.process.as_ref().unwrap();
    let started: Vec<_> = std::iter::once(process.started_as.as_ref())
        .chain(process.ancestors.iter().map(|one| one.started_as.as_ref()))
        .take(3)
        .map(|of| of.unwrap_or_else(|| panic!("{one:#?}")))
        .collect();
    let ids: Vec<_> = started.iter().map(|of| (of.uid, of.euid)).collect();
    assert_eq!(ids, [(UID, UID), (UID, UID), (0, 0)], "{one:#?}");
    let has_power: Vec<_> = started.iter().map(|of| of.cap_effective != 0).collect();
    assert_eq!(has_power, [false, false, true], "{one:#?}");
    end(child);
}
