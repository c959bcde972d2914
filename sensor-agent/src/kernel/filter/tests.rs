//! What a rule matches in user space passes its filter, and a filter in the kernel decides as its formula does.

use std::{fmt::Write as _, mem::offset_of};

use proptest::prelude::*;
use sensor_common::{
    LAYOUT_VERSION,
    record::{Header, Open, Span},
    syscall::Call,
};
use sensor_rules::{
    engine::{RuleSet, Scratch},
    load::{LoadOptions, Loader},
    partial::TextRelation,
};

use super::{
    asm::Width,
    plan::{self, Formula},
    *,
};
use crate::{
    clock::Clock,
    event::Event,
    state::{State, StateLimits},
    view::{Context, View},
};

/// Tests of an open, each of which some of the records below answer with yes and some with no.
const TESTS: &[&str] = &[
    "evt.type in (open, openat)",
    "evt.type = openat2",
    "evt.is_open_read = true",
    "evt.is_open_write = true",
    "evt.failed = false",
    "evt.rawres >= 0",
    "evt.rawres in (-2, 3)",
    "evt.rawres < -1",
    "fd.num >= 0",
    "fd.typechar = 'f'",
    "fd.typechar != 'd'",
    "fd.type in (file, ipv4)",
    "fd.name = /etc/shadow",
    "fd.name in (/etc/shadow, /etc/sudoers, /a)",
    "fd.name startswith /etc/",
    "fd.name endswith passwd",
    "fd.name contains adow",
    "fd.name != /etc/shadow",
    "fd.name exists",
    "fd.name glob /etc/*",
    "fd.nameraw contains ../",
    "fd.nameraw = shadow",
    "fd.directory in (/etc/pam.d, /etc)",
    "fd.directory = /",
    "fd.filename = shadow",
    "fd.filename in (shadow, sshd)",
    "fd.filename startswith s",
    "proc.name = cat",
    "user.uid = 0",
    "container.id = host",
];

const PATHS: &[&str] = &[
    "",
    "/",
    "/a",
    "/etc/shadow",
    "/etc/passwd",
    "/etc/pam.d/sshd",
    "/etc",
    "/home/u/.ssh/id_rsa",
    "shadow",
    "../../etc/shadow",
    "/x/../etc//shadow",
    "/etc/shadowy",
];

/// A condition of a few of the tests, put together at random.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(TESTS).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| format!("not ({part})")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            prop::collection::vec(inner, 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
        ]
    })
}

fn rules(conditions: &[String]) -> RuleSet {
    let mut text = String::new();
    for (number, condition) in conditions.iter().enumerate() {
        let _ = write!(
            text,
            "- rule: r{number}\n  desc: d\n  output: o\n  priority: NOTICE\n  condition: >\n    \
             evt.type in (open, openat, openat2, creat) and {condition}\n"
        );
    }
    let mut loader = Loader::new(LoadOptions::default());
    loader.add_file("random.yaml", text.as_bytes());
    loader.finish().rule_set.expect("the rules load")
}

/// A record of an open.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![Just(3_i64), Just(0), Just(-1), Just(-2), Just(-13)];
    let path = || prop::sample::select(PATHS);
    let mode = prop::sample::select(&[0o100_644_u32, 0o040_755, 0o120_777, 0]);
    let call = prop::sample::select(&[Call::Open, Call::OpenAt, Call::OpenAt2, Call::Creat]);
    (number, path(), path(), mode, 0_u64..4, 0_u32..4, call, 0_u64..2).prop_map(
        |(result, path, given, mode, flags_given, file_flags, call, inode)| {
            let begin = size_of::<Header>() + size_of::<Open>();
            let mut bytes = vec![0; begin];
            let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
            let fixed = |member: usize| size_of::<Header>() + member;
            put(offset_of!(Header, version), &[LAYOUT_VERSION]);
            put(offset_of!(Header, kind), &[Kind::Open as u8]);
            put(fixed(offset_of!(Open, result)), &result.to_ne_bytes());
            put(fixed(offset_of!(Open, file.mode)), &mode.to_ne_bytes());
            put(fixed(offset_of!(Open, file.inode)), &inode.to_ne_bytes());
            put(fixed(offset_of!(Open, flags_given)), &flags_given.to_ne_bytes());
            put(fixed(offset_of!(Open, file_flags)), &file_flags.to_ne_bytes());
            put(fixed(offset_of!(Open, call)), &(call as u32).to_ne_bytes());
            let mut at = begin;
            for (member, text) in [(offset_of!(Open, path), path), (offset_of!(Open, given), given)] {
                let span = [at, text.len()]
                    .map(|number| u16::try_from(number).unwrap().to_ne_bytes())
                    .concat();
                assert_eq!(span.len(), size_of::<Span>());
                put(fixed(member), &span);
                at += text.len();
            }
            bytes.extend_from_slice(path.as_bytes());
            bytes.extend_from_slice(given.as_bytes());
            let len = u32::try_from(bytes.len()).unwrap().to_ne_bytes();
            bytes[..4].copy_from_slice(&len);
            bytes
        },
    )
}

/// What a formula says of a record: the plain reading of it.
fn holds(formula: &Formula, record: &[u8]) -> bool {
    match formula {
        Formula::All(parts) => parts.iter().all(|part| holds(part, record)),
        Formula::Any(parts) => parts.iter().any(|part| holds(part, record)),
        Formula::Number(number, ranges) => {
            let size = match number.width {
                Width::B1 => 1,
                Width::B2 => 2,
                Width::B4 => 4,
                Width::B8 => 8,
            };
            let mut word = [0; 8];
            word[..size].copy_from_slice(&record[number.offset..number.offset + size]);
            let value = (u64::from_ne_bytes(word) & number.mask).cast_signed();
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&value))
        }
        Formula::Text {
            text,
            relation,
            constants,
            negated,
        } => {
            let piece = |at: usize| {
                let part = |at: usize| usize::from(u16::from_ne_bytes([record[at], record[at + 1]]));
                &record[part(at)..part(at) + part(at + 2)]
            };
            let mut found = piece(text.span);
            if let (true, Some(otherwise)) = (found.is_empty(), text.otherwise) {
                found = piece(otherwise);
            }
            let relates = |constant: &Vec<u8>| match relation {
                TextRelation::Equals => found == &constant[..],
                TextRelation::StartsWith => found.starts_with(constant),
                TextRelation::EndsWith => found.ends_with(constant),
                TextRelation::Contains => found
                    .windows(constant.len())
                    .any(|window| window == &constant[..]),
            };
            (!found.is_empty() && constants.iter().any(relates)) != *negated
        }
    }
}

fn types() -> EventTypes {
    EventTypes::new().unwrap()
}

/// How many rules match in user space.
fn matches(rules: &RuleSet, record: &[u8]) -> usize {
    let event = Event::decode(record).unwrap();
    let mut state = State::new(StateLimits {
        processes_max: 10,
        exited_keep_ns: 0,
        cgroups_max: 10,
    });
    state.apply(&event);
    let context = Context {
        types: types(),
        clock: Clock::now(),
        hostname: "node".into(),
        start_ns: 0,
    };
    let view = View::new(&event, &state, &context, 1);
    let mut count = 0;
    rules.evaluate(&view, &mut Scratch::new(), |_| count += 1);
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_a_rule_matches_passes_both_stages(
        conditions in prop::collection::vec(condition(), 1..4),
        records in prop::collection::vec(record(), 16),
    ) {
        let rules = rules(&conditions);
        for stage in Stage::ALL {
            let Some(formula) = plan::plan(rules.demands(), Kind::Open, stage, &types()) else { continue };
            for record in &records {
                let matched = matches(&rules, record) > 0;
                prop_assert!(!matched || holds(&formula, record), "{stage:?} {formula:?}");
            }
        }
    }
}

/// The kernel's side of a test: one slot with a record, and the filter as a raw tracepoint's program, which the kernel
/// runs on request. It differs from the real one in the hook's type alone.
mod kernel {
    use super::*;

    pub(super) struct Rig {
        maps: Vec<OwnedFd>,
    }

    impl Rig {
        /// `None` where the kernel does not let us.
        pub(super) fn new() -> Option<Self> {
            let slot = sensor_common::limits::RECORD_BYTES_MAX + 1024;
            let sizes = [slot, 4, size_of::<sensor_common::counters::KindCounters>()];
            let mut maps: Vec<_> = sizes
                .into_iter()
                .filter_map(|size| bpf::testing::array(u32::try_from(size).unwrap(), 8))
                .collect();
            maps.push(bpf::testing::program_array(sensor_common::filter::STAGE_SLOTS)?);
            (maps.len() == 4).then_some(Self { maps })
        }

        fn fds(&self) -> emit::Maps {
            let fd = |at: usize| self.maps[at].as_raw_fd();
            emit::Maps {
                scratch: fd(0),
                depth: fd(1),
                counters: fd(2),
                next: fd(3),
            }
        }

        pub(super) fn load(&self, formula: &Formula) -> OwnedFd {
            let code = emit::program(formula, Kind::Open, Stage::Late, self.fds()).unwrap();
            bpf::load("filter_test", &code, None).unwrap_or_else(|error| panic!("{error}\n{formula:?}"))
        }

        pub(super) fn run(&self, program: &OwnedFd, record: &[u8]) -> bool {
            let mut value = record.to_vec();
            value.resize(sensor_common::limits::RECORD_BYTES_MAX + 1024, b'x');
            bpf::testing::set(&self.maps[0], 0, &value);
            bpf::testing::set(&self.maps[1], 0, &1_u32.to_ne_bytes());
            let result = bpf::testing::run(program);
            assert_eq!(
                bpf::testing::get(&self.maps[1], 0, 4),
                0_u32.to_ne_bytes(),
                "the slot is given back"
            );
            result == emit::PASSED
        }
    }
}

#[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
fn rig() -> Option<kernel::Rig> {
    let rig = kernel::Rig::new();
    if rig.is_none() {
        println!("skip: this process may not load eBPF programs");
    }
    rig
}

#[test]
fn the_kernel_decides_as_the_formula_says() {
    let Some(rig) = rig() else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let input = (
        prop::collection::vec(condition(), 1..4),
        prop::collection::vec(record(), 32),
    );
    let done = runner.run(&input, |(conditions, records)| {
        let rules = rules(&conditions);
        if let Some(formula) = plan::plan(rules.demands(), Kind::Open, Stage::Late, &types()) {
            let program = rig.load(&formula);
            for record in &records {
                prop_assert_eq!(
                    rig.run(&program, record),
                    holds(&formula, record),
                    "{:?}",
                    formula
                );
            }
        }
        Ok(())
    });
    done.unwrap();
}
