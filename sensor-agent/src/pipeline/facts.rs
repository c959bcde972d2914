//! What no record tells: facts that are asked for, waited for in bounds, and taken in.

use super::{Pipeline, hold::Needs};
use crate::{
    event::Event,
    state::{
        home::Wanted,
        lookup::{Lookup, Need},
        workload::Fact,
    },
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

    /// What is to be looked up since this was last asked. Whoever cannot look says so by a fact without an answer.
    pub fn take_lookups(&mut self) -> impl Iterator<Item = Lookup> {
        self.lookups.drain(..)
    }

    /// Has looked for what is not known of new containers and of who is in them.
    pub(super) fn ask(&mut self) {
        for wanted in self.state.take_wanted() {
            self.hold
                .asked(Need::Facts(wanted.container.id.clone()), self.now_ns);
            self.wanted.push(wanted);
        }
        for lookup in self.state.take_lookups() {
            self.hold.asked(lookup.need(), self.now_ns);
            self.lookups.push(lookup);
        }
    }

    /// What this event has to wait for, if anything.
    pub(super) fn held_for(&self, event: &Event<'_>, len: usize) -> Option<Needs> {
        let needs = View::new(event, &self.state, &self.context, self.number).needs();
        self.hold.wants(&needs, len, self.now_ns).then_some(needs)
    }

    /// Matches what waited for facts that have come. Returns whether something still waits.
    pub(super) fn settle(&mut self) -> bool {
        if self.hold.is_empty() {
            return false;
        }
        self.release(self.now_ns);
        for told in self.hold.completed(&self.state) {
            self.complete(&told);
        }
        self.hold.is_urgent()
    }

    /// Matches what waited for facts that have come, or has waited long enough.
    pub(super) fn release(&mut self, now_ns: u64) {
        for record in self.hold.release(&self.state, now_ns) {
            if let Ok(event) = Event::decode(&record.bytes) {
                self.evaluate(&event, record.ring, &record.bytes, record.number);
            }
        }
    }
}
