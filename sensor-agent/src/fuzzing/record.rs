//! Records from the kernel: from bytes to a line that somebody reads.

use std::sync::LazyLock;

use sensor_common::{LAYOUT_VERSION, record::Header};
use sensor_rules::{
    engine::{RuleMatching, RuleSet, Scratch},
    event::Event as _,
    field::{Catalogue, FieldRef},
    format::Output,
    load::{LoadOptions, Loader},
};

use crate::{
    clock::Clock,
    detection,
    event::{Event, Outcome},
    pending::Pending,
    sink::{Encoder, Format, Line},
    state::{State, StateLimits},
    view::{Context, EventTypes, View},
};

/// Records of one input; more tell nothing new.
const RECORDS_MAX: usize = 64;

/// What all inputs share.
struct Fixture {
    rules: RuleSet,
    fields: Vec<FieldRef>,
    context: Context,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(fixture);

/// A rule that every event matches and that prints every field, and one of the usual kind.
#[expect(clippy::expect_used, reason = "the rules are made of the catalogue")]
fn fixture() -> Fixture {
    let catalogue = Catalogue::new();
    let (mut fields, mut output) = (Vec::new(), String::new());
    for field in catalogue.iter() {
        let name = field.info().name;
        for argument in [None, Some("1"), Some("flags"), Some("path")] {
            let Ok(found) = catalogue.resolve(name, argument) else {
                continue;
            };
            fields.push(found);
            let bracket = argument.map_or(String::new(), |argument| format!("[{argument}]"));
            let part = format!("%{name}{bracket} ");
            if Output::parse(&part, &catalogue).is_ok() {
                output.push_str(&part);
            }
        }
    }
    let text = format!(
        "- rule: All\n  desc: d\n  condition: evt.num >= 0\n  output: '{output}'\n  priority: INFO\n\
         - rule: Some\n  desc: d\n  condition: evt.type in (open, openat, execve) and not proc.aname = sshd and fd.name startswith /etc\n  \
           output: o\n  priority: INFO\n  exceptions: [{{name: e, fields: [proc.name, proc.cmdline], comps: [=, contains], values: [[a, b]]}}]\n"
    );
    let mut files = Loader::new(LoadOptions {
        rule_matching: RuleMatching::All,
        ..LoadOptions::default()
    });
    let errors = files.add_file("fuzz.yaml", text.as_bytes()).errors.clone();
    let loaded = files.finish();
    Fixture {
        rules: loaded
            .rule_set
            .unwrap_or_else(|| panic!("the rules do not load: {errors:?}")),
        fields,
        context: Context {
            types: EventTypes::new().expect("the agent's events are in the table"),
            clock: Clock::now(),
            hostname: "node".into(),
            start_ns: 0,
        },
    }
}

/// One record after another: each is an event or an error, every field of it can be asked for, and what is found in it
/// becomes one line of JSON and one of text, whatever its bytes.
///
/// # Panics
/// Where the law is broken.
pub fn record(input: &[u8]) {
    let mut state = State::new(StateLimits {
        processes_max: 16,
        exited_keep_ns: 1_000,
        cgroups_max: 8,
    });
    let (mut pending, mut scratch) = (Pending::default(), Scratch::default());
    for (position, bytes) in records(input).take(RECORDS_MAX).enumerate() {
        let number = position as u64 + 1;
        if let Ok(Some((header, outcome))) = Outcome::decode(&bytes)
            && let Some(ready) = pending.join(&header, &outcome)
            && let Ok(record) = ready.into_record()
        {
            tell(&record, number, &mut state, &mut scratch);
        }
        let Ok(event) = Event::decode(&bytes) else {
            continue;
        };
        if event.has(sensor_common::record::flags::PENDING) {
            drop(pending.hold(event.header.key, &bytes, event.header.time_ns));
            while let Some(ready) = pending.expired(event.header.time_ns) {
                assert!(ready.event().is_ok(), "what was taken in is a record");
            }
        }
        tell(&bytes, number, &mut state, &mut scratch);
        state.sweep(event.header.time_ns);
    }
}

fn tell(bytes: &[u8], number: u64, state: &mut State, scratch: &mut Scratch) {
    let Fixture {
        rules,
        fields,
        context,
    } = &*FIXTURE;
    let Ok(event) = Event::decode(bytes) else { return };
    state.apply(&event);
    let view = View::new(&event, state, context, number);
    let mut buffer = Vec::new();
    for field in fields {
        buffer.clear();
        let _ = view.value(field, &mut buffer);
        let _ = view.is_incomplete(field);
    }
    let mut found = Vec::new();
    rules.evaluate(&view, scratch, |id| found.push(id));
    assert!(!found.is_empty(), "a rule without a demand matches every event");
    for rule in found.into_iter().filter_map(|id| rules.rule(id)) {
        let detection = detection::build(&view, rule, String::new(), scratch);
        for format in [Format::Json, Format::Text] {
            let mut line = Vec::new();
            Encoder::new(format, false, "node").encode(Line::Detection(&detection), &mut line);
            let text = std::str::from_utf8(&line).unwrap_or_default();
            let (last, rest) = (text.chars().last(), text.chars().rev().skip(1));
            assert_eq!(last, Some('\n'), "a line is UTF-8 and ends");
            assert!(
                !rest.into_iter().any(char::is_control),
                "one line, without what controls a terminal: {text:?}"
            );
        }
    }
}

/// The records of an input: a kind, a length of 12 bits with four bits to spare, and bytes that become the record.
///
/// Length, layout and kind of each header are put right unless a bit says otherwise, since random bytes never are.
fn records(mut input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(move || {
        let [kind, low, high, rest @ ..] = input else {
            return None;
        };
        let len = usize::from(u16::from_le_bytes([*low, *high & 0x0f])).min(rest.len());
        let (own, rest) = rest.split_at(len);
        input = rest;
        let mut bytes = own.to_vec();
        if high & 0x80 == 0 && bytes.len() >= size_of::<Header>() {
            bytes[..4].copy_from_slice(&u32::try_from(len).unwrap_or(0).to_ne_bytes());
            bytes[4] = LAYOUT_VERSION;
            bytes[5] = *kind;
        }
        Some(bytes)
    })
}
