//! Plain loads of kernel fields: puts the number of the kernel function `bpf_rdonly_cast` into the programs.
//!
//! aya cannot call kernel functions by name. In the object such a call is a call of a helper whose number
//! no kernel has ([`CAST_CALL`]), and becomes a call of the function before the object is loaded.

use std::borrow::Cow;

use sensor_common::kernel_fields::CAST_CALL;

use super::btf::{Btf, BtfError};

/// What plain loads need of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cast {
    /// BTF id of `bpf_rdonly_cast`.
    pub(super) function: i32,
    /// BTF id of a structure whose first member is a pointer, for words that are no member of anything.
    pub(super) word_structure: u32,
}

/// `BPF_JMP | BPF_CALL` (`include/uapi/linux/bpf.h`).
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, in the half of the byte that names the source register.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// Finds what is needed, or says what this kernel lacks.
pub(super) fn find(btf: &Btf) -> Result<Result<Cast, String>, BtfError> {
    let function = btf.function("bpf_rdonly_cast")?;
    let word_structure = btf.structure_with("list_head", "next")?;
    Ok(
        match (
            function.and_then(|function| i32::try_from(function).ok()),
            word_structure,
        ) {
            (Some(function), Some(word_structure)) => Ok(Cast {
                function,
                word_structure,
            }),
            (None, _) => Err("the kernel has no bpf_rdonly_cast (6.2)".into()),
            (_, None) => Err("the kernel has no list_head".into()),
        },
    )
}

/// The object with calls of the function in place; unchanged without one.
pub(super) fn object(object: &[u8], cast: Option<Cast>) -> Cow<'_, [u8]> {
    let Some(cast) = cast else {
        return object.into();
    };
    let mark = instruction(0, CAST_CALL);
    let call = instruction(KERNEL_FUNCTION, cast.function);
    let mut changed = object.to_vec();
    // Instructions are eight bytes, and sections of them begin at a multiple of that.
    for instruction in changed.chunks_exact_mut(8) {
        if *instruction == mark {
            instruction.copy_from_slice(&call);
        }
    }
    changed.into()
}

/// A call, as the object has it: `struct bpf_insn`.
fn instruction(registers: u8, number: i32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [CALL, registers, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAST: Cast = Cast {
        function: 0x1234,
        word_structure: 7,
    };

    #[test]
    fn calls_and_nothing_else_are_changed() {
        let other = instruction(0, 113);
        let before = [instruction(0, CAST_CALL), other].concat();
        let after = [instruction(KERNEL_FUNCTION, 0x1234), other].concat();
        assert_eq!(object(&before, Some(CAST)), after);
        assert_eq!(object(&before, None), before);
        let shifted = [&[0; 4], &before[..8], &[0; 4]].concat();
        assert_eq!(object(&shifted, Some(CAST)), shifted);
    }
}
