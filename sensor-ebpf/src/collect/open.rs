//! Reads an opened file: the name that the kernel resolved, and beside it what the caller said.

use sensor_common::{
    enforce::{access, operations},
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{Open, Span, flags},
    syscall::Call,
};

use super::{path::AT_FDCWD, text};
use crate::{
    emit,
    enforce::{self, Subject, action},
    kernel::{Kernel, file, path},
    maps::DENY_FILES,
    probe::arguments::Arguments,
    scratch::{Scratch, clear},
};

/// What the caller asked for.
struct Request {
    path: u64,
    flags: u64,
    mode: u32,
    dirfd: i32,
}

/// What `creat` stands for (`fs/open.c`): `O_CREAT | O_WRONLY | O_TRUNC`.
const CREAT_FLAGS: u64 = 0o1101;

/// Takes the request out of the call's arguments. Those of `openat2` lie in the caller's memory, and
/// may have changed since; its flags are checked against the open file's by the reader.
#[inline(always)]
fn request(call: Call, arguments: &Arguments) -> Request {
    let [first, second, third, fourth] = arguments.first_four();
    match call {
        Call::Open => Request {
            path: first,
            flags: second,
            mode: third as u32,
            dirfd: AT_FDCWD,
        },
        Call::Creat => Request {
            path: first,
            flags: CREAT_FLAGS,
            mode: second as u32,
            dirfd: AT_FDCWD,
        },
        Call::OpenAt2 => {
            let mut how = [0_u64; 2];
            // SAFETY: the helper checks the source, and writes 16 bytes to our own.
            let read = unsafe {
                aya_ebpf::helpers::generated::bpf_probe_read_user(
                    how.as_mut_ptr().cast(),
                    16,
                    third as *const core::ffi::c_void,
                )
            };
            if read != 0 {
                how = [0; 2];
            }
            Request {
                path: second,
                flags: how[0],
                mode: how[1] as u32,
                dirfd: first as i32,
            }
        }
        Call::OpenByHandleAt => Request {
            path: 0,
            flags: third,
            mode: 0,
            dirfd: first as i32,
        },
        _ => Request {
            path: second,
            flags: third,
            mode: fourth as u32,
            dirfd: first as i32,
        },
    }
}

/// Reads the numbers into a record; `None` when there is no room for it.
#[inline(always)]
pub(crate) fn numbers(task: Kernel, call: Call, arguments: &Arguments, result: i64) -> Option<Scratch> {
    let mut scratch = emit::begin_call::<Open>(task, Kind::Open, arguments.found())?;
    let request = request(call, arguments);
    let fixed = scratch.fixed::<Open>();
    clear(&mut fixed.file);
    fixed.file_flags = 0;
    fixed.path = Span::default();
    fixed.given = Span::default();
    fixed.result = result;
    fixed.flags_given = request.flags;
    fixed.mode_given = request.mode;
    fixed.dirfd = request.dirfd;
    fixed.call = call as u32;
    scratch.hand_over(0);
    if result >= 0 {
        match file::by_descriptor(task, result as u64) {
            Some(file) => {
                scratch.hand_over(file.0);
                class(&mut scratch, file);
            }
            None => scratch.flag(flags::FILE_RACED),
        }
    }
    Some(scratch)
}

/// What filters ask of the open file.
#[inline(always)]
fn class(scratch: &mut Scratch, file: Kernel) {
    let fixed = scratch.fixed::<Open>();
    if let Some(inode) = file.follow(F::file_f_inode) {
        fixed.file.inode = inode.read_or_default(F::inode_i_ino);
        fixed.file.mode = u32::from(inode.read_or_default::<u16>(F::inode_i_mode));
    }
    fixed.file_flags = file.read_or_default(F::file_f_flags);
    if file::was_created(file) {
        scratch.flag(flags::CREATED);
    }
}

/// All that the open file of a call says of itself, once it is sure that somebody wants it.
#[inline(always)]
pub(crate) fn whole(scratch: &mut Scratch) {
    if let Some(file) = Kernel::non_null(scratch.handed_over()) {
        let found = file::identify(file, &mut scratch.fixed::<Open>().file);
        scratch.flag(found);
    }
}

/// What the open file says of itself.
#[inline(always)]
pub(crate) fn identity(scratch: &mut Scratch, file: Kernel) {
    class(scratch, file);
    let found = file::identify(file, &mut scratch.fixed::<Open>().file);
    scratch.flag(found);
}

/// Reads the names.
#[inline(always)]
pub(crate) fn names(scratch: &mut Scratch, call: Call, arguments: &Arguments) {
    let file = Kernel::non_null(scratch.handed_over());
    if let Some(at) = file.and_then(|file| file.address(F::file_f_path)) {
        let span = path::append_quickly(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<Open>().path = span;
    }
    let path = request(call, arguments).path;
    if path != 0 {
        let span = text::append_user(scratch, path);
        scratch.fixed::<Open>().given = span;
    }
}

/// `O_ACCMODE`, `O_WRONLY`, `O_RDWR` (`include/uapi/asm-generic/fcntl.h`)
const O_ACCMODE: u32 = 3;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;

/// What a file with these flags is open for, as `evt.is_open_read` and `evt.is_open_write` say it.
#[inline(always)]
pub(crate) fn access_of(file_flags: u32) -> u32 {
    match file_flags & O_ACCMODE {
        O_WRONLY => access::WRITE,
        O_RDWR => access::READ | access::WRITE,
        _ => access::READ,
    }
}

/// Kills the process for a rule that asks for it: it does not get to use the file.
#[inline(always)]
pub(crate) fn answer(scratch: &mut Scratch) {
    let fixed = scratch.fixed::<Open>();
    let (path, file_flags, result) = (fixed.path, fixed.file_flags, fixed.result);
    if result < 0 || !enforce::kills_for(operations::OPEN) {
        return;
    }
    let mut subject = Subject::new(operations::OPEN, action::KILL);
    subject.access = access_of(file_flags);
    subject.paths = enforce::paths_of(scratch, path, &DENY_FILES);
    enforce::kill_for(scratch, &subject);
}
