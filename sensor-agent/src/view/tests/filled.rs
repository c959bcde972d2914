//! The list of filled fields is what events of every kind answer, no more and no less.

use std::collections::BTreeSet;

use super::*;
use crate::{
    event::Fork,
    state::{
        environment::Environment,
        programs::{Hashed, Packaged, ProgramFacts},
        users::UserFiles,
        workload::Fact,
    },
};

/// A host process that is its own session's and group's leader.
const HOST: u32 = 40;

/// Its user namespace.
const HOST_USER_NS: u32 = 7;

/// One event of every kind, and of every kind of file and connection, in a container and on the host.
fn samples() -> Vec<Event<'static>> {
    let exec = record::Exec {
        identity: Identity::default(),
        ..record::Exec::default()
    };
    let exec = Exec {
        fixed: exec,
        path: b"/usr/bin/cat",
        filename: b"/bin/cat",
        interpreter: b"",
        argv: b"cat\0-n\0",
        cwd: b"/srv",
        cgroup: b"/",
    };
    let fork = Fork {
        fixed: record::Fork::default(),
        cgroup: b"/",
    };
    let exit = record::Exit { code: 9, reserved: 0 };
    let bodies = [
        open(3, b"/etc/shadow", b"shadow").body,
        open(-2, b"", b"/nowhere").body,
        Body::Exec(exec),
        Body::Fork(fork),
        Body::Exit(exit),
        Body::Plain(PlainCall {
            fixed: record::PlainCall {
                args: [16, 5, 0, 0, 0, 0],
                call: Call::Ptrace as u32,
                target_tgid: 30,
                target_start_time_ns: 30,
                ..record::PlainCall::default()
            },
            text: b"",
            text2: b"",
        }),
        Body::Path(PathCall {
            fixed: record::PathCall {
                call: Call::Rename as u32,
                ..record::PathCall::default()
            },
            path: b"/tmp/a",
            given: b"/tmp/a",
            path2: b"/tmp/b",
            given2: b"b",
            text: b"",
        }),
        connection(2, b"", b""),
        connection(1, b"/run/docker.sock", b"/var/run/docker.sock\0"),
    ];
    let mut events = Vec::new();
    for body in bodies {
        for tgid in [30, HOST] {
            let mut header = header(tgid, 100);
            header.cgroup_id = u64::from(tgid);
            header.flags = flags::PATH_TRUNCATED | flags::UNNUMBERED;
            events.push(Event {
                header,
                body: body.clone(),
            });
            header.flags = 0;
            events.push(Event {
                header,
                body: body.clone(),
            });
        }
    }
    events
}

fn connection(family: u16, path: &'static [u8], given: &'static [u8]) -> Body<'static> {
    let fixed = record::SocketCall {
        family,
        address_family: family,
        socket_type: 1,
        protocol: 6,
        local_port: 40000,
        remote_port: 80,
        call: Call::Connect as u32,
        ..record::SocketCall::default()
    };
    Body::Socket(SocketCall { fixed, path, given })
}

fn host_state() -> (State, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(
        root.path().join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/bash\n",
    )
    .unwrap();
    std::fs::write(root.path().join("etc/group"), "root:x:0:\n").unwrap();
    let mut state = state();
    state.users = UserFiles::below(root.path()).changed().unwrap();
    state.inside.host_user_ns = HOST_USER_NS;
    let mut header = header(HOST, u64::from(HOST));
    header.cgroup_id = u64::from(HOST);
    let identity = Identity {
        // Not of the container's lineage.
        parent_tgid: 1,
        parent_start_time_ns: 1,
        sid: HOST,
        pgid: HOST,
        user_ns: HOST_USER_NS,
        ..Identity::default()
    };
    let mut fixed = record::Exec {
        standard: record::Standard {
            types: [record::standard::OPEN | 0o140_000 | 2; 3],
            is_socket: 0b111,
            family: 2,
            ..record::Standard::default()
        },
        identity,
        argc: 2,
        ..record::Exec::default()
    };
    fixed.file.ctime_ns = 1;
    fixed.file.inode = 5;
    state.programs.wishes.hash = true;
    state.environments.is_wanted = true;
    let exec = Exec {
        fixed,
        path: b"/usr/bin/bash",
        filename: b"/bin/bash",
        interpreter: b"",
        argv: b"bash\0-i\0",
        cwd: b"/root",
        cgroup: b"/system.slice",
    };
    state.apply(&Event {
        header,
        body: Body::Exec(exec),
    });
    let program = {
        let mut images = state.processes.iter().flat_map(|process| &process.images);
        *images.find_map(|image| image.program.as_ref()).unwrap()
    };
    let facts = ProgramFacts {
        hashed: Hashed::Known([7; 32]),
        packaged: Packaged::Owned("bash".into()),
    };
    state.take(Fact::Program(program, Some(facts)));
    debug_container(&mut state);
    let environment = {
        let images = state.processes.iter().flat_map(|process| &process.images);
        let mut environments = images.filter_map(|image| image.environment);
        environments.find(|key| key.process.tgid == HOST).unwrap()
    };
    let found = Environment {
        text: b"app=1\0".as_slice().into(),
        is_cut: false,
    };
    state.take(Fact::Environment(environment, Some(found)));
    pod::tell_runtime(&mut state);
    pod::tell_api(&mut state);
    (state, root)
}

/// Another container with the process ids of the first.
fn debug_container(state: &mut State) {
    let identity = Identity {
        parent_tgid: 1,
        pid_ns: PID_NS,
        ..Identity::default()
    };
    let cgroup = format!("/docker/{}", "e".repeat(64));
    let fork = Fork {
        fixed: record::Fork {
            identity,
            ..record::Fork::default()
        },
        cgroup: cgroup.as_bytes(),
    };
    state.apply(&Event {
        header: header(70, 70),
        body: Body::Fork(fork),
    });
}

fn answers(view: &View<'_>, field: Field) -> bool {
    let keys = ["app", "fd", "name", "res", "request", "open", "src"].map(key);
    let indexes = [FieldArg::None, FieldArg::Index(0), FieldArg::Index(1)];
    indexes
        .into_iter()
        .chain(keys)
        .any(|arg| view.value(&FieldRef { field, arg }, &mut Vec::new()).is_some())
}

#[test]
fn the_list_is_what_sample_events_answer() {
    let ((state, _root), context) = (host_state(), context());
    let events = samples();
    let mut answered = BTreeSet::new();
    for (number, event) in (1..).zip(&events) {
        let view = View::new(event, &state, &context, number);
        for field in Field::ALL {
            // What stands for other fields is asked for by their names.
            let asked = field.endpoints().map_or(field.asked_as(), |(client, _)| client);
            if answers(&view, asked) {
                answered.insert(format!("{field:?}"));
            }
        }
    }
    let listed = Field::ALL.iter().filter(|field| is_filled(**field));
    let listed: BTreeSet<_> = listed.map(|field| format!("{field:?}")).collect();
    let missing: Vec<_> = answered.difference(&listed).collect();
    let surplus: Vec<_> = listed.difference(&answered).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "filled, but not listed: {missing:?}\nlisted, but not filled: {surplus:?}"
    );
}

#[test]
fn our_own_fields_say_how_sure_the_event_is() {
    use FieldArg::None;

    check(
        &open(3, b"/etc/shadow", b"../etc/shadow"),
        &[
            (Field::PathMismatch, None, "true"),
            (Field::PathUnresolved, None, "false"),
            (Field::EvtTruncated, None, "false"),
            (Field::EvtIncomplete, None, "none"),
            (Field::ProcKey, None, "30:30"),
        ],
    );
    check(
        &open(-2, b"", b"/nowhere"),
        &[
            (Field::PathMismatch, None, "none"),
            (Field::PathUnresolved, None, "true"),
        ],
    );
    let mut cut = open(3, b"/etc/shadow", b"shadow");
    cut.header.flags = flags::PATH_TRUNCATED | flags::GIVEN_TRUNCATED;
    check(
        &cut,
        &[
            (Field::EvtTruncated, None, "true"),
            (
                Field::EvtIncomplete,
                None,
                "path: truncated; fd.nameraw: truncated",
            ),
            (Field::PathMismatch, None, "none"),
        ],
    );
    let unix = Event {
        header: header(30, 100),
        body: connection(1, b"/run/docker.sock", b"/var/run/docker.sock\0"),
    };
    check(&unix, &[(Field::PathMismatch, None, "true")]);
    let internet = Event {
        header: header(30, 100),
        body: connection(2, b"", b""),
    };
    check(
        &internet,
        &[
            (Field::PathMismatch, None, "none"),
            (Field::PathUnresolved, None, "none"),
        ],
    );
}
