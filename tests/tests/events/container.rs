//! Which container a process belongs to, from its first program on.

use std::collections::BTreeMap;

use sensor_proto::v1::{Container as Told, Detection};
use sensor_tests::{
    client::Client,
    container::{self, Container},
    report,
    values::Values as _,
    wait::{self, DEADLINE},
};

use crate::agent::{Agent, agent};

const POD: &str = "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d";

/// The agent; `None` where it or containers cannot run, which is said.
fn agent_and_containers() -> Option<std::sync::Arc<Agent>> {
    if let Some(missing) = container::missing() {
        report::skip(missing);
        return None;
    }
    agent()
}

fn told(detection: &Detection) -> &Told {
    detection
        .container
        .as_ref()
        .unwrap_or_else(|| panic!("no container: {detection:#?}"))
}

#[test]
fn the_first_program_of_a_container_has_its_whole_id() {
    let Some(agent) = agent_and_containers() else {
        return;
    };
    let uid = POD.replace('-', "_");
    let cases = [
        ("/docker/{id}".to_owned(), "docker"),
        ("/system.slice/docker-{id}.scope".to_owned(), "docker"),
        (format!("/kubepods/burstable/pod{POD}/{{id}}"), "cri"),
        (
            format!("/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{{id}}.scope"),
            "containerd",
        ),
        ("/machine.slice/libpod-{id}.scope".to_owned(), "podman"),
    ];
    for (cgroup, runtime) in cases {
        let mut execs = agent.watch("exec");
        let container = Container::builder()
            .cgroup(&cgroup)
            .run(&["/bin/true", "first"])
            .unwrap();
        let found = execs.of(container.pid(), |detection| detection.text("proc.name") == "true");
        assert_eq!(told(&found).id, container.id(), "{cgroup}");
        assert_eq!(told(&found).runtime, runtime, "{cgroup}");
        assert_eq!(told(&found).cgroup, container.cgroup(), "{cgroup}");
        assert_eq!(found.text("container.full_id"), container.id(), "{cgroup}");
        assert_eq!(found.text("container.id"), container.id()[..12], "{cgroup}");
        assert_eq!(found.number("proc.vpid"), 1, "{cgroup}");
        assert_eq!(found.text("proc.exepath"), "/bin/busybox", "{cgroup}");
    }
}

#[test]
fn processes_of_two_containers_are_never_mixed_up() {
    let Some(agent) = agent_and_containers() else {
        return;
    };
    let mut execs = agent.watch("exec");
    let script = "for i in $(seq 100); do /bin/true $0 $i; done";
    let run = |word| {
        Container::builder()
            .run(&["/bin/sh", "-c", script, word])
            .unwrap()
    };
    let mut containers = [run("e2e-red"), run("e2e-blue")];
    let ids = containers.each_ref().map(|container| container.id().to_owned());
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    while seen.values().sum::<u32>() < 200 {
        let found = execs.find(|detection| detection.text("proc.args").starts_with("e2e-"));
        let args = found.text("proc.args");
        let word = args.split(' ').next().unwrap();
        let expected = &ids[usize::from(word == "e2e-blue")];
        assert_eq!(told(&found).id, *expected, "{args}");
        *seen.entry(word.to_owned()).or_default() += 1;
    }
    assert_eq!(
        seen,
        BTreeMap::from([("e2e-red".to_owned(), 100), ("e2e-blue".to_owned(), 100)])
    );
    for container in &mut containers {
        container.wait(DEADLINE).unwrap();
    }
}

#[test]
fn five_thousand_processes_of_milliseconds_are_all_told_with_their_container() {
    const PROCESSES: u64 = 5_000;
    let Some(agent) = agent_and_containers() else {
        return;
    };
    let mut execs = agent.watch("exec");
    let script =
        format!("i=0; while [ $i -lt {PROCESSES} ]; do /bin/busybox true e2e-short $i; i=$((i+1)); done");
    let mut container = Container::builder().run(&["/bin/sh", "-c", &script]).unwrap();
    for number in 0..PROCESSES {
        let found = execs.find(|detection| detection.text("proc.args").starts_with("true e2e-short"));
        assert_eq!(found.text("proc.args"), format!("true e2e-short {number}"));
        assert_eq!(told(&found).id, container.id(), "{number}");
    }
    container.wait(DEADLINE).unwrap();

    // The same by the agent's own books, in which runc's first steps and the shell are, too.
    let ended = wait::until(DEADLINE, || {
        let counted = delivered(agent.client(), container.id());
        (counted.get("exit") > Some(&PROCESSES)).then_some(counted)
    });
    let counted = ended.expect("every end is counted");
    assert!(
        counted["exec"] > PROCESSES && counted["fork"] >= PROCESSES,
        "{counted:?}"
    );
    let status = agent.client().status().unwrap();
    let cgroups: Vec<_> = status
        .cgroups
        .iter()
        .filter(|cgroup| cgroup.container == container.id())
        .collect();
    assert!(cgroups.iter().all(|cgroup| cgroup.lost.is_empty()), "{cgroups:?}");
}

/// Events of a container, by kind.
fn delivered(client: &Client, id: &str) -> BTreeMap<String, u64> {
    let status = client.status().unwrap();
    let mut sums = BTreeMap::new();
    for cgroup in status.cgroups.iter().filter(|cgroup| cgroup.container == id) {
        for (kind, count) in &cgroup.delivered {
            *sums.entry(kind.clone()).or_default() += count;
        }
    }
    sums
}
