//! What no record tells: facts that are asked for, waited for in bounds, and taken in.

use std::sync::Arc;

use super::Pipeline;
use crate::{
    event::Event,
    state::{container::Container, home::Wanted, workload::Fact},
    view::View,
};

impl Pipeline {
    /// Takes in what runtimes, Kubernetes or the host's files have told.
    pub fn fact(&mut self, fact: Fact) {
        self.state.take(fact);
    }

    /// The containers whose facts are to be looked for since this was last asked. Whoever cannot look for one says so
    /// by [`Fact::Unanswered`].
    pub fn take_wanted(&mut self) -> impl Iterator<Item = Wanted> {
        self.wanted.drain(..)
    }

    /// Has the facts of containers that are new looked for.
    pub(super) fn ask(&mut self) {
        for wanted in self.state.take_wanted() {
            self.hold.asked(&wanted.container.id, self.now_ns);
            self.wanted.push(wanted);
        }
    }

    /// The container for whose facts this event has to wait.
    pub(super) fn held_for(&self, event: &Event<'_>, len: usize) -> Option<Arc<Container>> {
        let view = View::new(event, &self.state, &self.context, self.number);
        let container = view.home()?;
        self.hold.wants(&container, len, self.now_ns).then_some(container)
    }

    /// Matches what waited for facts that have come. Returns whether something still waits.
    pub(super) fn settle(&mut self) -> bool {
        if self.hold.is_empty() {
            return false;
        }
        self.release(self.now_ns);
        for told in self.hold.completed(&self.state.workloads) {
            self.complete(&told);
        }
        self.hold.is_urgent()
    }

    /// Matches what waited for facts that have come, or has waited long enough.
    pub(super) fn release(&mut self, now_ns: u64) {
        for record in self.hold.release(&self.state.workloads, now_ns) {
            if let Ok(event) = Event::decode(&record.bytes) {
                self.evaluate(&event, record.ring, &record.bytes, record.number);
            }
        }
    }
}
