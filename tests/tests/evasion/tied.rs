//! N14: a program that is tied to a connection, by whatever way its first descriptors came to be a socket.

use std::{net::TcpListener, thread};

use sensor_tests::values::Values as _;

use crate::agent::{agent, run};

/// Runs the helper: its id, the socket's own port and the new descriptor.
fn tied(call: &str, family: &str, port: u16) -> [i64; 3] {
    let (pid, printed) = run("tied", &[call, family, &port.to_string()]);
    let mut numbers = printed.split_whitespace().map_while(|word| word.parse().ok());
    let found = [(); 3].map(|()| numbers.next().unwrap());
    assert_eq!(found[0], i64::from(pid), "{printed}");
    assert!(printed.ends_with("ran"), "{printed}");
    found
}

/// A server that takes connections and keeps them.
fn server(address: &str) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut taken = Vec::new();
        while let Ok(next) = listener.accept() {
            taken.push(next);
        }
    });
    port
}

/// A shell whose standard input is a connection is told at its start, and by the call that tied them, where there was one.
#[test]
fn n14_a_program_tied_to_a_connection_is_told_however_it_was_tied() {
    let Some(agent) = agent() else { return };
    for (family, address, host, kind) in [
        ("4", "127.0.0.1:0", "127.0.0.1", "ipv4"),
        ("6", "[::1]:0", "::1", "ipv6"),
    ] {
        let port = server(address);
        for call in ["dup", "dup2", "dup3", "fcntl", "socket"] {
            let case = format!("{call} {family}");
            let mut starts = agent.watch();
            let mut copies = agent.watch();
            let [pid, own_port, fd] = tied(call, family, port);
            let pid = pid.try_into().unwrap();
            assert_eq!(fd, 0, "{case}");
            let name = format!("{host}:{own_port}->{host}:{port}");
            let start = starts.of("tied start", pid, |found| found.text("proc.args") == "ran");
            assert_eq!(start.text("proc.stdin.type"), kind, "{case}: {start:#?}");
            assert_eq!(start.text("fd.types[0]"), kind, "{case}");
            assert_eq!(start.text("proc.stdin.name"), name, "{case}");
            assert_eq!(start.text("proc.stdout.type"), "pipe", "{case}");
            assert_eq!(start.text("proc.stdout.name"), "", "{case}");
            if call == "socket" {
                continue;
            }
            let copy = copies.of("copied descriptor", pid, |found| found.number("fd.num") == 0);
            assert_eq!(copy.text("evt.type"), call, "{case}");
            assert_eq!(copy.number("evt.rawres"), 0, "{case}");
            assert_eq!(copy.text("fd.type"), kind, "{case}");
            assert_eq!(copy.text("fd.typechar"), family, "{case}");
            assert_eq!(copy.text("fd.l4proto"), "tcp", "{case}");
            assert_eq!(copy.text("fd.name"), name, "{case}");
            assert_eq!(copy.number("fd.lport"), own_port, "{case}");
            assert_eq!(copy.number("fd.rport"), i64::from(port), "{case}");
            let shown = format!("res=0(<{family}t>{name}) ");
            assert!(copy.text("evt.args").starts_with(&shown), "{case}: {copy:#?}");
        }
    }
}

/// What stands between a program and a connection is told as what it is; copies of other sockets are told too.
#[test]
fn n14_relays_and_other_copies_are_told_as_what_they_are() {
    let Some(agent) = agent() else { return };
    for (call, kind, letter) in [("pair", "unix", "u"), ("pipe", "pipe", "p")] {
        let mut starts = agent.watch();
        let mut copies = agent.watch();
        let [pid, ..] = tied(call, "4", 0);
        let pid = pid.try_into().unwrap();
        let start = starts.of("tied start", pid, |found| found.text("proc.args") == "ran");
        assert_eq!(start.text("proc.stdin.type"), kind, "{call}: {start:#?}");
        assert_eq!(start.text("proc.stdin.name"), "", "{call}");
        let copy = copies.of("copied descriptor", pid, |found| found.number("fd.num") == 0);
        assert_eq!(copy.text("evt.type"), "dup2", "{call}");
        assert_eq!(copy.text("fd.type"), kind, "{call}: {copy:#?}");
        assert_eq!(copy.text("fd.typechar"), letter, "{call}");
        if call == "pipe" {
            assert_eq!(copy.text("fd.name"), format!("pipe:[{}]", copy.number("fd.ino")));
        }
    }
    let port = server("127.0.0.1:0");
    let mut copies = agent.watch();
    let [pid, _, fd] = tied("high", "4", port);
    let copy = copies.of("copied descriptor", pid.try_into().unwrap(), |found| {
        found.number("fd.num") == fd
    });
    assert_eq!(copy.text("fd.type"), "ipv4", "{copy:#?}");
    assert_eq!(copy.number("fd.rport"), i64::from(port));
}
