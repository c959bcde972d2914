//! Reading what the kernel side counts.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuArray, PerCpuHashMap},
};
use sensor_common::{
    counters::{KindCounters, LossCause, LossKey},
    kind::{KIND_COUNT, Kind},
};

use super::inspect;

/// [`KindCounters`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct CountersValue(KindCounters);

// SAFETY: seven u64 without padding; every bit pattern is a value.
unsafe impl Pod for CountersValue {}

/// [`LossKey`] as a map's key.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct LossMapKey(pub(super) LossKey);

// SAFETY: a u64 and two u32 without padding; every bit pattern is a value.
unsafe impl Pod for LossMapKey {}

/// One line of the losses by cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// 0 for the cgroups that no longer fit into the map.
    pub cgroup_id: u64,
    /// Of which kind.
    pub kind: Kind,
    /// Why.
    pub cause: LossCause,
    /// How many, since the programs were loaded.
    pub count: u64,
}

/// The counters' maps.
pub struct Counters {
    pub(super) kinds: PerCpuArray<MapData, CountersValue>,
    pub(super) losses: PerCpuHashMap<MapData, LossMapKey, u64>,
    /// Every program that was loaded, by name.
    pub(super) programs: Vec<(String, OwnedFd)>,
}

impl Counters {
    /// Sums over all CPUs, one entry a kind in the order of [`Kind::ALL`].
    pub fn kinds(&self) -> Result<[KindCounters; KIND_COUNT], MapError> {
        let mut sums = [KindCounters::default(); KIND_COUNT];
        for (kind, sum) in Kind::ALL.into_iter().zip(&mut sums) {
            for CountersValue(part) in self.kinds.get(&(kind as u32), 0)?.iter() {
                sum.seen += part.seen;
                sum.filtered += part.filtered;
                sum.sent += part.sent;
                sum.truncated += part.truncated;
                sum.lost_ring_full += part.lost_ring_full;
                sum.lost_scratch_busy += part.lost_scratch_busy;
                sum.lost_budget += part.lost_budget;
            }
        }
        Ok(sums)
    }

    /// Every loss that was counted for a cgroup.
    pub fn losses(&self) -> Result<Vec<Loss>, MapError> {
        let mut found = Vec::new();
        for entry in &self.losses {
            let (LossMapKey(key), values) = entry?;
            let count = values.iter().sum();
            let kind = u8::try_from(key.kind).ok().and_then(Kind::from_number);
            if let (Some(kind), Some(cause)) = (kind, LossCause::from_number(key.cause))
                && count > 0
            {
                found.push(Loss {
                    cgroup_id: key.cgroup_id,
                    kind,
                    cause,
                    count,
                });
            }
        }
        Ok(found)
    }

    /// How often each program was not run, because it ran already on the same CPU (`bpf_prog_inc_misses_counter`,
    /// `kernel/bpf/syscall.c`): events that no other counter knows of.
    #[must_use]
    pub fn misses(&self) -> Vec<(&str, u64)> {
        let mut found = Vec::with_capacity(self.programs.len());
        for (name, program) in &self.programs {
            if let Ok(facts) = inspect::program(program.as_fd()) {
                found.push((name.as_str(), facts.misses));
            }
        }
        found
    }
}
