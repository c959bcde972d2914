//! The whole way of a record: decode, enrich, match, publish.
//!
//! One thread owns it. Nothing here waits, locks or asks the system for anything; what leaves goes to the
//! hub, which never blocks.

use std::sync::Arc;

use hashbrown::HashMap;
use prometheus_client::metrics::counter::Counter;
use sensor_common::kind::{RING_COUNT, Ring};
use sensor_rules::engine::{RuleId, RuleSet, Scratch};
use smallvec::SmallVec;

use crate::{
    clock::{self, Clock},
    detection,
    event::Event,
    hub::{Hub, Item},
    kernel::counters::{Counters, Loss},
    state::{
        State,
        workload::feed::{FACTS_WAITING_MAX, FactReceiver},
    },
    stats::Stats,
    view::{Context, View},
};

/// CPUs whose sequence numbers are followed; records of further ones are delivered all the same.
const CPUS_MAX: usize = 4096;

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
    /// Last sequence number by ring and CPU.
    sequences: [Vec<u64>; RING_COUNT],
    /// What was already said of losses, by cgroup, kind and cause.
    reported: HashMap<(u64, u32, u32), u64>,
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
            sequences: Default::default(),
            reported: HashMap::new(),
        }
    }

    /// Takes one record all the way.
    pub fn handle(&mut self, ring: Ring, bytes: &[u8]) {
        let event = match Event::decode(bytes) {
            Ok(event) => event,
            Err(error) => {
                self.stats.malformed(ring);
                tracing::error!(ring = ring.name(), %error, "a record was not understood and is lost");
                return;
            }
        };
        if self.number == 0 {
            let since_start = clock::boot_ns().saturating_sub(self.context.start_ns);
            self.stats.first_event_ns.set(since_start.max(1));
        }
        self.number += 1;
        self.follow_sequence(ring, event.header.cpu, event.header.sequence);
        self.take_facts(FACTS_A_RECORD_MAX);
        self.state.apply(&event);
        let view = View::new(&event, &self.state, &self.context, self.number);
        self.rules
            .evaluate(&view, &mut self.scratch, |rule| self.matched.push(rule));
        for id in self.matched.drain(..) {
            let Some(rule) = self.rules.rule(id) else { continue };
            let detection = detection::build(&view, rule, &mut self.scratch);
            if let Some(counter) = self.rule_counters.get(id.0 as usize) {
                counter.inc();
            }
            self.hub.publish(&Item::Detection(detection));
        }
        // Counted last: who sees the count can rely on the detection being out.
        if let Some(cgroup) = &view.cgroup {
            cgroup.count(event.kind());
        }
        self.stats.delivered(event.kind());
    }

    /// Takes in what runtimes and Kubernetes have told since.
    fn take_facts(&mut self, max: usize) {
        for fact in std::iter::from_fn(|| self.facts.next()).take(max) {
            self.state.workloads.take(fact);
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
        self.take_facts(FACTS_WAITING_MAX);
        self.state.sweep(now_ns);
        self.context.clock = Clock::now();
        self.report_losses();
        let stats = &self.stats;
        stats.processes.set(self.state.processes.len() as u64);
        stats.processes_evicted.set(self.state.processes.evicted);
        stats.processes_unknown.set(self.state.processes.unknown);
        let cgroups: Vec<_> = self.state.cgroups.iter().cloned().collect();
        stats.cgroups.set(cgroups.len() as u64);
        stats.cgroups_evicted.set(self.state.cgroups.evicted);
        stats
            .containers
            .set(cgroups.iter().filter(|cgroup| cgroup.container.is_some()).count() as u64);
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
