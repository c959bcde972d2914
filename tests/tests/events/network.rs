//! Connections, on this machine's own addresses only.

use std::{
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram, UnixListener},
    },
    process::Command,
};

use sensor_tests::{helper, values::Values as _};

use crate::agent::{agent, run_well};

/// Has the helper connect: its process id, the call's result, and the port at its own end.
fn connect(arguments: &[&str]) -> (u32, i64, i64) {
    let (pid, printed) = run_well(Command::new(helper::path("network").unwrap()).args(arguments));
    let mut numbers = printed.split_whitespace().map(|number| number.parse().unwrap());
    (pid, numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_connection_is_told_with_both_ends_and_its_protocol() {
    let Some(agent) = agent() else { return };
    let mut connects = agent.watch("connect");
    let tcp_4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_6 = TcpListener::bind("[::1]:0").unwrap();
    let udp_4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_6 = UdpSocket::bind("[::1]:0").unwrap();
    let ports = [
        tcp_4.local_addr(),
        tcp_6.local_addr(),
        udp_4.local_addr(),
        udp_6.local_addr(),
    ];
    let [tcp_4, tcp_6, udp_4, udp_6] = ports.map(|address| address.unwrap().port());
    // What is called, what it is told as: an IPv4 address in IPv6 clothes is an IPv4 address.
    let cases = [
        ("tcp", "127.0.0.1", tcp_4, "tcp", "ipv4", "127.0.0.1"),
        ("tcp", "::1", tcp_6, "tcp", "ipv6", "::1"),
        ("tcp", "::ffff:127.0.0.1", tcp_4, "tcp", "ipv6", "127.0.0.1"),
        ("udp", "127.0.0.1", udp_4, "udp", "ipv4", "127.0.0.1"),
        ("udp", "::1", udp_6, "udp", "ipv6", "::1"),
        ("udp", "::ffff:127.0.0.1", udp_4, "udp", "ipv6", "127.0.0.1"),
    ];
    for (kind, address, port, protocol, family, told) in cases {
        let case = format!("{kind} {address}");
        let (pid, result, own_port) = connect(&[kind, address, &port.to_string()]);
        assert_eq!(result, 0, "{case}");
        let found = connects.of(pid, |_| true);
        let text = |field| found.text(field);
        assert_eq!(text("evt.type"), "connect", "{case}");
        assert_eq!(text("evt.res"), "SUCCESS", "{case}");
        assert_eq!(text("fd.type"), family, "{case}");
        assert_eq!(text("fd.l4proto"), protocol, "{case}");
        assert_eq!(text("fd.sockfamily"), "ip", "{case}");
        for field in ["fd.cip", "fd.lip", "fd.sip", "fd.rip"] {
            assert_eq!(text(field), told, "{case} {field}");
        }
        for field in ["fd.sport", "fd.rport"] {
            assert_eq!(found.number(field), i64::from(port), "{case} {field}");
        }
        for field in ["fd.cport", "fd.lport"] {
            assert_eq!(found.number(field), own_port, "{case} {field}");
        }
        assert_eq!(
            text("fd.name"),
            format!("{told}:{own_port}->{told}:{port}"),
            "{case}"
        );
        assert!(found.is("fd.connected"), "{case}");
        assert!(found.incomplete.is_empty(), "{case}: {:?}", found.incomplete);
    }
}

#[test]
fn a_refused_connection_is_told_with_where_it_was_to_go() {
    let Some(agent) = agent() else { return };
    let mut connects = agent.watch("connect");
    // The port was free a moment ago, and nobody else binds a port that the kernel has just given out.
    for address in ["127.0.0.1", "::1"] {
        let port = TcpListener::bind((address, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (pid, result, _) = connect(&["tcp", address, &port.to_string()]);
        assert_eq!(result, -111, "{address}");
        let found = connects.of(pid, |_| true);
        assert_eq!(found.text("evt.res"), "ECONNREFUSED", "{address}");
        assert_eq!(found.text("fd.sip"), address);
        assert_eq!(found.number("fd.sport"), i64::from(port), "{address}");
        assert!(!found.is("fd.connected"), "{address}");
    }
}

#[test]
fn a_connection_that_goes_on_in_the_background_is_told() {
    let Some(agent) = agent() else { return };
    let mut connects = agent.watch("connect");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (pid, result, own_port) = connect(&["tcp-nonblock", "127.0.0.1", &port.to_string()]);
    assert_eq!(result, -115);
    let found = connects.of(pid, |_| true);
    assert_eq!(found.text("evt.res"), "EINPROGRESS");
    assert_eq!(
        found.text("fd.name"),
        format!("127.0.0.1:{own_port}->127.0.0.1:{port}")
    );
}

#[test]
fn unix_sockets_are_told_by_their_names() {
    let Some(agent) = agent() else { return };
    let mut connects = agent.watch("connect");
    let folder = tempfile::tempdir().unwrap();
    let (stream, datagram) = (folder.path().join("stream"), folder.path().join("datagram"));
    let name = format!("e2e-abstract-{}", std::process::id());
    let _stream = UnixListener::bind(&stream).unwrap();
    let _datagram = UnixDatagram::bind(&datagram).unwrap();
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let cases = [
        ("unix", stream.to_str().unwrap(), "stream"),
        ("unix-datagram", datagram.to_str().unwrap(), "datagram"),
        ("abstract", &name, &format!("@{name}")),
    ];
    for (kind, name, filename) in cases {
        let (pid, result, _) = connect(&[kind, name]);
        assert_eq!(result, 0, "{kind}");
        let found = connects.of(pid, |_| true);
        let told = if kind == "abstract" { filename } else { name };
        assert_eq!(found.text("fd.name"), told, "{kind}");
        assert_eq!(found.text("fd.filename"), filename, "{kind}");
        assert_eq!(found.text("fd.type"), "unix", "{kind}");
        assert_eq!(found.text("fd.sockfamily"), "unix", "{kind}");
        assert_eq!(found.text("fd.sip"), "", "{kind}");
        assert!(found.incomplete.is_empty(), "{kind}: {:?}", found.incomplete);
    }

    let absent = folder.path().join("absent");
    let (pid, result, _) = connect(&["unix", absent.to_str().unwrap()]);
    assert_eq!(result, -2);
    let found = connects.of(pid, |_| true);
    assert_eq!(found.text("evt.res"), "ENOENT");
    assert_eq!(found.text("fd.name"), absent.to_str().unwrap());
}

#[test]
fn a_unix_socket_is_told_by_where_it_really_is() {
    let Some(agent) = agent() else { return };
    let mut connects = agent.watch("connect");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let link = folder.path().join("link");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    let (pid, _, _) = connect(&["unix", link.to_str().unwrap()]);
    assert_eq!(
        connects.of(pid, |_| true).text("fd.name"),
        socket.to_str().unwrap()
    );
}
