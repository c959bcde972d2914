//! Rules that deny connections, with real connections on this machine's loopback, and rules that kill.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicU64, Ordering},
};

use sensor_tests::{
    helper,
    sensor::Sensor,
    wait::{self, DEADLINE},
};

use crate::machine;

/// Attempts to connect, from two threads; how many were denied and how many not.
fn attempt(address: SocketAddr, times: u64) -> (u64, u64) {
    let (denied, passed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..times / 2 {
                    match TcpStream::connect(address) {
                        Ok(_) => passed.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                            denied.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    (denied.into_inner(), passed.into_inner())
}

fn rule(condition: &str) -> String {
    format!(
        "- rule: guarded port\n  desc: nobody connects there\n  condition: {condition}\n  \
         output: port=%fd.sport denied=%evt.denied res=%evt.res\n  priority: CRITICAL\n  action: deny\n"
    )
}

/// Detections that say that the call was denied, and that say that it was not.
fn told(output: &str) -> (u64, u64) {
    let lines = |text: &str| output.lines().filter(|line| line.contains(text)).count() as u64;
    (lines("denied=true res=EPERM"), lines("denied=false res=SUCCESS"))
}

#[test]
fn denials_and_reports_agree_exactly_and_switching_loses_nothing() {
    let Some(_machine) = machine() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let folder = tempfile::tempdir().unwrap();
    let off = folder.path().join("off");
    let condition = format!(
        "evt.type=connect and fd.l4proto=tcp and fd.snet in (127.0.0.0/8) and fd.sport={}",
        address.port()
    );
    let sensor = Sensor::builder()
        .rules(&rule(&condition))
        .set("enforce.mode=act")
        .set(format!("enforce.off_file={}", off.display()))
        .set("enforce.denials_per_cgroup_max=1000000")
        .set("kernel.activity_ring_bytes=67108864")
        // Nor about how fast a sink writes.
        .set("grpc.queue_items_max=65536")
        // Connections that pass are bulk, of which a cgroup has a budget; this test is not about it.
        .set("kernel.cgroup_events_per_second=1000000")
        .start()
        .unwrap();
    let (mut denied, mut passed) = attempt(address, 10_000);
    assert_eq!((denied, passed), (10_000, 0));
    // An address of zeros is the same place by another name.
    let zeros = SocketAddr::from(([0, 0, 0, 0], address.port()));
    let (more, none) = attempt(zeros, 2);
    assert_eq!((more, none), (2, 0));
    denied += more;
    for is_off in [true, false, true] {
        if is_off {
            fs::write(&off, "another rule\nguarded port\n").unwrap();
        } else {
            fs::remove_file(&off).unwrap();
        }
        let switched = wait::until(DEADLINE, || {
            let (more_denied, more_passed) = attempt(address, 20);
            denied += more_denied;
            passed += more_passed;
            (if is_off { more_denied } else { more_passed } == 0).then_some(())
        });
        assert!(switched.is_some(), "{is_off}");
    }
    let (status, log, output) = sensor.stop().unwrap();
    assert!(status.success(), "{log}");
    assert_eq!(told(&output), (denied, passed), "{log}");
}

#[test]
fn beyond_its_cap_a_cgroup_is_only_watched() {
    let Some(_machine) = machine() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let port = address.port();
    let sensor = Sensor::builder()
        .rules(&rule(&format!("evt.type=connect and fd.sport={port}")))
        .set("enforce.mode=act")
        .set("enforce.off_file=/nonexistent")
        .set("enforce.denials_per_cgroup_max=7")
        .start()
        .unwrap();
    let results: Vec<_> = (0..20).map(|_| TcpStream::connect(address).is_ok()).collect();
    assert_eq!(
        results.iter().filter(|went_on| !**went_on).count(),
        7,
        "{results:?}"
    );
    assert!(results[7..].iter().all(|went_on| *went_on));
    let (_, _, output) = sensor.stop().unwrap();
    assert_eq!(told(&output), (7, 13));
}

#[test]
fn a_denied_bind_gives_the_port_back_and_is_told_once() {
    const TIMES: u64 = 500;
    let Some(_machine) = machine() else { return };
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = rule(&format!("evt.type=bind and fd.l4proto=tcp and fd.sport={port}"));
    let sensor = Sensor::builder()
        .rules(&text)
        .set("enforce.mode=act")
        .set("enforce.off_file=/nonexistent")
        .set("enforce.denials_per_cgroup_max=1000000")
        .set("kernel.cgroup_events_per_second=1000000")
        .start()
        .unwrap();
    let mut denied = 0;
    for address in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
        for _ in 0..TIMES / 4 {
            let error = TcpListener::bind((address, port)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{address}");
            denied += 1;
        }
    }
    // Another port and another protocol are nobody's business.
    drop(TcpListener::bind("127.0.0.1:0").unwrap());
    drop(UdpSocket::bind(("127.0.0.1", port)).unwrap());
    let (status, log, output) = sensor.stop().unwrap();
    assert!(status.success(), "{log}");
    assert_eq!(told(&output), (denied, 0), "{log}");
    assert!(output.contains(&format!("port={port} ")), "{output}");
    // By default nothing is denied.
    let observes = Sensor::builder().rules(&text).start().unwrap();
    drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
    let (_, _, output) = observes.stop().unwrap();
    assert_eq!(told(&output), (0, 1), "{output}");
}

#[test]
fn other_ports_other_protocols_and_observing_rules_deny_nothing() {
    let Some(_machine) = machine() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let text = rule(&format!(
        "evt.type=connect and fd.l4proto=tcp and fd.sport={}",
        address.port()
    ));
    let acts = Sensor::builder()
        .rules(&text)
        .set("enforce.mode=act")
        .set("enforce.off_file=/nonexistent");
    let sensor = acts.start().unwrap();
    TcpStream::connect(other.local_addr().unwrap()).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().connect(address).unwrap();
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", address.port()).parse().unwrap();
    assert_eq!(
        TcpStream::connect(mapped).unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    drop(sensor.stop().unwrap());
    // With the agent gone nothing is denied, and by default nothing is at all.
    TcpStream::connect(address).unwrap();
    let observes = Sensor::builder().rules(&text).start().unwrap();
    TcpStream::connect(address).unwrap();
    let (_, _, output) = observes.stop().unwrap();
    assert_eq!(told(&output), (0, 1));
}

#[test]
fn a_rule_that_the_kernel_cannot_decide_is_refused_with_the_part_in_the_way() {
    let Some(_machine) = machine() else { return };
    let (code, said) = Sensor::builder()
        .rules(&rule("evt.type=connect and proc.name=nc"))
        .refused()
        .unwrap();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("rule `guarded port` cannot deny") && said.contains("proc.name = nc"),
        "{said}"
    );
}

fn killing(condition: &str) -> Sensor {
    let rule = format!(
        "- rule: guarded\n  desc: who does this is killed\n  condition: {condition}\n  \
         output: type=%evt.type killed=%evt.killed exe=%proc.exepath file=%fd.name\n  priority: CRITICAL\n  action: kill\n"
    );
    Sensor::builder()
        .rules(&rule)
        .set("enforce.mode=act")
        .set("enforce.off_file=/nonexistent")
        .set("enforce.denials_per_cgroup_max=1000000")
        .start()
        .unwrap()
}

/// A program of one's own, which says that it ran by making a file.
fn touching(folder: &Path, name: &str) -> std::path::PathBuf {
    let program = folder.join(name);
    fs::copy("/usr/bin/touch", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn is_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

#[test]
fn a_program_that_a_rule_kills_for_does_not_run_and_is_told_once() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("dropped")).unwrap();
    let named = touching(folder.path(), "named");
    let dropped = touching(&folder.path().join("dropped"), "anything");
    let other = touching(folder.path(), "named-otherwise");
    let sensor = killing(&format!(
        "evt.type in (execve, execveat) and (proc.exepath in ({}, /nowhere) or proc.exepath startswith {}/dropped/)",
        named.display(),
        folder.path().display()
    ));
    let mark = folder.path().join("it-ran");
    for _ in 0..200 {
        for program in [&named, &dropped] {
            assert!(is_killed(Command::new(program).arg(&mark).status().unwrap()));
        }
    }
    assert!(!mark.exists());
    assert!(Command::new(&other).arg(&mark).status().unwrap().success());
    assert!(mark.exists());
    let (status, log, output) = sensor.stop().unwrap();
    assert!(status.success(), "{log}");
    for program in [&named, &dropped] {
        let line = format!("type=execve killed=true exe={} file=", program.display());
        assert_eq!(output.matches(&line).count(), 200, "{log}\n{output}");
    }
    assert_eq!(output.matches("type=").count(), 400);
}

#[test]
fn who_opens_a_file_that_a_rule_kills_for_does_not_get_to_read_it() {
    let Some(_machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guarded");
    fs::write(&file, "secret").unwrap();
    let sensor = killing(&format!(
        "evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.name = {}",
        file.display()
    ));
    let output = Command::new("cat").arg(&file).output().unwrap();
    assert!(is_killed(output.status) && output.stdout.is_empty());
    let output = Command::new(helper::path("attempts").unwrap())
        .arg("open")
        .arg(&file)
        .arg("5")
        .output()
        .unwrap();
    assert!(is_killed(output.status), "the first of five ends it");
    assert!(
        Command::new("cat")
            .arg("/proc/version")
            .output()
            .unwrap()
            .status
            .success()
    );
    let (_, log, output) = sensor.stop().unwrap();
    let line = format!("file={}", file.display());
    assert_eq!(
        output
            .lines()
            .filter(|told| told.contains("killed=true") && told.contains(&line))
            .count(),
        2,
        "{log}\n{output}"
    );
}

#[test]
fn who_connects_where_a_rule_kills_for_it_is_denied_and_killed() {
    let Some(_machine) = machine() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let sensor = killing(&format!("evt.type=connect and fd.sport={port}"));
    let status = Command::new("bash")
        .arg("-c")
        .arg(format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo still here"))
        .output()
        .unwrap();
    assert!(is_killed(status.status) && status.stdout.is_empty());
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let (_, log, output) = sensor.stop().unwrap();
    assert_eq!(
        output.matches("type=connect killed=true").count(),
        1,
        "{log}\n{output}"
    );
}
