//! What the cases of a rule test of it.

use super::event::TableEvent;
use crate::engine::Scratch;
use crate::explain::{Dissection, Truth};

/// What the cases of one rule have shown of it.
///
/// A part that was never false in any case could be left out of the condition without a test that fails; one that was
/// never true could be anything.
#[derive(Debug)]
pub struct Coverage {
    /// The rule.
    pub rule: String,
    /// Cases about the rule in which it matched.
    pub positives: usize,
    /// Cases about the rule in which it did not match.
    pub near_misses: usize,
    /// Its parts, the whole condition first.
    pub parts: Vec<PartCoverage>,
    dissection: Dissection,
}

/// What the cases have shown of one part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartCoverage {
    /// How many parts it lies in.
    pub depth: usize,
    /// The part, as [`Part::text`](crate::explain::Part::text).
    pub text: String,
    /// Whether it is one of those that must all hold.
    pub is_conjunct: bool,
    /// Whether no event can make it false.
    pub is_fixed: bool,
    /// Whether it held in a case.
    pub was_true: bool,
    /// Whether it did not hold in a case.
    pub was_false: bool,
}

impl Coverage {
    pub(super) fn new(rule: &str, dissection: Dissection) -> Self {
        let parts = dissection.parts().iter().map(|part| PartCoverage {
            depth: part.depth,
            text: part.text.clone(),
            is_conjunct: part.is_conjunct,
            is_fixed: part.is_fixed,
            was_true: false,
            was_false: false,
        });
        Self { rule: rule.to_owned(), positives: 0, near_misses: 0, parts: parts.collect(), dissection }
    }

    pub(super) fn add(&mut self, event: &TableEvent, matched: bool, scratch: &mut Scratch) {
        *(if matched { &mut self.positives } else { &mut self.near_misses }) += 1;
        for (part, truth) in self.parts.iter_mut().zip(self.dissection.judge(event, scratch)) {
            part.was_true |= truth == Truth::True;
            part.was_false |= truth != Truth::True;
        }
    }

    /// The parts that were never true in a case.
    pub fn never_true(&self) -> impl Iterator<Item = &PartCoverage> {
        self.parts.iter().filter(|part| !part.was_true)
    }

    /// The parts that were never false in a case, although some event could make them so.
    pub fn never_false(&self) -> impl Iterator<Item = &PartCoverage> {
        self.parts.iter().filter(|part| !part.was_false && !part.is_fixed)
    }

    /// How many of the parts were both, or cannot be.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.parts.iter().filter(|part| part.was_true && (part.was_false || part.is_fixed)).count()
    }
}
