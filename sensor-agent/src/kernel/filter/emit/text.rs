//! Tests of texts, as code: constants are compared as trees of words, so that what they have in common is read once.

use std::collections::BTreeMap;

use sensor_common::limits::{PIECE_BYTES_MAX, RECORD_BYTES_MAX, TAIL_OFFSET_MAX};
use sensor_rules::partial::TextRelation;

use super::{
    super::{
        asm::{If, Label, R0, R1, R2, R3, R4, R5, R7, R9, Register, Width},
        formula::{Part, Text},
    },
    Emitter, small,
};

/// Longest text that is searched for a part; a longer one passes.
const SEARCH_BYTES_MAX: i32 = 256;
/// Longest last component that is searched for; a longer one passes.
const NAME_STEPS_MAX: i32 = 256;
/// More words than these are looked up by halves.
const WORDS_IN_LINE: usize = 4;

/// Lengths of constants and records, all far below 2 GiB.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// How constants stand to the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// As long as it.
    Whole,
    /// Where it begins.
    Begin,
    /// Where it ends.
    End,
    /// At a place in it: R4 bytes after its begin.
    Within,
}

impl Emitter<'_> {
    /// R1 = where the text begins in the record, R2 = its length, R3 = its address; goes to `missing` where it is
    /// empty.
    pub(super) fn text(&mut self, text: Text, missing: Label) {
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
        if text.part != Part::Whole {
            self.part(text.part, missing);
        }
        self.asm
            .jump_if_imm(If::Gt, R1, length(TAIL_OFFSET_MAX), self.pass);
        self.asm.mov(R3, R7);
        self.asm.add(R3, R1);
    }

    /// Makes R1 and R2 those of a part: looks for the last slash, from the end. Changes R0, R4, R5 and R9.
    fn part(&mut self, part: Part, missing: Label) {
        let [again, none, slash, done] = std::array::from_fn(|_| self.asm.label());
        self.asm.mov(R4, R1);
        self.asm.add(R4, R2);
        self.asm
            .jump_if_imm(If::Gt, R4, length(RECORD_BYTES_MAX), self.pass);
        self.asm.set(R9, 0);
        self.asm.bind(again);
        // The record's header lies before each text: this is never the record's first byte.
        self.asm.jump_if_imm(If::Eq, R4, 0, self.pass);
        self.asm.jump_if(If::Eq, R4, R1, none);
        self.asm.mov(R5, R7);
        self.asm.add(R5, R4);
        self.asm.load(Width::B1, R0, R5, -1);
        self.asm.jump_if_imm(If::Eq, R0, i32::from(b'/'), slash);
        self.asm.add_imm(R4, -1);
        self.asm.add_imm(R9, 1);
        self.asm.jump_if_imm(If::Lt, R9, NAME_STEPS_MAX, again);
        self.asm.jump(self.pass);

        self.asm.bind(none);
        if part == Part::Folder {
            self.asm.jump(missing);
        } else {
            self.asm.jump(done);
        }
        self.asm.bind(slash);
        if part == Part::Name {
            // From behind the slash to the end.
            self.asm.mov(R5, R1);
            self.asm.add(R5, R2);
            self.asm.sub(R5, R4);
            self.asm.mov(R1, R4);
            self.asm.mov(R2, R5);
            self.asm.jump_if_imm(If::Eq, R2, 0, missing);
        } else {
            // Up to the slash; the root is the slash itself.
            self.asm.sub(R4, R1);
            self.asm.set(R2, 1);
            self.asm.jump_if_imm(If::Eq, R4, 1, done);
            self.asm.mov(R2, R4);
            self.asm.add_imm(R2, -1);
        }
        self.asm.bind(done);
    }

    /// Goes to `yes` where the text relates to one of the constants, and to `no` where it does not.
    pub(super) fn constants(&mut self, relation: TextRelation, constants: &[Vec<u8>], yes: Label, no: Label) {
        let all: Vec<&[u8]> = constants.iter().map(Vec::as_slice).collect();
        let lengths = || constants.iter().map(|constant| length(constant.len()));
        match relation {
            TextRelation::Equals => self.tree(&all, 0, R3, Compared::Whole, yes, no),
            TextRelation::StartsWith => self.tree(&all, 0, R3, Compared::Begin, yes, no),
            TextRelation::EndsWith => {
                self.asm.mov(R4, R1);
                self.asm.add(R4, R2);
                let last = length(RECORD_BYTES_MAX - PIECE_BYTES_MAX / 2);
                self.asm.jump_if_imm(If::Gt, R4, last, self.pass);
                // What lies before the text is the record's header, which is longer than most constants.
                let longest = lengths().max().unwrap_or(0);
                self.asm.jump_if_imm(If::Lt, R4, longest, self.pass);
                self.asm.mov(R5, R7);
                self.asm.add(R5, R4);
                self.tree(&all, 0, R5, Compared::End, yes, no);
            }
            TextRelation::Contains => self.search(&all, lengths().min().unwrap_or(0), yes, no),
            // Plans are made of the others.
            TextRelation::Below | TextRelation::Glob => self.asm.jump(self.pass),
        }
    }

    /// Looks for the constants at each place of the text.
    fn search(&mut self, constants: &[&[u8]], shortest: i32, yes: Label, no: Label) {
        let [again, next] = std::array::from_fn(|_| self.asm.label());
        self.asm.jump_if_imm(If::Gt, R2, SEARCH_BYTES_MAX, self.pass);
        self.asm.set(R4, 0);
        self.asm.bind(again);
        self.asm.mov(R0, R4);
        self.asm.add_imm(R0, shortest);
        self.asm.jump_if(If::Gt, R0, R2, no);
        self.asm.mov(R5, R3);
        self.asm.add(R5, R4);
        self.tree(constants, 0, R5, Compared::Within, yes, next);
        self.asm.bind(next);
        self.asm.add_imm(R4, 1);
        self.asm.jump_if_imm(If::Lt, R4, SEARCH_BYTES_MAX, again);
        self.asm.jump(no);
    }

    /// Compares what is at `at` with constants that agree with it in their first (or last) `known` bytes. What lies
    /// beyond the text's end may be compared too: the length decides at the end of each constant. Changes R0 and R9.
    fn tree(
        &mut self,
        constants: &[&[u8]],
        known: usize,
        at: Register,
        how: Compared,
        yes: Label,
        no: Label,
    ) {
        let (ended, rest): (Vec<&[u8]>, Vec<&[u8]>) =
            constants.iter().partition(|constant| constant.len() == known);
        if !ended.is_empty() {
            self.accept(known, how, yes);
        }
        for (width, size) in [(Width::B4, 4), (Width::B2, 2), (Width::B1, 1)] {
            let mut groups: BTreeMap<u32, Vec<&[u8]>> = BTreeMap::new();
            for constant in &rest {
                let left = constant.len() - known;
                // A constant goes on by the widest word that it still has.
                if left >= size && (size == 4 || left < 2 * size) {
                    groups
                        .entry(word(constant, known, size, how))
                        .or_default()
                        .push(constant);
                }
            }
            if groups.is_empty() {
                continue;
            }
            let done = self.asm.label();
            let from = match how {
                Compared::End => -small(known + size),
                _ => small(known),
            };
            self.asm.load(width, R0, at, from);
            let groups: Vec<_> = groups
                .into_iter()
                .map(|(word, members)| (word, self.asm.label(), members))
                .collect();
            let words: Vec<_> = groups.iter().map(|(word, label, _)| (*word, *label)).collect();
            self.look_up(&words, done);
            for (_, label, members) in groups {
                self.asm.bind(label);
                self.tree(&members, known + size, at, how, yes, done);
            }
            self.asm.bind(done);
        }
        self.asm.jump(no);
    }

    /// A constant has been compared to its end.
    fn accept(&mut self, len: usize, how: Compared, yes: Label) {
        let len = length(len);
        match how {
            Compared::Whole => self.asm.jump_if_imm(If::Eq, R2, len, yes),
            Compared::Begin | Compared::End => self.asm.jump_if_imm(If::Gt, R2, len - 1, yes),
            Compared::Within => {
                let beyond = self.asm.label();
                self.asm.mov(R9, R4);
                self.asm.add_imm(R9, len);
                self.asm.jump_if(If::Gt, R9, R2, beyond);
                self.asm.jump(yes);
                self.asm.bind(beyond);
            }
        }
    }

    /// Goes to the label of the word in R0, or to `none`.
    fn look_up(&mut self, words: &[(u32, Label)], none: Label) {
        if words.len() <= WORDS_IN_LINE {
            for (word, label) in words {
                self.asm.jump_if_word(If::Eq, R0, *word, *label);
            }
            return self.asm.jump(none);
        }
        let (below, above) = words.split_at(words.len() / 2);
        let left = self.asm.label();
        self.asm.jump_if_word(If::Lt, R0, above[0].0, left);
        self.look_up(above, none);
        self.asm.bind(left);
        self.look_up(below, none);
    }
}

/// The next bytes of a constant, as they are loaded.
fn word(constant: &[u8], known: usize, size: usize, how: Compared) -> u32 {
    let from = match how {
        Compared::End => constant.len() - known - size,
        _ => known,
    };
    let mut word = [0; 4];
    word[..size].copy_from_slice(&constant[from..from + size]);
    u32::from_le_bytes(word)
}
