//! What the kernel can decide of a rule's demand, for a kind of event and a stage.
//!
//! The result is true wherever the rule is: what the record does not tell is taken for true. The meaning of each field
//! is that of `view/`; a property test holds the two together. One file a shape of records.

mod arguments;
mod event;
mod open;
mod path;
mod socket;

use sensor_common::{
    filter::Stage,
    kind::{Kind, Shape},
};
use sensor_rules::{
    field::Field,
    partial::{Demand, Question},
};

use super::{
    formula::{FALSE, Formula, Number, TRUE},
    place::Place,
    texts::constant,
};
use crate::view::EventTypes;

/// A test of a field, in a record of a kind, as far as a stage has it.
#[derive(Clone, Copy)]
struct Test<'a> {
    question: &'a Question,
    negated: bool,
    kind: Kind,
    stage: Stage,
    types: &'a EventTypes,
}

/// What of the rules' demands can be decided at this place, as `count` formulas or fewer, of which any lets an event
/// pass; none at all where every event passes anyway.
#[must_use]
pub fn parts(demands: &[Demand], kind: Kind, place: Place, types: &EventTypes, count: usize) -> Vec<Formula> {
    let each = demands.iter().map(|demand| {
        let whole = of(demand, kind, place.stage(), types);
        match place {
            Place::Exit(_) => whole,
            Place::Cgroup(_) => whole.known_at(place),
        }
    });
    let mut wanted: Vec<_> = each
        .chain([always(kind, place)])
        .filter(|formula| !formula.is_false())
        .collect();
    let size = wanted.len().div_ceil(count.max(1)).max(1);
    let mut parts = Vec::new();
    while !wanted.is_empty() {
        let rest = wanted.split_off(size.min(wanted.len()));
        parts.push(Formula::any(wanted));
        wanted = rest;
    }
    if parts.iter().any(Formula::is_true) {
        return Vec::new();
    }
    if parts.is_empty() {
        parts.push(FALSE);
    }
    parts
}

/// The same as one formula; `None` where every event passes anyway.
#[must_use]
pub fn plan(demands: &[Demand], kind: Kind, place: Place, types: &EventTypes) -> Option<Formula> {
    parts(demands, kind, place, types, 1).pop()
}

/// What passes whatever the rules say.
fn always(kind: Kind, place: Place) -> Formula {
    match kind.shape() {
        // Whether it is denied is not known there yet. What is denied is what a rule matches, and so it passes.
        _ if matches!(place, Place::Cgroup(_)) => FALSE,
        // What a process is now is news even where no rule asks for the call (`State::apply`); `prctl` changes none
        // of it.
        Shape::Identity if kind != Kind::Prctl => event::succeeded(kind),
        // What was denied is always told.
        Shape::Socket => event::denied(),
        _ => FALSE,
    }
}

/// The formula of one demand.
#[must_use]
pub fn of(demand: &Demand, kind: Kind, stage: Stage, types: &EventTypes) -> Formula {
    let each = |part| of(part, kind, stage, types);
    match demand {
        // Nothing more is asked once the type of event has said no.
        Demand::All(parts) => Formula::all(parts.iter().map(each)),
        Demand::Any(parts) => Formula::any(parts.iter().map(each)),
        Demand::Test { question, negated } => test(Test {
            question,
            negated: *negated,
            kind,
            stage,
            types,
        }),
        Demand::Unknown => TRUE,
    }
}

/// Whether a test of a field is made in the kernel, in full or in part, and not taken for true.
#[must_use]
pub fn decides(question: &Question, negated: bool, kind: Kind, types: &EventTypes) -> bool {
    let asked = |negated| Test {
        question,
        negated,
        kind,
        stage: Stage::Late,
        types,
    };
    // What is constant for the kind is true one way only.
    !test(asked(negated)).is_true() || test(asked(!negated)).is_false()
}

/// Where the number of the call is.
#[must_use]
pub fn call_number(kind: Kind) -> Number {
    event::call(kind)
}

fn test(test: Test<'_>) -> Formula {
    if let Some(formula) = event::decide(test) {
        return formula;
    }
    let field = test.question.field().field;
    match (field, test.kind.shape()) {
        (Field::EvtArg | Field::EvtRawarg, shape) => arguments::decide(test, shape),
        (_, Shape::Open) => open::decide(test),
        (_, Shape::Path) => path::decide(test),
        (_, Shape::Socket) => socket::decide(test),
        (_, Shape::Identity | Shape::Plain) if is_of_file(field) => {
            constant(test.question, test.negated, None)
        }
        _ => TRUE,
    }
}

/// Whether a field tells of a file or a connection, so that an event about neither has no value for it.
fn is_of_file(field: Field) -> bool {
    let name = field.info().name;
    name.starts_with("fd.") || name.starts_with("fs.path.")
}
