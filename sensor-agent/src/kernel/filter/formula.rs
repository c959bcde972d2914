//! Formulas over records: what a filter decides, before it is a program.

use std::cmp::Reverse;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sensor_rules::partial::TextRelation;

use super::{
    asm::Width,
    place::{Place, is_known},
};

/// A number in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    /// From the record's first byte.
    pub offset: usize,
    /// Its width.
    pub width: Width,
    /// Bits that count.
    pub mask: u64,
}

/// Which part of a text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// What stands behind the last slash, or all where there is none.
    Name,
    /// What stands before the last slash, or the slash where it is the first byte; nothing where there is none.
    Folder,
}

/// A text in the record: the first of two that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// Where its span is.
    pub span: usize,
    /// Where the span is that stands in for an empty one.
    pub otherwise: Option<usize>,
    /// Which part of it.
    pub part: Part,
    /// The first of the two, where it is not empty, is a path as the kernel spells it: one slash before each name.
    pub is_resolved: bool,
}

/// A formula over a record, without negation but in its leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Formula {
    /// All hold; none is true.
    All(Vec<Self>),
    /// Any holds; none is false.
    Any(Vec<Self>),
    /// The number, as 64 bits with a sign, lies in one of these ranges: ends included, sorted, apart from each other.
    Number(Number, Vec<(i64, i64)>),
    /// The text relates so to any of the constants or, where negated, does not or is empty.
    Text {
        /// Which.
        text: Text,
        /// How: equal to, beginning with, ending in, or containing.
        relation: TextRelation,
        /// To what; none is empty. Sorted.
        constants: Vec<Vec<u8>>,
        /// Whether it must not.
        negated: bool,
    },
}

/// Holds for every record.
pub const TRUE: Formula = Formula::All(Vec::new());
/// Holds for none.
pub const FALSE: Formula = Formula::Any(Vec::new());

impl Number {
    /// All bits of a number.
    #[must_use]
    pub const fn whole(offset: usize, width: Width) -> Self {
        Self {
            offset,
            width,
            mask: u64::MAX,
        }
    }

    /// Some bits of it.
    #[must_use]
    pub const fn bits(offset: usize, width: Width, mask: u64) -> Self {
        Self { offset, width, mask }
    }
}

impl Formula {
    /// Whether nothing is left to decide, so that every event passes.
    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == TRUE
    }

    /// Whether no event passes.
    #[must_use]
    pub fn is_false(&self) -> bool {
        *self == FALSE
    }

    /// The number lies in one of these ranges, ends included.
    #[must_use]
    pub fn number(number: Number, ranges: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let ranges = joined(ranges.into_iter().collect());
        match ranges[..] {
            [] => FALSE,
            [(i64::MIN, i64::MAX)] => TRUE,
            _ => Self::Number(number, ranges),
        }
    }

    /// The number is this one.
    #[must_use]
    pub fn is(number: Number, value: i64) -> Self {
        Self::number(number, [(value, value)])
    }

    /// The number is any but this one.
    #[must_use]
    pub fn is_not(number: Number, value: i64) -> Self {
        let below = value.checked_sub(1).map(|last| (i64::MIN, last));
        let above = value.checked_add(1).map(|first| (first, i64::MAX));
        Self::number(number, below.into_iter().chain(above))
    }

    /// A test of a text. An empty constant makes it undecided.
    #[must_use]
    pub fn text(text: Text, relation: TextRelation, mut constants: Vec<Vec<u8>>, negated: bool) -> Self {
        constants.sort();
        constants.dedup();
        if constants.is_empty() {
            return if negated { TRUE } else { FALSE };
        }
        if constants[0].is_empty() {
            return TRUE;
        }
        Self::Text {
            text,
            relation,
            constants,
            negated,
        }
    }

    /// All of these, simplified; what is cheap comes first.
    #[must_use]
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Any(none) if none.is_empty() => return FALSE,
                Self::All(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        let mut merged: Vec<Self> = Vec::new();
        for part in kept {
            if !merged.contains(&part) && !merged.iter_mut().any(|known| known.narrow(&part)) {
                merged.push(part);
            }
        }
        if merged.iter().any(Self::is_false) {
            return FALSE;
        }
        finished(merged, Self::All)
    }

    /// Any of these, simplified, with what several have in common tested once.
    #[must_use]
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::All(none) if none.is_empty() => return TRUE,
                Self::Any(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        let mut merged: Vec<Self> = Vec::new();
        for part in kept {
            if !merged.contains(&part) && !merged.iter_mut().any(|known| known.widen(&part)) {
                merged.push(part);
            }
        }
        if merged.iter().any(Self::is_true) {
            return TRUE;
        }
        finished(factored(merged), Self::Any)
    }

    /// Roughly how many instructions the verifier looks at: each turn of a search is one by itself.
    #[must_use]
    pub fn work(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::work).sum(),
            Self::Number(_, ranges) => 4 + 3 * ranges.len(),
            Self::Text {
                text,
                relation,
                constants,
                ..
            } => {
                let compared: usize = constants.iter().map(|constant| 4 + constant.len() / 2).sum();
                let part = if text.part == Part::Whole { 20 } else { 2500 };
                match relation {
                    TextRelation::Contains => part + 256 * (8 + compared),
                    _ => part + compared,
                }
            }
        }
    }

    /// The same, with every test of bytes that are not known at a place taken for undecided.
    #[must_use]
    pub fn known_at(&self, place: Place) -> Self {
        match self {
            Self::All(parts) => Self::all(parts.iter().map(|part| part.known_at(place))),
            Self::Any(parts) => Self::any(parts.iter().map(|part| part.known_at(place))),
            Self::Number(number, _)
                if !is_known(place, &(number.offset..number.offset + number.width.bytes())) =>
            {
                TRUE
            }
            Self::Text { .. } if matches!(place, Place::Cgroup(_)) => TRUE,
            Self::Number(..) | Self::Text { .. } => self.clone(),
        }
    }

    /// The same, where this number is known to be this.
    #[must_use]
    pub fn given(&self, number: Number, value: i64) -> Self {
        match self {
            Self::All(parts) => Self::all(parts.iter().map(|part| part.given(number, value))),
            Self::Any(parts) => Self::any(parts.iter().map(|part| part.given(number, value))),
            Self::Number(of, ranges) if *of == number => {
                if ranges.iter().any(|(low, high)| (*low..=*high).contains(&value)) {
                    TRUE
                } else {
                    FALSE
                }
            }
            Self::Number(..) | Self::Text { .. } => self.clone(),
        }
    }

    /// The same, with every set of more constants than these taken for undecided.
    #[must_use]
    pub fn weakened(&self, constants_max: usize) -> Self {
        match self {
            Self::All(parts) => Self::all(parts.iter().map(|part| part.weakened(constants_max))),
            Self::Any(parts) => Self::any(parts.iter().map(|part| part.weakened(constants_max))),
            Self::Number(_, ranges) if ranges.len() > constants_max => TRUE,
            Self::Text { constants, .. } if constants.len() > constants_max => TRUE,
            Self::Number(..) | Self::Text { .. } => self.clone(),
        }
    }

    /// Takes a second condition of the same number into this one.
    fn narrow(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::Number(number, ranges), Self::Number(same, more)) if number == same => {
                let both = ranges.iter().flat_map(|(low, high)| {
                    let within = more
                        .iter()
                        .map(move |(from, to)| ((*low).max(*from), (*high).min(*to)));
                    within.filter(|(low, high)| low <= high)
                });
                *self = Self::number(*number, both.collect::<Vec<_>>());
                true
            }
            (Self::Text { .. }, Self::Text { .. }) => self.add_constants(other, true),
            _ => false,
        }
    }

    /// Takes an alternative of the same number or text into this one.
    fn widen(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::Number(number, ranges), Self::Number(same, more)) if number == same => {
                let either = ranges.iter().chain(more).copied().collect::<Vec<_>>();
                *self = Self::number(*number, either);
                true
            }
            (Self::Text { .. }, Self::Text { .. }) => self.add_constants(other, false),
            _ => false,
        }
    }

    fn add_constants(&mut self, other: &Self, where_negated: bool) -> bool {
        let (
            Self::Text {
                text,
                relation,
                constants,
                negated,
            },
            Self::Text {
                text: same,
                relation: so,
                constants: more,
                negated: too,
            },
        ) = (self, other)
        else {
            return false;
        };
        if text != same || relation != so || negated != too || *negated != where_negated {
            return false;
        }
        constants.extend(more.iter().cloned());
        constants.sort();
        constants.dedup();
        true
    }

    /// Roughly how many instructions run.
    #[must_use]
    pub fn cost(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::cost).sum(),
            Self::Number(_, ranges) => 2 + ranges.len(),
            Self::Text {
                relation: TextRelation::Contains,
                constants,
                ..
            } => 300 + 100 * constants.len(),
            Self::Text {
                text: Text {
                    part: Part::Whole, ..
                },
                constants,
                ..
            } => 10 + constants.len(),
            Self::Text { constants, .. } => 80 + constants.len(),
        }
    }
}

/// One alternative, or several with the cheap ones first.
fn finished(mut parts: Vec<Formula>, make: fn(Vec<Formula>) -> Formula) -> Formula {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    parts.sort_by_key(Formula::cost);
    make(parts)
}

/// Sorted ranges that neither overlap nor touch.
fn joined(mut ranges: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    ranges.retain(|(low, high)| low <= high);
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (low, high) in ranges {
        match joined.last_mut() {
            Some((_, last)) if low <= last.saturating_add(1) => *last = high.max(*last),
            _ => joined.push((low, high)),
        }
    }
    joined
}

/// The conditions that an alternative is made of.
fn conditions(part: &Formula) -> &[Formula] {
    match part {
        Formula::All(parts) => parts,
        other => std::slice::from_ref(other),
    }
}

/// The condition that most of the alternatives share: of those shared as often the first, of these the cheapest.
fn shared(parts: &[Formula]) -> Option<Formula> {
    let mut counts: HashMap<&Formula, usize, FixedState> = HashMap::default();
    for condition in parts.iter().flat_map(conditions) {
        *counts.entry(condition).or_default() += 1;
    }
    let often = |condition: &Formula| counts.get(condition).copied().unwrap_or(0);
    parts
        .iter()
        .flat_map(conditions)
        .filter(|condition| often(condition) > 1)
        .min_by_key(|condition| (Reverse(often(condition)), condition.cost()))
        .cloned()
}

/// Alternatives in which shared conditions are put before them: `a and b or a and c` is `a and (b or c)`.
fn factored(mut parts: Vec<Formula>) -> Vec<Formula> {
    let mut done = Vec::new();
    while let Some(shared) = shared(&parts) {
        let (with, without): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .partition(|part| conditions(part).contains(&shared));
        let rest = with.into_iter().map(|part| match part {
            Formula::All(parts) => Formula::all(parts.into_iter().filter(|part| *part != shared)),
            _ => TRUE,
        });
        done.push(Formula::all([Formula::any(rest), shared]));
        parts = without;
    }
    done.extend(parts);
    done
}
