//! Says why a condition holds for an event, or why not: part by part, with the values that were looked at.
//!
//! A [`Dissection`] is a condition taken apart. Each part is compiled as a condition of its own, so that the evaluator
//! decides about it, and this module has no meaning of operators that could differ from the engine's.

mod show;

use std::fmt;

use crate::ast::{Expr, Operand, Right};
use crate::check::check;
use crate::compile::Program;
use crate::engine::Scratch;
use crate::error::ConditionError;
use crate::event::Event;
use crate::field::{Catalogue, FieldArg, FieldRef};
use crate::limits::ANCESTORS_MAX;

/// Parts that a condition is taken into; the rest is not shown. Macros that use macros twice each would not end.
const PARTS_MAX: usize = 4096;

/// What a part of a condition is for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It does not hold, because the event lacks a value that it reads. (Only tests are unknown: what they are part of
    /// takes them as false.)
    Unknown,
}

impl Truth {
    /// `true`, `false` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        }
    }
}

/// A condition taken apart, ready to be asked about any number of events.
#[derive(Debug)]
pub struct Dissection {
    parts: Vec<Part>,
}

/// One part of a condition.
#[derive(Debug)]
pub struct Part {
    /// How many parts it lies in.
    pub depth: usize,
    /// What it is: `and`, `or`, the name of a macro, `exception` with its name, a test as written, or `not` and one of these.
    pub text: String,
    /// Whether it is one of the parts that must all hold: neither it nor what it lies in is an `or`, a `not` or a macro.
    pub is_conjunct: bool,
    /// Whether no event can make it false: it excuses nothing yet, because its list is empty.
    pub is_fixed: bool,
    program: Program,
    /// What a test reads; empty for other parts.
    reads: Vec<FieldRef>,
    /// Whether one of the values is enough: a test of either end of a connection.
    reads_either: bool,
    incomplete_matters: Vec<FieldRef>,
}

impl Dissection {
    /// Takes a condition apart, parts before the parts in them.
    ///
    /// # Errors
    /// What is wrong with the condition.
    pub fn new(condition: &Expr, catalogue: &Catalogue) -> Result<Self, Vec<ConditionError>> {
        let mut dissection = Self { parts: Vec::new() };
        dissection.add(condition, catalogue, 0, true)?;
        Ok(dissection)
    }

    /// The parts, the whole condition first.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What each of the parts is for the event.
    pub fn judge(&self, event: &impl Event, scratch: &mut Scratch) -> Vec<Truth> {
        self.parts.iter().map(|part| part.judge(event, scratch)).collect()
    }

    fn add(
        &mut self,
        expr: &Expr,
        catalogue: &Catalogue,
        depth: usize,
        is_conjunct: bool,
    ) -> Result<(), Vec<ConditionError>> {
        if self.parts.len() >= PARTS_MAX {
            return Ok(());
        }
        self.parts.push(Part::new(expr, catalogue, depth, is_conjunct)?);
        let deeper = depth + 1;
        match expr {
            Expr::And(children) => children
                .iter()
                .try_for_each(|child| self.add(child, catalogue, deeper, is_conjunct)),
            Expr::Or(children) => children
                .iter()
                .try_for_each(|child| self.add(child, catalogue, deeper, false)),
            Expr::Not(child) => self.add(child, catalogue, deeper, false),
            Expr::Macro(reference) => reference
                .body
                .as_ref()
                .map_or(Ok(()), |body| self.add(body, catalogue, deeper, false)),
            Expr::Exception(exception) => self.add(&exception.body, catalogue, deeper, false),
            Expr::Check(_) => Ok(()),
        }
    }
}

impl Part {
    fn new(
        expr: &Expr,
        catalogue: &Catalogue,
        depth: usize,
        is_conjunct: bool,
    ) -> Result<Self, Vec<ConditionError>> {
        let checked = check(expr, catalogue)?;
        let (reads, reads_either) = match expr {
            Expr::Check(test) => (checked.fields.clone(), reads_either(&test.left, catalogue)),
            _ => (Vec::new(), false),
        };
        let incomplete_matters = match expr {
            Expr::Exception(exception) if !exception.allows_incomplete => checked.fields.clone(),
            _ => Vec::new(),
        };
        Ok(Self {
            depth,
            text: text(expr),
            is_conjunct: is_conjunct && !matches!(expr, Expr::And(_)),
            is_fixed: matches!(expr, Expr::Not(child) if can_never_hold(child)),
            program: Program::new(&checked),
            reads,
            reads_either,
            incomplete_matters,
        })
    }

    /// What the part is for the event.
    pub fn judge(&self, event: &impl Event, scratch: &mut Scratch) -> Truth {
        if self.program.matches(event, scratch) {
            return Truth::True;
        }
        let mut missing = self.reads.iter().map(|field| !has_value(field, event));
        let is_unknown = match (self.reads.is_empty(), self.reads_either) {
            (true, _) => false,
            (false, true) => missing.all(|missing| missing),
            (false, false) => missing.any(|missing| missing),
        };
        if is_unknown { Truth::Unknown } else { Truth::False }
    }
}

fn reads_either(left: &Operand, catalogue: &Catalogue) -> bool {
    let Operand::Field(name) = left else { return false };
    catalogue
        .resolve(&name.name, name.argument.as_deref())
        .is_ok_and(|field| field.field.endpoints().is_some())
}

/// Whether the expression holds for no event because a list in it is empty.
fn can_never_hold(expr: &Expr) -> bool {
    match expr {
        Expr::And(children) => children.iter().any(can_never_hold),
        Expr::Or(children) => children.iter().all(can_never_hold),
        Expr::Exception(exception) => can_never_hold(&exception.body),
        Expr::Macro(reference) => reference.body.as_ref().is_some_and(|body| can_never_hold(body)),
        Expr::Check(test) => matches!(&test.right, Right::List(values) if values.is_empty()),
        Expr::Not(_) => false,
    }
}

fn text(expr: &Expr) -> String {
    match expr {
        Expr::And(_) => "and".to_owned(),
        Expr::Or(_) => "or".to_owned(),
        Expr::Not(child) => format!("not {}", text(child)),
        Expr::Macro(reference) => reference.name.to_string(),
        Expr::Exception(exception) => format!("exception {}", exception.name),
        Expr::Check(test) => test.to_string(),
    }
}

/// Whether a field without an index stands for all ancestors.
fn is_every_ancestor(field: &FieldRef) -> bool {
    field.field.is_ancestry() && field.arg == FieldArg::None
}

fn has_value(field: &FieldRef, event: &impl Event) -> bool {
    if is_every_ancestor(field) {
        return event.ancestor_count() > 0;
    }
    event.value(field, &mut Vec::new()).is_some()
}

/// Why a condition holds for an event, or why not. Printed, it is an indented tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// One line a part, the whole condition first.
    pub lines: Vec<Line>,
}

/// What is said of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How many parts it lies in.
    pub depth: usize,
    /// What it is for the event.
    pub truth: Truth,
    /// The part, as [`Part::text`].
    pub text: String,
    /// The values that a test looked at, and those because of which an exception does not apply.
    pub values: Vec<FieldValue>,
}

/// A value that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue {
    /// The field, as rules write it.
    pub field: String,
    /// Its value as text that is safe to print, or `None` where the event has none.
    pub value: Option<String>,
    /// Whether it is known to be cut or unresolved.
    pub is_incomplete: bool,
}

/// Explains what a condition is for an event.
///
/// # Errors
/// What is wrong with the condition.
pub fn explain(
    condition: &Expr,
    catalogue: &Catalogue,
    event: &impl Event,
) -> Result<Explanation, Vec<ConditionError>> {
    let dissection = Dissection::new(condition, catalogue)?;
    let mut scratch = Scratch::new();
    let lines = dissection.parts.iter().map(|part| Line {
        depth: part.depth,
        truth: part.judge(event, &mut scratch),
        text: part.text.clone(),
        values: part.values(event),
    });
    Ok(Explanation {
        lines: lines.collect(),
    })
}

impl Part {
    fn values(&self, event: &impl Event) -> Vec<FieldValue> {
        let cut = self
            .incomplete_matters
            .iter()
            .filter(|field| event.is_incomplete(field));
        self.reads
            .iter()
            .chain(cut)
            .flat_map(|field| values(field, event))
            .collect()
    }
}

/// The value of a field, or those of all ancestors.
fn values(field: &FieldRef, event: &impl Event) -> Vec<FieldValue> {
    if is_every_ancestor(field) && event.ancestor_count() > 0 {
        let indexes = 1..=event.ancestor_count().min(ANCESTORS_MAX);
        return indexes
            .map(|index| value(&FieldRef::indexed(field.field, index), event))
            .collect();
    }
    vec![value(field, event)]
}

fn value(field: &FieldRef, event: &impl Event) -> FieldValue {
    FieldValue {
        field: field.to_string(),
        value: event
            .value(field, &mut Vec::new())
            .map(|value| show::value(&value)),
        is_incomplete: event.is_incomplete(field),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let indent = 2 * line.depth;
            write!(
                f,
                "{:<8}{:indent$}{}",
                line.truth.name(),
                "",
                show::shorten(&line.text)
            )?;
            for (position, value) in line.values.iter().enumerate() {
                f.write_str(if position == 0 { "  <- " } else { ", " })?;
                match &value.value {
                    Some(text) => write!(f, "{} is {text}", value.field)?,
                    None => write!(f, "{} has no value", value.field)?,
                }
                if value.is_incomplete {
                    f.write_str(" (incomplete)")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
