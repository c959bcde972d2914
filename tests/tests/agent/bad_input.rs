//! What is wrong is refused with a message that names it, and a code that tells what kind of fault it is.

use std::{fs, os::unix::net::UnixListener, path::Path, process::Command};

use sensor_tests::{
    binary,
    sensor::{Builder, Sensor},
};

use crate::machine;

const WRONG: Option<i32> = Some(2);
const CANNOT_RUN_HERE: Option<i32> = Some(3);
const FAILED: Option<i32> = Some(1);

/// A rule file with one condition.
fn rule(condition: &str) -> String {
    format!(
        "- rule: e2e\n  desc: a test's rule\n  condition: {condition}\n  output: found\n  priority: NOTICE\n"
    )
}

fn working() -> Builder {
    Sensor::builder().rules(&rule("evt.type = execve"))
}

fn assert_refused(agent: Builder, code: Option<i32>, parts: &[&str]) {
    let (exit, said) = agent.refused().unwrap();
    assert_said(exit, &said, code, parts);
}

fn assert_said(exit: Option<i32>, said: &str, code: Option<i32>, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert_eq!(exit, code, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_wrong_configuration_is_refused_with_the_place() {
    // The configuration is read before anything needs root.
    let config = |text: &str| working().config(text);
    assert_refused(
        config("hostname: a\nkernel:\n  activity_ring_byte: 4096\n"),
        WRONG,
        &[
            "activity_ring_byte",
            "sensor.yaml:3:3",
            "did you mean `activity_ring_bytes`?",
        ],
    );
    assert_refused(
        config("log:\n  level: loud\n"),
        WRONG,
        &["sensor.yaml:2:10", "loud", "warn"],
    );
    assert_refused(config("hostname: [\n"), WRONG, &["sensor.yaml"]);
    let size = "kernel.activity_ring_bytes";
    assert_refused(
        config("kernel:\n  activity_ring_bytes: 100000\n"),
        WRONG,
        &[
            size,
            "sensor.yaml:2:24",
            "100000 is not a power of two",
            "65536 and 131072",
        ],
    );
    assert_refused(
        working().set(format!("{size}=100000")),
        WRONG,
        &[size, "--set", "100000 is not a power of two"],
    );
    assert_refused(
        working().set("grpc.sokcet=/x"),
        WRONG,
        &["sokcet", "did you mean `socket`?"],
    );
}

#[test]
fn a_wrong_rule_is_refused_with_the_place() {
    let cases: [(&str, &[&str]); 3] = [
        (
            "evt.type = execve and proc.nmae = cat",
            &["proc.nmae", "rules.yaml:3:36", "did you mean `proc.name`?"],
        ),
        (
            "evt.type = execve and proc.pid = cat",
            &["'cat' is not a valid number", "rules.yaml:3:47"],
        ),
        (
            "evt.type = execve and (proc.name = cat",
            &["rules.yaml:3:", "expected"],
        ),
    ];
    for (condition, parts) in cases {
        assert_refused(Sensor::builder().rules(&rule(condition)), WRONG, parts);
    }
    assert_refused(
        Sensor::builder().rules("- rule: e2e\n   desc: x\n"),
        WRONG,
        &["rules.yaml:2"],
    );
    assert_refused(
        Sensor::builder().rule_files("/nonexistent/rules"),
        WRONG,
        &["/nonexistent/rules"],
    );
}

#[test]
fn a_kernel_without_types_is_refused() {
    let Some(_machine) = machine() else { return };
    assert_refused(
        working().set("kernel.btf=/nonexistent/btf"),
        CANNOT_RUN_HERE,
        &["/nonexistent/btf", "CONFIG_DEBUG_INFO_BTF", "kernel.btf"],
    );
    let garbage = tempfile::NamedTempFile::new().unwrap();
    let real = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    for content in [
        b"no types at all, just text".as_slice(),
        b"",
        &real[..real.len() / 2],
    ] {
        fs::write(garbage.path(), content).unwrap();
        let name = garbage.path().to_str().unwrap();
        assert_refused(
            working().set(format!("kernel.btf={name}")),
            CANNOT_RUN_HERE,
            &[name],
        );
    }
}

#[test]
fn without_rights_it_is_said_which_are_needed() {
    let Some(_machine) = machine() else { return };
    // Where anyone may run it, whatever the folder of the build permits.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = folder.path().join("sensor");
    fs::copy(binary::sensor(), &program).unwrap();
    fs::write(folder.path().join("rules.yaml"), rule("evt.type = execve")).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&program)
            .args(arguments);
        command
            .arg("--set=grpc.socket=/tmp/sensor-e2e-nobody.sock")
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let output = as_nobody(&["run", "--rules", "rules.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_said(
        output.status.code(),
        &said,
        CANNOT_RUN_HERE,
        &["root", "CAP_BPF", "CAP_PERFMON"],
    );
    let output = as_nobody(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_said(
        output.status.code(),
        &said,
        CANNOT_RUN_HERE,
        &["CAP_BPF", "not held"],
    );
}

#[test]
fn a_socket_path_that_is_taken_is_refused() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sensor.sock");
    let name = socket.to_str().unwrap();
    fs::write(&socket, "a file of somebody's").unwrap();
    let (exit, said) = working().refused_in(folder.path()).unwrap();
    assert_said(exit, &said, FAILED, &[name, "not a socket"]);
    assert_eq!(fs::read(&socket).unwrap(), b"a file of somebody's");

    fs::remove_file(&socket).unwrap();
    let living = UnixListener::bind(&socket).unwrap();
    let (exit, said) = working().refused_in(folder.path()).unwrap();
    assert_said(exit, &said, FAILED, &[name]);
    assert!(socket.exists(), "the socket of a living process is left alone");

    drop(living);
    let sensor = working().start_in(folder.path()).unwrap();
    sensor
        .client()
        .expect("the socket of a dead process is taken over");
}

#[test]
fn tracefs_is_not_needed() {
    let Some(_machine) = machine() else { return };
    let bare = [
        "unshare",
        "--mount",
        "/bin/sh",
        "-c",
        "umount --lazy /sys/kernel/tracing /sys/kernel/debug/tracing 2> /dev/null; exec \"$0\" \"$@\"",
    ];
    working()
        .under(&bare)
        .start()
        .expect("an agent runs without tracefs")
        .stop()
        .unwrap();
    let output = Command::new(bare[0])
        .args(&bare[1..])
        .arg(binary::sensor())
        .arg("doctor")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said
        .lines()
        .find(|line| line.contains("tracefs"))
        .unwrap_or_default();
    assert!(
        line.contains("not mounted") && line.contains("no hook in use needs it"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(Path::new("/sys/kernel").exists());
}
