//! A small assembler: instructions with labels to eBPF code.
//!
//! Encoding: `Documentation/bpf/standardization/instruction-set.rst` of the kernel.

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u8);

/// Result, and scratch.
pub const R0: Register = Register(0);
/// First argument of a helper.
pub const R1: Register = Register(1);
/// Second argument.
pub const R2: Register = Register(2);
/// Third argument.
pub const R3: Register = Register(3);
/// Scratch.
pub const R4: Register = Register(4);
/// Scratch.
pub const R5: Register = Register(5);
/// Kept over calls.
pub const R6: Register = Register(6);
/// Kept over calls.
pub const R7: Register = Register(7);
/// Kept over calls.
pub const R8: Register = Register(8);
/// Kept over calls.
pub const R9: Register = Register(9);
/// The frame.
pub const R10: Register = Register(10);

/// Goes on elsewhere; ends the program; loads 64 bits, and takes the room of two instructions.
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;
const WIDE: u8 = 0x18;

/// A place in the code, bound once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Width of a load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// One byte.
    B1 = 0x10,
    /// Two.
    B2 = 0x08,
    /// Four.
    B4 = 0x00,
    /// Eight.
    B8 = 0x18,
}

impl Width {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }
}

/// Comparison of a jump, 64 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// Equal.
    Eq = 0x10,
    /// Unsigned greater.
    Gt = 0x20,
    /// Different.
    Ne = 0x50,
    /// Unsigned less.
    Lt = 0xa0,
    /// Signed less.
    SLt = 0xc0,
}

/// Code that is being written.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<u64>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

/// Why code cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AsmError {
    /// A jump reaches 32,767 instructions at most.
    #[error("a jump is too far: {0} instructions")]
    TooFar(usize),
    /// A label has no place.
    #[error("a label was never bound")]
    Unbound,
}

impl Assembler {
    fn emit(&mut self, opcode: u8, dst: Register, src: Register, offset: i16, immediate: i32) {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = immediate.to_le_bytes();
        let bytes = [opcode, dst.0 | (src.0 << 4), low, high, a, b, c, d];
        self.code.push(u64::from_le_bytes(bytes));
    }

    /// A label without a place yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// `dst = src`
    pub fn mov(&mut self, dst: Register, src: Register) {
        self.emit(0xbf, dst, src, 0, 0);
    }

    /// `dst = immediate`, sign-extended.
    pub fn set(&mut self, dst: Register, immediate: i32) {
        self.emit(0xb7, dst, R0, 0, immediate);
    }

    /// `dst = value`, all 64 bits.
    pub fn set_wide(&mut self, dst: Register, value: u64) {
        self.wide(dst, R0, value);
    }

    /// `dst` = the map of this descriptor, which the kernel puts in at load.
    pub fn set_map(&mut self, dst: Register, descriptor: i32) {
        // `BPF_PSEUDO_MAP_FD`
        self.wide(dst, Register(1), u64::from(descriptor.cast_unsigned()));
    }

    fn wide(&mut self, dst: Register, src: Register, value: u64) {
        let half =
            |value: u64| i32::from_ne_bytes(u32::try_from(value & 0xffff_ffff).unwrap_or(0).to_ne_bytes());
        self.emit(WIDE, dst, src, 0, half(value));
        self.emit(0, R0, R0, 0, half(value >> 32));
    }

    /// `dst += src`
    pub fn add(&mut self, dst: Register, src: Register) {
        self.emit(0x0f, dst, src, 0, 0);
    }

    /// `dst += immediate`
    pub fn add_imm(&mut self, dst: Register, immediate: i32) {
        self.emit(0x07, dst, R0, 0, immediate);
    }

    /// `dst -= src`
    pub fn sub(&mut self, dst: Register, src: Register) {
        self.emit(0x1f, dst, src, 0, 0);
    }

    /// `dst &= immediate`, sign-extended.
    pub fn and_imm(&mut self, dst: Register, immediate: i32) {
        self.emit(0x57, dst, R0, 0, immediate);
    }

    /// `dst &= src`
    pub fn and(&mut self, dst: Register, src: Register) {
        self.emit(0x5f, dst, src, 0, 0);
    }

    /// `dst = *(src + offset)`, zero-extended.
    pub fn load(&mut self, width: Width, dst: Register, src: Register, offset: i16) {
        self.emit(0x61 | width as u8, dst, src, offset, 0);
    }

    /// `*(dst + offset) = src`
    pub fn store(&mut self, width: Width, dst: Register, offset: i16, src: Register) {
        self.emit(0x63 | width as u8, dst, src, offset, 0);
    }

    /// The lower 16 bits of `dst`, which are in network order, in the machine's.
    pub fn from_big_endian_16(&mut self, dst: Register) {
        self.emit(0xdc, dst, R0, 0, 16);
    }

    /// `*(dst + offset) += src`, whoever else does so at the same time.
    pub fn add_to(&mut self, dst: Register, offset: i16, src: Register) {
        self.emit(0xdb, dst, src, offset, 0);
    }

    /// Jumps when `dst` compares so with a sign-extended immediate.
    pub fn jump_if_imm(&mut self, condition: If, dst: Register, immediate: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(0x05 | condition as u8, dst, R0, 0, immediate);
    }

    /// Jumps when the lower half of `dst` compares so with these 32 bits.
    pub fn jump_if_word(&mut self, condition: If, dst: Register, word: u32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(0x06 | condition as u8, dst, R0, 0, word.cast_signed());
    }

    /// Jumps when `dst` compares so with `src`.
    pub fn jump_if(&mut self, condition: If, dst: Register, src: Register, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(0x0d | condition as u8, dst, src, 0, 0);
    }

    /// Jumps.
    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.emit(JUMP, R0, R0, 0, 0);
    }

    /// Calls a helper.
    pub fn call(&mut self, helper: i32) {
        self.emit(0x85, R0, R0, 0, helper);
    }

    /// Ends the program.
    pub fn exit(&mut self) {
        self.emit(EXIT, R0, R0, 0, 0);
    }

    /// The code, with every jump resolved. What no way leads to is left out, which the verifier would refuse, as are
    /// jumps to jumps and to what follows anyway.
    pub fn finish(mut self) -> Result<Vec<u64>, AsmError> {
        let targets = self.targets()?;
        let reached = self.reached(&targets);
        // Where each instruction will be: before it come those that are kept.
        let mut places = Vec::with_capacity(self.code.len() + 1);
        let mut kept = vec![false; self.code.len()];
        let mut count = 0;
        for (at, target) in targets.iter().enumerate() {
            places.push(count);
            let follows = target.is_some_and(|to| to > at && !reached[at + 1..to].contains(&true));
            kept[at] = reached[at] && !(opcode(self.code[at]) == JUMP && follows);
            count += usize::from(kept[at]);
        }
        places.push(count);
        for (at, target) in targets.iter().enumerate().filter(|(at, _)| kept[*at]) {
            let Some(to) = *target else { continue };
            let too_far = AsmError::TooFar(to.abs_diff(at));
            let signed = |place: usize| i64::try_from(place).map_err(|_| too_far);
            let distance = signed(places[to])? - signed(places[at])? - 1;
            let [low, high] = i16::try_from(distance).map_err(|_| too_far)?.to_le_bytes();
            self.code[at] |= u64::from(low) << 16 | u64::from(high) << 24;
        }
        let mut kept = kept.into_iter();
        self.code.retain(|_| kept.next() == Some(true));
        Ok(self.code)
    }

    /// Where each jump leads to in the end.
    fn targets(&self) -> Result<Vec<Option<usize>>, AsmError> {
        let mut targets = vec![None; self.code.len()];
        for (at, label) in &self.jumps {
            targets[*at] = Some(self.labels[label.0].ok_or(AsmError::Unbound)?);
        }
        let through = |mut to: usize| {
            // A ring of jumps would be a program without an end; one turn is enough to see it.
            for _ in 0..self.code.len() {
                match targets.get(to).copied().flatten() {
                    Some(next) if opcode(self.code[to]) == JUMP => to = next,
                    _ => break,
                }
            }
            to
        };
        Ok(targets.iter().map(|target| target.map(through)).collect())
    }

    /// Which instructions some way leads to.
    fn reached(&self, targets: &[Option<usize>]) -> Vec<bool> {
        let mut reached = vec![false; self.code.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if at >= self.code.len() || std::mem::replace(&mut reached[at], true) {
                continue;
            }
            open.extend(targets[at]);
            match opcode(self.code[at]) {
                JUMP | EXIT => {}
                WIDE => {
                    reached[at + 1] = true;
                    open.push(at + 2);
                }
                _ => open.push(at + 1),
            }
        }
        reached
    }
}

fn opcode(instruction: u64) -> u8 {
    instruction.to_le_bytes()[0]
}
