//! Connections that rules deny: what the agent tells the programs, and what they count.

/// Tests at most, over all rules; each is one way in which a rule can match.
pub const DENY_TESTS_MAX: u32 = 64;

/// Rules at most that have the action.
pub const DENY_RULES_MAX: u32 = 32;

/// Levels of the cgroup hierarchy in which protected cgroups are looked for.
pub const PROTECTED_LEVELS_MAX: i32 = 12;

/// Cgroups whose denials are capped apart; of further ones the one not seen for longest is forgotten.
pub const DENY_CGROUPS_MAX: u32 = 4096;

/// Tasks with a denied call that has not ended yet.
pub const DENY_MARKS_MAX: u32 = 4096;

/// What is done about a connection that a test matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DenyMode {
    /// The test is not in use.
    Off = 0,
    /// It is counted, and goes on.
    Observe = 1,
    /// It is denied.
    Enforce = 2,
}

/// All of these must hold. Addresses are those of IPv6, an IPv4 address as `::ffff:a.b.c.d`, in numbers of the
/// machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DenyTest {
    /// Of the address, the upper half.
    pub address_high: u64,
    /// The lower half.
    pub address_low: u64,
    /// Bits of the upper half that count.
    pub mask_high: u64,
    /// Bits of the lower half that count.
    pub mask_low: u64,
    /// The lowest port.
    pub port_min: u32,
    /// The highest port.
    pub port_max: u32,
    /// IP protocol; 0 is any.
    pub protocol: u32,
    /// 1 when `uid` counts.
    pub has_uid: u32,
    /// Real user id.
    pub uid: u32,
    /// Number of the rule in [`DenyCounts`].
    pub rule: u32,
    /// [`DenyMode`]
    pub mode: u32,
    /// Filler.
    pub reserved: u32,
}

/// What became of a rule's connections. Each that matches is counted once in the first four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DenyCounts {
    /// Went on, because the rule observes.
    pub observed: u64,
    /// Denied.
    pub denied: u64,
    /// Went on, because their cgroup had its cap of denials.
    pub capped: u64,
    /// Went on, because the process is protected.
    pub protected: u64,
    /// Denied ones whose record has been made.
    pub reported: u64,
}
