//! What the pipeline counts, for those who look on from other threads.
//!
//! Only the pipeline's thread writes, so a plain load and store of a relaxed atomic is exact and no
//! contended instruction is on the hot path.

use std::sync::{
    Weak,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use sensor_common::kind::{KIND_COUNT, Kind, RING_COUNT, Ring};

use crate::state::cgroup::Cgroup;

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the one writing thread may.
    pub fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Sets.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One number a kind.
#[derive(Debug)]
struct Delivered([Counter; KIND_COUNT]);

impl Default for Delivered {
    fn default() -> Self {
        Self([const { Counter(AtomicU64::new(0)) }; KIND_COUNT])
    }
}

/// What the inventory counts.
#[derive(Debug, Default)]
pub struct InventoryStats {
    /// Workloads that it has.
    pub workloads: Counter,
    /// Workloads that were forgotten because there were too many.
    pub forgotten: Counter,
    /// Times that something was seen that found no room.
    pub others: Counter,
    /// Events of processes of which it is not known where they belong.
    pub unattributed: Counter,
}

impl InventoryStats {
    /// As metrics tell them: name, help, value.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, &'static str, u64); 3] {
        [
            (
                "inventory_workloads_forgotten",
                "Workloads that the inventory forgot because there were too many",
                self.forgotten.get(),
            ),
            (
                "inventory_others",
                "Times that something was seen of a workload that found no room in the inventory",
                self.others.get(),
            ),
            (
                "inventory_unattributed",
                "Events that the inventory left aside: where their processes belong is not known",
                self.unattributed.get(),
            ),
        ]
    }
}

/// The pipeline's numbers.
#[derive(Debug, Default)]
pub struct Stats {
    delivered: Delivered,
    /// Records that were not understood, by ring.
    malformed: [Counter; RING_COUNT],
    /// Records whose sequence numbers are missing, by ring: lost, as the kernel counts too.
    pub missing: [Counter; RING_COUNT],
    /// Nanoseconds from the start of the process to the first record; 0 before.
    pub first_event_ns: Counter,
    /// Events that wait for their end.
    pub pending: Counter,
    /// Events told before their end because too many waited.
    pub pending_evicted: Counter,
    /// Processes in the table.
    pub processes: Counter,
    /// Processes dropped from a full table.
    pub processes_evicted: Counter,
    /// Events of processes that were not in the table.
    pub processes_unknown: Counter,
    /// Cgroups in the table.
    pub cgroups: Counter,
    /// Cgroups dropped from a full table.
    pub cgroups_evicted: Counter,
    /// Containers that processes were seen in.
    pub containers: Counter,
    /// Records that were matched without facts of their container.
    pub records_unready: Counter,
    /// Detections without facts that were never completed.
    pub detections_not_completed: Counter,
    /// Containers that were looked for in runtimes' files.
    pub runtime_asked: Counter,
    /// Containers of which no runtime's file tells.
    pub runtime_unknown: Counter,
    /// Containers that were not looked for, because too many were.
    pub runtime_refused: Counter,
    /// Containers with facts.
    pub workloads: Counter,
    /// Containers and user namespaces whose users are known or looked for.
    pub users: Counter,
    /// What the inventory counts.
    pub inventory: InventoryStats,
    /// Program files that are known or looked at.
    pub programs: Counter,
    /// Environments that are known or read.
    pub environments: Counter,
    /// Environments that were not kept, because all together took too much memory.
    pub environments_dropped: Counter,
    /// Nanoseconds spent on decoding, enriching and matching.
    pub busy_ns: Counter,
    /// The cgroups themselves, as of the last second. It keeps none of them alive: whom the state forgets is forgotten.
    pub cgroup_list: ArcSwap<Vec<Weak<Cgroup>>>,
}

impl Stats {
    /// Counts a record that was decoded and matched.
    pub fn delivered(&self, kind: Kind) {
        self.delivered.0[kind as usize].add(1);
    }

    /// Records of a kind that were decoded and matched.
    #[must_use]
    pub fn delivered_of(&self, kind: Kind) -> u64 {
        self.delivered.0[kind as usize].get()
    }

    /// Counts a record that was not understood.
    pub fn malformed(&self, ring: Ring) {
        self.malformed[ring as usize].add(1);
    }

    /// Records of a ring that were not understood.
    #[must_use]
    pub fn malformed_of(&self, ring: Ring) -> u64 {
        self.malformed[ring as usize].get()
    }
}
