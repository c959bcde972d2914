//! Reads calls about names: what the caller gave, and the path that it leads to as far as kernel objects tell.
//!
//! Of a call that names an open file the path is the file's. Of any other it is that of the folder that the
//! name starts from (a descriptor's, the working directory, the root), with the name behind it: the kernel
//! resolved that name during the call and has kept nothing of it. A flag says so.

use sensor_common::{
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{FileId, PathCall, Span, flags},
    syscall::{Call, NOWHERE, Places},
};

use super::text;
use crate::{
    emit,
    kernel::{Kernel, file, path},
    probe::arguments::Arguments,
    scratch::{Scratch, clear},
};

/// `AT_FDCWD` (`include/uapi/linux/fcntl.h`)
pub(crate) const AT_FDCWD: i32 = -100;

/// Reads the numbers into a record of this kind; `None` when there is no room for it.
#[inline(always)]
pub(crate) fn numbers(
    task: Kernel,
    kind: Kind,
    call: Call,
    arguments: &Arguments,
    result: i64,
) -> Option<Scratch> {
    let mut scratch = emit::begin_call::<PathCall>(task, kind, arguments.found())?;
    let args = arguments.all();
    let fixed = scratch.fixed::<PathCall>();
    clear(fixed);
    fixed.result = result;
    fixed.args = args;
    fixed.call = call as u32;
    fixed.dirfd = AT_FDCWD;
    fixed.dirfd2 = AT_FDCWD;
    Some(scratch)
}

/// Reads the file and the names of a record whose numbers are there.
#[inline(always)]
pub(crate) fn names(scratch: &mut Scratch, task: Kernel, places: &Places) {
    if places.text != NOWHERE {
        let address = argument(scratch, places.text);
        let span = text::append_user(scratch, address);
        scratch.fixed::<PathCall>().text = span;
    }
    if places.fd != NOWHERE {
        let fd = argument(scratch, places.fd);
        open_file(scratch, task, fd as u32 as u64);
    } else if places.kind == Kind::Memfd as u8 && scratch.fixed::<PathCall>().result >= 0 {
        let fd = scratch.fixed::<PathCall>().result;
        open_file(scratch, task, fd as u64);
    }
    if places.path != NOWHERE {
        let address = argument(scratch, places.path);
        let dirfd = folder(scratch, places.dir);
        scratch.fixed::<PathCall>().dirfd = dirfd;
        let given = text::append_user(scratch, address);
        scratch.fixed::<PathCall>().given = given;
        let span = resolved(scratch, task, dirfd, given, flags::PATH_PARTLY_GIVEN);
        scratch.fixed::<PathCall>().path = span;
    }
    if places.path2 != NOWHERE {
        let address = argument(scratch, places.path2);
        let dirfd = folder(scratch, places.dir2);
        scratch.fixed::<PathCall>().dirfd2 = dirfd;
        let given = text::append_user(scratch, address);
        scratch.fixed::<PathCall>().given2 = given;
        let span = resolved(scratch, task, dirfd, given, flags::PATH2_PARTLY_GIVEN);
        scratch.fixed::<PathCall>().path2 = span;
    }
}

/// The argument of this index.
#[inline(always)]
fn argument(scratch: &mut Scratch, index: u8) -> u64 {
    let args = &scratch.fixed::<PathCall>().args;
    match index {
        0 => args[0],
        1 => args[1],
        2 => args[2],
        3 => args[3],
        4 => args[4],
        _ => args[5],
    }
}

/// The folder's descriptor that the argument of this index is.
#[inline(always)]
fn folder(scratch: &mut Scratch, index: u8) -> i32 {
    if index == NOWHERE {
        AT_FDCWD
    } else {
        argument(scratch, index) as i32
    }
}

/// The open file that the call names by a descriptor, or made.
#[inline(always)]
fn open_file(scratch: &mut Scratch, task: Kernel, fd: u64) {
    scratch.fixed::<PathCall>().dirfd = fd as i32;
    let Some(file) = file::by_descriptor(task, fd) else {
        return;
    };
    let mut id = FileId::default();
    let found = file::identify(file, &mut id);
    scratch.fixed::<PathCall>().file = id;
    scratch.flag(found);
    if let Some(at) = file.address(F::file_f_path) {
        let span = path::append(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<PathCall>().path = span;
    }
}

/// The path that a name leads to, without the links on its way: the folder's with the name behind it.
/// An empty name is the folder's descriptor itself.
#[inline(always)]
pub(crate) fn resolved(scratch: &mut Scratch, task: Kernel, dirfd: i32, given: Span, partly: u32) -> Span {
    let is_empty = given.len == 0;
    let is_absolute = !is_empty && text::first_byte(scratch, given) == b'/';
    let at = if is_absolute || dirfd == AT_FDCWD {
        let field = if is_absolute { F::fs_root } else { F::fs_pwd };
        task.follow(F::task_fs).and_then(|fs| fs.address(field))
    } else {
        file::by_descriptor(task, dirfd as u32 as u64).and_then(|file| file.address(F::file_f_path))
    };
    let Some(at) = at else { return Span::default() };
    if is_empty {
        return if dirfd == AT_FDCWD {
            Span::default()
        } else {
            path::append(scratch, at, flags::PATH_TRUNCATED)
        };
    }
    scratch.flag(partly);
    let folder = path::append(scratch, at, flags::PATH_TRUNCATED);
    text::append_name(scratch, folder, given)
}
