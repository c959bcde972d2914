//! What the kernel side counts: one [`KindCounters`] a kind and CPU, and losses by cgroup.
//!
//! Invariant, once nothing is in flight: `seen = filtered + sent + lost_ring_full + lost_scratch_busy + lost_budget`.

/// Counts of one kind on one CPU, since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KindCounters {
    /// Events that reached a probe.
    pub seen: u64,
    /// Left out on purpose: the agent's own, or failed calls when those are not wanted.
    pub filtered: u64,
    /// Written to the ring.
    pub sent: u64,
    /// Sent, with something cut or unreadable. A part of `sent`.
    pub truncated: u64,
    /// Lost: the ring had no room.
    pub lost_ring_full: u64,
    /// Lost: all scratch slots of the CPU were in use.
    pub lost_scratch_busy: u64,
    /// Lost: the cgroup had used up its budget.
    pub lost_budget: u64,
}

/// Why an event was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum LossCause {
    /// The ring had no room.
    RingFull = 0,
    /// All scratch slots of the CPU were in use.
    ScratchBusy = 1,
    /// The cgroup had used up its budget of bulk events.
    Budget = 2,
}

impl LossCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::RingFull, Self::ScratchBusy, Self::Budget];

    /// The cause of this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::RingFull),
            1 => Some(Self::ScratchBusy),
            2 => Some(Self::Budget),
            _ => None,
        }
    }

    /// Its name in metrics, status and gap records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::ScratchBusy => "scratch_busy",
            Self::Budget => "budget",
        }
    }
}

/// Key of the map of losses by cgroup; its value is a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct LossKey {
    /// 0 collects the cgroups that no longer fit into the map.
    pub cgroup_id: u64,
    /// A [`Kind`](crate::kind::Kind)'s number.
    pub kind: u32,
    /// A [`LossCause`]'s number.
    pub cause: u32,
}

/// Key of the map that counts the first events of a process and kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FirstKey {
    /// When the process began.
    pub start_time_ns: u64,
    /// Process id.
    pub tgid: u32,
    /// A [`Kind`](crate::kind::Kind)'s number.
    pub kind: u32,
}

/// Key of the map of destinations that a process has sent datagrams to; its value says until when, in nanoseconds after
/// boot, further ones are only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct DestinationKey {
    /// When the process began.
    pub start_time_ns: u64,
    /// IPv4 in the first four bytes, or IPv6.
    pub address: [u8; 16],
    /// Process id.
    pub tgid: u32,
    /// Host order.
    pub port: u16,
    /// `AF_*`
    pub family: u16,
}
