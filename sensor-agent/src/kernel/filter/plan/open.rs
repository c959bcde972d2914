//! Opened files.

use std::mem::offset_of;

use sensor_common::{
    filter::Stage,
    kind::Kind,
    record::{FileId, Header, Open, flags},
};
use sensor_rules::{event::Value, field::Field};

use super::{
    super::{
        asm::Width,
        formula::{Formula, Number, Part, TRUE, Text},
        texts::{Domain, cases, number, text},
    },
    Test,
    event::{failed, flag, result, succeeded},
};

/// `include/uapi/linux/stat.h`
const S_IFMT: u64 = 0o170_000;
const S_IFDIR: i64 = 0o040_000;
/// `include/uapi/asm-generic/fcntl.h`
const O_ACCMODE: u64 = 0o3;
const O_CREAT: u64 = 0o100;
/// Without `O_DIRECTORY`, which it always comes with.
const O_TMPFILE: u64 = 0o20_000_000;
/// Permission to execute, for anyone.
const EXECUTABLE: u64 = 0o111;

/// Where a member of [`Open`] is in a record.
macro_rules! at {
    ($($member:tt)+) => { size_of::<Header>() + offset_of!(Open, $($member)+) };
}

const INODE: Number = Number::whole(at!(file) + offset_of!(FileId, inode), Width::B8);
const FILE_TYPE: Number = Number::bits(at!(file) + offset_of!(FileId, mode), Width::B4, S_IFMT);
const ACCESS_OF_FILE: Number = Number::bits(at!(file_flags), Width::B4, O_ACCMODE);

/// Some of the flags that the caller gave.
pub(super) const fn flags_given(which: u64) -> Number {
    Number::bits(at!(flags_given), Width::B8, which)
}

/// The permissions that the caller gave.
pub(super) const MODE_GIVEN: Number = Number::whole(at!(mode_given), Width::B4);

/// The path: the file's own or, of a call that failed, as the caller gave it.
pub(super) const PATH: Text = Text {
    span: at!(path),
    otherwise: Some(at!(given)),
    part: Part::Whole,
    is_resolved: true,
};
const GIVEN: Text = Text {
    span: at!(given),
    otherwise: None,
    part: Part::Whole,
    is_resolved: false,
};

pub(super) fn decide(test: Test<'_>) -> Formula {
    let Test {
        question,
        negated,
        stage,
        ..
    } = test;
    let part = |part| text(question, negated, Text { part, ..PATH });
    match question.field().field {
        Field::FdNum => number(question, negated, result(Kind::Open), Domain::Signed),
        Field::FdTypechar => of_type(test, b"d", b"f"),
        Field::FdType => of_type(test, b"directory", b"file"),
        Field::FdIno => where_open(test, number(question, negated, INODE, Domain::Unsigned)),
        Field::EvtIsOpenRead => of_access(test, &[0, 2, 3]),
        Field::EvtIsOpenWrite => of_access(test, &[1, 2]),
        Field::EvtIsOpenExec => of_program(test),
        Field::EvtIsOpenCreate => cases(
            question,
            negated,
            [
                (Formula::is_not(flag(flags::CREATED), 0), Some(Value::Bool(true))),
                (Formula::is(flag(flags::CREATED), 0), Some(Value::Bool(false))),
            ],
        ),
        _ if stage == Stage::Early => TRUE,
        Field::FdName | Field::FsPathName | Field::EvtAbspath => part(Part::Whole),
        Field::FdFilename => part(Part::Name),
        Field::FdDirectory => part(Part::Folder),
        Field::FdNameraw | Field::FsPathNameraw => text(question, negated, GIVEN),
        _ => TRUE,
    }
}

/// A field that only an open file has.
fn where_open(test: Test<'_>, decided: Formula) -> Formula {
    let without = super::constant(test.question, test.negated, None);
    Formula::any([
        Formula::all([succeeded(Kind::Open), decided]),
        Formula::all([failed(Kind::Open), without]),
    ])
}

fn of_type(test: Test<'_>, folder_is: &'static [u8], file_is: &'static [u8]) -> Formula {
    let of_open = cases(
        test.question,
        test.negated,
        [
            (Formula::is(FILE_TYPE, S_IFDIR), Some(Value::Text(folder_is))),
            (Formula::is_not(FILE_TYPE, S_IFDIR), Some(Value::Text(file_is))),
        ],
    );
    where_open(test, of_open)
}

/// What the open file's own flags say or, where there is none, what the caller asked for.
fn of_access(test: Test<'_>, yes: &[i64]) -> Formula {
    let decided = |access: Number| {
        let of = |mode: i64| (Formula::is(access, mode), Some(Value::Bool(yes.contains(&mode))));
        cases(test.question, test.negated, (0..=3).map(of))
    };
    let has_file = Formula::all([succeeded(Kind::Open), Formula::is_not(INODE, 0)]);
    let has_none = Formula::any([failed(Kind::Open), Formula::is(INODE, 0)]);
    Formula::any([
        Formula::all([has_file, decided(ACCESS_OF_FILE)]),
        Formula::all([has_none, decided(flags_given(O_ACCMODE))]),
    ])
}

/// A file that was opened to be made a program.
fn of_program(test: Test<'_>) -> Formula {
    let creates = flags_given(O_CREAT | O_TMPFILE);
    let runs = Number {
        mask: EXECUTABLE,
        ..MODE_GIVEN
    };
    let yes = Formula::all([
        succeeded(Kind::Open),
        Formula::is_not(creates, 0),
        Formula::is_not(runs, 0),
    ]);
    let no = Formula::any([failed(Kind::Open), Formula::is(creates, 0), Formula::is(runs, 0)]);
    cases(
        test.question,
        test.negated,
        [(yes, Some(Value::Bool(true))), (no, Some(Value::Bool(false)))],
    )
}
