//! A machine for eBPF in user space: it runs what the assembler makes, so that filters are tested where the kernel does
//! not let us load any.
//!
//! Written from `Documentation/bpf/standardization/instruction-set.rst`, not from the assembler. A program that reads
//! outside of what it was given, or does not end, fails the test.

use std::collections::HashMap;

/// `bpf_map_lookup_elem`, `bpf_tail_call` (`include/uapi/linux/bpf.h`)
const MAP_LOOKUP: i32 = 1;
const TAIL_CALL: i32 = 12;
/// Where regions lie: far apart, so that a wrong offset hits nothing.
const REGION: u64 = 1 << 32;
const STACK: u64 = 1;
/// The context's region: of a number that no map has.
const CONTEXT: u64 = 1000;
const STACK_BYTES: usize = 512;
/// More steps than any filter needs.
const STEPS_MAX: usize = 10_000_000;

/// What a program ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(u64),
    /// A tail call to a slot of a program array, by the array's descriptor.
    Tail(i32, u64),
}

/// Memory by region; a map is the region of its descriptor's number and 2.
pub(super) struct Machine {
    regions: HashMap<u64, Vec<u8>>,
    /// Bytes of a value, by map.
    values: HashMap<i32, usize>,
    /// Steps that the last run took.
    pub(super) steps: usize,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            regions: HashMap::from([(STACK, vec![0; STACK_BYTES])]),
            values: HashMap::new(),
            steps: 0,
        }
    }

    fn region(map: i32) -> u64 {
        u64::try_from(map).unwrap() + 2
    }

    /// An array of these bytes.
    pub(super) fn set(&mut self, map: i32, value_bytes: usize, bytes: Vec<u8>) {
        self.values.insert(map, value_bytes);
        self.regions.insert(Self::region(map), bytes);
    }

    pub(super) fn get(&self, map: i32) -> &[u8] {
        &self.regions[&Self::region(map)]
    }

    fn at(&mut self, address: u64, bytes: usize) -> &mut [u8] {
        let offset = usize::try_from(address % REGION).unwrap();
        let region = self.regions.get_mut(&(address / REGION));
        let region = region.unwrap_or_else(|| panic!("no memory at {address:#x}"));
        &mut region[offset..offset + bytes]
    }

    fn load(&mut self, address: u64, bytes: usize) -> u64 {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(self.at(address, bytes));
        u64::from_le_bytes(word)
    }

    fn store(&mut self, address: u64, bytes: usize, value: u64) {
        let word = value.to_le_bytes();
        self.at(address, bytes).copy_from_slice(&word[..bytes]);
    }

    /// What the program's hook hands over.
    pub(super) fn set_context(&mut self, bytes: Vec<u8>) {
        self.regions.insert(CONTEXT, bytes);
    }

    pub(super) fn run(&mut self, code: &[u64]) -> End {
        let mut registers = [0_u64; 11];
        registers[1] = CONTEXT * REGION;
        registers[10] = STACK * REGION + STACK_BYTES as u64;
        let mut at = 0;
        for step in 1..=STEPS_MAX {
            self.steps = step;
            let [opcode, pair, low, high, a, b, c, d] = code[at].to_le_bytes();
            let (dst, src) = (usize::from(pair & 15), usize::from(pair >> 4));
            let offset = i64::from(i16::from_le_bytes([low, high]));
            let immediate = i32::from_le_bytes([a, b, c, d]);
            let wide = i64::from(immediate).cast_unsigned();
            let (class, from_register) = (opcode & 7, opcode & 8 != 0);
            let operand = if from_register { registers[src] } else { wide };
            let size = match opcode & 0x18 {
                0x00 => 4,
                0x08 => 2,
                0x10 => 1,
                _ => 8,
            };
            let beside = |register: u64| register.wrapping_add_signed(offset);
            at += 1;
            match class {
                0 => {
                    assert_eq!(opcode, 0x18, "the only load of a constant");
                    let upper = code[at] >> 32;
                    at += 1;
                    registers[dst] = upper << 32 | wide & 0xffff_ffff;
                }
                1 => registers[dst] = self.load(beside(registers[src]), size),
                3 if opcode & 0xe0 == 0xc0 => {
                    assert_eq!(immediate, 0, "of atomic operations, the sum");
                    let at = beside(registers[dst]);
                    let sum = self.load(at, size).wrapping_add(registers[src]);
                    self.store(at, size, sum);
                }
                3 => self.store(beside(registers[dst]), size, registers[src]),
                5 | 6 => match opcode & 0xf0 {
                    0x80 => match immediate {
                        MAP_LOOKUP => registers[0] = self.look_up(registers[1], registers[2]),
                        TAIL_CALL => {
                            return End::Tail(i32::try_from(registers[2]).unwrap(), registers[3]);
                        }
                        other => panic!("no helper {other}"),
                    },
                    0x90 => return End::Exit(registers[0]),
                    condition => {
                        let (left, right) = if class == 6 {
                            (registers[dst] & 0xffff_ffff, operand & 0xffff_ffff)
                        } else {
                            (registers[dst], operand)
                        };
                        if jumps(condition, left, right) {
                            at = at.checked_add_signed(isize::try_from(offset).unwrap()).unwrap();
                        }
                    }
                },
                // Network order to the machine's, which has its lowest byte first.
                4 if opcode == 0xdc && immediate == 16 => {
                    let [first, second, ..] = registers[dst].to_le_bytes();
                    registers[dst] = u64::from(u16::from_be_bytes([first, second]));
                }
                7 => {
                    let value = registers[dst];
                    registers[dst] = match opcode & 0xf0 {
                        0x00 => value.wrapping_add(operand),
                        0x10 => value.wrapping_sub(operand),
                        0x50 => value & operand,
                        0xb0 => operand,
                        other => panic!("no arithmetic {other:#x}"),
                    };
                }
                other => panic!("no class {other}"),
            }
        }
        panic!("the program does not end");
    }

    fn look_up(&mut self, map: u64, key: u64) -> u64 {
        let map = i32::try_from(map).unwrap();
        let key = usize::try_from(self.load(key, 4)).unwrap();
        let begin = key * self.values[&map];
        if begin < self.get(map).len() {
            Self::region(map) * REGION + begin as u64
        } else {
            0
        }
    }
}

fn jumps(condition: u8, left: u64, right: u64) -> bool {
    match condition {
        0x00 => true,
        0x10 => left == right,
        0x20 => left > right,
        0x50 => left != right,
        0xa0 => left < right,
        0xc0 => left.cast_signed() < right.cast_signed(),
        other => panic!("no condition {other:#x}"),
    }
}
