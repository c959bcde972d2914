//! Ways out of a container, and out of its view of things: C01, C03, C06.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::Command,
};

use sensor_proto::v1::Detection;
use sensor_tests::{
    container::{self, Builder, Container},
    helper, report,
    values::Values as _,
};

use crate::agent::{Vault, Watch, agent, text};

/// A container that sleeps; `None` where none can be run, which is said.
fn container(builder: Builder) -> Option<Container> {
    if let Some(missing) = container::missing() {
        report::skip(missing);
        return None;
    }
    Some(builder.run(&["/bin/sleep", "1000"]).unwrap())
}

/// Runs a line of the shell in a container; what it printed.
fn shell(container: &Container, line: &str) -> String {
    let output = container.exec(&["/bin/sh", "-c", line]).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What an event is to be: its type, part of its parameters, and part of the name of its file.
#[derive(Clone, Copy, Debug)]
struct Told(&'static str, &'static str, &'static str);

/// That each of these comes from a container, in whatever order: rings keep their own.
fn are_told(watch: &mut Watch<'_>, container: &Container, expected: &[Told]) -> Vec<Detection> {
    let mut missing = expected.to_vec();
    let mut found = Vec::new();
    while !missing.is_empty() {
        let one = watch.any(&format!("in a container ({missing:?})"), |one| {
            one.rule == "in a container" && one.text("container.full_id") == container.id()
        });
        let is = |Told(call, arguments, file): &Told| {
            one.text("evt.type").starts_with(call)
                && arguments
                    .split('|')
                    .all(|part| one.text("evt.args").contains(part))
                && one.text("fd.name").contains(file)
        };
        if let Some(at) = missing.iter().position(is) {
            missing.remove(at);
            found.push(one);
        }
    }
    found
}

/// C01: who makes namespaces of his own sees other paths, and stays his container's.
#[test]
fn c01_namespaces_of_its_own() {
    let Some(agent) = agent() else { return };
    let builder = Container::builder().file("/srv/e2e-vault/shadow", "secret\n", 0o600);
    let Some(container) = container(builder) else {
        return;
    };
    let mut watch = agent.watch();
    let line = "mkdir -p /tmp/m/e2e-vault && unshare -U -r -m sh -c \
         'mount -o bind /srv/e2e-vault /tmp/m/e2e-vault && cat /tmp/m/e2e-vault/shadow'";
    assert_eq!(shell(&container, line), "secret\n");
    let found = are_told(
        &mut watch,
        &container,
        &[
            Told("unshare", "CLONE_NEWUSER|CLONE_NEWNS", ""),
            Told("mount", "dir=/tmp/m/e2e-vault|MS_BIND", ""),
            // Named by where it is in the namespace of the process.
            Told("openat", "O_RDONLY", "/tmp/m/e2e-vault/shadow"),
        ],
    );
    assert!(
        found.iter().all(|one| one.text("evt.res") == "SUCCESS"),
        "{found:#?}"
    );
}

/// C06: into the host's namespaces, by the host's /proc.
#[test]
fn c06_into_the_host_s_namespaces() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let builder = Container::builder().privileged(true).bind("/proc", "/host-proc");
    let Some(container) = container(builder) else {
        return;
    };
    let mut watch = agent.watch();
    // The test's own are the host's.
    let host = format!("/host-proc/{}/ns", std::process::id());
    let line = format!(
        "nsenter -m{host}/mnt -u{host}/uts -n{host}/net cat {}",
        vault.secret.display()
    );
    assert_eq!(shell(&container, &line), "secret\n");
    let found = are_told(
        &mut watch,
        &container,
        &[
            Told("setns", "CLONE_NEWNS", ""),
            Told("setns", "CLONE_NEWUTS", ""),
            Told("setns", "CLONE_NEWNET", ""),
            // On the host now, and still the container's.
            Told("openat", "O_RDONLY", "/e2e-vault/shadow"),
        ],
    );
    assert!(
        found.iter().all(|one| one.text("evt.res") == "SUCCESS"),
        "{found:#?}"
    );
}

/// C01, C06: none of many gets lost.
#[test]
fn c01_every_change_of_namespaces_is_told() {
    let Some(agent) = agent() else { return };
    let Some(container) = container(Container::builder().privileged(true)) else {
        return;
    };
    let mut watch = agent.watch();
    let line = "for i in $(seq 100); do unshare -u nsenter -t 1 -u true || exit 1; done; echo done";
    assert_eq!(shell(&container, line), "done\n");
    let expected = [
        [Told("unshare", "CLONE_NEWUTS", ""); 100],
        [Told("setns", "CLONE_NEWUTS", ""); 100],
    ];
    let found = are_told(&mut watch, &container, expected.as_flattened());
    assert!(
        found.iter().all(|one| one.text("evt.res") == "SUCCESS"),
        "{found:#?}"
    );
    report::note("C01, C06: 200 of 200 changes of namespaces in a container were told");
}

/// One way out of a container: a line of its shell, and what it is told as. Some fail on this kernel, and are told so.
const WAYS_OUT: [(&str, &str, &[Told]); 9] = [
    (
        "core_pattern",
        "f=/proc/sys/kernel/core_pattern; v=$(cat $f); echo $v > $f",
        &[Told("openat", "O_WRONLY", "/proc/sys/kernel/core_pattern")],
    ),
    (
        "the magic keys",
        "echo h > /proc/sysrq-trigger",
        &[Told("openat", "O_WRONLY", "/proc/sysrq-trigger")],
    ),
    (
        "the host's disk",
        "mknod /tmp/disk b 254 0; mount -t ext4 -o ro /tmp/disk /root",
        &[
            Told("mknod", "/tmp/disk|S_IFBLK", ""),
            Told("mount", "dev=/tmp/disk|type=ext4", ""),
        ],
    ),
    (
        "a runtime's socket",
        "e2e-network unix /run/docker.sock",
        // Named by where it is on the host.
        &[Told("connect", "", "/place/socket")],
    ),
    (
        "a folder of the host's",
        "mkdir -p /host/etc/cron.d; echo x > /host/etc/cron.d/e2e",
        &[Told("openat", "O_WRONLY", "/host/etc/cron.d/e2e")],
    ),
    (
        "the runtime's own program",
        ": > /proc/self/exe",
        &[Told("openat", "O_WRONLY", "/proc/self/exe")],
    ),
    (
        "a module",
        "echo x > /tmp/e2e.ko; insmod /tmp/e2e.ko",
        &[Told("finit_module", "", "")],
    ),
    (
        "a certificate of the kubelet's",
        "cat /host/kubelet-client-current.pem",
        &[Told("openat", "O_RDONLY", "/host/kubelet-client-current.pem")],
    ),
    (
        "another root",
        "chroot /host /bin/true",
        &[Told("chroot", "/host", "")],
    ),
];

/// C03: the ways out of a privileged container, each really gone as far as it does no harm.
#[test]
fn c03_ways_out_of_a_privileged_container() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let socket = vault.place.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::write(vault.place.join("kubelet-client-current.pem"), "key").unwrap();
    let builder = Container::builder()
        .privileged(true)
        .bind(&vault.place, "/host")
        .bind(&socket, "/run/docker.sock")
        .bind(helper::path("network").unwrap(), "/bin/e2e-network");
    let Some(container) = container(builder) else {
        return;
    };
    for (name, line, expected) in WAYS_OUT {
        let mut watch = agent.watch();
        let said = shell(&container, line);
        let found = are_told(&mut watch, &container, expected);
        let results: Vec<_> = found.iter().map(|one| one.text("evt.res")).collect();
        report::note(format_args!("C03, {name}: told as {results:?} {}", said.trim()));
    }
}

/// C03: the kernel starts a program of the container's choice on the host, when a cgroup is left.
#[test]
fn c03_a_release_agent() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let program = vault.place.join("e2e-agent-c03");
    fs::copy(helper::path("true").unwrap(), &program).unwrap();
    let Some(container) = container(Container::builder().privileged(true)) else {
        return;
    };
    let mut watch = agent.watch();
    let mut starts = agent.watch();
    // A hierarchy of the test's own, which ends with the container.
    let line = format!(
        "mkdir /tmp/c && mount -t cgroup -o none,name=e2e-c03 e2e /tmp/c && echo {} > /tmp/c/release_agent \
         && mkdir /tmp/c/x && echo 1 > /tmp/c/x/notify_on_release && sh -c 'echo $$ > /tmp/c/x/cgroup.procs' && echo done; rmdir /tmp/c/x; umount /tmp/c",
        program.display()
    );
    let said = shell(&container, &line);
    if said.contains("mount") {
        report::skip("this kernel has no cgroup v1");
        return;
    }
    assert_eq!(said, "done\n");
    are_told(
        &mut watch,
        &container,
        &[
            Told("mount", "dir=/tmp/c|type=cgroup", ""),
            Told("openat", "O_WRONLY", "/tmp/c/release_agent"),
        ],
    );
    // What the kernel starts has nothing of the container but its path: its parent is a thread of the kernel's.
    let found = starts.any("started by the kernel", |found| {
        found.rule == "started by the kernel" && found.text("proc.exepath") == text(&program)
    });
    assert_eq!(found.text("container.id"), "host");
    let parent = found.text("proc.pname");
    assert!(
        parent == "kthreadd" || parent.starts_with("kworker/"),
        "{found:#?}"
    );
}

/// C03: a descriptor of a folder of the host's that came along leads out of the container's root (CVE-2024-21626).
#[test]
fn c03_a_descriptor_of_the_host_s_that_came_along() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let Some(container) = container(Container::builder()) else {
        return;
    };
    let mut watch = agent.watch();
    let script = "exec 3< \"$1\" && exec nsenter --target \"$2\" --mount --pid cat /proc/self/fd/3/../e2e-vault/shadow";
    let output = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(&vault.place)
        .arg(container.pid().to_string())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "secret\n", "{output:?}");
    let found = are_told(
        &mut watch,
        &container,
        &[Told("openat", "O_RDONLY", "/e2e-vault/shadow")],
    );
    // The file's own path, which is the host's, and what was asked for.
    assert_eq!(found[0].text("fd.name"), text(&vault.secret));
    assert_eq!(found[0].text("fd.nameraw"), "/proc/self/fd/3/../e2e-vault/shadow");
}

/// C13: a container that is given the agent's own files and socket.
#[test]
fn c13_the_agent_s_own_files() {
    let Some(agent) = agent() else { return };
    let builder = Container::builder()
        .bind(agent.folder(), "/agent")
        .bind(helper::path("network").unwrap(), "/bin/e2e-network");
    let Some(container) = container(builder) else {
        return;
    };
    let mut watch = agent.watch();
    let socket = agent.folder().join("sensor.sock");
    shell(
        &container,
        ": >> /agent/rules.yaml; : >> /agent/sensor.yaml; e2e-network unix /agent/sensor.sock",
    );
    are_told(
        &mut watch,
        &container,
        &[
            Told("openat", "O_WRONLY", "/agent/rules.yaml"),
            Told("openat", "O_WRONLY", "/agent/sensor.yaml"),
            Told("connect", "", "/sensor.sock"),
        ],
    );
    // Who is not its user or group does not get in.
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}
