//! What is asked for through `io_uring`, with no system call of its own: E26, N07, and F12's share of it.

use std::{fs, net::TcpListener, net::UdpSocket, path::Path};

use sensor_proto::v1::Detection;
use sensor_tests::{client::Subscription, helper, report, values::Values as _};

use crate::watch::{self, Agent};

const RULES: &str = r"
- rule: ring
  desc: what a helper does through a ring
  condition: >
    (evt.type in (unlinkat, renameat2, linkat, symlinkat, mkdirat, connect, bind, listen, accept4, sendmsg, socket)
    or (evt.type in (openat, openat2) and (fd.name contains e2e-ring or fs.path.nameraw contains e2e-ring)))
    and proc.name = e2e-uring
  output: >
    %evt.type %evt.rawres %evt.res %evt.hook %evt.args %evt.via_io_uring %fd.num %fd.name %fd.nameraw %fd.typechar
    %fd.sip %fd.sport %fd.cport %fs.path.name %fs.path.source %fs.path.target %sock.family %path.unresolved
    %evt.incomplete %proc.name
  priority: NOTICE
";

fn agent(profile: &str) -> Option<Agent> {
    ready(watch::agent(profile, RULES)?)
}

/// The agent, if there is `io_uring` to be watched.
fn ready(agent: Agent) -> Option<Agent> {
    let ready = helper::path("uring").unwrap();
    let probe = std::process::Command::new(ready)
        .args(["normal", "openat", "/dev/null"])
        .output()
        .unwrap();
    if String::from_utf8_lossy(&probe.stdout).starts_with('-') {
        report::skip("io_uring is off here");
        return None;
    }
    Some(agent)
}

/// The result of one request, and its events of a type.
fn run(stream: &mut Subscription<'_>, event_type: &str, arguments: &[&str]) -> (Vec<i64>, Vec<Detection>) {
    let (printed, mut found) = watch::events(stream, &helper::path("uring").unwrap(), arguments);
    found.retain(|found| found.text("evt.type") == event_type);
    (printed, found)
}

fn one(stream: &mut Subscription<'_>, event_type: &str, arguments: &[&str]) -> (Vec<i64>, Detection) {
    let (printed, mut found) = run(stream, event_type, arguments);
    assert_eq!(found.len(), 1, "{arguments:?}: one {event_type}: {found:#?}");
    (printed, found.remove(0))
}

/// E26: opens, by whichever thread the kernel lets them be done and wherever the file goes: told with the kernel's own
/// path, and the name beside it.
#[test]
fn e26_opens_through_a_ring_are_told_as_opens() {
    for profile in ["default", "lite"] {
        let Some(agent) = agent(profile) else { return };
        let mut stream = agent.client.subscribe(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e2e-ring-file");
        let link = folder.path().join("e2e-ring-link");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let link = link.to_str().unwrap();
        for way in ["normal", "async", "sqpoll", "fixed"] {
            for call in ["openat", "openat2"] {
                let case = format!("{profile} {way} {call}");
                let (printed, found) = one(&mut stream, call, &[way, call, link]);
                assert!(printed[0] >= 0, "{case}: {printed:?}");
                assert_eq!(found.number("evt.rawres"), printed[0], "{case}: {found:#?}");
                assert_eq!(
                    found.text("fd.name"),
                    file.to_str().unwrap(),
                    "{case}: {found:#?}"
                );
                assert_eq!(found.text("fd.nameraw"), link, "{case}");
                assert_eq!(found.text("fd.typechar"), "f", "{case}");
                assert_eq!(found.text("evt.hook"), "tp_btf/io_uring_complete", "{case}");
                assert!(found.is("evt.via_io_uring"), "{case}");
                assert_eq!(found.text("proc.name"), "e2e-uring", "{case}");
            }
        }
        let absent = folder.path().join("e2e-ring-absent");
        let (printed, found) = one(
            &mut stream,
            "openat",
            &["normal", "openat", absent.to_str().unwrap()],
        );
        assert_eq!(printed[0], -2);
        assert_eq!(found.text("evt.res"), "ENOENT", "{profile}");
        assert_eq!(found.text("fd.name"), absent.to_str().unwrap(), "{profile}");
        // One that gives no word when it succeeds is told all the same, and says what is not known.
        let (_, found) = one(&mut stream, "openat", &["quiet", "openat", link]);
        assert_eq!(found.text("fd.name"), link, "{profile}: {found:#?}");
        assert!(found.is("path.unresolved"), "{profile}");
        assert!(found.text("evt.incomplete").contains("evt.rawres"), "{profile}");
    }
}

/// E26: names that are made, moved and removed.
#[test]
fn e26_names_changed_through_a_ring_are_told_as_the_calls() {
    let Some(agent) = agent("default") else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    for way in ["normal", "async", "sqpoll"] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (file, moved, hard, soft, made) = (at("file"), at("moved"), at("hard"), at("soft"), at("made"));
        fs::write(&file, "").unwrap();
        let cases: [(&str, &str, Vec<&str>, &str, &str); 5] = [
            ("mkdirat", "mkdirat", vec![&*made], "fs.path.name", &*made),
            ("linkat", "linkat", vec![&*file, &*hard], "fs.path.target", &*hard),
            (
                "symlinkat",
                "symlinkat",
                vec![&*file, &*soft],
                "fs.path.target",
                &*soft,
            ),
            (
                "renameat",
                "renameat2",
                vec![&*file, &*moved],
                "fs.path.source",
                &*file,
            ),
            ("unlinkat", "unlinkat", vec![&*moved], "fs.path.name", &*moved),
        ];
        for (operation, call, names, field, expected) in cases {
            let case = format!("{way} {operation}");
            let mut arguments = vec![way, operation];
            arguments.extend(names);
            let (printed, found) = one(&mut stream, call, &arguments);
            assert_eq!(printed[0], 0, "{case}");
            assert_eq!(found.text(field), expected, "{case}: {found:#?}");
            assert_eq!(found.text("evt.res"), "SUCCESS", "{case}");
            assert_eq!(found.text("evt.hook"), "tp_btf/io_uring_submit_req", "{case}");
            assert!(found.is("evt.via_io_uring"), "{case}");
        }
        assert!(Path::new(&hard).exists() && Path::new(&made).is_dir() && !Path::new(&moved).exists());
        let (printed, found) = one(&mut stream, "unlinkat", &[way, "unlinkat", &moved]);
        assert_eq!(printed[0], -2);
        assert_eq!(
            found.text("evt.res"),
            "ENOENT",
            "{way}: what came of it is told, too"
        );
    }
}

/// N07, E26: connects, whole servers, datagrams and packet sockets.
#[test]
fn n07_sockets_used_through_a_ring_are_told_as_the_calls() {
    for profile in ["default", "lite"] {
        let Some(agent) = agent(profile) else { return };
        let mut stream = agent.client.subscribe(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = udp.local_addr().unwrap().port();
        for way in ["normal", "async", "sqpoll"] {
            let case = format!("{profile} {way}");
            let (printed, found) = one(&mut stream, "connect", &[way, "connect", &port.to_string()]);
            assert_eq!(printed[0], 0, "{case}");
            assert_eq!(found.number("fd.sport"), i64::from(port), "{case}");
            assert_eq!(found.text("evt.res"), "SUCCESS", "{case}: {found:#?}");
            // By TCP's state alone it cannot be told who asked for it.
            let expected = if profile == "default" { "true" } else { "" };
            assert_eq!(found.text("evt.via_io_uring"), expected, "{case}: {found:#?}");

            let (_, found) = one(&mut stream, "sendmsg", &[way, "sendmsg", &udp.to_string()]);
            assert_eq!(found.number("fd.sport"), i64::from(udp), "{case}");

            let (printed, found) = one(&mut stream, "socket", &[way, "socket", "0"]);
            assert_eq!(found.number("evt.rawres"), printed[0], "{case}");
            assert_eq!(found.text("sock.family"), "AF_PACKET", "{case}");
            assert_eq!(found.text("evt.hook"), "tp_btf/io_uring_complete", "{case}");

            let arguments = [way, "serve", "0"];
            let (printed, found) = watch::events(&mut stream, &helper::path("uring").unwrap(), &arguments);
            if printed[0] < 0 {
                report::note("this kernel's io_uring cannot bind");
                continue;
            }
            for call in ["bind", "listen", "accept4"] {
                let of: Vec<_> = found
                    .iter()
                    .filter(|found| found.text("evt.type") == call)
                    .collect();
                assert_eq!(of.len(), 1, "{case} {call}: {found:#?}");
                assert_eq!(of[0].number("fd.sport"), printed[1], "{case} {call}");
                let via = of[0].text("evt.via_io_uring");
                assert!(
                    via == "true" || (profile == "lite" && via.is_empty()),
                    "{case} {call}: {:#?}",
                    of[0]
                );
                if call == "accept4" {
                    assert_eq!(of[0].number("fd.cport"), printed[2], "{case}");
                    assert_eq!(of[0].number("fd.num"), printed[0], "{case}");
                }
            }
        }
    }
}

/// F12: 4,096 requests handed over by one call: each is told.
#[test]
fn f12_a_whole_ring_of_requests_is_told() {
    let Some(agent) = watch::agent_alone("default", RULES).and_then(ready) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-ring-file");
    fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap();
    // Into one slot of the ring's own table: descriptors would run out.
    let (_, found) = run(&mut stream, "openat", &["fixed", "many", path]);
    // What has not ended within 200 ms is told as it stands, and again when it has.
    let (whole, early): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|found| found.text("evt.hook") == "tp_btf/io_uring_complete");
    report::note(format_args!("{} told early", early.len()));
    assert_eq!(whole.len(), 4096);
    assert!(whole.iter().all(|found| found.text("fd.name") == path));
    assert!(
        early
            .iter()
            .all(|found| found.text("evt.incomplete").contains("evt.rawres"))
    );
}
