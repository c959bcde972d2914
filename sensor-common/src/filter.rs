//! Where generated filters stand between collectors and rings.
//!
//! A collector goes through program arrays by tail call: first to the filter of its stage and kind, if there is one,
//! and from there to what comes next. An empty slot of the filters passes every event. Each hook on cgroups has an array
//! of its own, since the kernel lets programs of one type and hook alone be in one.

use crate::kind::{KIND_COUNT, Kind};

/// How much of a record is there when a filter looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stage {
    /// Numbers of the fixed part and flags; no text has been collected, and only of the kinds that collect some.
    Early = 0,
    /// All but who did it and an open file's whole identity, which are added to what is sent.
    Late = 1,
}

/// Number of kinds, as the index of a map.
#[expect(clippy::cast_possible_truncation, reason = "a kind's number has eight bits")]
const KINDS: u32 = KIND_COUNT as u32;

/// Slots of the arrays of filters and of what follows them.
pub const STAGE_SLOTS: u32 = 2 * KINDS;

/// Programs of one filter at most: a filter at each stage and the collector's own programs stay below the 33 tail calls
/// that the kernel allows (`MAX_TAIL_CALL_CNT`, `include/linux/bpf.h`; 32 before 5.17).
pub const PARTS_MAX: u32 = 12;

/// Slots of the array of filters' further parts.
pub const PART_SLOTS: u32 = STAGE_SLOTS * PARTS_MAX;

/// The first slot of the parts of the filter in this slot.
#[must_use]
pub const fn first_part(slot: u32) -> u32 {
    slot * PARTS_MAX
}

/// Slots of a cgroup hook's own array: where its filter begins, what the filter goes on to, and further parts.
pub const HOOK_FIRST: u32 = 0;
/// What the filter goes on to with an event that it does not leave out.
pub const HOOK_NEXT: u32 = 1;
/// The first of the filter's parts: [`HOOK_FIRST`] has it too.
pub const HOOK_PARTS: u32 = 2;
/// Slots of such an array.
pub const HOOK_SLOTS: u32 = HOOK_PARTS + PARTS_MAX;

impl Stage {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Early, Self::Late];

    /// The slot of a kind at this stage.
    #[must_use]
    pub const fn slot(self, kind: Kind) -> u32 {
        self.slot_of(kind as u8)
    }

    /// As [`slot`](Self::slot), of a kind's number.
    #[must_use]
    pub const fn slot_of(self, kind: u8) -> u32 {
        self as u32 * KINDS + kind as u32
    }

    /// Its name in status and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Late => "late",
        }
    }
}
