//! The few `bpf(2)` calls that aya has no form for: programs made of instructions, and slots of program arrays.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

/// Commands (`enum bpf_cmd`, `include/uapi/linux/bpf.h`).
const MAP_CREATE: i32 = 0;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PROG_LOAD: i32 = 5;
/// `BPF_PROG_TYPE_RAW_TRACEPOINT`, `BPF_PROG_TYPE_TRACING`, `BPF_TRACE_RAW_TP`.
const TYPE_RAW_TRACEPOINT: u32 = 17;
const TYPE_TRACING: u32 = 26;
const ATTACH_RAW_TRACEPOINT: u32 = 23;
/// Room for the verifier's log of a program that it refuses.
const LOG_BYTES: usize = 64 * 1024;
/// `union bpf_attr` as far as 5.10 knows it.
const ATTRIBUTE_BYTES: usize = 120;

/// What a program is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    program_type: u32,
    attach_type: u32,
    /// The hook's type in the kernel's BTF; 0 for one that has none.
    type_id: u32,
}

impl Hook {
    /// A `tp_btf` hook, by its type in the kernel's BTF.
    #[must_use]
    pub const fn tracepoint(type_id: u32) -> Self {
        Self {
            program_type: TYPE_TRACING,
            attach_type: ATTACH_RAW_TRACEPOINT,
            type_id,
        }
    }

    /// A hook on cgroups.
    #[must_use]
    pub const fn on_cgroups(program_type: u32, attach_type: u32) -> Self {
        Self {
            program_type,
            attach_type,
            type_id: 0,
        }
    }
}

/// Why the kernel refused a program.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused the filter {name}: {source}; the verifier says: {log}")]
pub struct Refused {
    name: String,
    log: String,
    source: io::Error,
}

/// `union bpf_attr`: numbers at their offsets.
pub(super) struct Attribute(pub(super) [u8; ATTRIBUTE_BYTES]);

impl Attribute {
    pub(super) fn new() -> Self {
        Self([0; ATTRIBUTE_BYTES])
    }

    pub(super) fn set_u32(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn set_address<T>(mut self, offset: usize, address: *const T) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&(address as u64).to_ne_bytes());
        self
    }
}

/// Calls `bpf(2)`.
///
/// # Safety
/// Every address in the attribute must be that of live memory of the size that the command reads or writes there.
pub(super) unsafe fn bpf(command: i32, attribute: &mut Attribute) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes the attribute's own bytes, whose number it is told; what they point to is
    // the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.0.as_mut_ptr(), ATTRIBUTE_BYTES) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Loads a program for a hook; without one, for any raw tracepoint.
pub(super) fn load(name: &str, code: &[u64], hook: Option<Hook>) -> Result<OwnedFd, Refused> {
    let hook = hook.unwrap_or(Hook {
        program_type: TYPE_RAW_TRACEPOINT,
        attach_type: 0,
        type_id: 0,
    });
    let mut log = vec![0_u8; LOG_BYTES];
    let mut shown = [0_u8; 16];
    for (to, from) in shown.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    let count = u32::try_from(code.len()).unwrap_or(u32::MAX);
    let mut load = |with_log: bool| {
        let mut attribute = Attribute::new()
            .set_u32(0, hook.program_type)
            .set_u32(4, count)
            .set_address(8, code.as_ptr())
            .set_address(16, c"GPL".as_ptr())
            .set_u32(68, hook.attach_type)
            .set_u32(108, hook.type_id);
        attribute.0[48..64].copy_from_slice(&shown);
        if with_log {
            attribute = attribute
                .set_u32(24, 1)
                .set_u32(28, u32::try_from(LOG_BYTES).unwrap_or(0))
                .set_address(32, log.as_mut_ptr());
        }
        // SAFETY: the instructions, the licence and the log live until the call returns, and have these sizes.
        unsafe { bpf(PROG_LOAD, &mut attribute) }
    };
    // The log is written only for a program that is refused: it costs the verifier more than its work.
    let loaded = load(false).or_else(|_| load(true));
    match loaded {
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(descriptor) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        Err(source) => {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            Err(Refused {
                name: name.to_owned(),
                log: String::from_utf8_lossy(&log[..end]).into_owned(),
                source,
            })
        }
    }
}

/// Makes a map whose keys have four bytes.
fn create(map_type: u32, value_bytes: u32, entries: u32) -> io::Result<OwnedFd> {
    let mut attribute = Attribute::new()
        .set_u32(0, map_type)
        .set_u32(4, 4)
        .set_u32(8, value_bytes)
        .set_u32(12, entries);
    // SAFETY: the command reads nothing but the attribute.
    let descriptor = unsafe { bpf(MAP_CREATE, &mut attribute) }?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A program array (`BPF_MAP_TYPE_PROG_ARRAY`), which the kernel empties when nobody holds it any more.
pub(super) fn program_array(entries: u32) -> io::Result<OwnedFd> {
    create(3, 4, entries)
}

/// Puts a program into a slot of a program array.
pub(super) fn set_slot(array: BorrowedFd<'_>, slot: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let value = program.as_raw_fd();
    let mut attribute = Attribute::new()
        .set_u32(0, array.as_raw_fd().cast_unsigned())
        .set_address(8, &raw const slot)
        .set_address(16, &raw const value);
    // SAFETY: key and value live until the call returns; an array's key and a program array's value have four bytes.
    unsafe { bpf(MAP_UPDATE, &mut attribute) }.map(|_| ())
}

/// Empties a slot of a program array; an empty one stays so.
pub(super) fn clear_slot(array: BorrowedFd<'_>, slot: u32) -> io::Result<()> {
    let mut attribute = Attribute::new()
        .set_u32(0, array.as_raw_fd().cast_unsigned())
        .set_address(8, &raw const slot);
    // SAFETY: the key lives until the call returns, and has the four bytes of an array's key.
    match unsafe { bpf(MAP_DELETE, &mut attribute) } {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What tests need beside: maps of their own, and programs run on request.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    const MAP_LOOKUP: i32 = 1;
    const PROG_TEST_RUN: i32 = 10;

    /// `BPF_MAP_TYPE_ARRAY`
    pub(in super::super) fn array(value_bytes: u32, entries: u32) -> Option<OwnedFd> {
        create(2, value_bytes, entries).ok()
    }

    pub(in super::super) fn set(map: &OwnedFd, key: u32, value: &[u8]) {
        let mut attribute = Attribute::new()
            .set_u32(0, map.as_raw_fd().cast_unsigned())
            .set_address(8, &raw const key)
            .set_address(16, value.as_ptr());
        // SAFETY: key and value live until the call returns; the tests give values of the map's size.
        unsafe { bpf(MAP_UPDATE, &mut attribute) }.unwrap();
    }

    pub(in super::super) fn get(map: &OwnedFd, key: u32, bytes: usize) -> Vec<u8> {
        let mut value = vec![0_u8; bytes];
        let mut attribute = Attribute::new()
            .set_u32(0, map.as_raw_fd().cast_unsigned())
            .set_address(8, &raw const key)
            .set_address(16, value.as_mut_ptr());
        // SAFETY: key and value live until the call returns; the tests ask for the map's size.
        unsafe { bpf(MAP_LOOKUP, &mut attribute) }.unwrap();
        value
    }

    /// What a raw tracepoint's program returns.
    pub(in super::super) fn run(program: &OwnedFd) -> u32 {
        let context = [0_u64; 2];
        let mut attribute = Attribute::new()
            .set_u32(0, program.as_raw_fd().cast_unsigned())
            .set_u32(40, u32::try_from(size_of_val(&context)).unwrap())
            .set_address(48, context.as_ptr());
        // SAFETY: the context lives until the call returns and has this size.
        unsafe { bpf(PROG_TEST_RUN, &mut attribute) }.unwrap();
        u32::from_ne_bytes(attribute.0[4..8].try_into().unwrap())
    }
}
