//! The record of a hook on cgroups, as far as its context tells it: on the program's stack, since such a program can be
//! preempted and has no scratch slot.

use sensor_common::{
    hook::Hook,
    record::{Header, SocketCall},
};

use super::{
    super::{
        asm::{Assembler, R1, R6, R7, R10, Width},
        place::{Known, known},
    },
    small,
};

/// All of the record that tests look at.
const RECORD_BYTES: usize = size_of::<Header>() + size_of::<SocketCall>();
/// Where it begins, from the end of the stack: below what look-ups need.
const RECORD_AT: i16 = -16 - small(RECORD_BYTES);

/// R7 = the record.
pub(super) fn record(asm: &mut Assembler, hook: Hook) {
    asm.mov(R7, R10);
    asm.add_imm(R7, RECORD_AT.into());
    asm.set(R1, 0);
    for at in (0..RECORD_BYTES).step_by(8) {
        asm.store(Width::B8, R7, small(at), R1);
    }
    for (at, width, value) in known(hook) {
        match value {
            Known::Constant(number) => asm.set(R1, number.cast_signed()),
            Known::Word(from) => asm.load(Width::B4, R1, R6, from),
            Known::PortInNetworkOrder(from) => {
                asm.load(Width::B4, R1, R6, from);
                asm.from_big_endian_16(R1);
            }
        }
        asm.store(width, R7, small(at), R1);
    }
}
