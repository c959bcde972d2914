//! Ways around attribution, by their ids in the catalogue of evasions.

use std::process::Command;

use sensor_proto::v1::Detection;
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

const MOVES: &str = r"
- rule: move
  desc: a process was put into another cgroup
  condition: evt.type = cgroup_attach_task
  output: >
    %evt.hook %evt.arg.path %evt.arg.id %proc.name %proc.pid %container.id %target.pid %target.name %target.container.id
    %target.exepath
  priority: NOTICE

- rule: signal
  desc: a process of a container gets a signal
  condition: evt.type = kill and target.container.id != host
  output: >
    %evt.args %proc.name %container.id %target.pid %target.name %target.exepath %target.container.id
  priority: NOTICE
";

/// C02: the move itself is told when it is made: who, where to, and whose process it was.
#[test]
fn c02_the_move_itself_is_told() {
    let Some(agent) = agent_with(&[], |builder| builder.rules(MOVES)) else {
        return;
    };
    let container = Container::builder().run(&["/bin/sleep", "1000"]).unwrap();
    let target = Cgroup::new(&format!("/docker/{}", "b".repeat(64))).unwrap();
    let mut stream = agent.client.subscribe(None).unwrap();
    target.admit(container.pid()).unwrap();
    let path = format!("/docker/{}", "b".repeat(64));
    let is_move = |found: &Detection| found.rule == "move" && found.text("evt.arg.path") == path;
    let found = stream.find(wait::DEADLINE, is_move).unwrap();
    let found = found.unwrap_or_else(|| panic!("no move; {}", agent.sensor.log()));
    assert_eq!(found.text("evt.hook"), "tp_btf/cgroup_attach_task");
    assert_eq!(
        found.number("target.pid"),
        i64::from(container.pid()),
        "{found:#?}"
    );
    assert_eq!(
        found.number("evt.arg.id"),
        i64::try_from(target.id().unwrap()).unwrap()
    );
    assert_eq!(
        found.number("proc.pid"),
        i64::from(std::process::id()),
        "who did it: this test"
    );
    assert_eq!(found.text("container.id"), "host");
    assert_eq!(found.text("target.name"), "sleep");
    let own = container.id();
    assert_eq!(found.text("target.container.id"), own.get(..12).unwrap_or(own));
    drop(container);
}

/// E22: who signals whom, by the numbers of the container's own pid namespace and by the host's.
#[test]
fn e22_a_process_of_a_container_is_known_by_whatever_number_it_is_named() {
    let Some(agent) = agent_with(&[], |builder| builder.rules(MOVES)) else {
        return;
    };
    let container = Container::builder().run(&["/bin/sleep", "1000"]).unwrap();
    let own = container.id();
    let short = own.get(..12).unwrap_or(own);
    for (by, is_within) in [("within", true), ("the host", false)] {
        let mut stream = agent.client.subscribe(None).unwrap();
        let mut command = if is_within {
            container.exec_command(&["/bin/sh", "-c", "kill -CONT 1"])
        } else {
            let mut kill = Command::new("/bin/sh");
            kill.args(["-c", &format!("kill -CONT {}", container.pid())]);
            kill
        };
        assert!(command.status().unwrap().success(), "{by}");
        let found = stream
            .find(wait::DEADLINE, |found| {
                found.rule == "signal" && found.text("evt.args").contains("SIGCONT")
            })
            .unwrap()
            .unwrap_or_else(|| panic!("{by}: no signal; {}", agent.sensor.log()));
        assert_eq!(
            found.number("target.pid"),
            i64::from(container.pid()),
            "{by}: {found:#?}"
        );
        assert_eq!(found.text("target.name"), "sleep", "{by}");
        assert_eq!(found.text("target.container.id"), short, "{by}");
        assert_eq!(
            found.text("container.id"),
            if is_within { short } else { "host" },
            "{by}"
        );
    }
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
) -> Detection {
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
