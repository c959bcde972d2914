//! From containers and cgroups to workloads, so that an event finds its own by one look.

use std::sync::Arc;

use hashbrown::HashMap;

use super::owner::Described;
use crate::state::{
    State,
    container::Container,
    workload::{ContainerFacts, PodFacts},
};

/// A workload's place.
pub(super) type Slot = usize;

/// Ways that are kept, of containers and of cgroups each; what is beyond finds its workload by its name each time.
const ROUTES_MAX: usize = 65_536;

/// What was known of a container when its workload was chosen.
#[derive(Debug)]
pub(super) struct Known {
    facts: Option<Arc<ContainerFacts>>,
    pod: Option<Arc<PodFacts>>,
}

impl Known {
    pub(super) fn of(state: &State, container: &Container) -> Self {
        let workloads = &state.workloads;
        let facts = workloads.container(&container.id);
        let uid = container.pod_uid_by(facts.map(|facts| &**facts));
        Self {
            facts: facts.cloned(),
            pod: uid.and_then(|uid| workloads.pod(uid)).cloned(),
        }
    }

    pub(super) fn describe(&self, container: &Container) -> Described {
        Described::of(container, self.facts.as_deref(), self.pod.as_deref())
    }

    /// Whether this is the very same knowledge. A pod that is gone takes nothing away of what was known.
    fn is_newer_than(&self, before: &Self) -> bool {
        fn differs<T>(new: Option<&Arc<T>>, before: Option<&Arc<T>>) -> bool {
            match (new, before) {
                (Some(new), Some(before)) => !Arc::ptr_eq(new, before),
                (new, _) => new.is_some(),
            }
        }
        differs(self.facts.as_ref(), before.facts.as_ref()) || differs(self.pod.as_ref(), before.pod.as_ref())
    }
}

#[derive(Debug)]
struct Route {
    slot: Slot,
    container: Container,
    known: Known,
}

/// The ways.
#[derive(Debug, Default)]
pub(super) struct Routes {
    containers: HashMap<Box<str>, Route, foldhash::fast::RandomState>,
    cgroups: HashMap<u64, Slot, foldhash::fast::RandomState>,
}

impl Routes {
    pub(super) fn of_container(&self, id: &str) -> Option<Slot> {
        self.containers.get(id).map(|route| route.slot)
    }

    pub(super) fn of_cgroup(&self, id: u64) -> Option<Slot> {
        self.cgroups.get(&id).copied()
    }

    pub(super) fn add_container(&mut self, container: &Container, slot: Slot, known: Known) {
        if self.containers.len() < ROUTES_MAX {
            let route = Route {
                slot,
                container: container.clone(),
                known,
            };
            self.containers.insert(container.id.clone(), route);
        }
    }

    pub(super) fn add_cgroup(&mut self, id: u64, slot: Slot) {
        if self.cgroups.len() < ROUTES_MAX {
            self.cgroups.insert(id, slot);
        }
    }

    /// Leads a container to another workload.
    pub(super) fn lead(&mut self, id: &str, slot: Slot) {
        if let Some(route) = self.containers.get_mut(id) {
            route.slot = slot;
        }
    }

    /// Whether a container leads to this workload.
    pub(super) fn is_used(&self, slot: Slot) -> bool {
        self.containers.values().any(|route| route.slot == slot)
    }

    /// Forgets the ways to a workload.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.containers.retain(|_, route| route.slot != slot);
        self.cgroups.retain(|_, to| *to != slot);
    }

    /// Containers of which more is known than when their workload was chosen, as they are known now.
    pub(super) fn changed(&mut self, state: &State) -> Vec<(Box<str>, Described)> {
        let mut changed = Vec::new();
        for (id, route) in &mut self.containers {
            let mut known = Known::of(state, &route.container);
            if known.is_newer_than(&route.known) {
                if known.pod.is_none() {
                    known.pod = route.known.pod.take();
                }
                route.known = known;
                changed.push((id.clone(), route.known.describe(&route.container)));
            }
        }
        changed
    }

    /// Forgets ways of containers and cgroups that the state has forgotten.
    pub(super) fn retain(&mut self, state: &State) {
        self.containers
            .retain(|id, _| state.residences.get(id).is_some() || state.workloads.container(id).is_some());
        self.cgroups.retain(|id, _| state.cgroups.get(*id).is_some());
    }
}
