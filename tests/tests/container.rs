//! Containers of the harness are what they claim, and leave nothing behind.

use std::{fs, path::Path, time::Duration};

use sensor_tests::container::Container;

#[test]
fn a_container_is_where_its_caller_wants_it() {
    let shared = tempfile::tempdir().unwrap();
    let container = Container::builder()
        .cgroup("/sensor-harness/pod3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d/{id}")
        .bind(shared.path(), "/shared")
        .file("/opt/app/version", "1\n", 0o644)
        .overlay(true)
        .run(&["sleep", "1000"])
        .unwrap();
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert!(
        cgroups.lines().any(|line| line.ends_with(container.cgroup())),
        "{cgroups}"
    );
    assert!(container.cgroup().ends_with(container.id()));

    let output = container
        .exec(&["sh", "-c", "cat /opt/app/version; echo 2 > /shared/new; tty"])
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\nnot a tty\n");
    assert_eq!(
        output.status.code(),
        Some(1),
        "the last command's status is handed back"
    );
    assert_eq!(fs::read_to_string(shared.path().join("new")).unwrap(), "2\n");

    let terminal = container.exec_terminal("tty").unwrap();
    assert!(
        String::from_utf8_lossy(&terminal.stdout).starts_with("/dev/pts/"),
        "{terminal:?}"
    );

    let (root, pid) = (container.root(), container.pid());
    drop(container);
    assert!(
        !Path::new(&format!("/proc/{pid}/exe")).exists(),
        "its process is gone"
    );
    assert!(!root.exists(), "its files are gone");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "its overlay is gone");
    for hierarchy in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"] {
        assert!(
            !Path::new(hierarchy).join("sensor-harness").exists(),
            "its cgroup is gone from {hierarchy}"
        );
    }
}

#[test]
fn a_container_that_ends_hands_back_its_status_and_output() {
    let mut container = Container::builder()
        .run(&["sh", "-c", "echo done; exit 7"])
        .unwrap();
    assert_eq!(container.wait(Duration::from_secs(20)).unwrap().code(), Some(7));
    assert_eq!(container.output(), "done\n");
}
