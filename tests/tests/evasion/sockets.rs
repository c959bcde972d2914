//! Servers, datagrams and sockets of unusual kinds, on this machine's own addresses only.

use std::{
    net::{TcpListener, UdpSocket},
    os::{
        fd::AsRawFd as _,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
};

use sensor_proto::v1::Detection;
use sensor_tests::{cgroup::Cgroup, client::Subscription, helper, report, values::Values as _};

use crate::watch;

const RULES: &str = r"
- rule: socket
  desc: what a helper does with sockets
  condition: >
    evt.type in (bind, listen, accept, accept4, socket, setsockopt, sendto, sendmsg, sendmmsg, connect)
    and proc.name startswith e2e-
  output: >
    %evt.type %evt.rawres %evt.res %evt.hook %evt.args %fd.num %fd.name %fd.type %fd.typechar %fd.l4proto %fd.sip
    %fd.sport %fd.cip %fd.cport %fd.lport %fd.rport %fd.is_server %fd.connected %fd.name_changed %sock.family
    %sock.type %sock.cgroup_differs %evt.incomplete
  priority: NOTICE
";

/// What the helper printed, and its events of some types.
fn run(stream: &mut Subscription<'_>, types: &[&str], arguments: &[&str]) -> (Vec<i64>, Vec<Detection>) {
    let (printed, mut found) = watch::events(stream, &helper::path("endpoints").unwrap(), arguments);
    found.retain(|found| types.contains(&&*found.text("evt.type")));
    (printed, found)
}

fn one(stream: &mut Subscription<'_>, event_type: &str, arguments: &[&str]) -> (Vec<i64>, Detection) {
    let (printed, mut found) = run(stream, &[event_type], arguments);
    assert_eq!(found.len(), 1, "{arguments:?}: one {event_type}: {found:#?}");
    (printed, found.remove(0))
}

/// A port that nobody has.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// N09: the port that the kernel chose, for `bind` to port 0 and for `listen` without `bind`, in both profiles.
#[test]
fn n09_a_listener_is_told_with_its_real_port() {
    for profile in ["default", "lite"] {
        let Some(agent) = watch::agent(profile, RULES) else {
            return;
        };
        let mut stream = agent.client.subscribe(None).unwrap();
        let by_exit = profile == "default";
        for kind in ["tcp", "udp", "udplite"] {
            let case = format!("{profile} {kind}");
            let (printed, found) = run(&mut stream, &["bind", "listen"], &["bind", kind, "0"]);
            assert_eq!(printed[0], 0, "{case}");
            assert!(printed[1] > 0, "{case}");
            let types: Vec<_> = found.iter().map(|found| found.text("evt.type")).collect();
            let expected: &[&str] = if kind == "tcp" {
                &["bind", "listen"]
            } else {
                &["bind"]
            };
            assert_eq!(types, expected, "{case}");
            for found in &found {
                assert_eq!(found.number("fd.sport"), printed[1], "{case}: {found:#?}");
                assert_eq!(found.number("fd.lport"), printed[1], "{case}");
                assert_eq!(found.text("fd.sip"), "127.0.0.1", "{case}");
                assert_eq!(found.text("fd.cip"), "", "{case}");
                assert_eq!(found.text("fd.typechar"), "4", "{case}");
                assert!(found.is("fd.is_server") && !found.is("fd.connected"), "{case}");
                assert_eq!(found.text("evt.res"), "SUCCESS", "{case}");
                assert_eq!(
                    found.text("fd.name"),
                    format!("127.0.0.1:{}", printed[1]),
                    "{case}"
                );
                assert_eq!(
                    found.text("fd.num"),
                    if by_exit {
                        printed[2].to_string()
                    } else {
                        String::new()
                    },
                    "{case}: only the exit of the call knows the descriptor"
                );
            }
            assert_eq!(found[0].text("evt.hook"), "cgroup/post_bind4", "{case}");
            if let Some(listen) = found.get(1) {
                assert_eq!(listen.text("evt.hook"), "tp_btf/inet_sock_set_state", "{case}");
            }
        }
        let (printed, found) = one(&mut stream, "listen", &["autobind"]);
        if by_exit {
            assert_eq!(found.number("fd.sport"), printed[1], "{profile}: {found:#?}");
        } else {
            // The socket's state changes before the port is chosen, and no call's exit tells it later.
            assert_eq!(found.number("fd.sport"), 0, "{profile}");
            let said = "fd.sport: the kernel chose the port after it was told";
            assert!(found.text("evt.incomplete").contains(said), "{profile}");
        }
        assert_eq!(found.text("fd.typechar"), "6", "{profile}");
        assert_eq!(found.text("fd.sip"), "::", "{profile}");
    }
}

/// What the sockets' own hooks do not tell comes from the exit of the call: refusals, MPTCP, names.
#[test]
fn n09_what_the_socket_does_not_tell_the_call_does() {
    let Some(agent) = watch::agent("default", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (printed, found) = one(&mut stream, "bind", &["bind", "tcp", &port.to_string()]);
    assert_eq!(printed[0], -98);
    assert_eq!(found.text("evt.res"), "EADDRINUSE");
    assert_eq!(found.number("fd.sport"), i64::from(port));
    assert_eq!(found.text("evt.hook"), "tp_btf/sys_exit");

    let (printed, found) = run(&mut stream, &["bind", "listen"], &["bind", "mptcp", "0"]);
    if printed[0] == 0 {
        let told: Vec<_> = found
            .iter()
            .map(|found| (found.text("evt.type"), found.number("fd.sport")))
            .collect();
        assert_eq!(told, [("bind".into(), printed[1]), ("listen".into(), printed[1])]);
    } else {
        report::skip("this kernel has no MPTCP");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let path = path.to_str().unwrap();
    let name = format!("@e2e-endpoints-{}", std::process::id());
    for name in [path, &*name] {
        let (_, found) = run(&mut stream, &["bind", "listen", "accept"], &["unix", name]);
        let told: Vec<_> = found
            .iter()
            .map(|found| {
                (
                    found.text("evt.type"),
                    found.text("fd.name"),
                    found.text("fd.typechar"),
                )
            })
            .collect();
        let expected = ["bind", "listen", "accept"].map(|event| (event.into(), name.into(), "u".into()));
        assert_eq!(told, expected);
    }
}

/// A connection that was taken: the client is the other end.
#[test]
fn n09_a_connection_taken_is_told_with_both_ends() {
    let Some(agent) = watch::agent("default", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    for call in ["accept", "accept4"] {
        let (printed, found) = one(&mut stream, call, &[call]);
        let [fd, port, client] = printed[..] else {
            panic!("{printed:?}")
        };
        assert_eq!(found.number("fd.num"), fd, "{call}");
        assert_eq!(found.number("evt.rawres"), fd, "{call}");
        for (field, expected) in [
            ("fd.sport", port),
            ("fd.lport", port),
            ("fd.cport", client),
            ("fd.rport", client),
        ] {
            assert_eq!(found.number(field), expected, "{call} {field}");
        }
        let tuple = format!("127.0.0.1:{client}->127.0.0.1:{port}");
        assert_eq!(found.text("fd.name"), tuple, "{call}");
        assert!(found.is("fd.is_server") && found.is("fd.connected"), "{call}");
        let arguments = format!("fd={fd}(<4t>{tuple}) tuple={tuple} queuepct=0 queuelen=0 queuemax=5");
        assert!(
            found.text("evt.args").starts_with(&arguments),
            "{call}: {}",
            found.text("evt.args")
        );
    }
}

/// N01: each destination of each message, by every call; a second message to a known destination is only counted.
#[test]
fn n01_every_destination_of_a_datagram_is_told() {
    for profile in ["default", "lite"] {
        let Some(agent) = watch::agent(profile, RULES) else {
            return;
        };
        let mut stream = agent.client.subscribe(None).unwrap();
        let sockets = [(), (), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = sockets
            .each_ref()
            .map(|socket| socket.local_addr().unwrap().port());
        let texts = ports.map(|port| port.to_string());
        for call in ["sendto", "sendmsg"] {
            let arguments = [call, &texts[0], &texts[1], &texts[0], &texts[2], &texts[1]];
            let (printed, found) = run(&mut stream, &["sendto", "sendmsg", "sendmmsg"], &arguments);
            assert_eq!(printed[0], 1);
            let told: Vec<_> = found.iter().map(|found| found.number("fd.sport")).collect();
            assert_eq!(told, ports.map(i64::from), "{profile} {call}");
            for found in &found {
                assert_eq!(found.text("evt.type"), call, "{profile}");
                assert_eq!(found.text("evt.hook"), "cgroup/sendmsg4", "{profile} {call}");
                assert_eq!(found.number("fd.num"), printed[2], "{profile} {call}");
                assert_eq!(found.text("fd.l4proto"), "udp", "{profile} {call}");
                assert!(
                    !found.is("fd.connected") && found.is("fd.name_changed"),
                    "{profile} {call}"
                );
            }
        }
        // Of a connected socket the connect is told, and what it sends goes there.
        let (_, found) = run(&mut stream, &["connect"], &["write", &texts[0]]);
        assert_eq!(found.len(), 1, "{profile}: {found:#?}");
        assert_eq!(found[0].number("fd.sport"), i64::from(ports[0]), "{profile}");

        let first = free_port().min(60_000);
        let (printed, found) = run(&mut stream, &["sendmmsg"], &["sendmmsg", &first.to_string(), "3"]);
        assert_eq!(printed[0], 3);
        let told: Vec<_> = found.iter().map(|found| found.number("fd.sport")).collect();
        assert_eq!(told, [0, 1, 2].map(|more| i64::from(first) + more), "{profile}");
    }
}

/// F12: one call with 1,024 messages, and 100,000 messages to one destination: bounded, and counted.
#[test]
fn f12_one_call_makes_no_flood() {
    let Some(agent) = watch::agent_alone("default", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let (printed, found) = run(&mut stream, &["sendmmsg"], &["sendmmsg", "20000", "1024"]);
    assert_eq!(printed[0], 1024);
    let told: std::collections::BTreeSet<_> = found.iter().map(|found| found.number("fd.sport")).collect();
    report::note(format_args!(
        "{} events of {} destinations",
        found.len(),
        told.len()
    ));
    assert_eq!((found.len(), told.len()), (1024, 1024));

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let (printed, found) = run(&mut stream, &["sendto"], &["flood", &port, "100000"]);
    assert_eq!(printed[0], 100_000);
    assert_eq!(found.len(), 1, "one event a destination");
}

/// N05, N15: sockets that go by no connect: what they are, and that a filter is put on one.
#[test]
fn n05_n15_unusual_sockets_and_filters_are_told() {
    let Some(agent) = watch::agent("default", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    // AF_PACKET, raw ICMP, netlink's audit, vsock, crypto: those that this kernel has.
    let cases = [
        (17, 3, 768, "AF_PACKET", "SOCK_RAW"),
        (2, 3, 1, "AF_INET", "SOCK_RAW"),
        (16, 3, 9, "AF_NETLINK", "SOCK_RAW"),
        (40, 1, 0, "AF_VSOCK", "SOCK_STREAM"),
        (38, 5, 0, "AF_ALG", "SOCK_SEQPACKET"),
        (44, 3, 0, "AF_XDP", "SOCK_RAW"),
    ];
    for (domain, kind, protocol, family, socket_type) in cases {
        let numbers = [domain, kind, protocol].map(|number: i32| number.to_string());
        let (printed, found) = one(
            &mut stream,
            "socket",
            &["socket", &numbers[0], &numbers[1], &numbers[2]],
        );
        assert_eq!(found.number("evt.rawres"), printed[0], "{family}");
        assert_eq!(found.text("sock.family"), family);
        if printed[0] < 0 {
            report::note(format_args!("{family}: {}", found.text("evt.res")));
            continue;
        }
        assert_eq!(found.text("sock.type"), socket_type, "{family}");
        assert_eq!(found.number("fd.num"), printed[0], "{family}");
        assert!(
            found.text("evt.args").contains(&format!("domain={family}")),
            "{family}: {}",
            found.text("evt.args")
        );
    }
    let (printed, found) = one(&mut stream, "setsockopt", &["filter", "classic", "17"]);
    assert_eq!(printed[0], 0);
    assert_eq!(found.text("sock.family"), "AF_PACKET");
    assert!(
        found
            .text("evt.args")
            .contains("level=SOL_SOCKET optname=SO_ATTACH_FILTER"),
        "{found:#?}"
    );
    let (_, found) = run(&mut stream, &["setsockopt"], &["filter", "lock", "2"]);
    assert_eq!(found.len(), 2, "attached and locked: {found:#?}");
}

/// N08: a socket that was made in another cgroup, or in another network namespace: the connect is the process's.
#[test]
fn n08_a_socket_made_elsewhere_is_told_as_the_process_s() {
    for profile in ["default", "lite"] {
        let Some(agent) = watch::agent(profile, RULES) else {
            return;
        };
        let mut stream = agent.client.subscribe(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cgroup = Cgroup::new(&format!("/e2e-n08-{profile}-{}", std::process::id())).unwrap();
        let procs = cgroup.procs();
        for (way, differs) in [("cgroup", true), ("netns", false)] {
            let arguments = ["moved", way, &port.to_string(), procs.to_str().unwrap()];
            let (printed, found) = one(&mut stream, "connect", &arguments);
            assert_eq!(printed[0], 0, "{profile} {way}");
            assert_eq!(found.number("fd.sport"), i64::from(port), "{profile} {way}");
            assert_eq!(
                found.is("sock.cgroup_differs"),
                differs,
                "{profile} {way}: {found:#?}"
            );
        }
    }
}

/// N13: the socket of a container runtime, by a link, through another process's descriptor, and under an abstract name.
#[test]
fn n13_a_runtime_s_socket_is_told_by_where_it_is() {
    let Some(agent) = watch::agent("default", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let link = folder.path().join("harmless");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    let opened = std::fs::File::open(folder.path()).unwrap();
    let through = format!(
        "/proc/{}/fd/{}/docker.sock",
        std::process::id(),
        opened.as_raw_fd()
    );
    let name = format!("e2e-docker.sock-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let shown = socket.to_str().unwrap().to_owned();
    for (kind, way, expected) in [
        ("unix", link.to_str().unwrap(), shown.clone()),
        ("unix", &*through, shown),
        ("abstract", &*name, format!("@{name}")),
    ] {
        let helper = helper::path("network").unwrap();
        let (printed, mut found) = watch::events(&mut stream, &helper, &[kind, way]);
        found.retain(|found| found.text("evt.type") == "connect");
        assert_eq!((printed[0], found.len()), (0, 1), "{way}: {found:#?}");
        assert_eq!(found[0].text("fd.name"), expected, "{way}");
    }
}

/// N06: the same by the numbers of 32-bit programs, and by `socketcall`.
#[test]
fn n06_servers_datagrams_and_filters_of_32_bit_programs_are_told() {
    let Some(agent) = watch::agent("default", RULES) else {
        return;
    };
    let compat = helper::path_32("compat").unwrap();
    if let Err(error) = std::process::Command::new(&compat).status() {
        report::skip(format_args!("this kernel runs no 32-bit programs: {error}"));
        return;
    }
    let mut stream = agent.client.subscribe(None).unwrap();
    let types = |found: &[Detection]| {
        let types = found.iter().map(|found| found.text("evt.type"));
        types.collect::<Vec<_>>()
    };
    for (way, accept) in [("serve", "accept4"), ("serve-socketcall", "accept")] {
        let port = free_port();
        let (_, found) = watch::events(&mut stream, &compat, &[way, &port.to_string()]);
        let expected = ["socket", "bind", "listen", "socket", "connect", accept];
        assert_eq!(types(&found), expected, "{way}: {found:#?}");
        for at in [1, 2, 4, 5] {
            assert_eq!(
                found[at].number("fd.sport"),
                i64::from(port),
                "{way}: {:#?}",
                found[at]
            );
        }
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    for way in ["datagram", "datagram-socketcall"] {
        let (_, found) = watch::events(&mut stream, &compat, &[way, &port.to_string()]);
        let sent = found.last().unwrap();
        assert_eq!(
            sent.text("evt.type"),
            if way == "datagram" { "sendmsg" } else { "sendto" }
        );
        assert_eq!(sent.number("fd.sport"), i64::from(port), "{way}");
    }
    for way in ["tap", "tap-socketcall"] {
        let (_, found) = watch::events(&mut stream, &compat, &[way, "x"]);
        assert_eq!(types(&found), ["socket", "setsockopt"], "{way}");
        assert_eq!(found[0].text("sock.family"), "AF_PACKET", "{way}");
        assert_eq!(found[1].text("sock.family"), "AF_PACKET", "{way}");
    }
}
