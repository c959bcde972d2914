//! `evt.*`: what every call's record tells.

use std::mem::offset_of;

use sensor_common::{
    kind::{Kind, Shape},
    record::{Header, IdentityCall, Open, PathCall, PlainCall, SocketCall, flags},
    syscall::Call,
};
use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{
    super::{
        asm::Width,
        formula::{Formula, Number, TRUE},
        texts::{Domain, cases, constant, name_of_number, number},
    },
    Test,
};
use crate::view::names;

/// Where the members that all calls' records have are, in a record of this shape.
macro_rules! in_each {
    ($shape:expr, $member:ident) => {
        size_of::<Header>()
            + match $shape {
                Shape::Open => offset_of!(Open, $member),
                Shape::Path => offset_of!(PathCall, $member),
                Shape::Socket => offset_of!(SocketCall, $member),
                Shape::Identity => offset_of!(IdentityCall, $member),
                _ => offset_of!(PlainCall, $member),
            }
    };
}

/// The call's result.
pub(super) fn result(kind: Kind) -> Number {
    Number::whole(in_each!(kind.shape(), result), Width::B8)
}

/// The number of the [`Call`].
pub(super) fn call(kind: Kind) -> Number {
    Number::whole(in_each!(kind.shape(), call), Width::B4)
}

/// Some of the record's flags.
pub(super) fn flag(which: u32) -> Number {
    Number::bits(offset_of!(Header, flags), Width::B4, u64::from(which))
}

/// The call did what it was asked for.
pub(super) fn succeeded(kind: Kind) -> Formula {
    Formula::number(result(kind), [(0, i64::MAX)])
}

/// It did not.
pub(super) fn failed(kind: Kind) -> Formula {
    Formula::number(result(kind), [(i64::MIN, -1)])
}

/// A program of ours denied it.
pub(super) fn denied() -> Formula {
    Formula::is_not(flag(flags::DENIED), 0)
}

/// The calls that become events of this kind.
pub(super) fn calls(kind: Kind) -> impl Iterator<Item = Call> {
    Call::ALL
        .into_iter()
        .filter(move |call| call.kind() == Some(kind))
}

/// The name of each error's number, and of success where it has one.
pub(super) fn results(success: Option<&'static str>) -> Vec<(&'static str, i64)> {
    let errors =
        (1..=i64::from(u8::MAX)).filter_map(|errno| Some((names::errno(errno.unsigned_abs())?, -errno)));
    errors.chain(success.map(|name| (name, 0))).collect()
}

/// A test of a field of the event itself; `None` where it is of something else.
pub(super) fn decide(test: Test<'_>) -> Option<Formula> {
    let Test {
        question,
        negated,
        kind,
        ..
    } = test;
    let always = |value: Value<'_>| constant(question, negated, Some(&value));
    let bool_when = |yes: Formula, no: Formula| {
        cases(
            question,
            negated,
            [(yes, Some(Value::Bool(true))), (no, Some(Value::Bool(false)))],
        )
    };
    let is_open = kind.shape() == Shape::Open;
    Some(match question.field().field {
        Field::EvtType | Field::SyscallType => of_call(test, |call| {
            let name = test.types.of_call(call)?.name();
            Some(always(Value::Text(name.as_bytes())))
        }),
        Field::EvtTypeIs => of_call(test, |call| {
            let FieldArg::Key(name) = &question.field().arg else {
                return None;
            };
            let is_it = test.types.of_call(call)?.name() == name.as_str();
            Some(always(Value::Uint(u64::from(is_it))))
        }),
        Field::EvtNum => placeholder(test),
        Field::EvtRawres => number(question, negated, result(kind), Domain::Signed),
        Field::EvtFailed => bool_when(failed(kind), succeeded(kind)),
        Field::EvtCountError => cases(
            question,
            negated,
            [
                (failed(kind), Some(Value::Uint(1))),
                (succeeded(kind), Some(Value::Uint(0))),
            ],
        ),
        Field::EvtRes => {
            let success = succeeded(kind);
            let errors = name_of_number(question, negated, result(kind), &results(None));
            let of_success = always(Value::Text(b"SUCCESS"));
            Formula::any([
                Formula::all([success, of_success]),
                Formula::all([failed(kind), errors]),
            ])
        }
        Field::EvtDenied => bool_when(denied(), Formula::is(flag(flags::DENIED), 0)),
        Field::EvtDir => always(Value::Text(b"<")),
        Field::EvtSource => always(Value::Text(b"syscall")),
        Field::EvtCount | Field::EvtCountExit => always(Value::Uint(1)),
        Field::EvtIsAsync
        | Field::EvtIsIo
        | Field::EvtIsIoRead
        | Field::EvtIsIoWrite
        | Field::EvtIsWait
        | Field::EvtIsSyslog => always(Value::Bool(false)),
        Field::EvtIsOpenRead | Field::EvtIsOpenWrite | Field::EvtIsOpenExec | Field::EvtIsOpenCreate
            if !is_open =>
        {
            always(Value::Bool(false))
        }
        _ => return None,
    })
}

/// What each call of the kind makes of the test. A call that is not known is not judged.
pub(super) fn of_call(test: Test<'_>, decide: impl Fn(Call) -> Option<Formula>) -> Formula {
    let number = call(test.kind);
    let mut unknown = TRUE;
    let mut of_calls = Vec::new();
    for call in calls(test.kind) {
        let index = i64::from(call as u32);
        unknown = Formula::all([unknown, Formula::is_not(number, index)]);
        let decided = decide(call).unwrap_or(TRUE);
        of_calls.push((Formula::is(number, index), decided));
    }
    // One answer for all calls needs no look at which it is.
    if let Some((_, first)) = of_calls.first()
        && of_calls.iter().all(|(_, decided)| decided == first)
    {
        return first.clone();
    }
    let known = of_calls
        .into_iter()
        .map(|(is_call, decided)| Formula::all([is_call, decided]));
    Formula::any(known.chain([unknown]))
}

/// `evt.num`, 1 for the first event: rules ask of it what holds for every event, or for none.
fn placeholder(test: Test<'_>) -> Formula {
    let Some(ranges) = test.question.ranges() else {
        return TRUE;
    };
    let holds_always = ranges
        .iter()
        .any(|(low, high)| *low <= 1 && *high >= i128::from(u64::MAX));
    let holds_never = ranges.iter().all(|(low, high)| *high < 1 || low > high);
    if holds_always && test.negated || holds_never && !test.negated {
        Formula::any([])
    } else {
        TRUE
    }
}
