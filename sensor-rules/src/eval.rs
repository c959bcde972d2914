//! Evaluates compiled conditions over one event.
//!
//! A [`Program`] is a flat form of the graph. Each value is asked of the agent at most once for an event, and each
//! part that several rules share is evaluated at most once. Everything that is kept meanwhile lives in [`Scratch`],
//! which grows to its size with the first events; after that nothing is allocated, but for transformers of long lists.

mod leaf;
mod transform;
pub(crate) mod values;

pub(crate) use leaf::{Leaf, LeafTest, Operands};
pub(crate) use values::{Cached, SlotId, Source, Values};

use crate::event::Event;
use crate::field::FieldRef;

/// What evaluation keeps between events, so that it need not allocate. One for each thread; it may be used with any
/// number of rule sets and outputs in turn.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) values: Values,
    /// For each shared step the event for which it was evaluated, and the result in the last bit.
    memo: Vec<u32>,
    /// Rules that may match, as a bit set.
    pub(crate) candidates: Vec<u64>,
}

impl Scratch {
    /// An empty scratch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last event and makes room for a table of values and for kept results.
    pub(crate) fn begin(&mut self, sources: &[Source], memo_len: usize) {
        if self.values.begin(sources.len()) {
            self.memo.fill(0);
        }
        if self.memo.len() < memo_len {
            self.memo.resize(memo_len, 0);
        }
    }
}

/// Position of a step in its [`Program`].
pub(crate) type StepId = u32;

/// Marks a step whose result is not kept.
pub(crate) const NO_MEMO: u32 = u32::MAX;

/// One step of a program.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    /// Where its result is kept for the event, or [`NO_MEMO`].
    pub(crate) memo: u32,
}

/// What a step does. Ranges lie in [`Program::children`].
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Const(bool),
    Leaf(u32),
    Not(StepId),
    And(std::ops::Range<u32>),
    Or(std::ops::Range<u32>),
    Exception(Box<[FieldRef]>, StepId),
}

/// Conditions, compiled.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) children: Vec<StepId>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) sources: Vec<Source>,
    pub(crate) memo_len: usize,
}

impl Program {
    /// The result of a step. The recursion is as deep as the condition, which the check bounds.
    pub(crate) fn holds(&self, step: StepId, event: &impl Event, scratch: &mut Scratch) -> bool {
        let Step { action, memo } = &self.steps[step as usize];
        if *memo == NO_MEMO {
            return self.act(action, event, scratch);
        }
        let stamp = scratch.values.epoch() << 1;
        let kept = scratch.memo[*memo as usize];
        if kept & !1 == stamp {
            return kept & 1 != 0;
        }
        let result = self.act(action, event, scratch);
        scratch.memo[*memo as usize] = stamp | u32::from(result);
        result
    }

    fn act(&self, action: &Action, event: &impl Event, scratch: &mut Scratch) -> bool {
        match action {
            Action::Const(value) => *value,
            Action::Leaf(leaf) => {
                self.leaves[*leaf as usize].holds(&self.sources, event, &mut scratch.values)
            }
            Action::Not(child) => !self.holds(*child, event, scratch),
            Action::And(range) => self
                .children_of(range)
                .iter()
                .all(|child| self.holds(*child, event, scratch)),
            Action::Or(range) => self
                .children_of(range)
                .iter()
                .any(|child| self.holds(*child, event, scratch)),
            Action::Exception(fields, child) => {
                self.holds(*child, event, scratch) && !fields.iter().any(|field| event.is_incomplete(field))
            }
        }
    }

    #[inline]
    fn children_of(&self, range: &std::ops::Range<u32>) -> &[StepId] {
        &self.children[range.start as usize..range.end as usize]
    }
}
