//! A runtime's socket that does not answer, against a server that is made for it: no event waits for it, what it owes is
//! completed, and what is missing is said.

use sensor_proto::v1::Detection;
use sensor_tests::{
    client::Subscription, container::Container, fault::Fault, sensor::Builder, values::Values as _, wait,
};

use crate::agent::{Agent, agent_with, find};

/// The longest that a socket may take; nothing here waits for it to be over.
const TIMEOUT_MS: u32 = 60_000;

fn agent_at(fault: &Fault, timeout_ms: u32) -> Option<Agent> {
    let path = fault.path().display().to_string();
    agent_with(&[], move |builder: Builder| {
        builder
            .set(format!("runtimes.docker=[{path}]"))
            .set("runtimes.cri=[]")
            .set("runtimes.podman=[]")
            .set(format!("runtimes.timeout_ms={timeout_ms}"))
            .set("state.facts_wait_ms=100")
    })
}

/// The next detection of a container, be it new or an update.
fn next_of(stream: &mut Subscription<'_>, word: &str, is_update: bool) -> Detection {
    let found = stream.find(wait::DEADLINE, |one| {
        one.update == is_update && one.text("proc.name") == "echo" && one.text("proc.args") == word
    });
    found.unwrap().unwrap_or_else(|| panic!("no detection of {word}"))
}

/// Held for a bounded time, told with `meta.pending`, and completed by an update with the same id when the answer comes.
#[test]
fn a_detection_without_facts_is_completed_by_an_update_with_the_same_id() {
    let fault = Fault::start().unwrap();
    let Some(agent) = agent_at(&fault, TIMEOUT_MS) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    // Its bundle names nobody, and its cgroup says that it is Docker's: so Docker is asked.
    let container = Container::builder()
        .run(&["/bin/sh", "-c", "echo e2e-late; /bin/echo e2e-late; sleep 1000"])
        .unwrap();
    let first = find(&mut stream, &agent, "e2e-late");
    assert_eq!(first.text("container.full_id"), container.id());
    assert!(first.is("meta.pending"), "{first:#?}");
    assert!(
        !first.update && first.text("container.label[team]").is_empty(),
        "{first:#?}"
    );
    // The server holds the question: the detection did not wait for it, nor do events of the host.
    assert!(fault.was_asked(container.id()) && fault.answered() == 0);
    agent.echo("e2e-host");
    let host = find(&mut stream, &agent, "e2e-host");
    assert_eq!((host.text("container.id"), fault.answered()), ("host".into(), 0));

    fault.release();
    let second = next_of(&mut stream, "e2e-late", true);
    assert_eq!(second.id, first.id, "{second:#?}");
    assert_eq!(second.text("container.label[team]"), "late", "{second:#?}");
    assert_eq!(second.text("container.name"), "late");
    assert!(!second.is("meta.pending"), "{second:#?}");
}

/// A socket that hangs is given up for the first container, and left alone for those that follow: they are told at once
/// and whole but for what only the socket knows. When it answers again, that is filled in.
#[test]
fn a_socket_that_hangs_holds_up_nobody_and_is_said_everywhere() {
    let fault = Fault::start().unwrap();
    let Some(agent) = agent_at(&fault, 200) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let degraded = || {
        let all = agent.client.status().unwrap().degraded;
        all.into_iter().find(|why| why.contains("sensor-fault-"))
    };
    let container = Container::builder().run(&["/bin/sleep", "1000"]).unwrap();
    let said = wait::until(wait::DEADLINE, degraded).expect("status says so");
    assert!(said.contains("does not answer within 200 ms"), "{said}");
    for number in 0..5 {
        let word = format!("e2e-hang-{number}");
        let short = Container::builder().run(&["/bin/echo", &word]).unwrap();
        let found = find(&mut stream, &agent, &word);
        assert_eq!(found.text("container.full_id"), short.id());
        assert_eq!(fault.answered(), 0);
        let incomplete = found.text("evt.incomplete");
        let is_said =
            incomplete.contains("socket does not answer") || incomplete.contains("still looked for");
        assert!(is_said, "{found:#?}");
    }
    fault.release();
    let healed = wait::until(wait::DEADLINE, || degraded().is_none().then_some(()));
    healed.expect("status says that it is well again");
    let is_named = wait::until(wait::DEADLINE, || {
        let status = container.exec_command(&["/bin/echo", "e2e-named"]).status();
        assert!(status.unwrap().success());
        let found = find(&mut stream, &agent, "e2e-named");
        (found.text("container.label[team]") == "late").then_some(())
    });
    is_named.expect("what it owed is filled in");
}
