//! Every map, and the read-only data that the agent sets before load.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf},
};
use sensor_common::{
    counters::{DestinationKey, FirstKey, KindCounters, LossKey},
    enforce::{
        DENY_CGROUPS_MAX, DENY_MARKS_MAX, DENY_PATHS_MAX, DENY_RULES_MAX, DENY_TESTS_MAX, DenyCounts,
        DenyTest, LSM_SLOTS, PATH_KEY_BYTES,
    },
    filter::{HOOK_SLOTS, STAGE_SLOTS},
    kind::{KIND_COUNT, RING_COUNT},
    limits::{
        BEGUN_MAX, BUDGET_CGROUPS_MAX, DESTINATIONS_MAX, FIRST_EVENTS_MAX, LOSS_CGROUPS_MAX, SCRATCH_SLOTS, SYSCALLS_MAX,
    },
    syscall::{CALL_COUNT, HANDLER_COUNT, IO_OPERATIONS_MAX, Places, Route, SOCKET_CALLS_MAX},
};

use crate::{enforce::PathKey, probe::lsm::LsmSlot, scratch::Slot};

/// Fork, exec, exit. The agent sets its size.
#[map]
pub(crate) static LIFECYCLE: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// What is rare and matters by itself. The agent sets its size.
#[map]
pub(crate) static CRITICAL: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Files and connections. The agent sets its size.
#[map]
pub(crate) static ACTIVITY: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// 1 while the reader of the rings sleeps and wants to be woken.
#[map]
pub(crate) static ASLEEP: Array<u32> = Array::with_max_entries(1, 0);

/// When the budget of each cgroup is full again, in nanoseconds after boot.
#[map]
pub(crate) static BUDGETS: HashMap<u64, u64> = HashMap::with_max_entries(BUDGET_CGROUPS_MAX, 0);

/// How many of which kind each process has sent while its cgroup was out of budget.
#[map]
pub(crate) static FIRST_EVENTS: LruHashMap<FirstKey, u32> = LruHashMap::with_max_entries(FIRST_EVENTS_MAX, 0);

/// Where records are put together.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Slot> = PerCpuArray::with_max_entries(SCRATCH_SLOTS, 0);

/// How many slots of this CPU are in use.
#[map]
pub(crate) static SCRATCH_DEPTH: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// One entry a kind.
#[map]
pub(crate) static COUNTERS: PerCpuArray<KindCounters> = PerCpuArray::with_max_entries(KIND_COUNT as u32, 0);

/// Losses by cgroup; touched only when something is lost.
#[map]
pub(crate) static LOSSES: PerCpuHashMap<LossKey, u64> = PerCpuHashMap::with_max_entries(LOSS_CGROUPS_MAX, 0);

/// Sequence numbers, one a ring.
#[map]
pub(crate) static SEQUENCES: PerCpuArray<u64> = PerCpuArray::with_max_entries(RING_COUNT as u32, 0);

/// One entry: which hooks are attached, as bits of [`sensor_common::hook::sources`].
#[map]
pub(crate) static SOURCES: Array<u32> = Array::with_max_entries(1, 0);

/// What each system call number leads to. The agent fills in the calls that loaded rules need.
#[map]
pub(crate) static ROUTES: Array<Route> = Array::with_max_entries(SYSCALLS_MAX, 0);

/// What the first argument of the 32-bit `socketcall` leads to: a call's number, and its handler's in the next byte.
#[map]
pub(crate) static SOCKET_CALLS: Array<u32> = Array::with_max_entries(SOCKET_CALLS_MAX, 0);

/// What each operation of `io_uring` stands for: a call's number, 0 for those that are not followed.
#[map]
pub(crate) static IO_CALLS: Array<u32> = Array::with_max_entries(IO_OPERATIONS_MAX, 0);

/// Destinations that processes have sent datagrams to, and until when further ones are only counted.
#[map]
pub(crate) static DESTINATIONS: LruHashMap<DestinationKey, u64> =
    LruHashMap::with_max_entries(DESTINATIONS_MAX, 0);

/// Events that a socket has told before the exit of its call, by their key: no other's end is told.
#[map]
pub(crate) static BEGUN: LruHashMap<u64, u32> = LruHashMap::with_max_entries(BEGUN_MAX, 0);

/// What each call's arguments mean, by [`Call`](sensor_common::syscall::Call). The agent fills it in before load.
#[map]
pub(crate) static CALLS: Array<Places> = Array::with_max_entries(CALL_COUNT as u32, 0);

/// The programs that the exit dispatcher goes on to.
#[map]
pub(crate) static HANDLERS: ProgramArray = ProgramArray::with_max_entries(HANDLER_COUNT, 0);

/// Generated filters, by stage and kind. An empty slot passes every event.
#[map]
pub(crate) static FILTERS: ProgramArray = ProgramArray::with_max_entries(STAGE_SLOTS, 0);

/// What a filter goes on to with an event that it does not leave out; none is ever empty.
#[map]
pub(crate) static CONTINUE: ProgramArray = ProgramArray::with_max_entries(STAGE_SLOTS, 0);

/// The filters of the hooks on cgroups, each in an array of its own.
#[map]
pub(crate) static FILTER_CONNECT4: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);
#[map]
pub(crate) static FILTER_CONNECT6: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);
#[map]
pub(crate) static FILTER_SENDMSG4: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);
#[map]
pub(crate) static FILTER_SENDMSG6: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);
#[map]
pub(crate) static FILTER_BIND4: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);
#[map]
pub(crate) static FILTER_BIND6: ProgramArray = ProgramArray::with_max_entries(HOOK_SLOTS, 0);

/// What is denied or killed for. The agent fills it in from the start; the first that is off ends it.
#[map]
pub(crate) static DENY_TESTS: Array<DenyTest> = Array::with_max_entries(DENY_TESTS_MAX, 0);

/// One entry a rule.
#[map]
pub(crate) static DENY_COUNTS: Array<DenyCounts> = Array::with_max_entries(DENY_RULES_MAX, 0);

/// One entry: what the tests are about, as bits of [`sensor_common::enforce::operations`].
#[map]
pub(crate) static DENY_OPERATIONS: Array<u32> = Array::with_max_entries(1, 0);

/// Paths of programs, and beginnings of such, that tests name; the value has a bit for each test.
#[map]
pub(crate) static DENY_PROGRAMS: LpmTrie<[u8; PATH_KEY_BYTES], u64> =
    LpmTrie::with_max_entries(DENY_PATHS_MAX, 0);

/// The same of files.
#[map]
pub(crate) static DENY_FILES: LpmTrie<[u8; PATH_KEY_BYTES], u64> =
    LpmTrie::with_max_entries(DENY_PATHS_MAX, 0);

/// Where a path is put to be looked up.
#[map]
pub(crate) static DENY_KEYS: PerCpuArray<PathKey> = PerCpuArray::with_max_entries(1, 0);

/// Where an LSM program puts a record together: it can be preempted, so a slot is nobody else's only by its entry in
/// [`LSM_CLAIMS`].
#[map]
pub(crate) static LSM_SLOTS_OF: Array<LsmSlot> = Array::with_max_entries(LSM_SLOTS, 0);

/// Slots in use.
#[map]
pub(crate) static LSM_CLAIMS: HashMap<u32, u32> = HashMap::with_max_entries(LSM_SLOTS, 0);

/// Denials that one cgroup may have within the agent's window, which empties [`DENY_CGROUPS`].
#[map]
pub(crate) static DENY_LIMIT: Array<u64> = Array::with_max_entries(1, 0);

/// Denials of each cgroup within the window.
#[map]
pub(crate) static DENY_CGROUPS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(DENY_CGROUPS_MAX, 0);

/// Cgroups whose processes nothing is denied.
#[map]
pub(crate) static DENY_PROTECTED: HashMap<u64, u32> = HashMap::with_max_entries(DENY_CGROUPS_MAX, 0);

/// Threads whose call was denied and has not ended, with the rule and whether they are to be killed.
#[map]
pub(crate) static DENY_MARKS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(DENY_MARKS_MAX, 0);
