//! What a rule matches in user space passes its filter, and a filter decides as its formula does: in the kernel, and in
//! a machine of the tests' own.

mod cgroup;
mod kernel;
mod machine;
mod records;
mod shipped;
mod soundness;

use std::fmt::Write as _;

use sensor_common::filter::Stage;
use sensor_rules::{
    engine::{RuleSet, Scratch},
    load::{LoadOptions, Loader},
    partial::TextRelation,
};

use super::{
    asm::Width,
    formula::{Formula, Part, Text},
    *,
};
use crate::{
    clock::Clock,
    event::Event,
    state::{State, StateLimits},
    view::{Context, View},
};

/// Rules of these conditions.
fn rules(conditions: &[String]) -> RuleSet {
    let mut text = String::new();
    for (number, condition) in conditions.iter().enumerate() {
        let _ = write!(
            text,
            "- rule: r{number}\n  desc: d\n  output: o\n  priority: NOTICE\n  condition: >\n    {condition}\n"
        );
    }
    let mut loader = Loader::new(LoadOptions::default());
    loader.add_file("random.yaml", text.as_bytes());
    loader
        .finish()
        .rule_set
        .unwrap_or_else(|| panic!("the rules load: {text}"))
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
            let found = found(*text, record);
            let relates = |constant: &Vec<u8>| match relation {
                TextRelation::Equals => found == &constant[..],
                TextRelation::StartsWith => found.starts_with(constant),
                TextRelation::EndsWith => found.ends_with(constant),
                TextRelation::Contains => found
                    .windows(constant.len())
                    .any(|window| window == &constant[..]),
                TextRelation::Below | TextRelation::Glob => unreachable!("plans are made of the others"),
            };
            (!found.is_empty() && constants.iter().any(relates)) != *negated
        }
    }
}

fn found(text: Text, record: &[u8]) -> &[u8] {
    let piece = |at: usize| {
        let part = |at: usize| usize::from(u16::from_ne_bytes([record[at], record[at + 1]]));
        &record[part(at)..part(at) + part(at + 2)]
    };
    let mut found = piece(text.span);
    if let (true, Some(otherwise)) = (found.is_empty(), text.otherwise) {
        found = piece(otherwise);
    }
    let slash = found.iter().rposition(|byte| *byte == b'/');
    match (text.part, slash) {
        (Part::Name, Some(at)) => &found[at + 1..],
        (Part::Folder, None) => &[],
        (Part::Folder, Some(at)) => &found[..at.max(1)],
        (Part::Whole, _) | (Part::Name, None) => found,
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
