//! Calls of 32-bit programs, whose numbers and pointers are others.

use std::{fs, net::TcpListener, path::PathBuf, process::Command};

use sensor_tests::{helper, report, values::Values as _};

use crate::{
    agent::{agent, run},
    open::open,
};

/// The 32-bit helper; `None` where it cannot run, which is said.
fn helper_32() -> Option<PathBuf> {
    let path = helper::path_32("compat").unwrap();
    match Command::new(&path).status() {
        Ok(_) => Some(path),
        Err(error) => {
            report::skip(format_args!("this kernel runs no 32-bit programs: {error}"));
            None
        }
    }
}

#[test]
fn opens_of_a_32_bit_program_are_seen() {
    let (Some(agent), Some(compat)) = (agent(), helper_32()) else {
        return;
    };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-file");
    fs::write(&file, "").unwrap();
    for call in ["open", "openat", "openat2", "creat"] {
        let (pid, output) = run(Command::new(&compat).arg(call).arg(&file));
        assert_eq!(output.status.code(), Some(0), "{call}");
        let found = opens.of(pid, |_| true);
        assert_eq!(found.text("evt.type"), call);
        assert_eq!(found.text("fd.name"), file.to_str().unwrap(), "{call}");
        assert_eq!(found.text("fd.nameraw"), file.to_str().unwrap(), "{call}");
        assert_eq!(found.is("evt.is_open_write"), call == "creat", "{call}");
    }
    let absent = folder.path().join("e2e-absent");
    let (pid, output) = run(Command::new(&compat).arg("open").arg(&absent));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(opens.of(pid, |_| true).text("evt.res"), "ENOENT");
}

#[test]
fn a_32_bit_call_of_a_64_bit_program_is_seen() {
    let (Some(agent), Some(_)) = (agent(), helper_32()) else {
        return;
    };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-file");
    fs::write(&file, "").unwrap();
    let (pid, result) = open("int80", &file, 0, 0);
    assert!(result >= 0, "{result}");
    let found = opens.of(pid, |_| true);
    assert_eq!(found.text("evt.type"), "open");
    assert_eq!(found.text("fd.name"), file.to_str().unwrap());
    assert_eq!(found.text("fd.nameraw"), file.to_str().unwrap());
}

#[test]
fn connections_of_a_32_bit_program_are_seen() {
    let (Some(agent), Some(compat)) = (agent(), helper_32()) else {
        return;
    };
    let mut connects = agent.watch("connect");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for call in ["connect", "socketcall"] {
        let (pid, output) = run(Command::new(&compat).arg(call).arg(port.to_string()));
        assert_eq!(output.status.code(), Some(0), "{call}");
        let found = connects.of(pid, |_| true);
        assert_eq!(found.text("evt.type"), "connect", "{call}");
        assert_eq!(found.text("fd.sip"), "127.0.0.1", "{call}");
        assert_eq!(found.number("fd.sport"), i64::from(port), "{call}");
        assert_eq!(found.text("evt.res"), "SUCCESS", "{call}");
    }
}
