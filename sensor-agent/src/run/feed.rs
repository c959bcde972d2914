//! What the pipeline is given: records as they come, and with them all that it does not ask for itself — the time,
//! facts, counts of losses, names of users.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use sensor_common::kind::Ring;

use crate::{
    clock::{self, Clock},
    identity::worker::Identity,
    kernel::counters::Counters,
    pipeline::{Pipeline, Tick},
    recording::{item::Input, tap::Tap},
    runtime::{places::host_root, worker::Worker},
    state::{
        users::UserFiles,
        workload::{
            Fact,
            feed::{FACTS_WAITING_MAX, FactReceiver},
        },
    },
    stats::Stats,
};

/// Facts that are taken in before one record: a flood of them delays no event for long.
const FACTS_A_RECORD_MAX: usize = 16;

/// Where all of it comes from.
pub(super) struct Sources {
    /// Facts of containers and pods.
    pub(super) facts: FactReceiver,
    /// Who looks for facts of containers.
    pub(super) worker: Worker,
    /// Who looks up names of users in containers.
    pub(super) identity: Identity,
    /// What the kernel counts.
    pub(super) counters: Arc<Counters>,
    /// Where the agent's own counts go.
    pub(super) stats: Arc<Stats>,
}

/// The pipeline, and what feeds it.
pub(super) struct Feed {
    pub(super) pipeline: Pipeline,
    sources: Sources,
    users: UserFiles,
    /// What was already told of programs that were not run.
    misses: HashMap<String, u64>,
    /// Where all of it is noted, when it is recorded.
    tap: Option<Tap>,
    /// The time has been told since records were last waited for.
    is_on_time: bool,
}

impl Feed {
    pub(super) fn new(pipeline: Pipeline, sources: Sources, tap: Option<Tap>) -> Self {
        let mut feed = Self {
            pipeline,
            sources,
            users: UserFiles::below(host_root()),
            misses: HashMap::new(),
            tap,
            is_on_time: false,
        };
        feed.users();
        feed
    }

    /// Gives one record.
    pub(super) fn record(&mut self, ring: Ring, bytes: &[u8]) {
        if !self.is_on_time {
            let now_ns = clock::boot_ns();
            self.note(&Input::Now(now_ns));
            self.pipeline.set_now(now_ns);
            self.is_on_time = true;
        }
        self.facts(FACTS_A_RECORD_MAX);
        self.note(&Input::Record(ring, bytes));
        self.pipeline.handle(ring, bytes);
        self.ask();
    }

    /// A batch of records begins: the time is to be told anew.
    pub(super) fn batch(&mut self) {
        self.is_on_time = false;
    }

    /// There is no record for now. Returns whether this is to be called again soon.
    pub(super) fn idle(&mut self) -> bool {
        self.facts(FACTS_WAITING_MAX);
        let now_ns = clock::boot_ns();
        self.note(&Input::Idle(now_ns));
        let waits = self.pipeline.idle(now_ns);
        self.ask();
        waits
    }

    /// A second has passed.
    pub(super) fn tick(&mut self) {
        self.users();
        self.facts(FACTS_WAITING_MAX);
        let losses = self.sources.counters.losses().unwrap_or_else(|error| {
            tracing::warn!(%error, "the kernel's counts of losses cannot be read");
            Vec::new()
        });
        let tick = Tick {
            now_ns: clock::boot_ns(),
            clock: Clock::now(),
            losses,
        };
        if let Some(tap) = &mut self.tap {
            tap.note(&Input::Tick(tick.clone()));
            tap.flush();
        }
        self.pipeline.tick(&tick);
        self.misses();
        self.ask();
        let (stats, counts) = (&self.sources.stats, self.sources.worker.counts());
        stats.runtime_asked.set(counts.asked.load(Relaxed));
        stats.runtime_unknown.set(counts.unknown.load(Relaxed));
        stats.runtime_refused.set(counts.refused.load(Relaxed));
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self) {
        self.pipeline.finish();
        if let Some(mut tap) = self.tap.take() {
            tap.finish();
        }
    }

    fn misses(&mut self) {
        for (program, count) in self.sources.counters.misses() {
            let told = self.misses.entry(program.to_owned()).or_insert(0);
            let new = count.saturating_sub(*told);
            *told = count;
            if new > 0 {
                self.pipeline.tell_misses(program, new);
            }
        }
    }

    fn note(&mut self, input: &Input<'_>) {
        if let Some(tap) = &mut self.tap {
            tap.note(input);
        }
    }

    fn users(&mut self) {
        if let Some(users) = self.users.changed() {
            self.fact(Fact::HostUsers(Arc::new(users)));
        }
    }

    fn facts(&mut self, max: usize) {
        for _ in 0..max {
            let Some(fact) = self.sources.facts.next() else {
                return;
            };
            self.fact(fact);
        }
    }

    fn fact(&mut self, fact: Fact) {
        if let Some(tap) = &mut self.tap {
            tap.note(&Input::Fact(fact.clone()));
        }
        self.pipeline.fact(fact);
    }

    /// Has looked for what the pipeline wants to know.
    fn ask(&mut self) {
        let wanted: smallvec::SmallVec<[_; 2]> = self.pipeline.take_wanted().collect();
        for wanted in wanted {
            let container = Arc::clone(&wanted.container);
            if !self.sources.worker.ask(wanted) {
                self.fact(Fact::Unanswered(container.id.clone()));
            }
        }
        let lookups: smallvec::SmallVec<[_; 2]> = self.pipeline.take_lookups().collect();
        for lookup in lookups {
            let unanswered = lookup.unanswered();
            if !self.sources.identity.ask(lookup) {
                self.fact(unanswered);
            }
        }
    }
}
