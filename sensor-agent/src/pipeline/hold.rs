//! Records that wait for facts of their container, for a bounded time and in bounded memory.
//!
//! A record is held before it is matched, so that rules see the facts. When the time is over it is matched without
//! them; what then matched is told again, with the same id, once they are there.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use sensor_common::kind::Ring;
use sensor_rules::engine::RuleId;

use crate::state::{
    container::Container,
    workload::{Progress, Workloads},
};

/// Bytes of records that are held.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Records that were matched without facts and are kept to be told again.
const TOLD_MAX: usize = 256;

/// A record, as it came.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) container: Arc<Container>,
    pub(super) ring: Ring,
    pub(super) bytes: Box<[u8]>,
    pub(super) number: u64,
}

/// A record whose detections are to be completed.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) record: Record,
    pub(super) detections: Vec<(RuleId, String)>,
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Hold {
    wait_ns: u64,
    held: VecDeque<Record>,
    held_bytes: usize,
    /// Until when records of a container are held.
    deadlines: HashMap<Box<str>, u64, foldhash::fast::RandomState>,
    told: Vec<Told>,
    /// Records that had to be matched without facts: the time was over, or there was no room.
    pub(super) unready: u64,
    /// Detections that were not completed, because too many waited for it or the rules changed.
    pub(super) not_completed: u64,
}

impl Hold {
    pub(super) fn new(wait_ns: u64) -> Self {
        Self {
            wait_ns,
            held: VecDeque::new(),
            held_bytes: 0,
            deadlines: HashMap::default(),
            told: Vec::new(),
            unready: 0,
            not_completed: 0,
        }
    }

    /// Other rules are in use: detections of the former ones cannot be told again.
    pub(super) fn rules_changed(&mut self) {
        let detections: usize = self.told.drain(..).map(|told| told.detections.len()).sum();
        self.not_completed += detections as u64;
    }

    /// Facts of a container have been asked for.
    pub(super) fn asked(&mut self, id: &str, now_ns: u64) {
        self.deadlines
            .insert(id.into(), now_ns.saturating_add(self.wait_ns));
    }

    /// Whether a record of a container is to be held now.
    pub(super) fn wants(&self, container: &Container, len: usize, now_ns: u64) -> bool {
        self.held_bytes + len <= HELD_BYTES_MAX
            && self
                .deadlines
                .get(&container.id)
                .is_some_and(|deadline_ns| now_ns < *deadline_ns)
    }

    pub(super) fn push(&mut self, record: Record) {
        self.held_bytes += record.bytes.len();
        self.held.push_back(record);
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.told.is_empty() && self.deadlines.is_empty()
    }

    /// Something is held, so that time matters.
    pub(super) fn is_urgent(&self) -> bool {
        !self.held.is_empty()
    }

    /// The records whose container's facts have come, or whose time is over.
    pub(super) fn release(&mut self, workloads: &Workloads, now_ns: u64) -> Vec<Record> {
        let is_due = |id: &str| {
            workloads
                .container(id)
                .is_none_or(|facts| facts.progress != Progress::Asked)
        };
        self.deadlines.retain(|id, _| !is_due(id));
        let (mut due, mut waiting) = (Vec::new(), VecDeque::new());
        for record in self.held.drain(..) {
            match self.deadlines.get(&record.container.id) {
                Some(deadline_ns) if now_ns < *deadline_ns => waiting.push_back(record),
                late => {
                    self.unready += u64::from(late.is_some());
                    self.held_bytes -= record.bytes.len();
                    due.push(record);
                }
            }
        }
        self.held = waiting;
        due
    }

    /// Keeps a record whose detections went out without facts.
    pub(super) fn keep(&mut self, told: Told) {
        if self.told.len() < TOLD_MAX {
            self.told.push(told);
        } else {
            self.not_completed += 1;
        }
    }

    /// The records whose detections can be completed now.
    pub(super) fn completed(&mut self, workloads: &Workloads) -> Vec<Told> {
        let has_come = |told: &mut Told| {
            workloads
                .container(&told.record.container.id)
                .is_none_or(|facts| facts.progress == Progress::Done)
        };
        self.told.extract_if(.., has_come).collect()
    }
}
