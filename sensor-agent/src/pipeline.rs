//! The whole way of a record: decode, enrich, match, publish.
//!
//! One thread owns it. Nothing here waits, locks or asks the system for anything, not even the time: all that it does
//! follows from what it is given, so that a recording of that gives the same detections again. What leaves goes to an
//! [`Outlet`], which never blocks.

pub mod costs;
mod facts;
mod hold;
pub mod publish;
mod tick;

use std::sync::Arc;

use hashbrown::HashMap;
use prometheus_client::metrics::counter::Counter;
use sensor_common::{
    kind::{Kind, RING_COUNT, Ring},
    record::{Header, flags},
};
use sensor_rules::engine::{RuleId, RuleSet, Scratch};
use smallvec::SmallVec;

use self::{
    costs::Costs,
    hold::{Hold, Record},
    publish::{Ids, Outlet},
};
use crate::{
    config::InventoryConfig,
    event::{DecodeError, Event, Outcome},
    inventory::{Inventory, Snapshot},
    pending::{self, Pending, Ready},
    selftest::round::Round,
    state::{State, home::Wanted, lookup::Lookup, programs::When, seed::Seed},
    stats::Stats,
    view::{Context, View},
};

pub use tick::Tick;

/// CPUs whose sequence numbers are followed; records of further ones are delivered all the same.
const CPUS_MAX: usize = 4096;
/// The log tells of malformed records no more often than this; the metric counts each.
const MALFORMED_SAID_EVERY_NS: u64 = 10_000_000_000;

/// What the pipeline is made of.
pub struct Pipeline {
    state: State,
    rules: Arc<RuleSet>,
    context: Context,
    outlet: Box<dyn Outlet>,
    ids: Ids,
    costs: Option<Costs>,
    look: Option<Look>,
    stats: Arc<Stats>,
    rule_counters: Vec<Counter>,
    scratch: Scratch,
    matched: SmallVec<[RuleId; 8]>,
    number: u64,
    /// The time, as it was last told: nanoseconds after boot.
    now_ns: u64,
    /// Events whose end is not known yet.
    pending: Pending,
    /// Last sequence number by ring and CPU.
    sequences: [Vec<u64>; RING_COUNT],
    hold: Hold,
    /// Containers whose facts somebody is to look for.
    wanted: Vec<Wanted>,
    /// What somebody is to look up.
    lookups: Vec<Lookup>,
    /// What was already said of losses, by cgroup, kind and cause.
    reported: HashMap<(u64, u32, u32), u64>,
    /// Records that were not understood since the log last said so, and when that was.
    malformed: u64,
    malformed_said_ns: u64,
    /// The canary whose events are looked for.
    canary: Option<Arc<Round>>,
    /// What workloads were seen to do, where it is kept.
    inventory: Option<Inventory>,
    /// The last two times that losses were told, in nanoseconds since 1970.
    told_between: (u64, u64),
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
    pub outlet: Box<dyn Outlet>,
    /// How detections are named.
    pub ids: Ids,
    /// What rules cost, when somebody wants to know.
    pub costs: Option<Costs>,
    /// Where counts go.
    pub stats: Arc<Stats>,
    /// Where counts of detections go: one a rule, in the rules' order.
    pub rule_counters: Vec<Counter>,
    /// When program files are looked at.
    pub programs: When,
    /// How long a record waits for the facts of its container, in nanoseconds.
    pub hold_ns: u64,
}

/// Looks at one event as rules see it.
pub struct Look {
    /// The event's `evt.num`.
    pub number: u64,
    /// Who looks.
    pub at: Box<dyn FnMut(&View<'_>) + Send>,
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
        let mut state = parts.state;
        state.programs.when = parts.programs;
        state.wish_for(&parts.rules);
        state.clock = parts.context.clock;
        Self {
            state,
            rules: parts.rules,
            context: parts.context,
            outlet: parts.outlet,
            ids: parts.ids,
            costs: parts.costs,
            look: None,
            stats: parts.stats,
            rule_counters: parts.rule_counters,
            scratch: Scratch::default(),
            matched: SmallVec::new(),
            number: 0,
            now_ns: 0,
            pending: Pending::default(),
            sequences: Default::default(),
            hold: Hold::new(parts.hold_ns),
            wanted: Vec::new(),
            lookups: Vec::new(),
            reported: HashMap::new(),
            malformed: 0,
            malformed_said_ns: 0,
            canary: None,
            inventory: None,
            told_between: (0, 0),
        }
    }

    /// Matches by other rules from the next record on. Returns what is no longer needed, to be dropped where it holds
    /// up nothing.
    pub fn swap_rules(&mut self, new: Matching) -> Matching {
        self.hold.rules_changed();
        self.state.wish_for(&new.rules);
        Matching {
            rules: std::mem::replace(&mut self.rules, new.rules),
            counters: std::mem::replace(&mut self.rule_counters, new.counters),
            scratch: std::mem::replace(&mut self.scratch, new.scratch),
        }
    }

    /// Takes in the processes that were there before; nothing else has been given yet.
    pub fn plant(&mut self, seed: Seed) {
        self.state.plant(seed);
    }

    /// Keeps an inventory from here on, of processes that are there already too, where that is configured.
    pub fn keep_inventory(&mut self, config: &InventoryConfig) {
        self.inventory = config.enabled.then(|| {
            let mut inventory = Inventory::new(config.clone(), self.context.start_ns);
            inventory.seed(&self.state);
            inventory
        });
    }

    /// What workloads were seen to do so far; `None` where that is not kept.
    pub fn inventory(&mut self, now_ns: u64) -> Option<Snapshot> {
        let inventory = self.inventory.as_mut()?;
        inventory.tick(&self.state, &self.stats.inventory);
        Some(inventory.snapshot(&self.state, now_ns, self.context.clock))
    }

    /// Has somebody look at one event that is still to come.
    pub fn set_look(&mut self, look: Look) {
        self.look = Some(look);
    }

    /// Events that were matched, or wait for it.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.number
    }

    /// Entries that full tables have forgotten: what comes after them may be told otherwise another time.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.state.processes.evicted + self.state.cgroups.evicted
    }

    /// What rules have cost, where that was measured.
    #[must_use]
    pub fn into_costs(self) -> Option<Costs> {
        self.costs
    }

    /// Says how late it is, in nanoseconds after boot; exact to a batch of records.
    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Looks for the events of a canary from here on, or for those of none.
    pub fn look_for(&mut self, canary: Option<Arc<Round>>) {
        self.canary = canary;
    }

    /// Takes one record all the way.
    pub fn handle(&mut self, ring: Ring, bytes: &[u8]) {
        if let Err(error) = self.take(ring, bytes) {
            self.stats.malformed(ring);
            self.malformed += 1;
            let said_ns = self.malformed_said_ns;
            if said_ns == 0 || self.now_ns >= said_ns.saturating_add(MALFORMED_SAID_EVERY_NS) {
                let count = std::mem::take(&mut self.malformed);
                self.malformed_said_ns = self.now_ns;
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
        // The end of an open that was told when it began.
        if event.kind() == Kind::Open
            && event.header.key != 0
            && let Some(begun) = self.pending.take(event.header.key)
        {
            let whole = pending::with_names(bytes, &begun)?;
            self.stats.delivered(Kind::Open);
            self.deliver(ring, &whole, &Event::decode(&whole)?);
            return Ok(());
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
    fn expire(&mut self, now_ns: u64) -> bool {
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
            let since_start = self.now_ns.saturating_sub(self.context.start_ns);
            self.stats.first_event_ns.set(since_start.max(1));
        }
        self.number += 1;
        self.state.apply(event);
        let canary = self.canary.as_ref();
        if canary.is_some_and(|canary| canary.recognises(event)) {
            self.stats.delivered(event.kind());
            return;
        }
        if !self.hold.is_empty() || self.state.has_wanted() || self.state.has_lookups() {
            self.ask();
            self.settle();
            if let Some(needs) = self.held_for(event, bytes.len()) {
                self.hold.push(Record {
                    needs,
                    ring,
                    bytes: bytes.into(),
                    number: self.number,
                });
                return;
            }
        }
        self.evaluate(event, ring, bytes, self.number);
    }

    /// There is no record at this time: tells what has waited long enough. Returns whether something still waits, so
    /// that this is called again soon.
    pub fn idle(&mut self, now_ns: u64) -> bool {
        self.now_ns = now_ns;
        let waits = self.expire(now_ns);
        self.settle() || waits
    }

    /// Tells all that still waits: nothing more will come.
    pub fn finish(&mut self) {
        self.expire(u64::MAX);
        self.release(u64::MAX);
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
        let expected = last[cpu].saturating_add(1);
        self.stats.missing[ring as usize].add(sequence.saturating_sub(expected));
        last[cpu] = sequence;
    }
}
