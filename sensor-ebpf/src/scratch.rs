//! Scratch slots: where a record is put together before it is sent.
//!
//! Our programs run with preemption off (`__bpf_trace_run`, `kernel/trace/bpf_trace.c`), so whoever
//! interrupts a program ends before it goes on: slots are taken and given back as on a stack, and one
//! counter a CPU says how many are taken.

use core::{arch::asm, ptr};

use sensor_common::{
    hook::Hook,
    kind::Kind,
    limits::{PATH_COMPONENTS_MAX, RECORD_BYTES_MAX, SCRATCH_SLOTS, TAIL_OFFSET_MAX},
    record::{Header, Span},
};

use crate::maps::{SCRATCH, SCRATCH_DEPTH};

/// One component of a path, as the walk finds it: leaf first.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Component {
    /// Kernel address of the name.
    pub(crate) name: u64,
    /// In bytes.
    pub(crate) len: u64,
}

/// One record in the making.
///
/// VERIFIER: what changes along the way (`end`, `count`, `cursor`, the header's flags) lives here and not in
/// registers. The verifier does not track what map values hold, so the many ways through a collector
/// become one state wherever they meet; in registers they multiply, and exec alone passes its limit of a
/// million instructions.
#[repr(C)]
pub(crate) struct Slot {
    /// Header, fixed part, tail.
    pub(crate) record: [u8; RECORD_BYTES_MAX],
    /// The path that is being walked.
    pub(crate) components: [Component; PATH_COMPONENTS_MAX],
    /// Components found.
    pub(crate) count: u64,
    /// Where its text ends so far.
    pub(crate) cursor: u64,
    /// Bytes of the record in use.
    pub(crate) end: u64,
    /// A kernel object that one program of a collector hands to the next; 0 for none.
    pub(crate) object: u64,
}

/// A slot in use.
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    slot: *mut Slot,
}

/// Masks an offset into the tail in a way that the compiler cannot see through.
///
/// VERIFIER: the compiler knows the offset's bound from a comparison and drops an ordinary mask; the
/// verifier, which tracks registers, not values, then no longer sees a bound.
#[inline(always)]
pub(crate) fn bounded_offset(offset: u64) -> u64 {
    let mut bounded = offset;
    // SAFETY: changes only its own operand.
    unsafe { asm!("{0} &= {1}", inout(reg) bounded, const (TAIL_OFFSET_MAX - 1) as i32) };
    bounded
}

/// Clears a structure of whole words. An assignment becomes a call that stores byte after byte.
#[inline(always)]
pub(crate) fn clear<T>(value: &mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let words = ptr::from_mut(value).cast::<u64>();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: inside the structure, which is made of integers; volatile, so that it stays a loop over words.
        unsafe { ptr::write_volatile(words.add(word), 0) };
    }
}

/// As [`bounded_offset`], for lengths below 4096.
#[inline(always)]
pub(crate) fn bounded_len(len: u64) -> u64 {
    let mut bounded = len;
    // SAFETY: changes only its own operand.
    unsafe { asm!("{0} &= 0xfff", inout(reg) bounded) };
    bounded
}

impl Scratch {
    /// Takes a slot for a record with this fixed part, or `None` when all of this CPU's are in use.
    #[inline(always)]
    pub(crate) fn take<Fixed>() -> Option<Self> {
        let depth = SCRATCH_DEPTH.get_ptr_mut(0)?;
        // SAFETY: a per-CPU value that only this CPU touches, with preemption off.
        let taken = unsafe { *depth };
        if taken >= SCRATCH_SLOTS {
            return None;
        }
        let slot = SCRATCH.get_ptr_mut(taken)?;
        // SAFETY: as above.
        unsafe { *depth = taken + 1 };
        let mut scratch = Self { slot };
        scratch.begin::<Fixed>(Hook::Usual);
        Some(scratch)
    }

    /// A record in a slot that is the caller's in another way; it is not to be released.
    #[inline(always)]
    pub(crate) fn over(slot: *mut Slot) -> Self {
        Self { slot }
    }

    /// Begins a record with this fixed part.
    #[inline(always)]
    pub(crate) fn begin<Fixed>(&mut self, hook: Hook) {
        self.set_end((size_of::<Header>() + size_of::<Fixed>()) as u64);
        let header = self.header();
        header.flags = 0;
        header.hook = hook as u32;
        header.key = 0;
    }

    /// The slot that this CPU took last: how a program that was reached by tail call goes on.
    #[inline(always)]
    pub(crate) fn current() -> Option<Self> {
        let depth = SCRATCH_DEPTH.get_ptr_mut(0)?;
        // SAFETY: as in `take`.
        let taken = unsafe { *depth };
        Some(Self {
            slot: SCRATCH.get_ptr_mut(taken.checked_sub(1)?)?,
        })
    }

    /// Gives the slot back.
    #[inline(always)]
    pub(crate) fn release(self) {
        if let Some(depth) = SCRATCH_DEPTH.get_ptr_mut(0) {
            // SAFETY: as in `take`.
            unsafe { *depth = (*depth).saturating_sub(1) };
        }
    }

    /// The header.
    #[inline(always)]
    pub(crate) fn header(&mut self) -> &mut Header {
        // SAFETY: the record begins with the header, and map values are aligned to 8 bytes.
        unsafe { &mut *self.slot.cast::<Header>() }
    }

    /// The kind of a call's record, as a number.
    ///
    /// VERIFIER: read where it is needed, so that no register carries it along a collector's many ways.
    #[inline(always)]
    pub(crate) fn kind_number(&self) -> u8 {
        let at = self.slot.cast::<Header>();
        // SAFETY: the record begins with the header; volatile, as in `end`.
        unsafe { ptr::read_volatile(&raw const (*at).kind) }
    }

    /// The kind of a call's record.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Kind {
        // Whoever took the slot wrote a kind's number.
        Kind::from_number(self.kind_number()).unwrap_or(Kind::Outcome)
    }

    /// The fixed part. `Fixed` must be the type that the slot was taken for.
    #[inline(always)]
    pub(crate) fn fixed<Fixed>(&mut self) -> &mut Fixed {
        // SAFETY: it follows the header, whose size is a multiple of 8; its room was set aside by `take`.
        unsafe { &mut *self.slot.cast::<u8>().add(size_of::<Header>()).cast::<Fixed>() }
    }

    /// The slot, for code that walks paths.
    #[inline(always)]
    pub(crate) fn slot(&self) -> *mut Slot {
        self.slot
    }

    /// Hands a kernel object to the next program of the collector; 0 for none.
    #[inline(always)]
    pub(crate) fn hand_over(&mut self, object: u64) {
        // SAFETY: the slot is a live map value.
        unsafe { (*self.slot).object = object };
    }

    /// What [`hand_over`](Self::hand_over) left.
    #[inline(always)]
    pub(crate) fn handed_over(&self) -> u64 {
        // SAFETY: the slot is a live map value; volatile, as in `end`.
        unsafe { ptr::read_volatile(&raw const (*self.slot).object) }
    }

    /// First byte of the record.
    #[inline(always)]
    pub(crate) fn record(&self) -> *mut u8 {
        self.slot.cast()
    }

    /// Notes facts about the record.
    #[inline(always)]
    pub(crate) fn flag(&mut self, flags: u32) {
        self.header().flags |= flags;
    }

    /// Bytes in use.
    #[inline(always)]
    pub(crate) fn end(&self) -> u64 {
        // SAFETY: the slot is a live map value; volatile, so that the value is read back and not kept in a
        // register (see `Slot`).
        unsafe { ptr::read_volatile(&raw const (*self.slot).end) }
    }

    #[inline(always)]
    fn set_end(&mut self, end: u64) {
        // SAFETY: as in `end`.
        unsafe { ptr::write_volatile(&raw mut (*self.slot).end, end) };
    }

    /// Says that the tail now ends here.
    #[inline(always)]
    pub(crate) fn set_end_at(&mut self, end: u64) {
        self.set_end(end);
    }

    /// Says that the tail now ends here, and returns the span of what was added.
    #[inline(always)]
    pub(crate) fn advance(&mut self, end: u64) -> Span {
        let offset = self.end();
        self.set_end(end);
        Span {
            offset: offset as u16,
            len: (end - offset) as u16,
        }
    }

    /// Whether a next piece still has its room.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.end() < TAIL_OFFSET_MAX as u64
    }
}
