//! What workloads were seen to do, as a by-product of the events that flow anyway: the programs they ran, the ports they
//! listen on, the peers they connected to, the folders they wrote to.
//!
//! The pipeline's thread notes each event that it has matched ([`Inventory::note`]); the kernel collects nothing more for
//! it, and what it does not collect is named with the answer ([`coverage`](crate::status)). Who asks gets a
//! [`Snapshot`], which shares what is noted until the next event changes it.
//!
//! Invariants: every table has a bound, and a number that shows it was reached; nothing here waits, locks or asks the
//! system; a workload never gets what another did, though two may turn out to be one.

pub mod answer;
mod bounded;
pub mod owner;
mod routes;
mod sight;
#[cfg(test)]
mod tests;
pub mod workload;

use std::sync::Arc;

use hashbrown::HashMap;

use self::{
    owner::Owner,
    routes::{Known, Routes, Slot},
    sight::Sights,
    workload::Workload,
};
use crate::{
    clock::Clock,
    config::InventoryConfig,
    state::{State, cgroup::Cgroup, container::Container, workload::PodFacts},
    stats::InventoryStats,
    view::View,
};

/// What was noted, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The workloads, in no order.
    pub workloads: Vec<Arc<Workload>>,
    /// Pods of this node, by whose addresses peers are told.
    pub pods: Vec<Arc<PodFacts>>,
    /// Since when events are noted, in nanoseconds after boot.
    pub since_ns: u64,
    /// When this was, in nanoseconds after boot.
    pub now_ns: u64,
    /// From there to the calendar.
    pub clock: Clock,
    /// Workloads that were forgotten because there were too many.
    pub forgotten: u64,
    /// Events of processes of which it is not known where they belong.
    pub unattributed: u64,
    /// The most workloads that are kept.
    pub workloads_max: usize,
}

/// All that was noted.
#[derive(Debug)]
pub struct Inventory {
    limits: InventoryConfig,
    workloads: Vec<Option<Arc<Workload>>>,
    free: Vec<Slot>,
    by_owner: HashMap<Arc<Owner>, Slot, foldhash::fast::RandomState>,
    routes: Routes,
    since_ns: u64,
    forgotten: u64,
    unattributed: u64,
    others: u64,
}

impl Inventory {
    /// Nothing noted yet.
    #[must_use]
    pub fn new(limits: InventoryConfig, since_ns: u64) -> Self {
        Self {
            limits,
            workloads: Vec::new(),
            free: Vec::new(),
            by_owner: HashMap::default(),
            routes: Routes::default(),
            since_ns,
            forgotten: 0,
            unattributed: 0,
            others: 0,
        }
    }

    /// Notes the programs of processes that run already.
    pub fn seed(&mut self, state: &State) {
        for process in state.processes.iter() {
            let image = process.image_at(u64::MAX);
            if image.exe_path.is_empty() {
                continue;
            }
            let container = process.home.container.as_deref();
            let Some(slot) = self.slot(state, container, process.cgroup.as_deref(), self.since_ns) else {
                continue;
            };
            self.take(slot, &Sights::of_running(&image.exe_path), self.since_ns);
        }
    }

    /// Notes what an event shows.
    pub fn note(&mut self, view: &View<'_>) {
        let sights = Sights::of(view);
        if sights.is_empty() {
            return;
        }
        let time_ns = view.event.header.time_ns;
        match self.slot(view.state, view.container(), view.cgroup.as_deref(), time_ns) {
            Some(slot) => self.take(slot, &sights, time_ns),
            None => self.unattributed += 1,
        }
    }

    /// Looks once more whose containers are of which more is known by now, and forgets ways to workloads of containers
    /// and cgroups that are no more; called about once a second.
    pub fn tick(&mut self, state: &State, counts: &InventoryStats) {
        for (container, described) in self.routes.changed(state) {
            // Gone when its workload has just been forgotten, to make room.
            let Some(slot) = self.routes.of_container(&container) else {
                continue;
            };
            let last_ns = self.workloads[slot]
                .as_ref()
                .map_or(self.since_ns, |workload| workload.last_ns);
            let to = self.slot_of(described.owner.clone(), last_ns);
            if self.routes.of_container(&container) != Some(slot) {
                continue;
            }
            if to != slot {
                self.routes.lead(&container, to);
                if !self.routes.is_used(slot) {
                    self.merge(slot, to);
                }
            }
            self.describe(to, described);
        }
        self.routes.retain(state);
        counts.workloads.set(self.by_owner.len() as u64);
        counts.forgotten.set(self.forgotten);
        counts.others.set(self.others);
        counts.unattributed.set(self.unattributed);
    }

    /// What was noted so far.
    #[must_use]
    pub fn snapshot(&self, state: &State, now_ns: u64, clock: Clock) -> Snapshot {
        Snapshot {
            workloads: self.workloads.iter().flatten().cloned().collect(),
            pods: state.workloads.pods().cloned().collect(),
            since_ns: self.since_ns,
            now_ns,
            clock,
            forgotten: self.forgotten,
            unattributed: self.unattributed,
            workloads_max: self.limits.workloads_max as usize,
        }
    }

    /// The workload that a process belongs to.
    fn slot(
        &mut self,
        state: &State,
        container: Option<&Container>,
        cgroup: Option<&Cgroup>,
        time_ns: u64,
    ) -> Option<Slot> {
        if let Some(container) = container {
            if let Some(slot) = self.routes.of_container(&container.id) {
                return Some(slot);
            }
            let known = Known::of(state, container);
            let described = known.describe(container);
            let slot = self.slot_of(described.owner.clone(), time_ns);
            self.describe(slot, described);
            self.routes.add_container(container, slot, known);
            return Some(slot);
        }
        let cgroup = cgroup?;
        if let Some(slot) = self.routes.of_cgroup(cgroup.id) {
            return Some(slot);
        }
        let slot = self.slot_of(Owner::of_cgroup(&cgroup.path), time_ns);
        self.routes.add_cgroup(cgroup.id, slot);
        Some(slot)
    }

    /// The place of an owner's workload, which is made if there is none.
    fn slot_of(&mut self, owner: Owner, time_ns: u64) -> Slot {
        if let Some(slot) = self.by_owner.get(&owner) {
            return *slot;
        }
        if self.by_owner.len() >= self.limits.workloads_max as usize {
            self.forget_oldest();
        }
        let owner = Arc::new(owner);
        let workload = Some(Arc::new(Workload::new(Arc::clone(&owner), &self.limits, time_ns)));
        let slot = if let Some(slot) = self.free.pop() {
            self.workloads[slot] = workload;
            slot
        } else {
            self.workloads.push(workload);
            self.workloads.len() - 1
        };
        self.by_owner.insert(owner, slot);
        slot
    }

    /// Forgets the workload of which nothing was seen for longest.
    fn forget_oldest(&mut self) {
        let known = self.workloads.iter().enumerate();
        let oldest = known
            .filter_map(|(slot, workload)| Some((workload.as_ref()?.last_ns, slot)))
            .min();
        if let Some((_, slot)) = oldest {
            self.routes.forget(slot);
            self.remove(slot);
            self.forgotten += 1;
        }
    }

    fn remove(&mut self, slot: Slot) -> Option<Arc<Workload>> {
        let removed = self.workloads[slot].take()?;
        self.by_owner.remove(&removed.owner);
        self.free.push(slot);
        Some(removed)
    }

    /// Two workloads have turned out to be one.
    fn merge(&mut self, from: Slot, to: Slot) {
        let Some(from) = self.remove(from) else { return };
        if let Some(into) = &mut self.workloads[to] {
            self.others += Arc::make_mut(into).merge(&from);
        }
    }

    fn describe(&mut self, slot: Slot, described: owner::Described) {
        if let Some(workload) = &mut self.workloads[slot] {
            Arc::make_mut(workload).describe(described);
        }
    }

    fn take(&mut self, slot: Slot, sights: &Sights<'_>, time_ns: u64) {
        if let Some(workload) = &mut self.workloads[slot] {
            // Copied only if somebody still reads what it was.
            let workload = Arc::make_mut(workload);
            for sight in &sights.sights {
                if !workload.take(*sight, sights.program, time_ns) {
                    self.others += 1;
                }
            }
        }
    }
}
