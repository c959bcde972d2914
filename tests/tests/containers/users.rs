//! Who somebody is: names from the container's own files, ids inside and outside of user namespaces.

use std::{os::unix::process::CommandExt as _, process::Command};

use sensor_tests::{
    client::Subscription,
    container::Container,
    engine::{IMAGE, Kind},
    values::Values as _,
    wait::{self, DEADLINE},
};

use crate::agent::{agent, engine, find};

/// An id that this machine has no user of.
const UID: u32 = 54321;

/// An image in which [`UID`] has this name.
fn with_user(name: &str) -> sensor_tests::container::Builder {
    let passwd = format!("root:x:0:0:root:/root:/bin/sh\n{name}:x:{UID}:{UID}::/home/{name}:/bin/ash\n");
    Container::builder().file("/etc/passwd", passwd, 0o644).file(
        "/etc/group",
        format!("root:x:0:\ngroup-of-{name}:x:{UID}:\n"),
        0o644,
    )
}

/// What `name` runs: a word, said as that user.
fn say(name: &str, word: &str) -> [String; 4] {
    [
        "su".into(),
        name.into(),
        "-c".into(),
        format!("/bin/sleep 1; /bin/echo {word}; :"),
    ]
}

#[test]
fn one_id_has_another_name_in_each_container_and_none_on_the_host() {
    let Some(agent) = agent(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    for name in ["ann", "bob"] {
        let word = format!("e2e-user-{name}");
        let container = with_user(name).run(&say(name, &word)).unwrap();
        let one = find(&mut stream, &agent, &word);
        assert_eq!(one.text("container.full_id"), container.id());
        assert_eq!(one.number("user.uid"), i64::from(UID), "{one:#?}");
        assert_eq!(one.text("user.name"), name, "{one:#?}");
        assert_eq!(one.text("user.homedir"), format!("/home/{name}"));
        assert_eq!(one.text("user.shell"), "/bin/ash");
        assert_eq!(one.text("group.name"), format!("group-of-{name}"));
        assert!(!one.is("meta.pending"), "{one:#?}");
    }
    let status = Command::new("/bin/busybox")
        .args(["echo", "e2e-user-host"])
        .uid(UID)
        .gid(UID)
        .status();
    assert!(status.unwrap().success());
    let host = stream
        .find(DEADLINE, |one| one.text("proc.args") == "echo e2e-user-host")
        .unwrap()
        .unwrap();
    assert_eq!(host.number("user.uid"), i64::from(UID));
    assert_eq!(host.text("user.name"), "<NA>", "{host:#?}");
}

#[test]
fn a_changed_file_is_read_again() {
    let Some(agent) = agent(&[]) else { return };
    let container = with_user("ann").run(&["/bin/sleep", "1000"]).unwrap();
    let mut stream = agent.client.subscribe(None).unwrap();
    let user = |word: &str, stream: &mut Subscription<'_>| {
        let id = format!("{UID}:{UID}");
        let mut command = container.exec_command_as(&id, &["/bin/echo", word]);
        assert!(command.status().unwrap().success());
        find(stream, &agent, word).text("user.name")
    };
    assert_eq!(user("e2e-before", &mut stream), "ann");
    let passwd = container.root().join("etc/passwd");
    std::fs::write(&passwd, format!("eve:x:{UID}:{UID}::/:/bin/sh\n")).unwrap();
    let mut tries = 0..;
    let renamed = wait::until(DEADLINE, || {
        let word = format!("e2e-after-{}", tries.next().unwrap());
        (user(&word, &mut stream) == "eve").then_some(())
    });
    assert!(renamed.is_some(), "the new name was never told");
}

/// Lives until somebody could look at its user namespace.
const C10: &str = "/bin/busybox sleep 1; /bin/busybox echo e2e-c10; :";

/// C10: root inside is somebody else outside; a rule can ask for either.
#[test]
fn c10_ids_are_told_as_the_host_and_as_the_process_has_them() {
    let Some(agent) = agent(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let status = Command::new("/usr/bin/unshare")
        .args(["--user", "--map-root-user", "/bin/busybox", "sh", "-c", C10])
        .uid(UID)
        .gid(UID)
        .status();
    assert!(status.unwrap().success());
    let one = stream
        .find(DEADLINE, |one| {
            one.text("proc.name") == "busybox" && one.text("proc.args") == "echo e2e-c10"
        })
        .unwrap()
        .unwrap();
    assert_eq!(
        (one.number("user.uid"), one.number("user.vuid")),
        (i64::from(UID), 0),
        "{one:#?}"
    );
    assert_eq!(
        (one.number("group.gid"), one.number("group.vgid")),
        (i64::from(UID), 0)
    );
    assert!(!one.is("meta.pending"), "{one:#?}");
}

/// The same for a container that a runtime has given a user namespace: names are those of the ids inside.
#[test]
fn c10_a_container_with_a_user_namespace_has_its_own_names() {
    let Some(agent) = agent(&[]) else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let container = with_user("ann")
        .user_namespace(200_000)
        .run(&["/bin/sh", "-c", "/bin/sleep 1; /bin/echo e2e-c10-root; :"])
        .unwrap();
    let one = find(&mut stream, &agent, "e2e-c10-root");
    assert_eq!(one.text("container.full_id"), container.id());
    assert_eq!(
        (one.number("user.uid"), one.number("user.vuid")),
        (200_000, 0),
        "{one:#?}"
    );
    assert_eq!(
        (one.text("user.name"), one.text("group.name")),
        ("root".into(), "root".into())
    );
    drop(container);
    let _container = with_user("ann")
        .user_namespace(200_000)
        .run(&say("ann", "e2e-c10-ann"))
        .unwrap();
    let one = find(&mut stream, &agent, "e2e-c10-ann");
    let outside = i64::from(200_000 + UID);
    assert_eq!(
        (one.number("user.uid"), one.number("user.vuid")),
        (outside, i64::from(UID)),
        "{one:#?}"
    );
    assert_eq!(one.text("user.name"), "ann", "{one:#?}");
}

#[test]
fn c10_podman_in_a_user_namespace_is_told_by_the_ids_and_names_inside() {
    let Some(agent) = agent(&[Kind::Podman]) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let engine = engine(Kind::Podman);
    let map = ["--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536"];
    let script = "/bin/sleep 1; /bin/echo e2e-c10-podman; :";
    let rest = [&map[..], &[IMAGE, "/bin/sh", "-c", script]].concat();
    engine.run_once("e2e-c10-podman-name", &rest).unwrap();
    let one = find(&mut stream, &agent, "e2e-c10-podman");
    assert_eq!(one.text("container.name"), "e2e-c10-podman-name", "{one:#?}");
    assert_eq!(one.text("container.type"), "podman", "{one:#?}");
    assert_eq!(
        (
            one.number("user.uid"),
            one.number("user.vuid"),
            one.text("user.name")
        ),
        (200_000, 0, "root".into()),
        "{one:#?}"
    );
}
