//! Pods of containerd over CRI: named at the first exec, labels and digests included, however they come and go.

use sensor_proto::v1::Detection;
use sensor_tests::{
    cri::{Cri, Pod},
    engine::{IMAGE, Kind},
    report,
    values::Values as _,
    wait,
};

use crate::agent::{Agent, agent_with, engine, find};

const SHORT: usize = 200;
const AT_ONCE: usize = 4;

/// A containerd, and an agent that knows its socket.
fn start(kinds: &[Kind]) -> Option<(Cri, Agent)> {
    if let Some(missing) = Cri::missing() {
        report::skip(missing);
        return None;
    }
    let mut cri = None;
    let agent = agent_with(kinds, |builder| {
        let started = cri.insert(Cri::start().unwrap());
        builder.set(format!("runtimes.cri=[{}]", started.socket().display()))
    })?;
    Some((cri?, agent))
}

fn pod(number: u8) -> Pod {
    Pod {
        name: format!("web-{number}"),
        uid: format!("3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c{number:02x}"),
        ..Pod::default()
    }
}

fn assert_named(found: &Detection, pod: &Pod, container: &str, id: &str) {
    for (field, expected) in [
        ("container.full_id", id),
        ("container.name", container),
        ("container.type", "containerd"),
        ("container.image", IMAGE),
        ("container.image.repository", "registry.test/team/app"),
        ("container.image.tag", "1"),
        ("container.label[team]", "shop"),
        ("k8s.pod.name", &*pod.name),
        ("k8s.ns.name", "shop"),
        ("k8s.pod.uid", &*pod.uid),
        ("container.unverified", "false"),
        ("meta.pending", "false"),
    ] {
        assert_eq!(found.text(field), expected, "{field}: {found:#?}");
    }
    assert_eq!(found.text("container.image.id").len(), 64, "{found:#?}");
}

#[test]
fn a_pods_containers_are_named_at_the_first_exec_and_through_exec_restart_and_stop() {
    let Some((cri, agent)) = start(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let web = pod(0);
    let running = cri.run(&web).unwrap();
    let command = ["/bin/sh", "-c", "/bin/echo e2e-pod-first; sleep 1000"];
    let id = running.start("app", &command).unwrap();
    let found = find(&mut stream, &agent, "e2e-pod-first");
    assert_named(&found, &web, "app", &id);
    for (field, expected) in [
        ("container.privileged", "false"),
        ("container.host_network", "false"),
        ("proc.is_container_exec", "false"),
        ("k8s.pod.sandbox_id", &running.sandbox[..12]),
        ("k8s.pod.label[app]", "web"),
    ] {
        assert_eq!(found.text(field), expected, "{field}: {found:#?}");
    }

    // What `kubectl exec` and probes do.
    running.exec(&id, &["/bin/echo", "e2e-pod-exec"]).unwrap();
    let found = find(&mut stream, &agent, "e2e-pod-exec");
    assert_named(&found, &web, "app", &id);
    assert!(found.is("proc.is_container_exec"), "{found:#?}");

    // What `kubectl debug --target` does.
    let command_of_debug = ["/bin/echo", "e2e-pod-debug"];
    let debug = running.debug("debugger", &id, &command_of_debug).unwrap();
    let found = find(&mut stream, &agent, "e2e-pod-debug");
    assert_named(&found, &web, "debugger", &debug);
    assert_eq!(found.text("container.shares_pids_with"), id[..12], "{found:#?}");

    // The kubelet restarts a container by another of the same name.
    running.stop(&id).unwrap();
    let second = running.start("app", &command).unwrap();
    let found = find(&mut stream, &agent, "e2e-pod-first");
    assert_named(&found, &web, "app", &second);
    assert_ne!(second, id);
    assert!(!found.is("proc.is_container_exec"), "{found:#?}");
    running.stop(&second).unwrap();
}

/// C09: the pause container itself, the host's network and process ids, a static pod (whose uid is a digest).
#[test]
fn c09_pods_in_the_hosts_namespaces_and_their_pause_containers_are_themselves() {
    let Some((cri, agent)) = start(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let web = Pod {
        name: "static-node-a".into(),
        uid: "0123456789abcdef0123456789abcdef".into(),
        has_host_network: true,
        has_host_pid: true,
        is_privileged: true,
    };
    let running = cri.run(&web).unwrap();
    let pause = stream
        .find(wait::DEADLINE, |one| {
            one.text("proc.name") == "sleep" && one.text("proc.args") == "2147483647"
        })
        .unwrap()
        .expect("the pause container's program");
    for (field, expected) in [
        ("container.full_id", &*running.sandbox),
        ("k8s.pod.name", "static-node-a"),
        ("k8s.pod.uid", &*web.uid),
        ("container.unverified", "false"),
        ("meta.pending", "false"),
    ] {
        assert_eq!(pause.text(field), expected, "{field}: {pause:#?}");
    }
    let id = running
        .start("app", &["/bin/sh", "-c", "/bin/echo e2e-static; sleep 1000"])
        .unwrap();
    let found = find(&mut stream, &agent, "e2e-static");
    assert_named(&found, &web, "app", &id);
    for field in [
        "container.privileged",
        "container.host_network",
        "container.host_pid",
    ] {
        assert!(found.is(field), "{field}: {found:#?}");
    }
    running.stop(&id).unwrap();
}

/// Beside Docker, so that two runtimes are at work at once.
#[test]
fn containers_of_pods_that_live_for_milliseconds_are_all_told_with_all_their_names() {
    let Some((cri, agent)) = start(&[Kind::Docker]) else {
        return;
    };
    let docker = engine(Kind::Docker);
    let mut stream = agent.client.subscribe(None).unwrap();
    let web = pod(1);
    let running = cri.run(&web).unwrap();
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let running = &running;
            scope.spawn(move || {
                for number in (first..SHORT).step_by(AT_ONCE) {
                    let name = format!("e2e-brief-{number}");
                    running.start(&name, &["/bin/echo", &name]).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for number in 0..SHORT / 10 {
                let name = format!("e2e-beside-{number}");
                docker.run_once(&name, &[IMAGE, "/bin/echo", &name]).unwrap();
            }
        });
        for _ in 0..SHORT + SHORT / 10 {
            let found = stream
                .find(wait::DEADLINE, |one| {
                    let arguments = one.text("proc.args");
                    one.text("proc.name") == "echo"
                        && !one.update
                        && ["e2e-brief-", "e2e-beside-"]
                            .iter()
                            .any(|word| arguments.starts_with(word))
                })
                .unwrap()
                .expect("each container's program is told");
            assert_eq!(
                found.text("container.name"),
                found.text("proc.args"),
                "{found:#?}"
            );
            let is_pods = found.text("proc.args").starts_with("e2e-brief-");
            assert_eq!(found.text("container.image"), IMAGE, "{found:#?}");
            assert_eq!(
                found.text("k8s.pod.name"),
                if is_pods { "web-1" } else { "" },
                "{found:#?}"
            );
            assert_eq!(
                found.text("container.type"),
                if is_pods { "containerd" } else { "docker" }
            );
        }
    });
}

/// A pod that is made anew under its name is another.
#[test]
fn pods_of_one_name_are_told_apart_by_their_uids() {
    let Some((cri, agent)) = start(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    for number in [7, 8] {
        let twin = Pod {
            name: "twin".into(),
            ..pod(number)
        };
        let running = cri.run(&twin).unwrap();
        let word = format!("e2e-twin-{number}");
        let id = running.start("app", &["/bin/echo", &word]).unwrap();
        assert_named(&find(&mut stream, &agent, &word), &twin, "app", &id);
    }
}
