//! Where generated filters are asked.
//!
//! The agent compiles rules into programs that look at a scratch record and nothing else
//! (`sensor-agent/src/kernel/filter/`). A tail call hands the record over in this CPU's scratch slot; the filter gives
//! the slot back and counts the event as filtered, or goes on to what [`CONTINUE`](crate::maps::CONTINUE) names.

use aya_ebpf::programs::BtfTracePointContext;
use sensor_common::{filter::Stage, kind::Kind};

use crate::{
    emit,
    maps::{CONTINUE, FILTERS},
    scratch::Scratch,
};

/// Asks the filter of this stage and kind. Returns only where there is none: the event then goes on.
#[inline(always)]
pub(crate) fn ask(ctx: &BtfTracePointContext, stage: Stage, kind: Kind) {
    // SAFETY: the scratch slot stays taken; whoever comes next finds it with `Scratch::current`.
    unsafe { FILTERS.tail_call(ctx, stage.slot(kind)) };
}

/// Goes on to the collector's next program, which has room of its own before the verifier. Returns never while the
/// array is as the agent filled it; an event that ends here is counted as lost.
#[inline(always)]
pub(crate) fn go_on(ctx: &BtfTracePointContext, scratch: Scratch, stage: Stage, kind: Kind) {
    // SAFETY: as in `ask`.
    unsafe { CONTINUE.tail_call(ctx, stage.slot(kind)) };
    emit::give_up(scratch, kind);
}
