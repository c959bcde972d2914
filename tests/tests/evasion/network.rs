//! Connections, on this machine's own addresses only.

use std::{
    net::{TcpListener, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use sensor_proto::v1::Detection;
use sensor_tests::{client::Subscription, helper, report, values::Values as _, wait::DEADLINE};

use crate::watch::{self, Agent, pid_of};

const RULES: &str = r"
- rule: connect
  desc: every connect of a helper
  condition: evt.type = connect and proc.name startswith e2e-
  output: >
    %evt.type %evt.rawres %evt.res %evt.hook %fd.name %fd.type %fd.l4proto %fd.sip %fd.sport %fd.connected
    %sock.cgroup_differs %proc.name %evt.incomplete
  priority: NOTICE
";

/// An agent with a profile; `None` without root, which is said.
fn agent(profile: &str) -> Option<Agent> {
    watch::agent(profile, RULES)
}

/// Runs a helper to its end: its result, and its connects.
fn connects(
    stream: &mut Subscription<'_>,
    program: &'static str,
    arguments: &[&str],
) -> (i64, Vec<Detection>) {
    let (printed, found) = watch::events(stream, &helper::path(program).unwrap(), arguments);
    (printed[0], found)
}

/// The one connect there must be, with its destination's address and port.
fn one(stream: &mut Subscription<'_>, arguments: &[&str], port: u16) -> Detection {
    let (_, mut found) = connects(stream, "sockets", arguments);
    assert_eq!(found.len(), 1, "{arguments:?}: one event a connect: {found:#?}");
    let found = found.remove(0);
    assert_eq!(found.number("fd.sport"), i64::from(port), "{arguments:?}");
    found
}

/// Every route of TCP, in the profile that hooks no system call and in the one that does: one event each, from the
/// socket, with the kernel's copy of the address.
#[test]
fn n02_n04_n05_n10_every_route_is_told_once() {
    for profile in ["default", "lite"] {
        let Some(agent) = agent(profile) else { return };
        let mut stream = agent.client.subscribe(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = port.to_string();
        for way in ["fastopen", "fastopen-connect", "mptcp"] {
            let found = one(&mut stream, &[way, "127.0.0.1", &text], port);
            assert_eq!(found.text("fd.sip"), "127.0.0.1", "{profile} {way}");
            assert_eq!(found.text("evt.hook"), "cgroup/connect4", "{profile} {way}");
            assert!(found.is("fd.connected"), "{profile} {way}: {found:#?}");
        }
        // N04: to connect to no address is to connect to this machine.
        let (result, found) = connects(&mut stream, "network", &["tcp", "0.0.0.0", &text]);
        assert_eq!((result, found.len()), (0, 1), "{profile}: {found:#?}");
        assert_eq!(found[0].text("fd.sip"), "127.0.0.1", "{profile}");
        // N10: a datagram socket that is connected, dissolved and connected again has two destinations.
        let ports = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|socket| socket.local_addr().unwrap().port());
        let arguments = [
            "unspec",
            "127.0.0.1",
            &ports[0].to_string(),
            &ports[1].to_string(),
        ];
        let (result, found) = connects(&mut stream, "sockets", &arguments);
        assert_eq!(result, 0);
        let mut told: Vec<_> = found.iter().map(|found| found.number("fd.sport")).collect();
        told.sort_unstable();
        let mut made = ports.map(i64::from);
        made.sort_unstable();
        assert_eq!(told, made, "{profile}");
    }
}

/// N03, N11: in IPv6 clothes, refused, and in the background; with nothing but the sockets to tell of it.
#[test]
fn n03_n11_the_socket_alone_tells_how_it_ended() {
    let Some(agent) = agent("lite") else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let cases = [
        (
            "tcp",
            "::ffff:127.0.0.1",
            open,
            0,
            "SUCCESS",
            true,
            "cgroup/connect6",
        ),
        (
            "tcp",
            "127.0.0.1",
            closed,
            -111,
            "ECONNREFUSED",
            false,
            "cgroup/connect4",
        ),
        (
            "tcp-nonblock",
            "127.0.0.1",
            open,
            -115,
            "EINPROGRESS",
            true,
            "cgroup/connect4",
        ),
    ];
    for (kind, address, port, expected, res, connected, hook) in cases {
        let case = format!("{kind} {address} {port}");
        let (result, found) = connects(&mut stream, "network", &[kind, address, &port.to_string()]);
        assert_eq!(result, expected, "{case}");
        assert_eq!(found.len(), 1, "{case}: {found:#?}");
        let found = &found[0];
        assert_eq!(found.number("evt.rawres"), expected, "{case}");
        assert_eq!(found.text("evt.res"), res, "{case}");
        assert_eq!(found.text("fd.sip"), "127.0.0.1", "{case}");
        assert_eq!(found.number("fd.sport"), i64::from(port), "{case}");
        assert_eq!(found.is("fd.connected"), connected, "{case}");
        assert_eq!(found.text("evt.hook"), hook, "{case}");
    }
    // What has not ended when it is told says so.
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (_, found) = connects(&mut stream, "network", &["udp", "127.0.0.1", &udp.to_string()]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].text("evt.res"), "SUCCESS");
    assert_eq!(
        found[0].text("evt.incomplete"),
        "evt.rawres: told before the call's end, which was not seen"
    );
}

/// T01: the address changes in memory while the kernel copies it. What is told is what was connected to.
#[test]
fn t01_an_address_that_changes_in_memory_is_told_as_the_kernel_took_it() {
    const COUNT: usize = 1000;
    let Some(agent) = agent("default") else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = [&listeners[0], &listeners[1]].map(|listener| listener.local_addr().unwrap().port());
    let accepting = listeners.map(|listener| {
        listener.set_nonblocking(true).unwrap();
        let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = std::sync::Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut count = 0_usize;
            loop {
                let is_over = stop.load(std::sync::atomic::Ordering::Acquire);
                match listener.accept() {
                    Ok(_) => count += 1,
                    Err(_) if is_over => return count,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        (over, thread)
    });
    let [first, second] = ports.map(|port| port.to_string());
    let arguments = ["race", "127.0.0.1", &first, &second, &COUNT.to_string()];
    let (result, found) = connects(&mut stream, "sockets", &arguments);
    assert_eq!(result, 0);
    let accepted = accepting.map(|(over, thread)| {
        over.store(true, std::sync::atomic::Ordering::Release);
        thread.join().unwrap()
    });
    let told = ports.map(|port| {
        let same = |found: &&Detection| found.number("fd.sport") == i64::from(port);
        found.iter().filter(same).count()
    });
    report::note(format_args!("accepted {accepted:?}, told {told:?}"));
    assert_eq!(accepted.iter().sum::<usize>(), COUNT);
    assert_eq!(told, accepted, "each at the address that it really went to");
    assert_eq!(found.len(), COUNT, "and no other");
}

/// T04: the call does not come back. It is told within a second all the same.
#[test]
fn t04_a_connect_that_blocks_is_told_while_it_does() {
    let Some(agent) = agent("default") else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    // A listener whose queue is full does not answer.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let _full = std::net::TcpStream::connect(address).unwrap();
    let port = address.port().to_string();
    let program = helper::path("sockets").unwrap();
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(["blocked", "127.0.0.1", &port])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let found = stream
        .find(DEADLINE, |detection| {
            pid_of(detection) == pid && detection.rule == "connect"
        })
        .unwrap()
        .unwrap();
    let after = begin.elapsed();
    assert!(
        child.try_wait().unwrap().is_none(),
        "the call came back before it was told"
    );
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert_eq!(found.text("evt.res"), "EINPROGRESS");
    assert_eq!(found.number("fd.sport"), i64::from(address.port()));
    child.wait().unwrap();
}
