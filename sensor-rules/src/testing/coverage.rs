//! What the cases of a rule test of it.

use super::event::TableEvent;
use crate::engine::Scratch;
use crate::explain::{Dissection, Part, Truth};

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
    dissection: Dissection,
    /// For each part of the dissection.
    seen: Vec<Seen>,
}

/// What a part was in some case.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    holding: bool,
    failing: bool,
    /// It failed, and every other demand of the rule held: without it, the rule would have matched.
    deciding: bool,
}

impl Coverage {
    pub(super) fn new(rule: &str, dissection: Dissection) -> Self {
        let seen = vec![Seen::default(); dissection.parts().len()];
        Self {
            rule: rule.to_owned(),
            positives: 0,
            near_misses: 0,
            dissection,
            seen,
        }
    }

    pub(super) fn add(&mut self, event: &TableEvent, matched: bool, scratch: &mut Scratch) {
        *(if matched {
            &mut self.positives
        } else {
            &mut self.near_misses
        }) += 1;
        let truths = self.dissection.judge(event, scratch);
        let mut failing_demands = Vec::new();
        let parts = self.dissection.parts().iter().zip(truths).enumerate();
        for ((at, (part, truth)), seen) in parts.zip(&mut self.seen) {
            let holds = truth == Truth::True;
            seen.holding |= holds;
            seen.failing |= !holds;
            if part.is_conjunct && !holds {
                failing_demands.push(at);
            }
        }
        if let [only] = failing_demands[..] {
            self.seen[only].deciding = true;
        }
    }

    /// The rule's parts, the whole condition first.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        self.dissection.parts()
    }

    /// The parts that were never true in a case.
    pub fn never_true(&self) -> impl Iterator<Item = &Part> {
        self.parts_where(|_, seen| !seen.holding)
    }

    /// The parts that were never false in a case, although some event could make them so.
    pub fn never_false(&self) -> impl Iterator<Item = &Part> {
        self.parts_where(|part, seen| !seen.failing && !part.is_fixed)
    }

    /// The parts that must all hold, of which no case shows that: none fails because of this part alone.
    pub fn never_deciding(&self) -> impl Iterator<Item = &Part> {
        self.parts_where(|part, seen| part.is_conjunct && !part.is_fixed && !seen.deciding)
    }

    /// How many of the parts were both true and false, or cannot be.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.parts_where(|part, seen| seen.holding && (seen.failing || part.is_fixed))
            .count()
    }

    fn parts_where(&self, wanted: fn(&Part, &Seen) -> bool) -> impl Iterator<Item = &Part> {
        let parts = self.parts().iter().zip(&self.seen);
        parts
            .filter(move |(part, seen)| wanted(part, seen))
            .map(|(part, _)| part)
    }
}
