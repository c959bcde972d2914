//! Tests of texts and numbers, as formulas.

use std::mem::offset_of;

use sensor_common::record::Span;
use sensor_rules::{
    event::Value,
    partial::{Question, TextRelation},
};

use super::{
    asm::Width,
    formula::{FALSE, Formula, Number, Part, TRUE, Text},
};

/// The numbers that a field can have: from, to, and how they stand in a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Domain {
    /// 64 bits with a sign.
    Signed,
    /// 64 bits without.
    Unsigned,
    /// 32 bits or fewer without a sign.
    Short,
    /// The lowest 32 bits, with a sign.
    Int,
}

impl Domain {
    const fn bounds(self) -> (i128, i128) {
        match self {
            Self::Signed => (i64::MIN as i128, i64::MAX as i128),
            Self::Unsigned => (0, u64::MAX as i128),
            Self::Short => (0, u32::MAX as i128),
            Self::Int => (i32::MIN as i128, i32::MAX as i128),
        }
    }

    /// A range as a record's bits, read as 64 with a sign.
    fn stored(self, (low, high): (i128, i128)) -> Vec<(i64, i64)> {
        let moved = |(low, high): (i128, i128), by: i128| (low + by, high + by);
        let parts = match self {
            Self::Signed | Self::Short => vec![(low, high)],
            Self::Unsigned => vec![
                (low, high.min(i64::MAX.into())),
                moved((low.max(1 << 63), high), -(1 << 64)),
            ],
            Self::Int => vec![(low.max(0), high), moved((low, high.min(-1)), 1 << 32)],
        };
        let narrow = |value: i128| i64::try_from(value).unwrap_or(i64::MAX);
        parts
            .into_iter()
            .filter(|(low, high)| low <= high)
            .map(|(low, high)| (narrow(low), narrow(high)))
            .collect()
    }
}

impl Domain {
    /// The number is one of these, or none of them.
    pub(super) fn of(self, number: Number, values: &[i128], negated: bool) -> Formula {
        let ranges: Vec<_> = values.iter().map(|value| (*value, *value)).collect();
        self.within(number, &ranges, negated)
    }

    /// The number lies in one of these ranges, or in none.
    fn within(self, number: Number, ranges: &[(i128, i128)], negated: bool) -> Formula {
        let (first, last) = self.bounds();
        let mut yes: Vec<(i128, i128)> = ranges
            .iter()
            .map(|(low, high)| ((*low).max(first), (*high).min(last)))
            .filter(|(low, high)| low <= high)
            .collect();
        if negated {
            yes.sort_unstable();
            let mut no = Vec::new();
            let mut from = first;
            for (low, high) in yes {
                if from < low {
                    no.push((from, low - 1));
                }
                from = from.max(high + 1);
            }
            if from <= last {
                no.push((from, last));
            }
            yes = no;
        }
        Formula::number(number, yes.into_iter().flat_map(|range| self.stored(range)))
    }
}

/// A test of a number that is always there.
pub(super) fn number(question: &Question, negated: bool, number: Number, domain: Domain) -> Formula {
    let Some(asked) = question.ranges() else {
        return TRUE;
    };
    domain.within(number, &asked, negated)
}

/// What the question says of a value that is there, or is not, whatever the record.
pub(super) fn constant(question: &Question, negated: bool, value: Option<&Value<'_>>) -> Formula {
    if question.holds(value) == negated {
        FALSE
    } else {
        TRUE
    }
}

/// A field that has one of a few values: each with when it has it. The conditions exclude each other, and one holds.
pub(super) fn cases(
    question: &Question,
    negated: bool,
    cases: impl IntoIterator<Item = (Formula, Option<Value<'static>>)>,
) -> Formula {
    let wanted = cases
        .into_iter()
        .filter(|(_, value)| question.holds(value.as_ref()) != negated);
    Formula::any(wanted.map(|(when, _)| when))
}

/// A text that is the name of a number, for the numbers that have one. Any other number is told by its digits or not at
/// all: it fits no constant without digits, and is undecided where one has them.
pub(super) fn name_of_number(
    question: &Question,
    negated: bool,
    number: Number,
    names: &[(&'static str, i64)],
) -> Formula {
    let known = names.iter().map(|(name, value)| {
        let when = Formula::is(number, *value);
        (when, Some(Value::Text(name.as_bytes())))
    });
    let other = Formula::all(names.iter().map(|(_, value)| Formula::is_not(number, *value)));
    let fits_digits = match question.texts() {
        Some((_, constants)) => constants.iter().any(|text| {
            let fits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'/' | b'*' | b'?' | b'[');
            text.is_empty() || text.iter().any(fits)
        }),
        None => true,
    };
    let of_other = if negated || fits_digits { other } else { FALSE };
    Formula::any([cases(question, negated, known), of_other])
}

/// A text of names joined by `|`, each of which is there when its condition holds: decided for equal to nothing but
/// parts of names.
pub(super) fn names_joined(
    question: &Question,
    negated: bool,
    names: &[(&'static str, Formula, Formula)],
) -> Formula {
    let Some((TextRelation::Contains, constants)) = question.texts() else {
        return TRUE;
    };
    let is_plain = |text: &Vec<u8>| !text.is_empty() && *text != b"0" && !text.contains(&b'|');
    if !constants.iter().all(is_plain) {
        return TRUE;
    }
    let holds = |name: &str| question.holds(Some(&Value::Text(name.as_bytes())));
    let fitting = names.iter().filter(|(name, ..)| holds(name));
    if negated {
        Formula::all(fitting.map(|(_, _, is_absent)| is_absent.clone()))
    } else {
        Formula::any(fitting.map(|(_, is_there, _)| is_there.clone()))
    }
}

/// A test of a text that is missing when it is empty.
pub(super) fn text(question: &Question, negated: bool, text: Text) -> Formula {
    let Some((relation, constants)) = question.texts() else {
        return TRUE;
    };
    match relation {
        TextRelation::Below => below(text, constants, negated),
        TextRelation::Glob => glob(text, constants, negated),
        TextRelation::Equals if text.part == Part::Name => name(text, constants, negated),
        TextRelation::Equals if text.part == Part::Folder && !negated => folder(text, constants),
        _ => Formula::text(text, relation, constants.to_vec(), negated),
    }
}

const fn whole(text: Text) -> Text {
    Text {
        part: Part::Whole,
        ..text
    }
}

/// A name equals where the whole ends in it and a slash before it, or is it: no search for the last slash.
fn name(text: Text, names: &[Vec<u8>], negated: bool) -> Formula {
    if names.iter().any(|name| name.is_empty() || name.contains(&b'/')) {
        return Formula::text(text, TextRelation::Equals, names.to_vec(), negated);
    }
    let with_slash = names.iter().map(|name| [b"/", &name[..]].concat()).collect();
    let parts = [
        Formula::text(whole(text), TextRelation::EndsWith, with_slash, negated),
        Formula::text(whole(text), TextRelation::Equals, names.to_vec(), negated),
    ];
    if negated {
        Formula::all(parts)
    } else {
        Formula::any(parts)
    }
}

/// What lies in a folder begins with it; only of that the last slash is searched.
fn folder(text: Text, folders: &[Vec<u8>]) -> Formula {
    let exact = Formula::text(text, TextRelation::Equals, folders.to_vec(), false);
    if folders.iter().any(|folder| folder.len() < 2) {
        return exact;
    }
    let begins = folders
        .iter()
        .map(|folder| [folder, &b"/"[..]].concat())
        .collect();
    Formula::all([
        Formula::text(whole(text), TextRelation::StartsWith, begins, false),
        exact,
    ])
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\')
}

/// Paths below others. Components count, not bytes: the kernel writes resolved paths with one slash before each, and a
/// text that is not so is undecided.
fn below(text: Text, paths: &[Vec<u8>], negated: bool) -> Formula {
    let at = whole(text);
    if text.part != Part::Whole {
        return TRUE;
    }
    let (mut equal, mut begins) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| !path.is_empty()) {
        let mut start = Vec::new();
        let mut is_pattern = false;
        for component in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            is_pattern = component.iter().any(|byte| is_special(*byte));
            if is_pattern {
                break;
            }
            start.push(b'/');
            start.extend_from_slice(component);
        }
        if is_pattern && negated {
            // Whatever it names besides may be below it or not.
            continue;
        }
        if start.is_empty() {
            // Everything is below the root; a pattern comes first otherwise.
            return TRUE;
        }
        if !is_pattern {
            equal.push(start.clone());
        }
        start.push(b'/');
        begins.push(start);
    }
    let tests = [
        Formula::text(at, TextRelation::Equals, equal, negated),
        Formula::text(at, TextRelation::StartsWith, begins, negated),
    ];
    if negated {
        return Formula::all(tests);
    }
    let slashes = vec![b"//".to_vec()];
    let unsure = if text.is_resolved {
        [
            Formula::is(Number::whole(text.span + offset_of!(Span, len), Width::B2), 0),
            Formula::text(at, TextRelation::StartsWith, slashes, false),
        ]
    } else {
        [FALSE, Formula::text(at, TextRelation::Contains, slashes, false)]
    };
    let relative = Formula::text(at, TextRelation::StartsWith, vec![b"/".to_vec()], true);
    Formula::any(tests.into_iter().chain(unsure).chain([relative]))
}

/// What fits a pattern begins with what stands before its first special sign, and ends in what stands behind its last.
fn glob(text: Text, patterns: &[Vec<u8>], negated: bool) -> Formula {
    if negated {
        return TRUE;
    }
    Formula::any(patterns.iter().map(|pattern| {
        let first = pattern.iter().position(|byte| is_special(*byte));
        let last = pattern.iter().rposition(|byte| is_special(*byte));
        let (Some(first), Some(last)) = (first, last) else {
            return Formula::text(text, TextRelation::Equals, vec![pattern.clone()], false);
        };
        let part = |relation, bytes: &[u8]| {
            if bytes.is_empty() {
                TRUE
            } else {
                Formula::text(text, relation, vec![bytes.to_vec()], false)
            }
        };
        // An escaped sign stands for itself: behind it the end is not sure.
        let end = if pattern[last] == b'\\' {
            pattern.len()
        } else {
            last + 1
        };
        Formula::all([
            part(TextRelation::StartsWith, &pattern[..first]),
            part(TextRelation::EndsWith, &pattern[end..]),
        ])
    }))
}
