//! The whole way of a record: decode, enrich, match, publish.
//!
//! One thread owns it. Nothing here waits, locks or asks the system for anything; what leaves goes to the
//! hub, which never blocks.

mod hold;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use hashbrown::HashMap;
use prometheus_client::metrics::counter::Counter;
use sensor_common::{
    kind::{Kind, RING_COUNT, Ring},
    record::{Header, flags},
};
use sensor_rules::engine::{RuleId, RuleSet, Scratch};
use smallvec::SmallVec;

use self::hold::{Hold, Record, Told};
use crate::{
    clock::{self, Clock},
    detection,
    event::{DecodeError, Event, Outcome},
    hub::{Hub, Item},
    kernel::counters::{Counters, Loss},
    pending::{Pending, Ready},
    runtime::worker::Worker,
    state::{
        State,
        container::Container,
        workload::feed::{FACTS_WAITING_MAX, FactReceiver},
    },
    stats::Stats,
    view::{Context, View},
};

/// CPUs whose sequence numbers are followed; records of further ones are delivered all the same.
const CPUS_MAX: usize = 4096;
/// The log tells of malformed records no more often than this; the metric counts each.
const MALFORMED_SAID_EVERY_NS: u64 = 10_000_000_000;

/// Facts that are taken in before one record: a flood of them delays no event for long.
const FACTS_A_RECORD_MAX: usize = 16;

/// What the pipeline is made of.
pub struct Pipeline {
    state: State,
    rules: Arc<RuleSet>,
    context: Context,
    hub: Arc<Hub>,
    stats: Arc<Stats>,
    rule_counters: Vec<Counter>,
    counters: Arc<Counters>,
    facts: FactReceiver,
    scratch: Scratch,
    matched: SmallVec<[RuleId; 8]>,
    number: u64,
    /// Events whose end is not known yet.
    pending: Pending,
    /// Last sequence number by ring and CPU.
    sequences: [Vec<u64>; RING_COUNT],
    worker: Worker,
    hold: Hold,
    /// What was already said of losses, by cgroup, kind and cause.
    reported: HashMap<(u64, u32, u32), u64>,
    /// Records that were not understood since the log last said so, and when that was.
    malformed: u64,
    malformed_said_ns: u64,
}

/// What a pipeline needs from outside.
pub struct Parts {
    /// What is known so far.
    pub state: State,
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// What all events share.
    pub context: Context,
    /// Where detections go.
    pub hub: Arc<Hub>,
    /// Where counts go.
    pub stats: Arc<Stats>,
    /// Where counts of detections go: one a rule, in the rules' order.
    pub rule_counters: Vec<Counter>,
    /// What the kernel counts.
    pub counters: Arc<Counters>,
    /// Where facts of containers and pods come from.
    pub facts: FactReceiver,
    /// Who looks for facts of containers.
    pub worker: Worker,
    /// How long a record waits for the facts of its container, in nanoseconds.
    pub hold_ns: u64,
}

/// What changes when rules do.
pub struct Matching {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// Where counts of detections go: one a rule, in the rules' order.
    pub counters: Vec<Counter>,
    /// Room for evaluation; what it remembers is of these rules.
    pub scratch: Scratch,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            state: parts.state,
            rules: parts.rules,
            context: parts.context,
            hub: parts.hub,
            stats: parts.stats,
            rule_counters: parts.rule_counters,
            counters: parts.counters,
            facts: parts.facts,
            scratch: Scratch::default(),
            matched: SmallVec::new(),
            number: 0,
            pending: Pending::default(),
            sequences: Default::default(),
            reported: HashMap::new(),
            malformed: 0,
            malformed_said_ns: 0,
            worker: parts.worker,
            hold: Hold::new(parts.hold_ns),
        }
    }

    /// Matches by other rules from the next record on. Returns what is no longer needed, to be dropped where it holds
    /// up nothing.
    pub fn swap_rules(&mut self, new: Matching) -> Matching {
        self.hold.rules_changed();
        Matching {
            rules: std::mem::replace(&mut self.rules, new.rules),
            counters: std::mem::replace(&mut self.rule_counters, new.counters),
            scratch: std::mem::replace(&mut self.scratch, new.scratch),
        }
    }

    /// Takes one record all the way.
    pub fn handle(&mut self, ring: Ring, bytes: &[u8]) {
        if let Err(error) = self.take(ring, bytes) {
            self.stats.malformed(ring);
            self.malformed += 1;
            let now_ns = clock::boot_ns();
            if now_ns >= self.malformed_said_ns + MALFORMED_SAID_EVERY_NS || self.malformed_said_ns == 0 {
                let count = std::mem::take(&mut self.malformed);
                self.malformed_said_ns = now_ns;
                tracing::error!(ring = ring.name(), count, %error, "records were not understood and are lost; the last error is this");
            }
        }
    }

    fn take(&mut self, ring: Ring, bytes: &[u8]) -> Result<(), DecodeError> {
        if let Some((header, outcome)) = Outcome::decode(bytes)? {
            self.follow(ring, &header);
            let ready = self.pending.join(&header, &outcome);
            self.stats.delivered(Kind::Outcome);
            return self.tell(ready);
        }
        let event = Event::decode(bytes)?;
        self.follow(ring, &event.header);
        if event.has(flags::PENDING) {
            let ready = self.pending.hold(event.header.key, bytes, event.header.time_ns);
            return self.tell(ready);
        }
        self.deliver(ring, bytes, &event);
        Ok(())
    }

    /// Tells an event that has waited for its end.
    fn tell(&mut self, ready: Option<Ready>) -> Result<(), DecodeError> {
        if let Some(ready) = ready {
            let record = ready.into_record()?;
            self.deliver(Kind::Connect.ring(), &record, &Event::decode(&record)?);
        }
        Ok(())
    }

    /// Tells the events that have waited long enough for their end; whether others still wait.
    pub fn expire(&mut self, now_ns: u64) -> bool {
        while let Some(ready) = self.pending.expired(now_ns) {
            if let Err(error) = self.tell(Some(ready)) {
                tracing::error!(%error, "an event that waited was not understood and is lost");
            }
        }
        !self.pending.is_empty()
    }

    /// Follows a record's number and its time. By its own time only, since the reader may be behind the clock, and then
    /// the end of what waits may be in the rings.
    fn follow(&mut self, ring: Ring, header: &Header) {
        self.expire(header.time_ns);
        if header.flags & flags::UNNUMBERED == 0 {
            self.follow_sequence(ring, header.cpu, header.sequence);
        }
    }

    /// An event all the way.
    fn deliver(&mut self, ring: Ring, bytes: &[u8], event: &Event<'_>) {
        if self.number == 0 {
            let since_start = clock::boot_ns().saturating_sub(self.context.start_ns);
            self.stats.first_event_ns.set(since_start.max(1));
        }
        self.number += 1;
        self.take_facts(FACTS_A_RECORD_MAX);
        self.state.apply(event);
        if !self.hold.is_empty() || self.state.has_wanted() {
            self.ask();
            self.settle();
            if let Some(container) = self.held_for(event, bytes.len()) {
                self.hold.push(Record {
                    container,
                    ring,
                    bytes: bytes.into(),
                    number: self.number,
                });
                return;
            }
        }
        self.evaluate(event, ring, bytes, self.number);
    }

    /// Matches an event and publishes what was found.
    fn evaluate(&mut self, event: &Event<'_>, ring: Ring, bytes: &[u8], number: u64) {
        let view = View::new(event, &self.state, &self.context, number);
        self.rules
            .evaluate(&view, &mut self.scratch, |rule| self.matched.push(rule));
        let is_pending = !self.matched.is_empty() && view.is_pending();
        let mut told = Vec::new();
        for id in self.matched.drain(..) {
            let Some(rule) = self.rules.rule(id) else { continue };
            let detection = detection::build(&view, rule, &mut self.scratch);
            if let Some(counter) = self.rule_counters.get(id.0 as usize) {
                counter.inc();
            }
            if is_pending {
                told.push((id, detection.id.clone()));
            }
            self.hub.publish(&Item::Detection(detection));
        }
        if is_pending && let Some(container) = view.home() {
            let record = Record {
                container,
                ring,
                bytes: bytes.into(),
                number,
            };
            self.hold.keep(Told {
                record,
                detections: told,
            });
        }
        // Counted last: who sees the count can rely on the detection being out.
        if let Some(cgroup) = &view.cgroup {
            cgroup.count(event.kind());
        }
        self.stats.delivered(event.kind());
    }

    /// Has the facts of containers that are new looked for.
    fn ask(&mut self) {
        if !self.state.has_wanted() {
            return;
        }
        let now_ns = clock::boot_ns();
        let wanted: SmallVec<[_; 2]> = self.state.take_wanted().collect();
        for wanted in wanted {
            let id = Arc::clone(&wanted.container);
            if self.worker.ask(wanted) {
                self.hold.asked(&id.id, now_ns);
            } else {
                self.state.workloads.give_up(&id.id);
            }
        }
    }

    /// The container for whose facts this event has to wait.
    fn held_for(&self, event: &Event<'_>, len: usize) -> Option<Arc<Container>> {
        let view = View::new(event, &self.state, &self.context, self.number);
        let container = view.home()?;
        self.hold
            .wants(&container, len, clock::boot_ns())
            .then_some(container)
    }

    /// Takes in what runtimes and Kubernetes have told since.
    fn take_facts(&mut self, max: usize) {
        for fact in std::iter::from_fn(|| self.facts.next()).take(max) {
            self.state.workloads.take(fact);
        }
    }

    /// Matches what waited for facts that have come. Returns whether something still waits.
    pub fn settle(&mut self) -> bool {
        self.take_facts(FACTS_WAITING_MAX);
        if self.hold.is_empty() {
            return false;
        }
        for record in self.hold.release(&self.state.workloads, clock::boot_ns()) {
            if let Ok(event) = Event::decode(&record.bytes) {
                self.evaluate(&event, record.ring, &record.bytes, record.number);
            }
        }
        for told in self.hold.completed(&self.state.workloads) {
            self.complete(&told);
        }
        self.hold.is_urgent()
    }

    /// Tells detections again whose facts have come: the same ids, now with them.
    fn complete(&mut self, told: &Told) {
        let Ok(event) = Event::decode(&told.record.bytes) else {
            return;
        };
        let view = View::new(&event, &self.state, &self.context, told.record.number);
        for (id, detection_id) in &told.detections {
            let Some(rule) = self.rules.rule(*id) else {
                continue;
            };
            let mut detection = Arc::unwrap_or_clone(detection::build(&view, rule, &mut self.scratch));
            detection.id.clone_from(detection_id);
            detection.update = true;
            self.hub.publish(&Item::Detection(Arc::new(detection)));
        }
    }

    /// Matches all that still waits: nothing more will come.
    pub fn finish(&mut self) {
        for record in self.hold.release(&self.state.workloads, u64::MAX) {
            if let Ok(event) = Event::decode(&record.bytes) {
                self.evaluate(&event, record.ring, &record.bytes, record.number);
            }
        }
    }

    /// A gap in a CPU's numbers is a loss. The kernel counts it too, with its cause; this count proves it.
    fn follow_sequence(&mut self, ring: Ring, cpu: u16, sequence: u64) {
        let last = &mut self.sequences[ring as usize];
        let cpu = usize::from(cpu);
        if cpu >= CPUS_MAX {
            return;
        }
        if cpu >= last.len() {
            last.resize(cpu + 1, 0);
        }
        self.stats.missing[ring as usize].add(sequence.saturating_sub(last[cpu] + 1));
        last[cpu] = sequence;
    }

    /// What is due once a second: forget what is old, measure the clock, tell of losses.
    pub fn tick(&mut self) {
        let now_ns = clock::boot_ns();
        self.ask();
        self.settle();
        self.state.sweep(now_ns);
        self.context.clock = Clock::now();
        self.report_losses();
        let stats = &self.stats;
        stats.pending.set(self.pending.len() as u64);
        stats.pending_evicted.set(self.pending.evicted);
        stats.processes.set(self.state.processes.len() as u64);
        stats.processes_evicted.set(self.state.processes.evicted);
        stats.processes_unknown.set(self.state.processes.unknown);
        stats.records_unready.set(self.hold.unready);
        stats.detections_not_completed.set(self.hold.not_completed);
        let counts = self.worker.counts();
        stats.runtime_asked.set(counts.asked.load(Relaxed));
        stats.runtime_unknown.set(counts.unknown.load(Relaxed));
        stats.runtime_refused.set(counts.refused.load(Relaxed));
        stats.workloads.set(self.state.workloads.len().0 as u64);
        let cgroups: Vec<_> = self.state.cgroups.iter().map(Arc::downgrade).collect();
        stats.cgroups.set(cgroups.len() as u64);
        stats.cgroups_evicted.set(self.state.cgroups.evicted);
        stats.containers.set(self.state.residences.len() as u64);
        stats.cgroup_list.store(Arc::new(cgroups));
    }

    /// Puts what the kernel has lost since the last time into the stream.
    fn report_losses(&mut self) {
        let losses = match self.counters.losses() {
            Ok(losses) => losses,
            Err(error) => {
                tracing::warn!(%error, "the kernel's counts of losses cannot be read");
                return;
            }
        };
        let now_ns = self.context.clock.epoch_ns(clock::boot_ns());
        for loss in losses {
            let Loss {
                cgroup_id,
                kind,
                cause,
                count,
            } = loss;
            let reported = self
                .reported
                .entry((cgroup_id, kind as u32, cause as u32))
                .or_insert(0);
            let new = count.saturating_sub(*reported);
            if new == 0 {
                continue;
            }
            *reported = count;
            let cgroup = self.state.cgroups.get(cgroup_id);
            let container = cgroup.as_ref().and_then(|cgroup| cgroup.container.as_ref());
            let container = container.map_or("", |container| &*container.id);
            tracing::error!(
                kind = kind.name(),
                cause = cause.name(),
                count = new,
                container,
                "events were lost"
            );
            let gap = detection::gap(now_ns, cause.name(), kind, new, container);
            self.hub.publish(&Item::Gap(Arc::new(gap)));
        }
    }
}
