mod filled;
mod pod;

use sensor_common::record::{self, Header, Identity, flags};
use sensor_rules::event::Event as _;

use super::*;
use crate::{
    event::{Exec, Open, PathCall, PlainCall, SocketCall},
    state::StateLimits,
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The pid namespace of the container that [`start`] has processes in.
const PID_NS: u32 = 5;

fn context() -> Context {
    Context {
        types: EventTypes::new().unwrap(),
        clock: Clock::now(),
        hostname: "node".into(),
        start_ns: 0,
    }
}

fn header(tgid: u32, time_ns: u64) -> Header {
    let mut header = Header {
        tgid,
        tid: tgid,
        start_time_ns: u64::from(tgid),
        time_ns,
        cgroup_id: 7,
        ..Header::default()
    };
    header.comm[..4].copy_from_slice(b"comm");
    header
}

/// A state in which process `tgid` was started by `parent` with a command line.
fn start(state: &mut State, tgid: u32, parent: u32, name: &[u8], argv: &[u8]) {
    let identity = Identity {
        parent_tgid: parent,
        parent_start_time_ns: u64::from(parent),
        cap_effective: 0b101,
        euid: 1000,
        loginuid: u32::MAX,
        sid: 10,
        tty: 34816,
        pid_ns: PID_NS,
        ..Identity::default()
    };
    let mut header = header(tgid, u64::from(tgid));
    header.comm = [0; 16];
    header.comm[..name.len()].copy_from_slice(name);
    header.flags = flags::UPPER_LAYER;
    let cgroup = format!("/docker/{}/docker/{ID}", "f".repeat(64));
    let path = [b"/usr/bin/", name].concat();
    let exec = Exec {
        fixed: record::Exec {
            identity,
            argc: 2,
            ..record::Exec::default()
        },
        path: &path,
        filename: name,
        interpreter: b"",
        argv,
        cwd: b"/srv",
        cgroup: cgroup.as_bytes(),
    };
    state.apply(&Event {
        header,
        body: Body::Exec(exec),
    });
}

fn state() -> State {
    let mut state = State::new(StateLimits {
        processes_max: 100,
        exited_keep_ns: 0,
        cgroups_max: 100,
    });
    start(&mut state, 10, 1, b"sshd", b"/usr/sbin/sshd\0-D\0");
    start(&mut state, 20, 10, b"bash", b"-bash\0");
    start(&mut state, 30, 20, b"cat", b"cat\0-n\0/etc/shadow\0");
    // There is nobody here to ask about the container.
    state.workloads.give_up(ID);
    state
}

/// The value as text: what a rule's author would compare with.
fn shown(view: &View<'_>, field: Field, arg: FieldArg) -> String {
    let mut buf = Vec::new();
    match view.value(&FieldRef { field, arg }, &mut buf) {
        None => "none".into(),
        Some(Value::Text(text) | Value::Bytes(text)) => String::from_utf8_lossy(text).into_owned(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Int(value)) => value.to_string(),
        Some(Value::Uint(value)) => value.to_string(),
        Some(Value::Double(value)) => value.to_string(),
        Some(Value::Ip(value)) => value.to_string(),
        Some(Value::List(values)) => format!("{values:?}"),
    }
}

fn check(event: &Event<'_>, cases: &[(Field, FieldArg, &str)]) {
    let (state, context) = (state(), context());
    let view = View::new(event, &state, &context, 5);
    for (field, arg, expected) in cases {
        assert_eq!(shown(&view, *field, arg.clone()), *expected, "{field:?} {arg:?}");
    }
}

fn key(name: &str) -> FieldArg {
    FieldArg::Key(name.into())
}

fn open(result: i64, path: &'static [u8], given: &'static [u8]) -> Event<'static> {
    let file = record::FileId {
        inode: u64::from(result >= 0) * 99,
        device: (8 << 20) | 1,
        ..record::FileId::default()
    };
    let fixed = record::Open {
        file,
        result,
        flags_given: 0o1_101,
        file_flags: 0o1,
        mode_given: 0o755,
        dirfd: -100,
        call: Call::Open as u32,
        ..record::Open::default()
    };
    Event {
        header: header(30, 100),
        body: Body::Open(Open { fixed, path, given }),
    }
}

#[test]
fn a_process_is_told_with_its_lineage() {
    use FieldArg::{Index, None};

    check(
        &open(3, b"/etc/shadow", b"shadow"),
        &[
            (Field::ProcName, None, "cat"),
            (Field::ProcExe, None, "cat"),
            (Field::ProcExepath, None, "/usr/bin/cat"),
            (Field::ProcCmdline, None, "cat -n /etc/shadow"),
            (Field::ProcArgs, None, "-n /etc/shadow"),
            (Field::ProcArgs, Index(1), "/etc/shadow"),
            (Field::ProcArgs, Index(9), "none"),
            (Field::ProcExeline, None, "cat -n /etc/shadow"),
            (Field::ProcPname, None, "bash"),
            (Field::ProcPcmdline, None, "bash"),
            (Field::ProcPexe, None, "-bash"),
            (Field::ProcAname, Index(0), "cat"),
            (Field::ProcAname, Index(2), "sshd"),
            (Field::ProcAname, Index(3), "none"),
            (Field::ProcApid, Index(2), "10"),
            (Field::ProcCwd, None, "/srv/"),
            (Field::ProcTty, None, "34816"),
            (Field::ProcSname, None, "sshd"),
            (Field::ProcIsExeUpperLayer, None, "true"),
            (Field::ProcIsExeFromMemfd, None, "false"),
            (Field::ProcLoginshellid, None, "20"),
            (Field::ThreadCapEffective, None, "CAP_CHOWN CAP_DAC_READ_SEARCH"),
            (Field::ThreadIsmain, None, "true"),
            (Field::ProcArgsTruncated, None, "false"),
            // sshd's parent is not in the table.
            (Field::ProcLineageIncomplete, None, "true"),
            (Field::UserUid, None, "1000"),
            (Field::UserName, None, "<NA>"),
            (Field::UserLoginuid, None, "-1"),
            (Field::UserLoginname, None, "<NA>"),
            (Field::ContainerId, None, "0123456789ab"),
            (Field::ContainerFullId, None, ID),
            (Field::ContainerType, None, "docker"),
            (Field::ContainerImage, None, "none"),
            (Field::K8sPodName, None, "none"),
        ],
    );
}

#[test]
fn an_opened_file_is_told_as_the_kernel_and_as_the_caller_name_it() {
    use FieldArg::None;

    check(
        &open(3, b"/etc/shadow", b"../etc/shadow"),
        &[
            (Field::EvtType, None, "open"),
            (Field::EvtRes, None, "SUCCESS"),
            (Field::EvtRawres, None, "3"),
            (Field::EvtFailed, None, "false"),
            (Field::EvtNum, None, "5"),
            (Field::FdName, None, "/etc/shadow"),
            (Field::FdNameraw, None, "../etc/shadow"),
            (Field::FdDirectory, None, "/etc"),
            (Field::FdFilename, None, "shadow"),
            (Field::FdTypechar, None, "f"),
            (Field::FdIno, None, "99"),
            (Field::FdDevMajor, None, "8"),
            (Field::EvtArg, key("flags"), "O_TRUNC|O_CREAT|O_WRONLY"),
            (Field::EvtArg, key("mode"), "0755"),
            (Field::EvtArg, FieldArg::Index(1), "/etc/shadow"),
            (Field::EvtRawarg, key("mode"), "493"),
            (Field::EvtIsOpenRead, None, "false"),
            (Field::EvtIsOpenWrite, None, "true"),
            (Field::EvtIsOpenExec, None, "true"),
            (Field::FdSip, None, "none"),
        ],
    );
}

#[test]
fn a_failed_open_has_the_name_that_was_given_and_no_file() {
    use FieldArg::None;

    check(
        &open(-2, b"", b"/nowhere"),
        &[
            (Field::EvtRes, None, "ENOENT"),
            (Field::EvtFailed, None, "true"),
            (Field::FdName, None, "/nowhere"),
            (Field::FdNum, None, "-2"),
            (Field::FdTypechar, None, "none"),
            (Field::FdIno, None, "none"),
            (Field::EvtArg, key("fd"), "-2(ENOENT)"),
        ],
    );
}

#[test]
fn a_connection_has_both_ends_and_a_mapped_address_is_ipv4() {
    use FieldArg::None;

    let mut remote = [0; 16];
    remote[10..].copy_from_slice(&[0xff, 0xff, 169, 254, 169, 254]);
    let fixed = record::SocketCall {
        result: -115,
        fd: 4,
        family: 10,
        address_family: 10,
        protocol: 6,
        local_port: 40000,
        remote_port: 80,
        remote_address: remote,
        call: Call::Connect as u32,
        ..record::SocketCall::default()
    };
    let event = Event {
        header: header(30, 100),
        body: Body::Socket(SocketCall {
            fixed,
            path: b"",
            given: b"",
        }),
    };
    check(
        &event,
        &[
            (Field::EvtType, None, "connect"),
            (Field::EvtRes, None, "EINPROGRESS"),
            (Field::FdSip, None, "169.254.169.254"),
            (Field::FdSport, None, "80"),
            (Field::FdLport, None, "40000"),
            (Field::FdL4proto, None, "tcp"),
            (Field::FdTypechar, None, "6"),
            (Field::FdName, None, ":::40000->169.254.169.254:80"),
            (Field::FdConnected, None, "false"),
            (Field::FdNameChanged, None, "true"),
            (Field::FdDirectory, None, "none"),
        ],
    );
}

#[test]
fn a_unix_socket_is_its_path_or_its_abstract_name() {
    let unix = |path: &'static [u8], given: &'static [u8]| Event {
        header: header(30, 100),
        body: Body::Socket(SocketCall {
            fixed: record::SocketCall {
                family: 1,
                ..record::SocketCall::default()
            },
            path,
            given,
        }),
    };
    for (path, given, expected) in [
        (
            &b"/run/docker.sock"[..],
            &b"/var/run/docker.sock\0"[..],
            "/run/docker.sock",
        ),
        (b"", b"relative.sock\0\0", "relative.sock"),
        (b"", b"\0abstract", "@abstract"),
    ] {
        check(
            &unix(path, given),
            &[
                (Field::FdName, FieldArg::None, expected),
                (Field::FdTypechar, FieldArg::None, "u"),
                (Field::FdSip, FieldArg::None, "none"),
            ],
        );
    }
}

#[test]
fn a_process_that_nobody_saw_start_is_told_as_such() {
    let mut state = state();
    let mut event = open(3, b"/etc/shadow", b"shadow");
    event.header.tgid = 77;
    state.apply(&event);
    let context = context();
    let view = View::new(&event, &state, &context, 1);
    assert_eq!(shown(&view, Field::ProcName, FieldArg::None), "comm");
    assert_eq!(shown(&view, Field::ProcExepath, FieldArg::None), "none");
    assert_eq!(
        view.incomplete(),
        ["proc.exepath: the start of the program was not seen"]
    );
    assert!(view.is_incomplete(&FieldRef::plain(Field::ProcCmdline)));
    assert!(!view.is_incomplete(&FieldRef::plain(Field::FdName)));
}

#[test]
fn every_field_has_an_answer_for_every_kind_of_event() {
    let ptrace = Body::Plain(PlainCall {
        fixed: record::PlainCall {
            args: [16, 5, 0, 0, 0, 0],
            call: Call::Ptrace as u32,
            ..record::PlainCall::default()
        },
        text: b"",
        text2: b"",
    });
    let fork = crate::event::Fork {
        fixed: record::Fork::default(),
        cgroup: b"/",
    };
    let events = [
        open(3, b"/a", b"a"),
        Event {
            header: header(30, 100),
            body: ptrace,
        },
        Event {
            header: header(30, 100),
            body: Body::Exit(record::Exit { code: 9, reserved: 0 }),
        },
        Event {
            header: header(30, 100),
            body: Body::Fork(fork),
        },
    ];
    let (state, context) = (state(), context());
    for event in &events {
        let view = View::new(event, &state, &context, 1);
        for field in Field::ALL {
            for arg in [
                FieldArg::None,
                FieldArg::Index(0),
                FieldArg::Index(9),
                key("name"),
                key("request"),
            ] {
                let _ = shown(&view, *field, arg);
            }
        }
        assert_eq!(shown(&view, Field::EvtSource, FieldArg::None), "syscall");
    }
    let view = View::new(&events[1], &state, &context, 1);
    assert_eq!(shown(&view, Field::EvtArg, key("request")), "PTRACE_ATTACH");
}
