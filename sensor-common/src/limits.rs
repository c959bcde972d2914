//! Every bound of the kernel side, with its reason.

/// Scratch slots per CPU. Our programs run with preemption off, so two can only meet on one CPU when an
/// interrupt's program interrupts a task's; the second slot is for that one.
pub const SCRATCH_SLOTS: u32 = 2;

/// Where the tail of a record may still begin a new piece. A power of two: the verifier learns the bound
/// from a mask.
pub const TAIL_OFFSET_MAX: usize = 16 * 1024;

/// The longest single piece of a tail, in bytes: the kernel's `PATH_MAX`. A power of two, as above.
pub const PIECE_BYTES_MAX: usize = 4096;

/// The room of one record: all of the tail, and a last piece that begins at its very end.
pub const RECORD_BYTES_MAX: usize = TAIL_OFFSET_MAX + PIECE_BYTES_MAX;

/// Components of a path that are walked. Deeper ones lose their root side and say so
/// (`PATH_TRUNCATED`). Each step is unrolled by the verifier of every supported kernel.
pub const PATH_COMPONENTS_MAX: usize = 64;

/// The longest component, in bytes (`NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;

/// Steps of one walk: components, and mounts crossed on the way.
pub const PATH_STEPS_MAX: usize = PATH_COMPONENTS_MAX + 16;

/// Bytes of argv kept from its start.
pub const ARGV_HEAD_BYTES_MAX: usize = 4000;

/// Bytes of argv kept from its end when it does not fit: what matters of a long command line is often
/// its last argument.
pub const ARGV_TAIL_BYTES_MAX: usize = 1024;

/// Levels of a cgroup's path that are walked. Kubernetes on systemd makes seven.
pub const CGROUP_LEVELS_MAX: usize = 16;

/// System call numbers that the dispatcher knows, for 64-bit and 32-bit callers alike.
pub const SYSCALLS_MAX: u32 = 512;

/// Cgroups whose losses are told apart; all further ones share the entry of id 0.
pub const LOSS_CGROUPS_MAX: u32 = 4096;

/// Cgroups that have a budget of their own; those that no longer fit have none, and lose nothing by it.
pub const BUDGET_CGROUPS_MAX: u32 = 4096;

/// Processes and kinds whose first events are counted; the longest unused are forgotten, and begin again.
pub const FIRST_EVENTS_MAX: u32 = 8192;

/// Events of a kind that each process may send beyond its cgroup's budget.
pub const FIRST_EVENTS_OF_PROCESS: u32 = 16;

/// How many events beyond its rate a cgroup may send at once, as a part of a second's.
pub const BUDGET_BURST_DIVISOR: u64 = 4;

/// Destinations of datagrams that are remembered, each with its process; the longest unused are forgotten, and told
/// again when they are next sent to.
pub const DESTINATIONS_MAX: u32 = 8192;

/// For how long after a datagram was told its process's further ones to the same destination are only counted, in
/// nanoseconds.
pub const DESTINATION_KNOWN_NS: u64 = 60_000_000_000;

/// Sockets' own events that wait for the exit of their call; the longest unused are forgotten, and told as they stand.
pub const BEGUN_MAX: u32 = 8192;
