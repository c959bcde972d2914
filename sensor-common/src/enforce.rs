//! What rules deny or kill for: what the agent tells the programs, and what they count.

/// Tests at most, over all rules; each is one way in which a rule can match.
pub const DENY_TESTS_MAX: u32 = 64;

/// Rules at most that have the action.
pub const DENY_RULES_MAX: u32 = 32;

/// Levels of the cgroup hierarchy, from the process's own upwards, in which protected cgroups are looked for.
pub const PROTECTED_LEVELS_MAX: u32 = 16;

/// Cgroups whose denials are capped apart; of further ones the one not seen for longest is forgotten.
pub const DENY_CGROUPS_MAX: u32 = 4096;

/// Tasks with a denied call that has not ended yet.
pub const DENY_MARKS_MAX: u32 = 4096;

/// Bytes of a path that are compared. A rule's constant is shorter, so that a longer path equals none.
pub const PATH_KEY_BYTES: usize = 256;

/// Paths at most, over all rules, in each of the two tables.
pub const DENY_PATHS_MAX: u32 = 8192;

/// Slots for the paths of operations that are being decided; each is one preempted task's.
pub const LSM_SLOTS: u32 = 16;

/// What a process is about to do, as bits of [`DenyTest::operations`].
pub mod operations {
    /// Connects an internet socket.
    pub const CONNECT: u32 = 1 << 0;
    /// Starts a program by its path.
    pub const EXECVE: u32 = 1 << 1;
    /// Starts a program by a descriptor.
    pub const EXECVEAT: u32 = 1 << 2;
    /// Opens a file, by whatever call.
    pub const OPEN: u32 = 1 << 3;
    /// Gives an internet socket an address.
    pub const BIND: u32 = 1 << 4;
    /// How far to the left the bits stand that say what tests kill for, where both are told in one word.
    pub const KILL_SHIFT: u32 = 16;
}

/// What a file is opened for, as bits of [`DenyTest::access`].
pub mod access {
    /// Reading.
    pub const READ: u32 = 1 << 0;
    /// Writing.
    pub const WRITE: u32 = 1 << 1;
}

/// What is done about an operation that a test matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DenyMode {
    /// The test is not in use.
    Off = 0,
    /// It is counted, and goes on.
    Observe = 1,
    /// The rule's action is taken.
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
    /// What the process must be about to do: one of [`operations`].
    pub operations: u32,
    /// What the file must be opened for: all of [`access`]; 0 is anything.
    pub access: u32,
    /// 1 when the path's entry in the table of the operation must name this test.
    pub has_paths: u32,
    /// Number of this test, below [`DENY_TESTS_MAX`]: the bit of it in the tables of paths. It stays when tests are
    /// put into another order.
    pub number: u32,
    /// 1 when the process is killed, 0 when the operation is denied.
    pub kills: u32,
}

/// What became of a rule's operations. Each that matches is counted once in the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DenyCounts {
    /// Went on, because the rule observes.
    pub observed: u64,
    /// Denied.
    pub denied: u64,
    /// Went on, because their cgroup had its cap.
    pub capped: u64,
    /// Went on, because the process is protected.
    pub protected: u64,
    /// The process was killed.
    pub killed: u64,
    /// Denied or killed ones whose record has been made.
    pub reported: u64,
}
