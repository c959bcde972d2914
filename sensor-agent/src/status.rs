//! What `Agent.Status` and the metrics show of the pipeline and the kernel side.

mod coverage;
mod rules;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use sensor_common::{
    counters::KindCounters,
    kind::{Kind, Ring},
    syscall::Call,
};
use sensor_proto::v1;

use crate::{
    detection::timestamp,
    identity::{hand::LEFT_BEHIND_MAX, worker::Counts},
    kernel::{attach::HookStatus, counters::Counters},
    kubernetes::Health,
    metrics::{LiveSource, TableFill},
    pending::PENDING_MAX,
    runtime,
    selftest::health::Health as SelfTest,
    serve::StatusSource,
    state::{environment::ENVIRONMENTS_MAX, programs::PROGRAMS_MAX},
    stats::Stats,
};
pub use rules::LiveRules;

/// Everything that is asked for the agent's state.
pub struct Live {
    /// What the pipeline counts.
    pub stats: Arc<Stats>,
    /// What the kernel counts.
    pub counters: Arc<Counters>,
    /// What was looked up of users.
    pub identity: Arc<Counts>,
    /// What is attached; replaced when rules need other hooks.
    pub hooks: ArcSwap<Vec<HookStatus>>,
    /// What does not work here.
    pub degraded: Vec<String>,
    /// What the self-test found.
    pub health: Arc<SelfTest>,
    /// Whether pods are followed, where they are to be.
    pub kubernetes: Option<Arc<Health>>,
    /// How runtimes' sockets do.
    pub runtimes: Vec<Arc<runtime::socket::Health>>,
    /// The name that detections carry.
    pub hostname: Arc<str>,
    /// When the agent started, in nanoseconds since 1970.
    pub start_epoch_ns: u64,
    /// The rules in use.
    pub rules: ArcSwap<LiveRules>,
    /// The calls that are reported; replaced with the hooks.
    pub calls: ArcSwap<Vec<Call>>,
    /// The most workloads in the inventory; 0 where none is kept.
    pub inventory_max: u64,
    /// Bounds of the tables of processes and cgroups.
    pub tables_max: (u64, u64),
}

impl Live {
    /// What does not work, as sentences.
    fn reasons(&self, rules: &LiveRules) -> Vec<String> {
        self.degraded
            .iter()
            .cloned()
            .chain(
                self.kubernetes
                    .iter()
                    .filter_map(|kubernetes| kubernetes.degraded()),
            )
            .chain(self.runtimes.iter().filter_map(|socket| socket.degraded()))
            .chain(rules.refusal())
            .chain(self.health.degraded().iter().cloned())
            .collect()
    }

    fn counted(&self) -> Vec<(Kind, KindCounters)> {
        match self.counters.kinds() {
            Ok(counters) => Kind::ALL.into_iter().zip(counters).collect(),
            Err(error) => {
                tracing::warn!(%error, "the kernel's counters cannot be read");
                Vec::new()
            }
        }
    }

    fn cgroups(&self) -> Vec<v1::CgroupCounters> {
        let mut lost: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
        for loss in self.counters.losses().unwrap_or_default() {
            *lost
                .entry(loss.cgroup_id)
                .or_default()
                .entry(loss.kind.name().to_owned())
                .or_default() += loss.count;
        }
        let known = self.stats.cgroup_list.load();
        let mut found: Vec<_> = known
            .iter()
            .filter_map(Weak::upgrade)
            .map(|cgroup| v1::CgroupCounters {
                cgroup_id: cgroup.id,
                path: String::from_utf8_lossy(&cgroup.path).into_owned(),
                container: cgroup
                    .container
                    .as_ref()
                    .map_or_else(String::new, |container| container.id.to_string()),
                delivered: Kind::ALL
                    .into_iter()
                    .map(|kind| (kind.name().to_owned(), cgroup.delivered(kind)))
                    .filter(|(_, count)| *count > 0)
                    .collect(),
                lost: lost.remove(&cgroup.id).unwrap_or_default(),
            })
            .collect();
        found.extend(lost.into_iter().map(|(cgroup_id, lost)| v1::CgroupCounters {
            cgroup_id,
            lost,
            ..Default::default()
        }));
        found
    }
}

impl StatusSource for Live {
    fn status(&self) -> v1::StatusResponse {
        let rules = self.rules.load();
        v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.hostname.to_string(),
            start_time: Some(timestamp(self.start_epoch_ns)),
            start_to_first_event_ns: self.stats.first_event_ns.get(),
            hooks: self
                .hooks
                .load()
                .iter()
                .map(|hook| v1::Hook {
                    name: hook.name.clone(),
                    attached: hook.attached,
                    kinds: hook.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
                    reason: hook.reason.clone(),
                })
                .collect(),
            kinds: self.kinds(),
            cgroups: self.cgroups(),
            rules: Some(rules.status()),
            state: Some(v1::State {
                processes: self.stats.processes.get(),
                containers: self.stats.containers.get(),
                resident_bytes: resident_bytes(),
            }),
            subscribers: Vec::new(),
            degraded: self.reasons(&rules),
        }
    }
}

impl LiveSource for Live {
    fn kinds(&self) -> Vec<v1::KindCounters> {
        self.counted()
            .into_iter()
            .map(|(kind, counted)| v1::KindCounters {
                kind: kind.name().to_owned(),
                seen: counted.seen,
                filtered: counted.filtered,
                sent: counted.sent,
                truncated: counted.truncated,
                delivered: self.stats.delivered_of(kind),
                // A record that is not understood does not tell its kind: its ring's first kind has it.
                malformed: if Kind::ALL.into_iter().find(|first| first.ring() == kind.ring()) == Some(kind) {
                    self.stats.malformed_of(kind.ring())
                } else {
                    0
                },
                lost: BTreeMap::from([
                    ("ring_full".to_owned(), counted.lost_ring_full),
                    ("scratch_busy".to_owned(), counted.lost_scratch_busy),
                    ("budget".to_owned(), counted.lost_budget),
                ]),
            })
            .collect()
    }

    fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let stats = &self.stats;
        let missing = Ring::ALL
            .into_iter()
            .map(|ring| stats.missing[ring as usize].get())
            .sum();
        let mut counts = vec![
            (
                "records_missing",
                "Records whose sequence numbers are missing: lost between a probe and the sensor",
                missing,
            ),
            (
                "pending_evicted",
                "Events told before their end was known because too many waited for it",
                stats.pending_evicted.get(),
            ),
            (
                "processes_evicted",
                "Processes forgotten because their table was full",
                stats.processes_evicted.get(),
            ),
            (
                "processes_unknown",
                "Processes that were first heard of by what they did",
                stats.processes_unknown.get(),
            ),
            (
                "cgroups_evicted",
                "Cgroups forgotten because their table was full",
                stats.cgroups_evicted.get(),
            ),
            (
                "records_unready",
                "Records matched without the facts of their container, which came too late",
                stats.records_unready.get(),
            ),
            (
                "detections_not_completed",
                "Detections without facts of their container that no update completed",
                stats.detections_not_completed.get(),
            ),
            (
                "containers_asked",
                "Containers that were looked for in the files of runtimes",
                stats.runtime_asked.get(),
            ),
            (
                "containers_unverified",
                "Containers of which no file of a runtime tells",
                stats.runtime_unknown.get(),
            ),
            (
                "containers_refused",
                "Containers that were not looked for, because too many waited",
                stats.runtime_refused.get(),
            ),
            (
                "environments_dropped",
                "Environments that were not kept, because all together took too much memory",
                stats.environments_dropped.get(),
            ),
            (
                "pipeline_busy_nanoseconds",
                "Time spent on decoding, enriching and matching",
                stats.busy_ns.get(),
            ),
        ];
        counts.extend(stats.inventory.counts());
        counts.extend(self.identity.told());
        counts.extend(self.health.counts());
        counts
    }

    fn misses(&self) -> Vec<(String, u64)> {
        let misses = self.counters.misses().into_iter();
        misses.map(|(name, count)| (name.to_owned(), count)).collect()
    }

    fn degraded(&self) -> Vec<String> {
        self.reasons(&self.rules.load())
    }

    fn tables(&self) -> Vec<TableFill> {
        vec![
            TableFill {
                table: "pending",
                entries: self.stats.pending.get(),
                entries_max: PENDING_MAX as u64,
            },
            TableFill {
                table: "processes",
                entries: self.stats.processes.get(),
                entries_max: self.tables_max.0,
            },
            TableFill {
                table: "containers",
                entries: self.stats.workloads.get(),
                entries_max: self.tables_max.1,
            },
            TableFill {
                table: "programs",
                entries: self.stats.programs.get(),
                entries_max: PROGRAMS_MAX as u64,
            },
            TableFill {
                table: "environments",
                entries: self.stats.environments.get(),
                entries_max: ENVIRONMENTS_MAX as u64,
            },
            TableFill {
                table: "users",
                entries: self.stats.users.get(),
                entries_max: 2 * self.tables_max.1,
            },
            TableFill {
                table: "identity_threads_left_behind",
                entries: self.identity.left_behind.load(Relaxed),
                entries_max: LEFT_BEHIND_MAX,
            },
            TableFill {
                table: "inventory",
                entries: self.stats.inventory.workloads.get(),
                entries_max: self.inventory_max,
            },
            TableFill {
                table: "cgroups",
                entries: self.stats.cgroups.get(),
                entries_max: self.tables_max.1,
            },
        ]
    }
}

/// This process's resident memory, in bytes; 0 where /proc does not tell.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| {
        text.split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok())
    });
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
