//! Turns the graph of conditions into a program that is quick to evaluate.
//!
//! Three steps: what the event type decides is decided ([`specialize`]); tests of the same value are put together and
//! cheap tests put first ([`optimize`]); what is left is laid out flat ([`emit`]). None changes the result: tests have no
//! effects, so that their order is free.

pub(crate) mod emit;
pub(crate) mod guess;
pub(crate) mod optimize;
pub(crate) mod specialize;

use crate::check::Checked;
use crate::compile::emit::Emitter;
use crate::compile::optimize::Optimizer;
use crate::eval::{self, Scratch, StepId};
use crate::event::Event;

/// One condition, compiled.
#[derive(Debug)]
pub struct Program {
    program: eval::Program,
    root: StepId,
}

impl Program {
    /// Compiles a checked condition.
    #[must_use]
    pub fn new(checked: &Checked) -> Self {
        let mut graph = checked.graph.clone();
        let root = Optimizer::new(&mut graph).node(checked.root);
        let mut emitter = Emitter::new(&graph, &[root]);
        let root = emitter.step(root);
        Self {
            program: emitter.finish(),
            root,
        }
    }

    /// Whether the condition holds for the event.
    pub fn matches(&self, event: &impl Event, scratch: &mut Scratch) -> bool {
        scratch.begin(&self.program.sources, self.program.memo_len);
        self.program.holds(self.root, event, scratch)
    }
}
