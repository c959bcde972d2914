//! From a formula to a program.
//!
//! VERIFIER: between two tests nothing is live but the context (R6), the record (R7) and the counter of scratch slots
//! (R8), so that all ways to a test become one state there, and a program takes the verifier time for its length.

use std::mem::offset_of;

use sensor_common::{
    counters::KindCounters,
    filter::Stage,
    kind::Kind,
    limits::{PIECE_BYTES_MAX, RECORD_BYTES_MAX, TAIL_OFFSET_MAX},
};
use sensor_rules::partial::TextRelation;

use super::{
    asm::{AsmError, Assembler, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Register, Width},
    plan::{Formula, Number, Text},
};

/// Longest text that is searched for a part; a longer one passes.
const SEARCH_BYTES_MAX: i32 = 512;
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
    pub next: i32,
}

/// What a filter returns when it leaves an event out.
pub const FILTERED: u32 = 0;
/// What it returns when an event passes and there is nothing to go on to.
pub const PASSED: u32 = 1;

/// The program of a formula.
pub fn program(formula: &Formula, kind: Kind, stage: Stage, maps: Maps) -> Result<Vec<u64>, AsmError> {
    let mut asm = Assembler::default();
    let [pass, leave_out, give_up, end] = std::array::from_fn(|_| asm.label());
    asm.mov(R6, R1);
    asm.set(R1, 0);
    lookup(&mut asm, maps.depth, R1, end);
    asm.mov(R8, R0);
    // The record is in the slot that was taken last.
    asm.load(Width::B4, R1, R8, 0);
    asm.jump_if_imm(If::Eq, R1, 0, end);
    asm.add_imm(R1, -1);
    lookup(&mut asm, maps.scratch, R1, end);
    asm.mov(R7, R0);
    Emitter { asm: &mut asm, pass }.formula(formula, pass, leave_out);

    asm.bind(leave_out);
    release(&mut asm);
    count(&mut asm, maps, kind, offset_of!(KindCounters, filtered), end);
    asm.set(R0, FILTERED.cast_signed());
    asm.exit();

    asm.bind(pass);
    asm.mov(R1, R6);
    asm.set_map(R2, maps.next);
    asm.set(R3, stage.slot(kind).cast_signed());
    asm.call(TAIL_CALL);
    // Only an array that somebody emptied leads here: never silently.
    asm.bind(give_up);
    release(&mut asm);
    count(
        &mut asm,
        maps,
        kind,
        offset_of!(KindCounters, lost_scratch_busy),
        end,
    );
    asm.set(R0, PASSED.cast_signed());
    asm.exit();

    asm.bind(end);
    asm.set(R0, 0);
    asm.exit();
    asm.finish()
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

/// Gives the scratch slot back.
fn release(asm: &mut Assembler) {
    asm.load(Width::B4, R1, R8, 0);
    asm.add_imm(R1, -1);
    asm.store(Width::B4, R8, 0, R1);
}

fn count(asm: &mut Assembler, maps: Maps, kind: Kind, counter: usize, absent: Label) {
    asm.set(R1, i32::from(kind as u8));
    lookup(asm, maps.counters, R1, absent);
    let at = small(counter);
    asm.load(Width::B8, R1, R0, at);
    asm.add_imm(R1, 1);
    asm.store(Width::B8, R0, at, R1);
}

/// Offsets into the fixed part of a record or into counters, all far below 32 KiB.
fn small(offset: usize) -> i16 {
    i16::try_from(offset).unwrap_or(i16::MAX)
}

/// Lengths of constants and records, all far below 2 GiB.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
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
                self.constants(*relation, constants, yes);
                self.asm.jump(no);
            }
        }
    }

    fn number(&mut self, number: Number, ranges: &[(i64, i64)], yes: Label, no: Label) {
        self.asm.load(number.width, R1, R7, small(number.offset));
        if number.mask != u64::MAX {
            self.asm.set_wide(R2, number.mask);
            self.asm.and(R1, R2);
        }
        for (low, high) in ranges {
            let next = self.asm.label();
            if low == high {
                self.compare(If::Eq, *low, yes);
            } else {
                if *low != i64::MIN {
                    self.compare(If::SLt, *low, next);
                }
                if *high != i64::MAX {
                    self.compare(If::SGt, *high, next);
                }
                self.asm.jump(yes);
            }
            self.asm.bind(next);
        }
        self.asm.jump(no);
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

    /// R1 = where the text begins in the record, R2 = its length, R3 = its address; goes to `missing` where it is
    /// empty.
    fn text(&mut self, text: Text, missing: Label) {
        let found = self.asm.label();
        let span = |emitter: &mut Self, at: usize| {
            emitter.asm.load(Width::B2, R1, R7, small(at));
            emitter.asm.load(Width::B2, R2, R7, small(at + 2));
        };
        span(self, text.span);
        if let Some(otherwise) = text.otherwise {
            self.asm.jump_if_imm(If::Ne, R2, 0, found);
            span(self, otherwise);
        }
        self.asm.bind(found);
        self.asm.jump_if_imm(If::Eq, R2, 0, missing);
        self.asm
            .jump_if_imm(If::Gt, R1, length(TAIL_OFFSET_MAX), self.pass);
        self.asm.mov(R3, R7);
        self.asm.add(R3, R1);
    }

    /// Goes to `yes` where the text relates to one of the constants, and on where it does not.
    fn constants(&mut self, relation: TextRelation, constants: &[Vec<u8>], yes: Label) {
        for constant in constants {
            let next = self.asm.label();
            let len = length(constant.len());
            match relation {
                TextRelation::Equals => {
                    self.asm.jump_if_imm(If::Ne, R2, len, next);
                    self.bytes(constant, R3, next);
                    self.asm.jump(yes);
                }
                TextRelation::StartsWith => {
                    self.asm.jump_if_imm(If::Lt, R2, len, next);
                    self.bytes(constant, R3, next);
                    self.asm.jump(yes);
                }
                TextRelation::EndsWith => {
                    self.asm.jump_if_imm(If::Lt, R2, len, next);
                    self.asm.mov(R4, R1);
                    self.asm.add(R4, R2);
                    self.asm.add_imm(R4, -len);
                    let last = length(RECORD_BYTES_MAX - PIECE_BYTES_MAX / 2);
                    self.asm.jump_if_imm(If::Gt, R4, last, self.pass);
                    self.asm.mov(R5, R7);
                    self.asm.add(R5, R4);
                    self.bytes(constant, R5, next);
                    self.asm.jump(yes);
                }
                TextRelation::Contains => self.search(constant, len, yes, next),
            }
            self.asm.bind(next);
        }
    }

    /// Looks for the constant at each place of the text.
    fn search(&mut self, constant: &[u8], len: i32, yes: Label, no: Label) {
        let [again, next] = std::array::from_fn(|_| self.asm.label());
        self.asm.jump_if_imm(If::Gt, R2, SEARCH_BYTES_MAX, self.pass);
        self.asm.set(R4, 0);
        self.asm.bind(again);
        self.asm.mov(R5, R4);
        self.asm.add_imm(R5, len);
        self.asm.jump_if(If::Gt, R5, R2, no);
        self.asm.mov(R5, R3);
        self.asm.add(R5, R4);
        self.bytes(constant, R5, next);
        self.asm.jump(yes);
        self.asm.bind(next);
        self.asm.add_imm(R4, 1);
        self.asm.jump_if_imm(If::Lt, R4, SEARCH_BYTES_MAX, again);
        self.asm.jump(no);
    }

    /// Goes to `other` where the bytes at an address are not these. Changes R0 and R9.
    fn bytes(&mut self, bytes: &[u8], at: Register, other: Label) {
        let mut from = 0;
        while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
            let (width, size) = match rest.len() {
                8.. => (Width::B8, 8),
                4.. => (Width::B4, 4),
                2.. => (Width::B2, 2),
                _ => (Width::B1, 1),
            };
            let mut word = [0; 8];
            word[..size].copy_from_slice(&rest[..size]);
            let value = u64::from_le_bytes(word);
            self.asm.load(width, R0, at, small(from));
            if let Ok(immediate) = i32::try_from(value) {
                self.asm.jump_if_imm(If::Ne, R0, immediate, other);
            } else {
                self.asm.set_wide(R9, value);
                self.asm.jump_if(If::Ne, R0, R9, other);
            }
            from += size;
        }
    }
}
