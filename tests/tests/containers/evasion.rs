//! Ways around attribution, by their ids in the catalogue of evasions.

use std::process::Command;

use sensor_tests::{
    cgroup::Cgroup,
    container::Container,
    engine::{IMAGE, Kind},
    values::Values as _,
    wait,
};

use crate::agent::{agent, agent_with, engine, find};

/// C02: a process moves itself into another container's cgroup; a made-up one is as good as a real one.
#[test]
fn c02_a_process_that_moves_to_another_cgroup_is_still_its_containers() {
    let Some(agent) = agent(&[]) else { return };
    let target = Cgroup::new(&format!("/docker/{}", "a".repeat(64))).unwrap();
    let container = Container::builder().run(&["/bin/sleep", "1000"]).unwrap();
    let mut stream = agent.client.subscribe(None).unwrap();
    // A shell of the container, moved from outside after it has started: the effect of a writable cgroupfs within.
    let mut shell = container
        .exec_command(&["/bin/sh", "-c", "read go < /tmp/go; /bin/echo e2e-c02"])
        .spawn()
        .unwrap();
    let go = container.root().join("tmp/go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let inside = wait::until(wait::DEADLINE, || shell_of(container.cgroup(), container.pid()));
    target.admit(inside.expect("the shell runs")).unwrap();
    std::fs::write(&go, "now\n").unwrap();
    shell.wait().unwrap();
    let found = find(&mut stream, &agent, "e2e-c02");
    assert_eq!(found.text("container.full_id"), container.id(), "{found:#?}");
    assert!(
        found.text("thread.cgroups").contains(&"a".repeat(64)),
        "it did move: {found:#?}"
    );
    assert!(found.is("cgroup.moved"), "{found:#?}");
    // It ends before its cgroup can be removed.
    drop(container);
}

/// The process of a container's cgroup that is not its first.
fn shell_of(cgroup: &str, first: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            *pid != first && name.trim() == "sh" && own.lines().any(|line| line.ends_with(cgroup))
        })
}

const OPEN: &str = r#"
- rule: open
  desc: what a container does at once
  condition: evt.type in (open, openat) and fd.name = /etc/shadow and container.id != host
  output: "%container.name %container.image %meta.pending"
  priority: NOTICE
"#;

/// C07: an entrypoint that acts in its first milliseconds, in containers that are gone after fifty.
#[test]
fn c07_a_container_that_acts_at_once_and_is_gone_is_named_all_the_same() {
    let Some(agent) = agent_with(&[Kind::Docker], |builder| builder.rules(OPEN)) else {
        return;
    };
    let docker = engine(Kind::Docker);
    let mut stream = agent.client.subscribe(None).unwrap();
    for number in 0..10 {
        let name = format!("e2e-c07-{number}");
        docker
            .run_once(&name, &["--entrypoint", "/bin/cat", IMAGE, "/etc/shadow"])
            .unwrap();
        let found = stream
            .find(wait::DEADLINE, |one| {
                one.rule == "open" && one.text("container.name") == name
            })
            .unwrap()
            .unwrap_or_else(|| panic!("no detection of {name}: {}", agent.sensor.log()));
        assert_eq!(found.text("container.image"), IMAGE, "{found:#?}");
        assert_eq!(found.text("meta.pending"), "false", "{found:#?}");
    }
}

/// C08: a cgroup with a container's name, and a host process in it.
#[test]
fn c08_a_made_up_container_is_unverified_or_none_at_all() {
    let Some(agent) = agent(&[]) else { return };
    let fake = Cgroup::new(&format!("/docker/{}", "b".repeat(64))).unwrap();
    let mut stream = agent.client.subscribe(None).unwrap();
    let echo = |word: &str| [std::ffi::OsString::from("echo"), word.into()];
    fake.command("/bin/busybox".as_ref())
        .args(echo("e2e-c08-plain"))
        .status()
        .unwrap();
    let found = find_busybox(&mut stream, &agent, "e2e-c08-plain");
    assert_eq!(
        found.text("container.id"),
        "host",
        "its namespaces are the host's: {found:#?}"
    );

    // With a mount namespace of its own it looks like a container, and nobody knows it.
    let mut unshare = fake.command("/usr/bin/unshare".as_ref());
    unshare
        .args(["--mount", "--pid", "--fork", "/bin/busybox"])
        .args(echo("e2e-c08-unshared"));
    unshare.status().unwrap();
    let found = find_busybox(&mut stream, &agent, "e2e-c08-unshared");
    assert_eq!(found.text("container.full_id"), "b".repeat(64), "{found:#?}");
    assert!(found.is("container.unverified"), "{found:#?}");
}

fn find_busybox(
    stream: &mut sensor_tests::client::Subscription<'_>,
    agent: &crate::agent::Agent,
    word: &str,
) -> sensor_proto::v1::Detection {
    let found = stream.find(wait::DEADLINE, |one| {
        one.text("proc.name") == "busybox" && one.text("proc.args") == format!("echo {word}")
    });
    found
        .unwrap()
        .unwrap_or_else(|| panic!("no exec with {word}; the agent's log:\n{}", agent.sensor.log()))
}

/// `nsenter` keeps its own cgroup: only the namespaces tell where it is.
#[test]
fn nsenter_into_a_container_is_told_as_an_exec_into_it() {
    let Some(agent) = agent(&[]) else { return };
    let container = Container::builder().run(&["/bin/sleep", "1000"]).unwrap();
    let mut stream = agent.client.subscribe(None).unwrap();
    let pid = container.pid().to_string();
    let status = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "--pid", "/bin/echo", "e2e-nsenter"])
        .status()
        .unwrap();
    assert!(status.success());
    let found = find(&mut stream, &agent, "e2e-nsenter");
    assert_eq!(found.text("container.full_id"), container.id(), "{found:#?}");
    assert!(found.is("proc.is_container_exec"), "{found:#?}");
}

/// C11: a container within a container is told as the inner one.
#[test]
fn c11_the_innermost_container_is_told() {
    let Some(agent) = agent(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let outer = "c".repeat(64);
    let container = Container::builder()
        .cgroup(format!("/docker/{outer}/docker/{{id}}"))
        .run(&["/bin/echo", "e2e-c11"])
        .unwrap();
    let found = find(&mut stream, &agent, "e2e-c11");
    assert_eq!(found.text("container.full_id"), container.id());
    assert_eq!(found.text("container.outer.id"), outer[..12], "{found:#?}");
    assert!(found.text("thread.cgroups").contains(&outer));
}
