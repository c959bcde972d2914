//! What the kernel can decide of a rule's demand, for a kind of event and a stage.
//!
//! The result is true wherever the rule is: what the record does not tell is taken for true. The meaning of each field
//! is that of `view/`; a property test holds the two together.

use std::mem::offset_of;

use sensor_common::{
    filter::Stage,
    kind::Kind,
    record::{FileId, Header, Open},
    syscall::Call,
};
use sensor_rules::{
    event::Value,
    field::Field,
    partial::{Demand, Question, TextRelation},
};

use super::asm::Width;
use crate::view::EventTypes;

/// A number in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// From the record's first byte.
    pub offset: usize,
    /// Its width.
    pub width: Width,
    /// Bits that count.
    pub mask: u64,
}

/// Texts in the record: the first that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where its span is.
    pub span: usize,
    /// Where the span is that stands in for an empty one.
    pub otherwise: Option<usize>,
}

/// A formula over a record, without negation but in its leaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// All hold; none is true.
    All(Vec<Self>),
    /// Any holds; none is false.
    Any(Vec<Self>),
    /// The number, as 64 bits with a sign, lies in one of these ranges, ends included.
    Number(Number, Vec<(i64, i64)>),
    /// The text relates so to any of the constants or, where negated, does not or is empty.
    Text {
        /// Which.
        text: Text,
        /// How.
        relation: TextRelation,
        /// To what; none is empty.
        constants: Vec<Vec<u8>>,
        /// Whether it must not.
        negated: bool,
    },
}

const TRUE: Formula = Formula::All(Vec::new());
const FALSE: Formula = Formula::Any(Vec::new());
/// `include/uapi/linux/stat.h`
const S_IFMT: u64 = 0o170_000;
const S_IFDIR: i64 = 0o040_000;
/// `include/uapi/asm-generic/fcntl.h`
const O_ACCMODE: u64 = 0o3;

/// Where a member of [`Open`] is in a record.
macro_rules! at {
    ($($member:tt)+) => { size_of::<Header>() + offset_of!(Open, $($member)+) };
}

const RESULT: Number = Number {
    offset: at!(result),
    width: Width::B8,
    mask: u64::MAX,
};
const CALL: Number = Number {
    offset: at!(call),
    width: Width::B4,
    mask: u64::MAX,
};
const INODE: Number = Number {
    offset: at!(file) + offset_of!(FileId, inode),
    width: Width::B8,
    mask: u64::MAX,
};
const FILE_TYPE: Number = Number {
    offset: at!(file) + offset_of!(FileId, mode),
    width: Width::B4,
    mask: S_IFMT,
};
const ACCESS_GIVEN: Number = Number {
    offset: at!(flags_given),
    width: Width::B8,
    mask: O_ACCMODE,
};
const ACCESS_OF_FILE: Number = Number {
    offset: at!(file_flags),
    width: Width::B4,
    mask: O_ACCMODE,
};
const PATH: Text = Text {
    span: at!(path),
    otherwise: Some(at!(given)),
};
const GIVEN: Text = Text {
    span: at!(given),
    otherwise: None,
};

impl Formula {
    /// Whether nothing is left to decide, so that every event passes.
    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == TRUE
    }

    /// All of these, simplified; what is cheap comes first.
    fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::join(parts, &TRUE, &FALSE, Self::All)
    }

    /// Any of these.
    fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::join(parts, &FALSE, &TRUE, Self::Any)
    }

    fn join(
        parts: impl IntoIterator<Item = Self>,
        neutral: &Self,
        ruling: &Self,
        make: fn(Vec<Self>) -> Self,
    ) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for part in parts {
            if part == *ruling {
                return part;
            }
            if part != *neutral && !kept.contains(&part) {
                kept.push(part);
            }
        }
        kept.sort_by_key(Self::cost);
        match kept.len() {
            1 => kept.remove(0),
            _ => make(kept),
        }
    }

    /// Roughly how many instructions run.
    fn cost(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).sum(),
            Self::Number(_, ranges) => 2 + ranges.len(),
            Self::Text {
                relation: TextRelation::Contains,
                constants,
                ..
            } => 400 * constants.len(),
            Self::Text { constants, .. } => 10 + 4 * constants.len(),
        }
    }
}

/// What of the rules' demands can be decided at this stage, or `None` where every event passes anyway.
#[must_use]
pub fn plan(demands: &[Demand], kind: Kind, stage: Stage, types: &EventTypes) -> Option<Formula> {
    let whole = Formula::any(demands.iter().map(|demand| of(demand, kind, stage, types)));
    (!whole.is_true()).then_some(whole)
}

/// The formula of one demand.
#[must_use]
pub fn of(demand: &Demand, kind: Kind, stage: Stage, types: &EventTypes) -> Formula {
    let each = |parts: &[Demand]| {
        let parts = parts.iter().map(|part| of(part, kind, stage, types));
        parts.collect::<Vec<_>>()
    };
    match demand {
        Demand::All(parts) => Formula::all(each(parts)),
        Demand::Any(parts) => Formula::any(each(parts)),
        Demand::Test { question, negated } if kind == Kind::Open => open(question, *negated, stage, types),
        Demand::Test { .. } | Demand::Unknown => TRUE,
    }
}

/// A field that has one of a few values: each with when it has it. The conditions exclude each other, and one holds.
fn cases(question: &Question, negated: bool, cases: Vec<(Formula, Option<Value<'_>>)>) -> Formula {
    let wanted = cases
        .into_iter()
        .filter(|(_, value)| question.holds(value.as_ref()) != negated);
    Formula::any(wanted.map(|(when, _)| when))
}

fn is(number: Number, range: (i64, i64)) -> Formula {
    Formula::Number(number, vec![range])
}

/// A test of an open.
fn open(question: &Question, negated: bool, stage: Stage, types: &EventTypes) -> Formula {
    let is_open = || is(RESULT, (0, i64::MAX));
    let failed = || is(RESULT, (i64::MIN, -1));
    let folder = || is(FILE_TYPE, (S_IFDIR, S_IFDIR));
    let no_folder = || Formula::Number(FILE_TYPE, vec![(0, S_IFDIR - 1), (S_IFDIR + 1, i64::MAX)]);
    let of_type = |folder_is: &'static [u8], file_is: &'static [u8]| {
        cases(
            question,
            negated,
            vec![
                (Formula::all([is_open(), folder()]), Some(Value::Text(folder_is))),
                (Formula::all([is_open(), no_folder()]), Some(Value::Text(file_is))),
                (failed(), None),
            ],
        )
    };
    let of_access = |yes: &[i64]| {
        let access = |range: (i64, i64)| {
            let known = Formula::all([is_open(), is(INODE, (1, i64::MAX)), is(ACCESS_OF_FILE, range)]);
            let odd = Formula::all([is_open(), is(INODE, (i64::MIN, -1)), is(ACCESS_OF_FILE, range)]);
            let unknown = Formula::any([failed(), is(INODE, (0, 0))]);
            Formula::any([known, odd, Formula::all([unknown, is(ACCESS_GIVEN, range)])])
        };
        let of = |mode: i64| (access((mode, mode)), Some(Value::Bool(yes.contains(&mode))));
        cases(question, negated, (0..=3).map(of).collect())
    };
    match question.field().field {
        Field::EvtType => {
            let known = Call::ALL.into_iter().filter_map(|call| {
                let name = types.of_call(call)?.name();
                let number = i64::from(call as u32);
                Some((is(CALL, (number, number)), Some(Value::Text(name.as_bytes()))))
            });
            // The view takes a call that it does not know for one that it does; here it is not judged at all.
            let numbers = || Call::ALL.into_iter().map(|call| i64::from(call as u32));
            let first = numbers().min().unwrap_or(0);
            let last = numbers().max().unwrap_or(0);
            let other = Formula::Number(CALL, vec![(i64::MIN, first - 1), (last + 1, i64::MAX)]);
            Formula::any([cases(question, negated, known.collect()), other])
        }
        Field::EvtRawres | Field::FdNum => numbers(question, negated, RESULT),
        Field::EvtFailed => {
            let both = vec![
                (failed(), Some(Value::Bool(true))),
                (is_open(), Some(Value::Bool(false))),
            ];
            cases(question, negated, both)
        }
        Field::FdTypechar => of_type(b"d", b"f"),
        Field::FdType => of_type(b"directory", b"file"),
        Field::EvtIsOpenRead => of_access(&[0, 2, 3]),
        Field::EvtIsOpenWrite => of_access(&[1, 2]),
        _ if stage == Stage::Early => TRUE,
        Field::FdName | Field::FsPathName => text(question, negated, PATH),
        Field::FdNameraw | Field::FsPathNameraw => text(question, negated, GIVEN),
        Field::FdFilename => file_name(question, negated),
        Field::FdDirectory => directory(question, negated),
        _ => TRUE,
    }
}

/// A test of a number that is always there.
fn numbers(question: &Question, negated: bool, number: Number) -> Formula {
    let Some(ranges) = question.ranges() else {
        return TRUE;
    };
    let clamp = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
    let mut yes: Vec<(i64, i64)> = ranges
        .into_iter()
        .filter(|(low, high)| low <= high && *low <= i64::MAX.into() && *high >= i64::MIN.into())
        .map(|(low, high)| (clamp(low), clamp(high)))
        .collect();
    if !negated {
        return Formula::Number(number, yes);
    }
    yes.sort_unstable();
    let mut no = Vec::new();
    let mut from = Some(i64::MIN);
    for (low, high) in yes {
        match from {
            Some(start) if start < low => no.push((start, low - 1)),
            _ => {}
        }
        from = from.and_then(|start| high.checked_add(1).map(|next| next.max(start)));
    }
    no.extend(from.map(|start| (start, i64::MAX)));
    Formula::Number(number, no)
}

/// A test of a text that is missing when it is empty.
fn text(question: &Question, negated: bool, text: Text) -> Formula {
    match question.texts() {
        Some((relation, constants)) if constants.iter().all(|constant| !constant.is_empty()) => {
            Formula::Text {
                text,
                relation,
                constants: constants.to_vec(),
                negated,
            }
        }
        _ => TRUE,
    }
}

/// A name is what stands behind the last slash: a whole path ends in it and the slash, or is it.
fn file_name(question: &Question, negated: bool) -> Formula {
    let Some((TextRelation::Equals, names)) = question.texts() else {
        return TRUE;
    };
    if names.iter().any(|name| name.is_empty() || name.contains(&b'/')) {
        return TRUE;
    }
    let with_slash = names.iter().map(|name| [b"/", &name[..]].concat()).collect();
    let of = |relation, constants| Formula::Text {
        text: PATH,
        relation,
        constants,
        negated,
    };
    let parts = [
        of(TextRelation::EndsWith, with_slash),
        of(TextRelation::Equals, names.to_vec()),
    ];
    if negated {
        Formula::all(parts)
    } else {
        Formula::any(parts)
    }
}

/// A file in a folder has a path that begins so; not every path that begins so is of a file in the folder.
fn directory(question: &Question, negated: bool) -> Formula {
    match question.texts() {
        Some((TextRelation::Equals, folders))
            if !negated && folders.iter().all(|folder| folder.len() > 1) =>
        {
            Formula::Text {
                text: PATH,
                relation: TextRelation::StartsWith,
                constants: folders
                    .iter()
                    .map(|folder| [&folder[..], b"/"].concat())
                    .collect(),
                negated,
            }
        }
        _ => TRUE,
    }
}
