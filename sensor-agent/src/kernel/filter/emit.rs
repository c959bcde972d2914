//! From a formula to a program.
//!
//! VERIFIER: between two tests nothing is live but the context (R6), the record (R7) and the counter of scratch slots
//! (R8), so that all ways to a test become one state there, and a program takes the verifier time for its length.

mod hook;
mod text;

use std::mem::offset_of;

use super::{
    asm::{AsmError, Assembler, If, Label, R0, R1, R2, R3, R6, R7, R8, R10, Register, Width},
    formula::{Formula, Number},
    place::Place,
};
use sensor_common::{counters::KindCounters, kind::Kind};

/// `bpf_map_lookup_elem`, `bpf_tail_call` (`include/uapi/linux/bpf.h`)
const MAP_LOOKUP: i32 = 1;
const TAIL_CALL: i32 = 12;

/// Descriptors of the maps that a filter works on.
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    /// Slots with records.
    pub scratch: i32,
    /// How many of them are taken.
    pub depth: i32,
    /// One [`KindCounters`] a kind.
    pub counters: i32,
    /// What comes next.
    pub next: Slot,
    /// The parts of filters that are too large for one program, of which the first is here.
    pub parts: Slot,
}

/// A slot of a program array.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The array's descriptor.
    pub array: i32,
    /// Its index.
    pub index: u32,
}

/// What a filter returns at the exit of a call when it leaves an event out.
pub const FILTERED: u32 = 0;
/// What it returns there when an event passes and there is nothing to go on to.
pub const PASSED: u32 = 1;
/// What every program on cgroups returns: the call may happen.
pub const ALLOWED: u32 = 1;

/// The programs of a filter: an event passes where any of the formulas holds. Each but the last goes on to the slot of
/// the next among the parts.
pub fn programs(
    formulas: &[Formula],
    kind: Kind,
    place: Place,
    maps: Maps,
) -> Result<Vec<Vec<u64>>, AsmError> {
    let last = formulas.len().saturating_sub(1);
    let numbered = (maps.parts.index..).zip(formulas).enumerate();
    numbered
        .map(|(index, (slot, formula))| {
            let part = Slot {
                index: slot + 1,
                ..maps.parts
            };
            program(formula, kind, place, maps, (index < last).then_some(part))
        })
        .collect()
}

/// The program of a formula; what it does not let pass goes on to a further part, if there is one, or ends.
fn program(
    formula: &Formula,
    kind: Kind,
    place: Place,
    maps: Maps,
    part: Option<Slot>,
) -> Result<Vec<u64>, AsmError> {
    let mut asm = Assembler::default();
    let [pass, leave_out, end] = std::array::from_fn(|_| asm.label());
    asm.mov(R6, R1);
    let (filtered, passed, ended) = match place {
        Place::Exit(_) => {
            record_in_slot(&mut asm, maps, end);
            (FILTERED, PASSED, 0)
        }
        Place::Cgroup(hook) => {
            hook::record(&mut asm, hook);
            (ALLOWED, ALLOWED, ALLOWED)
        }
    };
    Emitter { asm: &mut asm, pass }.formula(formula, pass, leave_out);

    asm.bind(leave_out);
    if let Some(part) = part {
        tail_call(&mut asm, part);
        // A part that is not there decides nothing: the event passes.
        asm.jump(pass);
    } else {
        release(&mut asm, place);
        let filtered_of = offset_of!(KindCounters, filtered);
        count(&mut asm, maps, (kind, place), filtered_of, end);
        asm.set(R0, filtered.cast_signed());
        asm.exit();
    }

    asm.bind(pass);
    tail_call(&mut asm, maps.next);
    // Only an array that somebody emptied leads here: never silently.
    release(&mut asm, place);
    let lost = offset_of!(KindCounters, lost_scratch_busy);
    count(&mut asm, maps, (kind, place), lost, end);
    asm.set(R0, passed.cast_signed());
    asm.exit();

    asm.bind(end);
    asm.set(R0, ended.cast_signed());
    asm.exit();
    asm.finish()
}

/// R7 = the record, which is in the slot that was taken last; R8 = how many are taken.
fn record_in_slot(asm: &mut Assembler, maps: Maps, end: Label) {
    asm.set(R1, 0);
    lookup(asm, maps.depth, R1, end);
    asm.mov(R8, R0);
    asm.load(Width::B4, R1, R8, 0);
    asm.jump_if_imm(If::Eq, R1, 0, end);
    asm.add_imm(R1, -1);
    lookup(asm, maps.scratch, R1, end);
    asm.mov(R7, R0);
}

/// Goes on to a slot; comes back only where it is empty.
fn tail_call(asm: &mut Assembler, slot: Slot) {
    asm.mov(R1, R6);
    asm.set_map(R2, slot.array);
    asm.set(R3, slot.index.cast_signed());
    asm.call(TAIL_CALL);
}

/// R0 = the value of a number as key; goes to `absent` where there is none.
fn lookup(asm: &mut Assembler, map: i32, key: Register, absent: Label) {
    asm.store(Width::B4, R10, -4, key);
    asm.set_map(R1, map);
    asm.mov(R2, R10);
    asm.add_imm(R2, -4);
    asm.call(MAP_LOOKUP);
    asm.jump_if_imm(If::Eq, R0, 0, absent);
}

/// Gives the scratch slot back, where there is one.
fn release(asm: &mut Assembler, place: Place) {
    if matches!(place, Place::Cgroup(_)) {
        return;
    }
    asm.load(Width::B4, R1, R8, 0);
    asm.add_imm(R1, -1);
    asm.store(Width::B4, R8, 0, R1);
}

fn count(asm: &mut Assembler, maps: Maps, (kind, place): (Kind, Place), counter: usize, absent: Label) {
    asm.set(R1, i32::from(kind as u8));
    lookup(asm, maps.counters, R1, absent);
    let at = small(counter);
    if matches!(place, Place::Cgroup(_)) {
        // Such a program can be preempted by one that counts the same.
        asm.set(R1, 1);
        asm.add_to(R0, at, R1);
        return;
    }
    asm.load(Width::B8, R1, R0, at);
    asm.add_imm(R1, 1);
    asm.store(Width::B8, R0, at, R1);
}

/// Offsets into the fixed part of a record or into counters, all far below 32 KiB.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "it is compared before"
)]
const fn small(offset: usize) -> i16 {
    if offset > i16::MAX as usize {
        i16::MAX
    } else {
        offset as i16
    }
}

struct Emitter<'a> {
    asm: &'a mut Assembler,
    /// Where to go with what cannot be decided.
    pass: Label,
}

impl Emitter<'_> {
    /// Goes to `yes` or to `no`.
    fn formula(&mut self, formula: &Formula, yes: Label, no: Label) {
        match formula {
            Formula::All(parts) => {
                for part in parts {
                    let next = self.asm.label();
                    self.formula(part, next, no);
                    self.asm.bind(next);
                }
                self.asm.jump(yes);
            }
            Formula::Any(parts) => {
                for part in parts {
                    let next = self.asm.label();
                    self.formula(part, yes, next);
                    self.asm.bind(next);
                }
                self.asm.jump(no);
            }
            Formula::Number(number, ranges) => self.number(*number, ranges, yes, no),
            Formula::Text {
                text,
                relation,
                constants,
                negated,
            } => {
                let (yes, no) = if *negated { (no, yes) } else { (yes, no) };
                self.text(*text, no);
                self.constants(*relation, constants, yes, no);
            }
        }
    }

    fn number(&mut self, number: Number, ranges: &[(i64, i64)], yes: Label, no: Label) {
        self.asm.load(number.width, R1, R7, small(number.offset));
        if let Ok(mask) = i32::try_from(number.mask) {
            self.asm.and_imm(R1, mask);
        } else if number.mask != u64::MAX {
            self.asm.set_wide(R2, number.mask);
            self.asm.and(R1, R2);
        }
        self.ranges(ranges, yes, no);
    }

    /// Whether R1 lies in one of a few ranges, which are sorted: the middle one first.
    fn ranges(&mut self, ranges: &[(i64, i64)], yes: Label, no: Label) {
        let Some((low, high)) = ranges.get(ranges.len() / 2).copied() else {
            return self.asm.jump(no);
        };
        let (below, above) = (&ranges[..ranges.len() / 2], &ranges[ranges.len() / 2 + 1..]);
        let left = if below.is_empty() { no } else { self.asm.label() };
        if low == high {
            self.compare(If::Eq, low, yes);
            if !below.is_empty() {
                self.compare(If::SLt, low, left);
            }
        } else {
            if low != i64::MIN {
                self.compare(If::SLt, low, left);
            }
            if high == i64::MAX {
                self.asm.jump(yes);
            } else if let Some(after) = high.checked_add(1) {
                self.compare(If::SLt, after, yes);
            }
        }
        self.ranges(above, yes, no);
        if !below.is_empty() {
            self.asm.bind(left);
            self.ranges(below, yes, no);
        }
    }

    /// Compares R1.
    fn compare(&mut self, condition: If, with: i64, to: Label) {
        if let Ok(immediate) = i32::try_from(with) {
            self.asm.jump_if_imm(condition, R1, immediate, to);
        } else {
            self.asm.set_wide(R2, with.cast_unsigned());
            self.asm.jump_if(condition, R1, R2, to);
        }
    }
}
