//! Records that wait for facts of their container and its users, for a bounded time and in bounded memory.
//!
//! A record is held before it is matched, so that rules see the facts. When the time is over it is matched without
//! them; what then matched is told again, with the same id, once they are there.

use std::collections::VecDeque;

use hashbrown::HashMap;
use sensor_common::kind::Ring;
use sensor_rules::engine::RuleId;
use smallvec::SmallVec;

use crate::state::{State, lookup::Need, workload::Progress};

/// What one record may have to wait for.
pub(super) type Needs = SmallVec<[Need; 5]>;

/// Bytes of records that are held.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Records that were matched without facts and are kept to be told again.
const TOLD_MAX: usize = 256;

/// A record, as it came.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) needs: Needs,
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
    /// Until when records are held that need something.
    deadlines: HashMap<Need, u64, foldhash::fast::RandomState>,
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

    /// Something has been asked for.
    pub(super) fn asked(&mut self, need: Need, now_ns: u64) {
        self.deadlines.insert(need, now_ns.saturating_add(self.wait_ns));
    }

    /// Whether a record with these needs is to be held now.
    pub(super) fn wants(&self, needs: &Needs, len: usize, now_ns: u64) -> bool {
        self.held_bytes + len <= HELD_BYTES_MAX && self.is_waiting(needs, now_ns)
    }

    fn is_waiting(&self, needs: &Needs, now_ns: u64) -> bool {
        let is_open = |need| {
            self.deadlines
                .get(need)
                .is_some_and(|deadline_ns| now_ns < *deadline_ns)
        };
        needs.iter().any(is_open)
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

    /// The records whose needs are met, or whose time is over.
    pub(super) fn release(&mut self, state: &State, now_ns: u64) -> Vec<Record> {
        self.deadlines
            .retain(|need, _| state.progress(need) == Progress::Asked);
        let (mut due, mut waiting) = (Vec::new(), VecDeque::new());
        for record in std::mem::take(&mut self.held) {
            if self.is_waiting(&record.needs, now_ns) {
                waiting.push_back(record);
            } else {
                let is_late = record.needs.iter().any(|need| self.deadlines.contains_key(need));
                self.unready += u64::from(is_late);
                self.held_bytes -= record.bytes.len();
                due.push(record);
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
    pub(super) fn completed(&mut self, state: &State) -> Vec<Told> {
        let is_done = |need: &Need| state.progress(need) == Progress::Done;
        let has_come = |told: &mut Told| told.record.needs.iter().all(is_done);
        self.told.extract_if(.., has_come).collect()
    }
}
