//! Where generated filters are asked.
//!
//! The agent compiles rules into programs (`sensor-agent/src/kernel/filter/`). At the exit of system calls a tail call
//! hands the record over in this CPU's scratch slot; the filter gives the slot back and counts the event as filtered, or
//! goes on to what [`CONTINUE`](crate::maps::CONTINUE) names. Programs on cgroups have no slot: there the filter reads
//! the hook's own context, before a record is made.

use aya_ebpf::{EbpfContext, maps::ProgramArray, programs::BtfTracePointContext};
use sensor_common::filter::{HOOK_FIRST, Stage};

use crate::{
    emit,
    maps::{CONTINUE, FILTERS},
    scratch::Scratch,
};

/// Asks the filter of this stage and kind. Returns only where there is none: the event then goes on.
#[inline(always)]
pub(crate) fn ask(ctx: &BtfTracePointContext, stage: Stage, kind: u8) {
    // SAFETY: the scratch slot stays taken; whoever comes next finds it with `Scratch::current`.
    unsafe { FILTERS.tail_call(ctx, stage.slot_of(kind)) };
}

/// Asks the filter of this stage, and goes on to the collector's next program, which has room of its own before the
/// verifier. Returns never while the array is as the agent filled it; an event that ends here is counted as lost.
#[inline(always)]
pub(crate) fn ask_and_go_on(ctx: &BtfTracePointContext, scratch: Scratch, stage: Stage) {
    ask(ctx, stage, scratch.kind_number());
    // SAFETY: as in `ask`.
    unsafe { CONTINUE.tail_call(ctx, stage.slot_of(scratch.kind_number())) };
    emit::give_up(scratch, scratch.kind());
}

/// Asks the filter of a hook on cgroups. Returns only where there is none: the event then goes on.
#[inline(always)]
pub(crate) fn ask_hook<C: EbpfContext>(ctx: &C, of: &ProgramArray) {
    // SAFETY: nothing is held that a program that does not return would keep.
    unsafe { of.tail_call(ctx, HOOK_FIRST) };
}
