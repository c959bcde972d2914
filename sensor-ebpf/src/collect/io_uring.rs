//! Reads requests of `io_uring` into the records of the calls that they stand for.
//!
//! What names files is told twice: when the request is taken, with the names, and when it is done. The address of the
//! request joins the two. What is about a socket is told when it is done, from the socket.

use sensor_common::{
    hook::Hook,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{self, Open, PathCall, Span, flags},
    syscall::Call,
};

use super::{
    connect,
    open::identity,
    outcome,
    path::{AT_FDCWD, resolved},
    socket_call::{self, Done},
    text,
};
use crate::{
    emit,
    kernel::{Kernel, file, path},
    scratch::{Scratch, clear},
};

/// A request, and the call that it stands for.
pub(crate) struct Request {
    pub(crate) kernel: Kernel,
    pub(crate) call: Call,
    pub(crate) kind: Kind,
}

/// `IORING_FILE_INDEX_ALLOC` (`include/uapi/linux/io_uring.h`): the kernel chooses the slot, and returns it.
const SLOT_CHOSEN: u32 = u32::MAX;
/// Bits of an entry of a ring's files that are no address (`FFS_MASK`, `io_uring/filetable.h`).
const FILE_BITS: u64 = 3;
/// `AT_REMOVEDIR` (`include/uapi/linux/fcntl.h`)
const AT_REMOVEDIR: u32 = 0x200;

/// Says where a record comes from, and what joins it with its other half.
#[inline(always)]
fn mark(scratch: &mut Scratch, request: &Request, hook: Hook, found: u32) {
    scratch.flag(found | flags::VIA_IO_URING);
    let header = scratch.header();
    header.hook = hook as u32;
    header.key = request.kernel.0;
}

/// Appends a name that the kernel has copied: a `struct filename`.
#[inline(always)]
fn append_name(scratch: &mut Scratch, filename: u64) -> Span {
    match Kernel::non_null(filename).and_then(|name| name.follow(F::filename_name)) {
        Some(name) => text::append_kernel(scratch, name.0),
        None => {
            scratch.flag(flags::GIVEN_UNREADABLE);
            Span::default()
        }
    }
}

/// The numbers of an open, which the request keeps to its end.
#[inline(always)]
fn open_numbers(scratch: &mut Scratch, request: &Request, result: i64) {
    let req = request.kernel;
    let fixed = scratch.fixed::<Open>();
    clear(&mut fixed.file);
    fixed.file_flags = 0;
    fixed.path = Span::default();
    fixed.given = Span::default();
    fixed.result = result;
    fixed.flags_given = req.read_or_default(F::io_open_flags);
    fixed.mode_given = req.read_or_default::<u64>(F::io_open_mode) as u32;
    fixed.dirfd = req.read_or_default(F::io_open_dfd);
    fixed.call = request.call as u32;
}

/// Sends an open that is about to be tried.
#[inline(always)]
pub(crate) fn open_begins(task: Kernel, request: &Request) {
    let Some(mut scratch) = emit::begin::<Open>(task, Kind::Open) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    mark(&mut scratch, request, Hook::IoUringSubmit, flags::PENDING);
    open_numbers(&mut scratch, request, 0);
    let given = append_name(&mut scratch, request.kernel.read_or_default(F::io_open_filename));
    let dirfd = reread(&raw const scratch.fixed::<Open>().dirfd);
    scratch.fixed::<Open>().given = given;
    let span = resolved(&mut scratch, task, dirfd, given, flags::PATH_PARTLY_GIVEN);
    scratch.fixed::<Open>().path = span;
    emit::send(scratch, task, Kind::Open);
}

/// The file that a request has opened: by its descriptor, or in a slot of the ring's own table.
#[inline(always)]
fn opened(task: Kernel, request: &Request, slot: u32, result: i64) -> Option<Kernel> {
    if slot == 0 {
        return file::by_descriptor(task, result as u64);
    }
    let index = if slot == SLOT_CHOSEN {
        result as u32 as u64
    } else {
        u64::from(slot) - 1
    };
    let nodes = request.kernel.follow(F::req_ring)?.follow(F::ring_files)?;
    let node = nodes.word_at(index * 8).and_then(Kernel::non_null)?;
    Kernel::non_null(node.read_or_default::<u64>(F::ring_file) & !FILE_BITS)
}

/// Sends an open that is done: all but the name that was given, which its first half has.
#[inline(always)]
pub(crate) fn open_ends(task: Kernel, request: &Request, result: i64) {
    emit::seen(Kind::Open);
    if emit::is_agent() {
        emit::filtered(Kind::Open);
        return;
    }
    let Some(mut scratch) = emit::begin::<Open>(task, Kind::Open) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    mark(&mut scratch, request, Hook::IoUringComplete, 0);
    open_numbers(&mut scratch, request, result);
    if result >= 0 {
        let slot: u32 = request.kernel.read_or_default(F::io_open_slot);
        match opened(task, request, slot, result) {
            Some(file) => {
                identity(&mut scratch, file);
                if let Some(at) = file.address(F::file_f_path) {
                    let span = path::append(&mut scratch, at, flags::PATH_TRUNCATED);
                    scratch.fixed::<Open>().path = span;
                }
            }
            None => scratch.flag(flags::FILE_RACED),
        }
    }
    emit::send(scratch, task, Kind::Open);
}

/// Sends a change of names that is about to be tried.
#[inline(always)]
pub(crate) fn path_begins(task: Kernel, request: &Request) {
    let req = request.kernel;
    let Some(mut scratch) = emit::begin::<PathCall>(task, request.kind) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    mark(&mut scratch, request, Hook::IoUringSubmit, flags::PENDING);
    let fixed = scratch.fixed::<PathCall>();
    clear(fixed);
    fixed.call = request.call as u32;
    fixed.dirfd = AT_FDCWD;
    fixed.dirfd2 = AT_FDCWD;
    let first: u64;
    let mut second: u64 = 0;
    match request.call {
        Call::Unlinkat => {
            fixed.dirfd = req.read_or_default(F::io_unlink_dfd);
            fixed.args[2] = u64::from(req.read_or_default::<u32>(F::io_unlink_flags) & AT_REMOVEDIR);
            first = req.read_or_default(F::io_unlink_filename);
            fixed.args[0] = fixed.dirfd as u32 as u64;
        }
        Call::Mkdirat => {
            fixed.dirfd = req.read_or_default(F::io_mkdir_dfd);
            fixed.args[2] = u64::from(req.read_or_default::<u16>(F::io_mkdir_mode));
            first = req.read_or_default(F::io_mkdir_filename);
            fixed.args[0] = fixed.dirfd as u32 as u64;
        }
        Call::Renameat2 => {
            fixed.dirfd = req.read_or_default(F::io_rename_old_dfd);
            fixed.dirfd2 = req.read_or_default(F::io_rename_new_dfd);
            fixed.args[4] = u64::from(req.read_or_default::<u32>(F::io_rename_flags));
            first = req.read_or_default(F::io_rename_oldpath);
            second = req.read_or_default(F::io_rename_newpath);
            fixed.args[0] = fixed.dirfd as u32 as u64;
            fixed.args[2] = fixed.dirfd2 as u32 as u64;
        }
        _ => {
            fixed.dirfd = req.read_or_default(F::io_link_old_dfd);
            fixed.dirfd2 = req.read_or_default(F::io_link_new_dfd);
            first = req.read_or_default(F::io_link_oldpath);
            second = req.read_or_default(F::io_link_newpath);
            if matches!(request.call, Call::Symlinkat) {
                fixed.dirfd = AT_FDCWD;
                fixed.args[1] = fixed.dirfd2 as u32 as u64;
            } else {
                fixed.args[4] = u64::from(req.read_or_default::<u32>(F::io_link_flags));
                fixed.args[0] = fixed.dirfd as u32 as u64;
                fixed.args[2] = fixed.dirfd2 as u32 as u64;
            }
        }
    }
    let fixed = scratch.fixed::<PathCall>();
    fixed.args[FIRST] = first;
    fixed.args[SECOND] = second;
    scratch.header().kind = request.kind as u8;
    names(&mut scratch, task);
    if let Some(kind) = Kind::from_number(reread(&raw const scratch.header().kind)) {
        emit::send(scratch, task, kind);
    } else {
        emit::give_up(scratch, Kind::Outcome);
    }
}

/// Arguments that no operation of these has: there the names' addresses wait for their turn.
const FIRST: usize = 3;
const SECOND: usize = 5;

/// What is in the slot.
///
/// VERIFIER: read back, so that what the operations' branches know of it is forgotten and they become one way; each
/// for itself, the ways through two paths are too many.
#[inline(always)]
fn reread<T: Copy>(at: *const T) -> T {
    // SAFETY: a place in the live slot.
    unsafe { core::ptr::read_volatile(at) }
}

/// Takes an argument out of a record, and leaves 0.
#[inline(always)]
fn take(scratch: &mut Scratch, index: usize) -> u64 {
    let at = &raw mut scratch.fixed::<PathCall>().args[index];
    let value = reread(at);
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(at, 0) };
    value
}

/// Appends the names of a record whose descriptors are there.
#[inline(always)]
fn names(scratch: &mut Scratch, task: Kernel) {
    let (first, second) = (take(scratch, FIRST), take(scratch, SECOND));
    let given = append_name(scratch, first);
    if reread(&raw const scratch.fixed::<PathCall>().call) == Call::Symlinkat as u32 {
        scratch.fixed::<PathCall>().text = given;
    } else {
        let dirfd = reread(&raw const scratch.fixed::<PathCall>().dirfd);
        scratch.fixed::<PathCall>().given = given;
        let span = resolved(scratch, task, dirfd, given, flags::PATH_PARTLY_GIVEN);
        scratch.fixed::<PathCall>().path = span;
    }
    if second != 0 {
        let given = append_name(scratch, second);
        let dirfd = reread(&raw const scratch.fixed::<PathCall>().dirfd2);
        scratch.fixed::<PathCall>().given2 = given;
        let span = resolved(scratch, task, dirfd, given, flags::PATH2_PARTLY_GIVEN);
        scratch.fixed::<PathCall>().path2 = span;
    }
}

/// Sends what came of a change of names.
#[inline(always)]
pub(crate) fn path_ends(task: Kernel, request: &Request, result: i64) {
    let end = outcome::End {
        key: request.kernel.0,
        stage: record::outcome::DONE,
        result,
        fd: -1,
        found: 0,
    };
    outcome::alone(task, end, Hook::IoUringComplete);
}

/// Sends what came of a request about a socket, or its end alone where the socket has told of the beginning.
#[inline(always)]
pub(crate) fn socket_ends(task: Kernel, request: &Request, result: i64) {
    let req = request.kernel;
    let mut done = Done {
        kind: request.kind,
        call: request.call,
        args: [0; 6],
        result,
        fd: -1,
        file: None,
        caller: connect::Request {
            fd: -1,
            address: 0,
            address_len: 0,
        },
        found: flags::VIA_IO_URING,
    };
    match request.call {
        Call::Socket | Call::Accept4 => {
            let slot: u32 = if matches!(request.call, Call::Socket) {
                done.args[0] = u64::from(req.read_or_default::<u32>(F::io_socket_domain));
                done.args[1] = u64::from(req.read_or_default::<u32>(F::io_socket_type));
                done.args[2] = u64::from(req.read_or_default::<u32>(F::io_socket_protocol));
                req.read_or_default(F::io_socket_slot)
            } else {
                done.args[3] = u64::from(req.read_or_default::<u32>(F::io_accept_flags));
                req.read_or_default(F::io_accept_slot)
            };
            if result >= 0 {
                done.file = opened(task, request, slot, result);
                if slot == 0 {
                    done.fd = result as i32;
                }
            }
        }
        Call::Listen => {
            done.args[1] = u64::from(req.read_or_default::<u32>(F::io_listen_backlog));
            done.file = req.follow(F::req_file);
        }
        Call::Connect => {
            done.file = req.follow(F::req_file);
            done.caller.address = req.read_or_default(F::io_connect_addr);
            done.caller.address_len = u64::from(req.read_or_default::<u32>(F::io_connect_addr_len));
        }
        _ => done.file = req.follow(F::req_file),
    }
    if let Some(mut scratch) = socket_call::collect(task, &done, Hook::IoUringComplete) {
        emit::describe_current(&mut scratch, task);
        emit::send(scratch, task, done.kind);
    }
}
