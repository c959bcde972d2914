//! Random rules against random records of every kind that filters see.

use proptest::{prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};
use sensor_common::{filter::Stage, syscall::Call};

use super::{
    machine::{End, Machine},
    records::record,
    *,
};

/// Where most records are whole.
const LATE: Place = Place::Exit(Stage::Late);

/// Tests of events, of every sort that is decided in the kernel and some that are not.
const TESTS: &[&str] = &[
    "evt.is_open_read = true",
    "evt.is_open_write = true",
    "evt.is_open_exec = true",
    "evt.is_open_create = true",
    "evt.failed = false",
    "evt.denied = true",
    "evt.num >= 0",
    "evt.num = 0",
    "evt.rawres >= 0",
    "evt.rawres in (-2, 3)",
    "evt.rawres < -1",
    "evt.res = SUCCESS",
    "evt.res in (ENOENT, EACCES)",
    "evt.res contains E",
    "evt.dir = <",
    "evt.category = file",
    "evt.type = openat",
    "evt.type in (unlink, unlinkat, renameat2, setuid, ptrace, prctl)",
    "evt.type startswith un",
    "fd.num >= 0",
    "fd.typechar = 'f'",
    "fd.typechar != 'd'",
    "fd.typechar in (4, 6)",
    "fd.type in (file, ipv4)",
    "fd.ino = 1",
    "fd.name = /etc/shadow",
    "fd.name in (/etc/shadow, /etc/sudoers, /a)",
    "fd.name startswith /etc/",
    "fd.name startswith anyof (/etc/p, /home, /proc/1/, memfd)",
    "fd.name endswith passwd",
    "fd.name endswith anyof (dow, /.ssh/id_rsa, y, sshd)",
    "fd.name contains adow",
    "fd.name contains anyof (/.ssh/, adow, //)",
    "fd.name != /etc/shadow",
    "fd.name exists",
    "fd.name glob /etc/*",
    "fd.name glob /proc/*/environ",
    "fd.name glob '/e[st]c/*w'",
    "fd.name pmatch (/etc)",
    "fd.name pmatch (/etc/pam.d, /home/*/.ssh)",
    "fd.nameraw contains ../",
    "fd.nameraw = shadow",
    "fd.directory in (/etc/pam.d, /etc)",
    "fd.directory = /",
    "fd.directory endswith .ssh",
    "fd.filename = shadow",
    "fd.filename in (shadow, sshd)",
    "fd.filename startswith s",
    "fd.filename contains s",
    "fd.filename endswith d",
    "fd.ip = 10.1.2.3",
    "fd.sip = 127.0.0.1",
    "fd.sip in (169.254.169.254, 'fd00:ec2::254', '::1')",
    "fd.sip != 10.1.2.3",
    "fd.cip = 10.1.2.3",
    "fd.snet in (10.0.0.0/8, 127.0.0.0/8, 'fe80::/10', '::1/128')",
    "fd.net in (10.0.0.0/8)",
    "fd.sport in (22, 443, 4444)",
    "fd.sport != 53",
    "fd.port = 53",
    "fd.rport > 1024",
    "fd.l4proto = tcp",
    "fd.l4proto != udp",
    "fd.sockfamily = unix",
    "fd.lport = 22",
    "fd.cport != 443",
    "fd.lip = 127.0.0.1",
    "fd.rip != 127.0.0.1",
    "fd.rip exists",
    "fd.cnet in (10.0.0.0/8)",
    "fd.is_server = true",
    "sock.family = AF_PACKET",
    "sock.family in (AF_INET, AF_INET6)",
    "sock.protocol = 17",
    "evt.arg.domain = AF_INET",
    "evt.arg.level = SOL_SOCKET",
    "evt.rawarg.type = 3",
    "fs.path.name = /etc/shadow",
    "fs.path.name startswith /etc",
    "fs.path.name pmatch (/etc)",
    "fs.path.nameraw startswith ..",
    "fs.path.source = /etc/passwd",
    "fs.path.target endswith shadow",
    "fs.path.target exists",
    "evt.arg.flags contains AT_REMOVEDIR",
    "evt.arg.flags contains O_TRUNC",
    "evt.arg.flags contains CLONE_NEW",
    "evt.arg.mode contains S_ISUID",
    "evt.arg.request in (PTRACE_ATTACH, PTRACE_SEIZE)",
    "evt.arg.name startswith trusted",
    "evt.arg.res = 0",
    "evt.arg.res in (EPERM, ENOENT)",
    "evt.arg.uid = 0",
    "evt.arg.pid = -1",
    "evt.arg.option = PR_SET_NAME",
    "evt.arg.type = tmpfs",
    "evt.arg[1] contains shadow",
    "evt.rawarg.flags = 2",
    "evt.rawarg.pid < 0",
    "evt.rawarg.res >= 0",
    "proc.name = cat",
    "user.uid = 0",
    "container.id = host",
];

/// A condition of a few of the tests, put together at random.
pub(super) fn condition() -> impl Strategy<Value = String> {
    let leaf = select(TESTS).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            prop::collection::vec(inner, 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
        ]
    })
}

/// A kind that filters see.
fn kind() -> impl Strategy<Value = Kind> {
    let others: Vec<_> = place::kinds().collect();
    prop_oneof![
        2 => Just(Kind::Open),
        2 => Just(Kind::Connect),
        1 => Just(Kind::Send),
        1 => Just(Kind::Bind),
        1 => Just(Kind::Accept),
        1 => Just(Kind::Ptrace),
        6 => select(others),
    ]
}

/// Rules for a kind, and records of it.
fn input(records: usize) -> impl Strategy<Value = (Kind, Vec<String>, Vec<Vec<u8>>)> {
    kind().prop_flat_map(move |kind| {
        (
            Just(kind),
            prop::collection::vec(condition(), 1..4),
            prop::collection::vec(record(kind), records),
        )
    })
}

/// The rules, for events of the kind alone.
pub(super) fn rules_for(kind: Kind, conditions: &[String]) -> RuleSet {
    let mut names: Vec<_> = Call::ALL
        .into_iter()
        .filter(|call| call.kind() == Some(kind))
        .map(Call::event_type)
        .collect();
    names.dedup();
    let types = names.join(", ");
    let conditions: Vec<_> = conditions
        .iter()
        .map(|condition| format!("evt.type in ({types}) and {condition}"))
        .collect();
    rules(&conditions)
}

/// What is there of a record at a place: of what is not known yet, bytes that say the opposite.
fn seen_at(place: Place, record: &[u8]) -> Vec<u8> {
    let byte = |(at, byte): (usize, &u8)| {
        if place::is_known(place, &(at..at + 1)) {
            *byte
        } else {
            !*byte
        }
    };
    record.iter().enumerate().map(byte).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_a_rule_matches_passes_everywhere((kind, conditions, records) in input(16)) {
        let rules = rules_for(kind, &conditions);
        for place in place::of(kind) {
            let Some(formula) = plan::plan(rules.demands(), kind, place, &types()) else { continue };
            for record in &records {
                let matched = matches(&rules, record) > 0;
                let seen = seen_at(place, record);
                prop_assert!(!matched || holds(&formula, &seen), "{kind:?} {place:?} {formula:?}");
            }
        }
    }
}

#[test]
fn the_kernel_decides_as_the_formula_says() {
    let Some(rig) = kernel::Rig::new() else { return };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(256));
    let done = runner.run(&input(24), |(kind, conditions, records)| {
        let rules = rules_for(kind, &conditions);
        for count in [1, 2] {
            let formulas = plan::parts(rules.demands(), kind, LATE, &types(), count);
            if formulas.is_empty() {
                continue;
            }
            let program = rig.load(&formulas, kind);
            for record in &records {
                let expected = formulas.iter().any(|formula| holds(formula, record));
                prop_assert_eq!(rig.run(&program, record), expected, "{:?}", formulas);
            }
        }
        Ok(())
    });
    done.unwrap();
}

/// The maps of a filter that is run in user space.
const MAPS: emit::Maps = emit::Maps {
    scratch: 10,
    depth: 11,
    counters: 12,
    next: emit::Slot { array: 13, index: 1 },
    parts: emit::Slot { array: 14, index: 0 },
};

/// Whether the machine lets a record pass, by all parts of a filter; a part that decides nothing goes on to the next.
fn passes_in_machine(parts: &[Vec<u64>], kind: Kind, record: &[u8]) -> bool {
    let mut machine = Machine::new();
    let room = sensor_common::limits::RECORD_BYTES_MAX + 1024;
    let mut slot = record.to_vec();
    slot.resize(room, b'x');
    let counters = size_of::<sensor_common::counters::KindCounters>();
    machine.set(MAPS.scratch, room, slot);
    machine.set(MAPS.depth, 4, 1_u32.to_ne_bytes().to_vec());
    machine.set(MAPS.counters, counters, vec![0; 64 * counters]);
    let mut part = 0;
    loop {
        match machine.run(&parts[part]) {
            End::Tail(array, slot) if array == MAPS.next.array => {
                assert_eq!(slot, u64::from(MAPS.next.index));
                assert_eq!(
                    machine.get(MAPS.depth),
                    1_u32.to_ne_bytes(),
                    "the next one has the slot"
                );
                return true;
            }
            End::Tail(array, slot) => {
                assert_eq!(array, MAPS.parts.array);
                part = usize::try_from(slot).unwrap();
            }
            End::Exit(result) => {
                assert_eq!(result, u64::from(emit::FILTERED));
                assert_eq!(
                    machine.get(MAPS.depth),
                    0_u32.to_ne_bytes(),
                    "the slot is given back"
                );
                let filtered = kind as usize * counters
                    + std::mem::offset_of!(sensor_common::counters::KindCounters, filtered);
                assert_eq!(machine.get(MAPS.counters)[filtered], 1, "it is counted");
                return false;
            }
        }
    }
}

#[test]
fn a_machine_in_user_space_decides_as_the_formula_says() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(512));
    let done = runner.run(&input(16), |(kind, conditions, records)| {
        let rules = rules_for(kind, &conditions);
        for count in [1, 2] {
            let formulas = plan::parts(rules.demands(), kind, LATE, &types(), count);
            if formulas.is_empty() {
                continue;
            }
            let code = emit::programs(&formulas, kind, LATE, MAPS).unwrap();
            for record in &records {
                let expected = formulas.iter().any(|formula| holds(formula, record));
                prop_assert_eq!(passes_in_machine(&code, kind, record), expected, "{:?}", formulas);
            }
        }
        Ok(())
    });
    done.unwrap();
}

/// What is planned is of use: most of what no rule asks for is left out.
#[test]
fn what_no_rule_can_match_is_left_out() {
    let cases = [
        (
            Kind::Connect,
            "evt.type=connect and fd.sip=1.2.3.4 and proc.name=x",
        ),
        (
            Kind::Unlink,
            "evt.type in (unlink, unlinkat) and fs.path.name pmatch (/var/log)",
        ),
        (
            Kind::Ptrace,
            "evt.type=ptrace and evt.arg.request in (PTRACE_SYSCALL)",
        ),
        (
            Kind::Chmod,
            "evt.type in (chmod, fchmodat) and evt.arg.mode contains S_ISVTX",
        ),
        (Kind::Prctl, "evt.type=prctl and evt.arg.option=PR_SET_DUMPABLE"),
        (
            Kind::Open,
            "evt.type=openat and fd.name glob /no/*/such and proc.name=x",
        ),
        (Kind::Mount, "evt.type=unlink"),
    ];
    for (kind, condition) in cases {
        let rules = rules(&[condition.to_owned()]);
        let formula = plan::plan(rules.demands(), kind, LATE, &types()).unwrap();
        let mut runner = TestRunner::deterministic();
        let passed = (0..400)
            .filter(|_| {
                let made = record(kind).new_tree(&mut runner).unwrap().current();
                holds(&formula, &made)
            })
            .count();
        assert!(passed < 200, "{kind:?}: {passed} of 400 pass {formula:?}");
    }
}
