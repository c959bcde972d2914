//! What the kernel says of programs, links and maps: the `bpf(2)` calls by which the agent sees whether what it has set
//! up is still there.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use super::bpf::{Attribute, bpf};

/// Commands (`enum bpf_cmd`, `include/uapi/linux/bpf.h`).
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const PROGRAM_FD_BY_ID: i32 = 13;
const INFO_BY_FD: i32 = 15;
const MAP_FREEZE: i32 = 22;
const LINK_FD_BY_ID: i32 = 30;
const LINK_NEXT_ID: i32 = 31;
/// `BPF_LINK_TYPE_CGROUP`
const LINK_OF_CGROUP: u32 = 3;
/// `struct bpf_prog_info` as far as 6.18 knows it; an older kernel fills less, a newer one what it is asked for.
const PROGRAM_INFO_BYTES: usize = 232;
/// Of it, `id` and `recursion_misses`.
const PROGRAM_ID_AT: usize = 4;
const PROGRAM_MISSES_AT: usize = 208;
/// `struct bpf_link_info`: type, id, program, and of a cgroup's link the cgroup's id.
const LINK_INFO_BYTES: usize = 56;
const LINK_CGROUP_AT: usize = 16;
/// Links of the machine that are looked at: others make them, too.
const LINKS_MAX: usize = 65_536;

/// What the kernel says of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgramFacts {
    /// Its number; numbers are not used again before all have been.
    pub(super) id: u32,
    /// How often it was not run because it ran already on the same CPU.
    pub(super) misses: u64,
}

/// A link, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkFacts {
    /// The program that it runs now.
    pub(super) program: u32,
    /// Whether its hook still runs it: a link that somebody detached is a husk.
    pub(super) is_alive: bool,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(long)
}

/// `BPF_OBJ_GET_INFO_BY_FD`
fn info<const BYTES: usize>(of: BorrowedFd<'_>) -> io::Result<[u8; BYTES]> {
    let mut info = [0_u8; BYTES];
    let mut attribute = Attribute::new()
        .set_u32(0, of.as_raw_fd().cast_unsigned())
        .set_u32(4, u32::try_from(BYTES).unwrap_or(0))
        .set_address(8, info.as_mut_ptr());
    // SAFETY: the kernel writes at most as many bytes as it is told that there are; they live until the call returns.
    unsafe { bpf(INFO_BY_FD, &mut attribute) }?;
    Ok(info)
}

/// A descriptor that the kernel makes for the object of this number.
fn by_id(command: i32, id: u32) -> io::Result<OwnedFd> {
    let mut attribute = Attribute::new().set_u32(0, id);
    // SAFETY: the command reads nothing but the attribute.
    let descriptor = unsafe { bpf(command, &mut attribute) }?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// What the kernel says of a program.
pub(super) fn program(descriptor: BorrowedFd<'_>) -> io::Result<ProgramFacts> {
    let info = info::<PROGRAM_INFO_BYTES>(descriptor)?;
    Ok(ProgramFacts {
        id: word(&info, PROGRAM_ID_AT),
        misses: long(&info, PROGRAM_MISSES_AT),
    })
}

/// Holds the program of this number.
pub(super) fn hold_program(id: u32) -> io::Result<OwnedFd> {
    by_id(PROGRAM_FD_BY_ID, id)
}

/// Every link of the machine.
///
/// # Errors
/// Without `CAP_SYS_ADMIN` the kernel does not tell.
pub(super) fn links() -> io::Result<Vec<LinkFacts>> {
    let (mut found, mut last) = (Vec::new(), 0);
    while found.len() < LINKS_MAX {
        let mut attribute = Attribute::new().set_u32(0, last);
        // SAFETY: the command reads and writes nothing but the attribute.
        match unsafe { bpf(LINK_NEXT_ID, &mut attribute) } {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            result => result?,
        };
        last = word(&attribute.0, 4);
        // One that has gone meanwhile is none.
        let Ok(link) = by_id(LINK_FD_BY_ID, last) else {
            continue;
        };
        let info = info::<LINK_INFO_BYTES>(std::os::fd::AsFd::as_fd(&link))?;
        found.push(LinkFacts {
            program: word(&info, 8),
            is_alive: word(&info, 0) != LINK_OF_CGROUP || long(&info, LINK_CGROUP_AT) != 0,
        });
    }
    Ok(found)
}

/// The entry of an array's slot, of `bytes` bytes; of a program array, the program's number. `None` where there is none.
pub(super) fn entry(map: BorrowedFd<'_>, slot: u32, bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; bytes.next_multiple_of(8)];
    let mut attribute = Attribute::new()
        .set_u32(0, map.as_raw_fd().cast_unsigned())
        .set_address(8, &raw const slot)
        .set_address(16, value.as_mut_ptr());
    // SAFETY: key and value live until the call returns; an array's key has four bytes, and the caller gives the size of
    // the map's values, which the kernel does not exceed.
    match unsafe { bpf(MAP_LOOKUP, &mut attribute) } {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(_) => {
            value.truncate(bytes);
            Ok(Some(value))
        }
    }
}

/// Writes an array's entry again.
pub(super) fn set_entry(map: BorrowedFd<'_>, slot: u32, value: &[u8]) -> io::Result<()> {
    let mut attribute = Attribute::new()
        .set_u32(0, map.as_raw_fd().cast_unsigned())
        .set_address(8, &raw const slot)
        .set_address(16, value.as_ptr());
    // SAFETY: key and value live until the call returns; the value has the size that it was read with.
    unsafe { bpf(MAP_UPDATE, &mut attribute) }.map(drop)
}

/// Makes a map constant for everybody, this process included.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attribute = Attribute::new().set_u32(0, map.as_raw_fd().cast_unsigned());
    // SAFETY: the command reads nothing but the attribute.
    unsafe { bpf(MAP_FREEZE, &mut attribute) }.map(drop)
}
