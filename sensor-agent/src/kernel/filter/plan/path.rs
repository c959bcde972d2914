//! Calls about names and files.

use std::mem::offset_of;

use sensor_common::{
    filter::Stage,
    record::{FileId, Header, PathCall, Span},
};
use sensor_rules::field::Field;

use super::{
    super::{
        asm::Width,
        formula::{Formula, Number, Part, TRUE, Text},
        texts::{Domain, constant, number, text},
    },
    Test,
};

/// Where a member of [`PathCall`] is in a record.
macro_rules! at {
    ($($member:tt)+) => { size_of::<Header>() + offset_of!(PathCall, $($member)+) };
}

const INODE: Number = Number::whole(at!(file) + offset_of!(FileId, inode), Width::B8);

const fn of(span: usize, otherwise: Option<usize>) -> Text {
    Text {
        span,
        otherwise,
        part: Part::Whole,
        is_resolved: false,
    }
}

/// The first path: what kernel objects tell, or else what the caller gave.
pub(super) const PATH: Text = of(at!(path), Some(at!(given)));
/// The second, likewise.
pub(super) const PATH_2: Text = of(at!(path2), Some(at!(given2)));
/// The first name as the caller gave it.
pub(super) const GIVEN: Text = of(at!(given), None);
const GIVEN_2: Text = of(at!(given2), None);
/// The path of the open file that the call names.
const OF_FILE: Text = of(at!(path), None);
/// What the call names besides files.
pub(super) const TEXT: Text = of(at!(text), None);

fn is_empty(text: Text) -> Formula {
    Formula::is(length(text), 0)
}

fn is_there(text: Text) -> Formula {
    Formula::is_not(length(text), 0)
}

fn length(text: Text) -> Number {
    Number::whole(text.span + offset_of!(Span, len), Width::B2)
}

/// One condition or its opposite holds.
fn either(when: Formula, then: Formula, opposite: Formula, otherwise: Formula) -> Formula {
    Formula::any([Formula::all([when, then]), Formula::all([opposite, otherwise])])
}

pub(super) fn decide(test: Test<'_>) -> Formula {
    let Test {
        question,
        negated,
        stage,
        ..
    } = test;
    if stage == Stage::Early {
        return TRUE;
    }
    let missing = || constant(question, negated, None);
    let ask = |of| text(question, negated, of);
    let of_two = |two: Formula, one: Formula| either(is_there(GIVEN_2), two, is_empty(GIVEN_2), one);
    let of_file = |decided: Formula| {
        either(
            Formula::is_not(INODE, 0),
            decided,
            Formula::is(INODE, 0),
            missing(),
        )
    };
    // A call that makes a link to a text has no first name.
    let source = |named: Text| either(is_there(GIVEN), ask(named), is_empty(GIVEN), ask(TEXT));
    let part = |part| of_file(ask(Text { part, ..OF_FILE }));
    match question.field().field {
        Field::FsPathName => of_two(ask(PATH_2), ask(PATH)),
        Field::FsPathNameraw => of_two(ask(GIVEN_2), ask(GIVEN)),
        Field::FsPathTarget => of_two(ask(PATH_2), missing()),
        Field::FsPathTargetraw => of_two(ask(GIVEN_2), missing()),
        Field::FsPathSource => of_two(source(PATH), missing()),
        Field::FsPathSourceraw => of_two(source(GIVEN), missing()),
        Field::FdName | Field::EvtAbspath => part(Part::Whole),
        Field::FdFilename => part(Part::Name),
        Field::FdDirectory => part(Part::Folder),
        Field::FdIno => of_file(number(question, negated, INODE, Domain::Unsigned)),
        Field::FdNum | Field::FdDev => TRUE,
        field if super::is_of_file(field) => missing(),
        _ => TRUE,
    }
}
