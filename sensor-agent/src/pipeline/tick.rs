//! What is due once a second.

use std::sync::Arc;

use super::Pipeline;
use crate::{
    clock::Clock,
    detection::{self, Lost},
    hub::Item,
    kernel::counters::Loss,
};

/// What the system says once a second.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Nanoseconds after boot.
    pub now_ns: u64,
    /// The distance to the calendar.
    pub clock: Clock,
    /// All losses since the programs were loaded.
    pub losses: Vec<Loss>,
}

impl Pipeline {
    /// Forgets what is old, takes the clock's word, tells of losses.
    pub fn tick(&mut self, tick: &Tick) {
        self.now_ns = tick.now_ns;
        self.ask();
        self.settle();
        // Before containers that have ended are forgotten.
        if let Some(inventory) = &mut self.inventory {
            inventory.tick(&self.state, &self.stats.inventory);
        }
        self.state.sweep(tick.now_ns);
        self.context.clock = tick.clock;
        self.state.clock = tick.clock;
        self.report_losses(&tick.losses);
        self.show();
    }

    /// Shows how full the tables are to those who look on.
    fn show(&self) {
        let (counts, state) = (&self.stats, &self.state);
        counts.pending.set(self.pending.len() as u64);
        counts.pending_evicted.set(self.pending.evicted);
        counts.processes.set(state.processes.len() as u64);
        counts.processes_evicted.set(state.processes.evicted);
        counts.processes_unknown.set(state.processes.unknown);
        counts.records_unready.set(self.hold.unready);
        counts.detections_not_completed.set(self.hold.not_completed);
        counts.programs.set(state.programs.files.len() as u64);
        counts.environments.set(state.environments.answers().len() as u64);
        counts.environments_dropped.set(state.environments.dropped);
        counts.workloads.set(state.workloads.len().0 as u64);
        counts
            .users
            .set((state.inside.names.len() + state.inside.namespaces.len()) as u64);
        let cgroups: Vec<_> = state.cgroups.iter().map(Arc::downgrade).collect();
        counts.cgroups.set(cgroups.len() as u64);
        counts.cgroups_evicted.set(state.cgroups.evicted);
        counts.containers.set(state.residences.len() as u64);
        counts.cgroup_list.store(Arc::new(cgroups));
    }

    /// Puts what the kernel has lost since the last time into the stream.
    fn report_losses(&mut self, losses: &[Loss]) {
        let now_ns = self.context.clock.epoch_ns(self.now_ns);
        // Before the first time, since the agent began.
        let since_ns = match self.told_between.1 {
            0 => self.context.clock.epoch_ns(self.context.start_ns),
            told_ns => told_ns,
        };
        self.told_between = (since_ns, now_ns);
        for loss in losses {
            let &Loss {
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
            let gap = detection::gap(Lost {
                cause: cause.name(),
                kind: kind.name(),
                count: new,
                between: self.told_between,
                cgroup_id,
                container,
            });
            self.outlet.publish(&Item::Gap(Arc::new(gap)));
        }
    }

    /// Tells that a program was not run because it ran already, since losses were told before: whose events those were,
    /// nobody knows.
    pub fn tell_misses(&mut self, program: &str, count: u64) {
        tracing::error!(
            program,
            count,
            "a program was not run, because it ran already: events were lost"
        );
        let gap = detection::gap(Lost {
            cause: "program_miss",
            kind: program,
            count,
            between: self.told_between,
            cgroup_id: 0,
            container: "",
        });
        self.outlet.publish(&Item::Gap(Arc::new(gap)));
    }
}
