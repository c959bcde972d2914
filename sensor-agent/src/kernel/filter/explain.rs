//! What the kernel decides of a rule, what it cannot, and why: for people.

use sensor_common::{filter::Stage, kind::Kind, syscall::Call};
use sensor_rules::{
    field::{Field, FieldRef},
    partial::{Demand, Question, TextRelation},
};

use super::{
    formula::Formula,
    place::{self, Place},
    plan,
};
use crate::view::EventTypes;

/// How far the kernel decides a rule for a kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What passes matches.
    Whole,
    /// Some events are left out.
    Part,
    /// Every event of the kind passes.
    Nothing,
}

/// One test of a rule's condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tested {
    /// The field and the comparison.
    pub test: String,
    /// Why it is not decided, or what makes it dear; empty where there is nothing to say.
    pub why: &'static str,
    /// What to write instead; empty where nothing is known.
    pub instead: &'static str,
}

/// A rule and a kind of event.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The kind.
    pub kind: Kind,
    /// How far it is decided.
    pub verdict: Verdict,
    /// Before any name is read, some events are left out.
    pub is_early: bool,
    /// On cgroups, before the call is made, some are.
    pub begins: bool,
    /// Tests that the kernel makes.
    pub decided: Vec<Tested>,
    /// Tests that it takes for true.
    pub undecided: Vec<Tested>,
}

/// Every kind of event that a rule can match, as far as filters see it.
#[must_use]
pub fn explain(demand: &Demand, types: &EventTypes) -> Vec<Explained> {
    place::kinds()
        .filter_map(|kind| {
            let whole = plan::of(demand, kind, Stage::Late, types);
            if whole.is_false() {
                return None;
            }
            let mut found = Explained {
                kind,
                verdict: Verdict::Nothing,
                is_early: place::of(kind).any(|place| place == Place::Exit(Stage::Early))
                    && is_selective(&plan::of(demand, kind, Stage::Early, types), kind),
                begins: place::of(kind).any(|place| {
                    matches!(place, Place::Cgroup(_)) && is_selective(&whole.known_at(place), kind)
                }),
                decided: Vec::new(),
                undecided: Vec::new(),
            };
            found.sort(demand, types);
            found.verdict = match (found.undecided.is_empty(), is_selective(&whole, kind)) {
                (true, _) => Verdict::Whole,
                (false, true) => Verdict::Part,
                (false, false) => Verdict::Nothing,
            };
            Some(found)
        })
        .collect()
}

/// Whether a formula leaves out anything but calls of other types.
fn is_selective(formula: &Formula, kind: Kind) -> bool {
    let number = plan::call_number(kind);
    let of_calls = Call::ALL
        .into_iter()
        .filter(|call| call.kind() == Some(kind))
        .map(|call| formula.given(number, i64::from(call as u32)))
        .filter(|of_call| !of_call.is_false())
        .collect::<Vec<_>>();
    !of_calls.is_empty() && of_calls.iter().all(|of_call| !of_call.is_true())
}

impl Explained {
    /// Puts each test of a demand where it belongs.
    fn sort(&mut self, demand: &Demand, types: &EventTypes) {
        match demand {
            Demand::All(parts) | Demand::Any(parts) => {
                // A part that the kind of event rules out has nothing to say of it.
                let possible = |part: &&Demand| !plan::of(part, self.kind, Stage::Late, types).is_false();
                let parts: Vec<_> = parts.iter().filter(possible).collect();
                for part in parts {
                    self.sort(part, types);
                }
            }
            Demand::Test { question, negated } => {
                let is_decided = plan::decides(question, *negated, self.kind, types);
                let test = describe(question, *negated);
                let (list, (why, instead)) = if is_decided {
                    (&mut self.decided, dear(question))
                } else {
                    (&mut self.undecided, reason(question))
                };
                add(list, Tested { test, why, instead });
            }
            Demand::Unknown => add(
                &mut self.undecided,
                Tested {
                    test: "a function, two fields compared, or an exception that must fail".to_owned(),
                    why: "such a part is taken for true as a whole",
                    instead: "compare fields with constants: fd.filename for basename(fd.name)",
                },
            ),
        }
    }
}

fn add(list: &mut Vec<Tested>, test: Tested) {
    if !list.contains(&test) {
        list.push(test);
    }
}

fn describe(question: &Question, negated: bool) -> String {
    let not = if negated { "not " } else { "" };
    let FieldRef { field, arg } = question.field();
    let name = match arg {
        sensor_rules::field::FieldArg::None => field.info().name.to_owned(),
        sensor_rules::field::FieldArg::Index(index) => format!("{}[{index}]", field.info().name),
        sensor_rules::field::FieldArg::Key(key) => format!("{}.{key}", field.info().name),
    };
    let Some((relation, texts)) = question.texts() else {
        return format!("{not}{name}");
    };
    let relation = match relation {
        TextRelation::Equals => "=",
        TextRelation::StartsWith => "startswith",
        TextRelation::EndsWith => "endswith",
        TextRelation::Contains => "contains",
        TextRelation::Below => "pmatch",
        TextRelation::Glob => "glob",
    };
    match texts {
        [only] => format!("{not}{name} {relation} {}", String::from_utf8_lossy(only)),
        _ => format!("{not}{name} {relation} {} constants", texts.len()),
    }
}

/// What makes a test dear that the kernel makes.
fn dear(question: &Question) -> (&'static str, &'static str) {
    match question.texts() {
        // Flags are bits.
        Some((TextRelation::Contains, _))
            if matches!(question.field().field, Field::EvtArg | Field::EvtRawarg) =>
        {
            ("", "")
        }
        Some((TextRelation::Contains, _)) => (
            "each place of the text is looked at",
            "startswith, endswith, pmatch or fd.filename, where one of them says the same",
        ),
        Some((TextRelation::Glob, _)) => (
            "only what stands before the first and behind the last special sign is compared",
            "",
        ),
        _ => ("", ""),
    }
}

/// Why a test is not made in the kernel.
fn reason(question: &Question) -> (&'static str, &'static str) {
    let field = question.field().field;
    let name = field.info().name;
    let of = |prefix: &str| name.starts_with(prefix);
    if of("proc.") || of("thread.") {
        ("programs and their ancestors are known to the agent alone", "")
    } else if of("user.") || of("group.") {
        (
            "names and effective ids of users are known to the agent alone",
            "",
        )
    } else if of("container.") || of("k8s") || of("meta.") {
        ("containers are known to the agent alone", "")
    } else if question.texts().is_none() && question.ranges().is_none() && question.networks().is_none() {
        (
            "such a comparison is not made in the kernel",
            "=, in, startswith, endswith, contains, glob or pmatch; numbers and networks",
        )
    } else if matches!(field, Field::FdName | Field::FsPathName) {
        (
            "this kind's name is put together by the agent",
            "fd.sip, fd.sport and fd.typechar",
        )
    } else {
        (
            "the record does not tell it before the agent has looked at it",
            "",
        )
    }
}
