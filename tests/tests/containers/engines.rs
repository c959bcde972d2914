//! The first program of a container is told with its image and its names, whichever engine started it.

use std::process::Command;

use sensor_tests::{
    binary,
    engine::{Engine, IMAGE, Kind},
    report,
    values::Values as _,
    wait,
};

use crate::agent::{Agent, agent, agent_with, engine, find};

/// Containers that live shorter than a look at a socket would take.
const SHORT: usize = 200;

#[test]
fn docker_tells_image_name_labels_and_mounts_at_the_first_exec() {
    let Some(agent) = agent(&[Kind::Docker]) else {
        return;
    };
    let engine = engine(Kind::Docker);
    named_engine(&agent, &engine, Kind::Docker, "docker");
    // Its socket has nothing to add to its files; that it can be asked is seen by who asks it who it is.
    let setting = format!("runtimes.docker=[{}]", engine.socket().display());
    let doctor = Command::new(binary::sensor())
        .args(["doctor", "--set", &setting])
        .output();
    let said = String::from_utf8(doctor.unwrap().stdout).unwrap();
    assert!(said.contains("answers: docker "), "{said}");
}

/// Labels are in no file of Podman's that can be read: its socket tells them.
#[test]
fn podman_tells_image_name_and_labels_at_the_first_exec() {
    let mut podman = None;
    let agent = agent_with(&[Kind::Podman], |builder| {
        let podman = podman.insert(engine(Kind::Podman));
        podman.serve().unwrap();
        builder.set(format!("runtimes.podman=[{}]", podman.socket().display()))
    });
    let Some((agent, podman)) = agent.zip(podman) else {
        return;
    };
    named_engine(&agent, &podman, Kind::Podman, "podman");
}

fn named_engine(agent: &Agent, engine: &Engine, kind: Kind, runtime: &str) {
    let mut stream = agent.client.subscribe(None).unwrap();
    let run = [
        "run",
        "--detach",
        "--name",
        "e2e-web",
        "--network",
        "none",
        "--label",
        "team=shop",
        "--volume",
        "/srv:/data:ro",
        IMAGE,
        "/bin/sh",
        "-c",
        "echo e2e-first; /bin/echo e2e-first; sleep 1000",
    ];
    let id = engine.run(&run).unwrap();
    let found = find(&mut stream, agent, "e2e-first");
    let shown = [
        ("container.full_id", &*id),
        ("container.name", "e2e-web"),
        ("container.type", runtime),
        ("container.image", IMAGE),
        ("container.image.repository", "registry.test/team/app"),
        ("container.image.tag", "1"),
        ("container.privileged", "false"),
        ("container.host_network", "false"),
        ("container.mount.dest[/srv*]", "/data"),
        ("container.unverified", "false"),
        ("meta.pending", "false"),
        ("proc.is_container_exec", "false"),
    ];
    for (field, expected) in shown {
        assert_eq!(found.text(field), expected, "{field}: {found:#?}");
    }
    assert_eq!(found.text("container.label[team]"), "shop", "{found:#?}");

    // An exec into it is told as one.
    engine.run(&["exec", "e2e-web", "/bin/echo", "e2e-exec"]).unwrap();
    let found = find(&mut stream, agent, "e2e-exec");
    assert_eq!(found.text("container.full_id"), id);
    assert!(found.is("proc.is_container_exec"), "{found:#?}");

    // A new name is known about a second later, and a restart keeps the id.
    engine.run(&["rename", "e2e-web", "e2e-shop"]).unwrap();
    let is_renamed = || {
        engine
            .run(&["exec", "e2e-shop", "/bin/echo", "e2e-renamed"])
            .unwrap();
        let found = find(&mut stream, agent, "e2e-renamed");
        (found.text("container.name") == "e2e-shop").then_some(())
    };
    wait::until(wait::DEADLINE, is_renamed).expect("the new name is never told");
    engine.run(&["restart", "--time", "0", "e2e-shop"]).unwrap();
    let found = find(&mut stream, agent, "e2e-first");
    assert_eq!(
        (found.text("container.full_id"), found.text("container.name")),
        (id, "e2e-shop".to_owned())
    );
    assert!(!found.is("proc.is_container_exec"), "{found:#?}");

    // What the flags say.
    let flags = [
        "run",
        "--rm",
        "--privileged",
        "--network",
        "host",
        "--pid",
        "host",
        IMAGE,
        "/bin/sh",
        "-c",
    ];
    match engine.run(&[&flags[..], &["/bin/echo e2e-flags"]].concat()) {
        // Docker gives such a container every capability there is, and not every root has them all.
        Err(error) if error.to_string().contains("unable to apply caps") => {
            report::note(format_args!("skip: privileged containers of {kind:?}: {error}"));
            return;
        }
        started => started.unwrap(),
    };
    let found = find(&mut stream, agent, "e2e-flags");
    for field in [
        "container.privileged",
        "container.host_network",
        "container.host_pid",
    ] {
        assert!(found.is(field), "{field}: {found:#?}");
    }
}

#[test]
fn a_debug_container_says_whose_processes_it_looks_at() {
    let Some(agent) = agent(&[Kind::Docker]) else {
        return;
    };
    let engine = engine(Kind::Docker);
    let mut stream = agent.client.subscribe(None).unwrap();
    let run = [
        "run",
        "--detach",
        "--name",
        "e2e-target",
        "--network",
        "none",
        IMAGE,
    ];
    let sleep = ["/bin/sh", "-c", "/bin/echo e2e-target; sleep 1000"];
    let target = engine.run(&[&run[..], &sleep].concat()).unwrap();
    let found = find(&mut stream, &agent, "e2e-target");
    assert_eq!(found.text("container.shares_pids_with"), "", "{found:#?}");
    let cases = [
        (
            "e2e-debug-target",
            &["--pid", "container:e2e-target"][..],
            &target[..12],
        ),
        ("e2e-debug-host", &["--pid", "host"], ""),
        ("e2e-debug-own", &[], ""),
    ];
    for (word, options, expected) in cases {
        let rest = [options, &[IMAGE, "/bin/echo", word]].concat();
        engine.run_once("e2e-debug", &rest).unwrap();
        let found = find(&mut stream, &agent, word);
        assert_eq!(found.text("container.name"), "e2e-debug", "{found:#?}");
        assert_eq!(found.text("container.shares_pids_with"), expected, "{found:#?}");
    }
    engine.run(&["rm", "--force", "e2e-target"]).unwrap();
}

#[test]
fn containers_that_live_for_milliseconds_are_all_told_with_their_names() {
    let Some(agent) = agent(&[Kind::Docker, Kind::Podman]) else {
        return;
    };
    // Two engines at once.
    let engines = [engine(Kind::Docker), engine(Kind::Podman)];
    let mut stream = agent.client.subscribe(None).unwrap();
    std::thread::scope(|scope| {
        for (number, engine) in engines.iter().enumerate() {
            scope.spawn(move || run_short(engine, number));
        }
        for _ in 0..2 * (SHORT / 2) {
            let found = stream
                .find(wait::DEADLINE, |one| {
                    one.text("proc.name") == "echo" && one.text("proc.args").starts_with("e2e-short")
                })
                .unwrap()
                .expect("each container's program is told");
            assert_eq!(
                found.text("container.name"),
                found.text("proc.args"),
                "{found:#?}"
            );
            assert_eq!(found.text("container.image"), IMAGE, "{found:#?}");
            assert_eq!(found.text("meta.pending"), "false");
        }
    });
}

fn run_short(engine: &Engine, engine_number: usize) {
    for number in 0..SHORT / 2 {
        let name = format!("e2e-short-{engine_number}-{number}");
        engine.run_once(&name, &[IMAGE, "/bin/echo", &name]).unwrap();
    }
}

/// containerd's CRI needs a client that Debian does not have; what CRI writes is given through `ctr`, so the shim, the
/// bundle and its annotations are containerd's own.
#[test]
fn containerd_tells_the_pod_that_its_annotations_name() {
    let Some(agent) = agent(&[Kind::Containerd]) else {
        return;
    };
    let engine = engine(Kind::Containerd);
    let mut stream = agent.client.subscribe(None).unwrap();
    let root = engine.root().display().to_string();
    let annotations = [
        "io.kubernetes.cri.container-type=container",
        "io.kubernetes.cri.container-name=app",
        "io.kubernetes.cri.image-name=registry.test/team/app:1",
        "io.kubernetes.cri.sandbox-name=web-0",
        "io.kubernetes.cri.sandbox-namespace=shop",
        "io.kubernetes.cri.sandbox-uid=3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d",
    ];
    let mut run = vec!["run", "--rm"];
    for annotation in &annotations {
        run.extend(["--annotation", annotation]);
    }
    run.extend(["--rootfs", &root, "e2e-pod", "/bin/echo", "e2e-pod"]);
    engine.run(&run).unwrap();
    let found = find(&mut stream, &agent, "e2e-pod");
    for (field, expected) in [
        ("container.full_id", "e2e-pod"),
        ("container.type", "containerd"),
        ("container.name", "app"),
        ("container.image", IMAGE),
        ("k8s.pod.name", "web-0"),
        ("k8s.ns.name", "shop"),
        ("k8s.pod.uid", "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d"),
        ("container.unverified", "false"),
    ] {
        assert_eq!(found.text(field), expected, "{field}: {found:#?}");
    }
}
