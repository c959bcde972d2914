//! Rules run in the kernel: of each kind of event, what no rule can match ends there, what a rule matches is told, and
//! both are counted exactly.

use std::{
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags};
use sensor_proto::v1::KindCounters;
use sensor_tests::{
    client::Client,
    report,
    sensor::Sensor,
    wait::{self, DEADLINE},
};

use crate::machine;

/// How often each thing is done, and how often so that its rule matches.
const TIMES: u16 = 200;
const WANTED: u16 = 5;

/// One kind of event: which acts its rule matches, and how one is done.
struct Case<'a> {
    kind: &'static str,
    condition: String,
    act: Box<dyn Fn(u16, bool) + 'a>,
}

fn case<'a>(kind: &'static str, condition: String, act: impl Fn(u16, bool) + 'a) -> Case<'a> {
    Case {
        kind,
        condition,
        act: Box::new(act),
    }
}

/// Where the tests' files are: those that rules ask for, and others.
#[derive(Clone, Copy)]
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn name(self, what: &str, number: u16, is_wanted: bool) -> PathBuf {
        let wanted = if is_wanted { "wanted" } else { "other" };
        self.0.join(format!("{what}-{wanted}-{number}"))
    }

    fn made(self, number: u16, is_wanted: bool) -> PathBuf {
        let path = self.name("made", number, is_wanted);
        rustix::fs::openat(CWD, &path, OFlags::CREATE | OFlags::RDWR, Mode::RWXU).unwrap();
        path
    }

    /// A test of what is wanted.
    fn starts(self, what: &str) -> String {
        format!("startswith \"{}/{what}-wanted-\"", self.0.display())
    }
}

/// Kinds that name files.
fn about_files(folder: Folder<'_>) -> Vec<Case<'_>> {
    let starts = |what| folder.starts(what);
    vec![
        case(
            "open",
            format!("evt.type=openat and fd.name {}", starts("made")),
            move |number, is_wanted| drop(folder.made(number, is_wanted)),
        ),
        case(
            "mkdir",
            format!(
                "evt.type in (mkdir, mkdirat) and fs.path.name {}",
                starts("folder")
            ),
            move |number, is_wanted| fs::create_dir(folder.name("folder", number, is_wanted)).unwrap(),
        ),
        case(
            "rmdir",
            format!(
                "evt.type in (rmdir, unlinkat) and fs.path.name {}",
                starts("folder")
            ),
            move |number, is_wanted| fs::remove_dir(folder.name("folder", number, is_wanted)).unwrap(),
        ),
        case(
            "unlink",
            format!(
                "evt.type in (unlink, unlinkat) and fs.path.name {}",
                starts("made")
            ),
            move |number, is_wanted| fs::remove_file(folder.made(number, is_wanted)).unwrap(),
        ),
        case(
            "chmod",
            // The mode is decided before the name is read.
            format!(
                "evt.type in (chmod, fchmodat) and evt.arg.mode contains S_ISVTX and fs.path.name startswith \"{}\"",
                folder.0.display()
            ),
            move |number, is_wanted| {
                let bits = if is_wanted { 0o1600 } else { 0o600 };
                fs::set_permissions(folder.made(number, false), fs::Permissions::from_mode(bits)).unwrap();
            },
        ),
        case(
            "truncate",
            format!("evt.type in (truncate, ftruncate) and fd.name {}", starts("made")),
            move |number, is_wanted| {
                let path = folder.made(number, is_wanted);
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(5).unwrap();
            },
        ),
        case(
            "memfd",
            "evt.type = memfd_create and evt.arg.name = e2e-filter-wanted".to_owned(),
            |_, is_wanted| {
                let name = if is_wanted {
                    "e2e-filter-wanted"
                } else {
                    "e2e-filter-other"
                };
                rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            },
        ),
    ]
}

/// Kinds with two names, of which the second is asked for.
fn about_names(folder: Folder<'_>) -> Vec<Case<'_>> {
    let starts = |what| folder.starts(what);
    vec![
        case(
            "rename",
            format!(
                "evt.type in (rename, renameat, renameat2) and fs.path.target {}",
                starts("new")
            ),
            move |number, is_wanted| {
                let from = folder.made(number, is_wanted);
                fs::rename(from, folder.name("new", number, is_wanted)).unwrap();
            },
        ),
        case(
            "link",
            format!("evt.type in (link, linkat) and fs.path.target {}", starts("link")),
            move |number, is_wanted| {
                let from = folder.made(number, is_wanted);
                fs::hard_link(from, folder.name("link", number, is_wanted)).unwrap();
            },
        ),
        case(
            "symlink",
            format!(
                "evt.type in (symlink, symlinkat) and fs.path.target {}",
                starts("symlink")
            ),
            move |number, is_wanted| {
                std::os::unix::fs::symlink("nowhere", folder.name("symlink", number, is_wanted)).unwrap();
            },
        ),
    ]
}

/// Free ports of this machine, held until the test ends.
struct Ports {
    tcp: [TcpListener; 2],
    udp_4: [UdpSocket; 2],
    udp_6: [UdpSocket; 2],
}

impl Ports {
    fn take() -> Self {
        let udp = |address: &str| UdpSocket::bind(address).unwrap();
        Self {
            tcp: std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap()),
            udp_4: std::array::from_fn(|_| udp("127.0.0.1:0")),
            udp_6: std::array::from_fn(|_| udp("[::1]:0")),
        }
    }
}

/// Kinds of sockets: which port is wanted, and which is not.
fn about_sockets(ports: &Ports) -> Vec<Case<'_>> {
    let tcp = |which: usize| ports.tcp[which].local_addr().unwrap();
    let udp_4 = |which: usize| ports.udp_4[which].local_addr().unwrap();
    let udp_6 = |which: usize| ports.udp_6[which].local_addr().unwrap();
    // A destination of datagrams is told once a minute: each wanted one is another.
    let senders: Vec<_> = (0..WANTED)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    let numbers: Vec<_> = senders
        .iter()
        .map(|of| of.local_addr().unwrap().port().to_string())
        .collect();
    vec![
        case(
            "connect",
            format!(
                "evt.type=connect and fd.l4proto=udp and (fd.sport={} and fd.sip=127.0.0.1 or fd.sport={} and fd.sip='::1')",
                udp_4(0).port(),
                udp_6(0).port()
            ),
            move |number, is_wanted| {
                let which = usize::from(!is_wanted);
                if number.is_multiple_of(2) {
                    UdpSocket::bind("127.0.0.1:0")
                        .unwrap()
                        .connect(udp_4(which))
                        .unwrap();
                } else {
                    UdpSocket::bind("[::1]:0").unwrap().connect(udp_6(which)).unwrap();
                }
            },
        ),
        case(
            "send",
            format!(
                "evt.type in (sendto, sendmsg) and fd.sip=127.0.0.1 and fd.sport in ({})",
                numbers.join(", ")
            ),
            move |number, is_wanted| {
                let own = UdpSocket::bind("127.0.0.1:0").unwrap();
                if is_wanted {
                    let to = &senders[usize::from(number / (TIMES / WANTED))];
                    own.send_to(b"x", to.local_addr().unwrap()).unwrap();
                } else {
                    own.send_to(b"x", udp_4(1)).unwrap();
                }
            },
        ),
        case(
            "bind",
            // The kernel gives other ports out than this one.
            "evt.type=bind and fd.sport=973 and fd.sip=127.0.0.1".to_owned(),
            |_, is_wanted| {
                let port = if is_wanted { 973 } else { 0 };
                UdpSocket::bind(("127.0.0.1", port)).unwrap();
            },
        ),
        case(
            "accept",
            format!("evt.type in (accept, accept4) and fd.sport={}", tcp(0).port()),
            move |_, is_wanted| {
                let which = usize::from(!is_wanted);
                let _peer = TcpStream::connect(tcp(which)).unwrap();
                ports.tcp[which].accept().unwrap();
            },
        ),
        case(
            "socket",
            "evt.type=socket and sock.family=AF_LOCAL and evt.rawarg.proto=1".to_owned(),
            |_, is_wanted| {
                if is_wanted {
                    let protocol = rustix::net::Protocol::from_raw(1.try_into().unwrap());
                    let unix = rustix::net::AddressFamily::UNIX;
                    rustix::net::socket(unix, rustix::net::SocketType::DGRAM, Some(protocol)).unwrap();
                } else {
                    UnixDatagram::unbound().unwrap();
                }
            },
        ),
    ]
}

/// Kinds that have numbers and a text at most.
fn about_processes() -> Vec<Case<'static>> {
    vec![
        case(
            "prctl",
            "evt.type=prctl and evt.arg.option=PR_SET_NAME and evt.arg.arg2_str=e2e-wanted".to_owned(),
            |_, is_wanted| {
                let name = if is_wanted { c"e2e-wanted" } else { c"e2e-other" };
                rustix::thread::set_name(name).unwrap();
            },
        ),
        case(
            "kill",
            "evt.type=kill and evt.rawarg.sig=28".to_owned(),
            |_, is_wanted| {
                let own = rustix::process::getpid();
                if is_wanted {
                    rustix::process::kill_process(own, rustix::process::Signal::WINCH).unwrap();
                } else {
                    rustix::process::test_kill_process(own).unwrap();
                }
            },
        ),
    ]
}

fn counters(client: &Client, kind: &str) -> KindCounters {
    let status = client.status().unwrap();
    status
        .kinds
        .into_iter()
        .find(|of| of.kind == kind)
        .unwrap_or_default()
}

fn matched(client: &Client, rule: &str) -> u64 {
    let rules = client.status().unwrap().rules.unwrap();
    rules.matches.get(rule).copied().unwrap_or(0)
}

#[test]
fn of_each_kind_what_no_rule_matches_ends_in_the_kernel() {
    let Some(_claim) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let ports = Ports::take();
    let mut cases = about_files(Folder(&folder));
    cases.extend(about_names(Folder(&folder)));
    cases.extend(about_sockets(&ports));
    cases.extend(about_processes());
    let mut rules = String::new();
    for case in &cases {
        let _infallible = writeln!(
            rules,
            "- rule: {}\n  desc: of one kind\n  condition: >\n    {}\n  output: found\n  priority: NOTICE",
            case.kind, case.condition
        );
    }
    let sensor = Sensor::builder().rules(&rules).start().unwrap();
    let client = sensor.client().unwrap();
    let wanted = u64::from(WANTED);
    for case in &cases {
        let (kind, before) = (case.kind, counters(&client, case.kind));
        let already = matched(&client, kind);
        for number in 0..TIMES {
            (case.act)(number, number % (TIMES / WANTED) == 7);
        }
        let found = wait::until(DEADLINE, || {
            (matched(&client, kind) - already >= wanted).then_some(())
        });
        assert!(
            found.is_some(),
            "{kind}: {} of {wanted} found",
            matched(&client, kind) - already
        );
        let after = counters(&client, kind);
        let (sent, filtered) = (after.sent - before.sent, after.filtered - before.filtered);
        report::note(format_args!(
            "{kind}: {} seen, {filtered} left out in the kernel, {sent} sent, {} matched",
            after.seen - before.seen,
            matched(&client, kind) - already
        ));
        assert_eq!(matched(&client, kind) - already, wanted, "{kind}");
        // Others use this machine too, but do nothing that the rule is about.
        assert_eq!(sent, wanted, "{kind}: {after:?}");
        assert!(filtered >= u64::from(TIMES - WANTED), "{kind}: {filtered}");
        assert_eq!(after.delivered, after.sent, "{kind}");
    }
    // What was left out left nothing behind that waits for it.
    let outcomes = counters(&client, "outcome").sent;
    assert!(
        outcomes <= 4 * wanted,
        "{outcomes} ends of events that nobody was told of"
    );
}
