//! `evt.arg.*` and `evt.rawarg.*`: the parameters of calls.

use std::mem::offset_of;

use sensor_common::{
    filter::Stage,
    kind::{Kind, Shape},
    record::{Header, IdentityCall, PathCall, PlainCall, SocketCall, flags},
    syscall::Call,
};
use sensor_rules::{
    field::{Field, FieldArg},
    partial::TextRelation,
};

use super::{
    super::{
        asm::Width,
        formula::{Formula, Number, Part, TRUE, Text},
        texts::{Domain, constant, name_of_number, names_joined, number, text},
    },
    Test,
    event::{flag, of_call, result, results},
    open, path,
};
use crate::view::{
    call_names::{self, Table},
    names,
    parameters::{self, Source},
};

/// `include/uapi/asm-generic/fcntl.h`
const O_ACCMODE: u64 = 0o3;
/// Requests of `ptrace` lie below these, in two ranges (`include/uapi/linux/ptrace.h`).
const REQUESTS: [std::ops::Range<u64>; 2] = [0..0x40, 0x4200..0x4220];

/// Where an argument of a call is, in a record of this shape.
fn argument(shape: Shape, index: usize) -> usize {
    size_of::<Header>()
        + 8 * index
        + match shape {
            Shape::Path => offset_of!(PathCall, args),
            Shape::Identity => offset_of!(IdentityCall, args),
            Shape::Socket => offset_of!(SocketCall, args),
            _ => offset_of!(PlainCall, args),
        }
}

/// The text that a call names besides files.
fn text_of(shape: Shape) -> Option<Text> {
    let span = size_of::<Header>()
        + match shape {
            Shape::Path => return Some(path::TEXT),
            Shape::Identity => offset_of!(IdentityCall, text),
            Shape::Plain => offset_of!(PlainCall, text),
            _ => return None,
        };
    Some(Text {
        span,
        otherwise: None,
        part: Part::Whole,
        is_resolved: false,
    })
}

pub(super) fn decide(test: Test<'_>, shape: Shape) -> Formula {
    match shape {
        Shape::Open => of_open(test),
        Shape::Path | Shape::Socket | Shape::Identity | Shape::Plain => {
            of_call(test, |call| Some(of_parameter(test, call)))
        }
        _ => TRUE,
    }
}

/// A parameter of an open, by name.
fn of_open(test: Test<'_>) -> Formula {
    let Test {
        question,
        negated,
        stage,
        ..
    } = test;
    let FieldArg::Key(name) = &question.field().arg else {
        return TRUE;
    };
    let is_raw = question.field().field == Field::EvtRawarg;
    match (is_raw, name.as_str()) {
        (true, "fd") => number(question, negated, result(Kind::Open), Domain::Signed),
        (true, "flags") => number(question, negated, open::flags_given(u64::MAX), Domain::Unsigned),
        (true, "mode") => number(question, negated, open::MODE_GIVEN, Domain::Short),
        (false, "flags") => names_joined(question, negated, &open_flags()),
        (false, "name" | "path") if stage == Stage::Late => text(question, negated, open::PATH),
        _ => TRUE,
    }
}

/// The names of an open's flags: what the caller gave, and what the kernel made of it.
fn open_flags() -> Vec<(&'static str, Formula, Formula)> {
    let set = |name, number: Number, value: u64| {
        let value = value.cast_signed();
        (name, Formula::is(number, value), Formula::is_not(number, value))
    };
    let access = open::flags_given(O_ACCMODE);
    let mut found: Vec<_> = names::OPEN_FLAGS
        .iter()
        .map(|(name, bits)| set(*name, open::flags_given(*bits), *bits))
        .collect();
    found.push(set("O_WRONLY", access, 1));
    found.push(set("O_RDWR", access, 2));
    let reads = [0, 3].map(|value| (value, value));
    let writes = [1, 2].map(|value| (value, value));
    found.push((
        "O_RDONLY",
        Formula::number(access, reads),
        Formula::number(access, writes),
    ));
    found.push(set(
        "O_F_CREATED",
        flag(flags::CREATED),
        u64::from(flags::CREATED),
    ));
    // The layers of an overlay are read for what is sent only.
    for name in ["FD_UPPER_LAYER", "FD_LOWER_LAYER"] {
        found.push((name, TRUE, TRUE));
    }
    found
}

/// What one call makes of a test of a parameter.
fn of_parameter(test: Test<'_>, call: Call) -> Formula {
    let Test {
        question, negated, ..
    } = test;
    let table = parameters::of(call);
    let found = match &question.field().arg {
        FieldArg::Key(name) => table.iter().find(|(known, _)| *known == name.as_str()),
        FieldArg::Index(index) => table.get(*index as usize),
        FieldArg::None => None,
    };
    let Some((_, source)) = found else {
        return constant(question, negated, None);
    };
    if question.field().field == Field::EvtRawarg {
        // Only a name is asked for its number.
        return match question.field().arg {
            FieldArg::Key(_) => as_number(test, *source),
            _ => constant(question, negated, None),
        };
    }
    as_text(test, *source)
}

fn as_number(test: Test<'_>, source: Source) -> Formula {
    let Test {
        question,
        negated,
        kind,
        ..
    } = test;
    let word = |index| Number::whole(argument(kind.shape(), index), Width::B8);
    let half = |index| Number::whole(argument(kind.shape(), index), Width::B4);
    match source {
        Source::Result | Source::NewFd => number(question, negated, result(kind), Domain::Signed),
        Source::DirFd(index) | Source::Fd(index) | Source::Signed(index) => {
            number(question, negated, half(index), Domain::Int)
        }
        Source::Unsigned(index) | Source::Hex(index) => {
            number(question, negated, word(index), Domain::Unsigned)
        }
        Source::Mode(index)
        | Source::User(index)
        | Source::Group(index)
        | Source::Request(index)
        | Source::Flags(index, _)
        | Source::Name(index, _) => number(question, negated, half(index), Domain::Short),
        Source::SocketFd | Source::QueuePercent => TRUE,
        Source::Path
        | Source::Path2
        | Source::Text
        | Source::Text2
        | Source::Given
        | Source::Tuple
        | Source::Address => constant(question, negated, None),
    }
}

fn as_text(test: Test<'_>, source: Source) -> Formula {
    let Test {
        question,
        negated,
        kind,
        stage,
        ..
    } = test;
    let word = |index| Number::whole(argument(kind.shape(), index), Width::B8);
    let half = |index| Number::whole(argument(kind.shape(), index), Width::B4);
    let is_late = stage == Stage::Late;
    match source {
        Source::Result => name_of_number(question, negated, result(kind), &results(Some("0"))),
        Source::NewFd => name_of_number(question, negated, result(kind), &results(None)),
        Source::Path if is_late => text(question, negated, path::PATH),
        Source::Path2 if is_late => text(question, negated, path::PATH_2),
        Source::Given if is_late => text(question, negated, path::GIVEN),
        Source::Text if is_late => text_of(kind.shape()).map_or(TRUE, |of| text(question, negated, of)),
        Source::Signed(index) => digits(test, half(index), Domain::Int),
        Source::Unsigned(index) => digits(test, word(index), Domain::Unsigned),
        Source::Request(index) => {
            let known = REQUESTS
                .into_iter()
                .flatten()
                .filter_map(|request| Some((names::ptrace_request(request)?, i64::try_from(request).ok()?)));
            name_of_number(question, negated, word(index), &known.collect::<Vec<_>>())
        }
        Source::Flags(index, table) => names_joined(question, negated, &set_in(table, word(index))),
        Source::Mode(index) => {
            let mut known = set_in(call_names::MODE, word(index));
            let of_type = Number {
                mask: call_names::TYPE_MASK,
                ..word(index)
            };
            known.extend(call_names::TYPES.iter().map(|(name, value)| {
                let value = value.cast_signed();
                (
                    *name,
                    Formula::is(of_type, value),
                    Formula::is_not(of_type, value),
                )
            }));
            names_joined(question, negated, &known)
        }
        Source::Name(index, table) => name_of_number(question, negated, half(index), &first_names(table)),
        _ => TRUE,
    }
}

/// The first name of each number, which is the one that is told.
pub(super) fn first_names(table: Table) -> Vec<(&'static str, i64)> {
    let mut known: Vec<(&'static str, i64)> = Vec::new();
    for (name, value) in table {
        let value = value.cast_signed();
        if known.iter().all(|(_, other)| *other != value) {
            known.push((name, value));
        }
    }
    known
}

/// The flags of a table, each with when it is told.
fn set_in(table: Table, number: Number) -> Vec<(&'static str, Formula, Formula)> {
    let each = table.iter().map(|(name, bits)| {
        let bit = Number {
            mask: *bits,
            ..number
        };
        let value = bits.cast_signed();
        (*name, Formula::is(bit, value), Formula::is_not(bit, value))
    });
    each.collect()
}

/// A number that is told by its digits.
fn digits(test: Test<'_>, number: Number, domain: Domain) -> Formula {
    let Some((TextRelation::Equals, constants)) = test.question.texts() else {
        return TRUE;
    };
    let numbers = constants.iter().filter_map(|constant| {
        let value: i128 = std::str::from_utf8(constant).ok()?.parse().ok()?;
        // Other spellings of a number equal no text that is made of it.
        (value.to_string().as_bytes() == &constant[..]).then_some(value)
    });
    domain.of(number, &numbers.collect::<Vec<_>>(), test.negated)
}
