//! Decides about a program or a file before it is had, and tells what is denied.

use sensor_common::{
    enforce::operations,
    hook::Hook,
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{Open, PathCall, flags},
    syscall::Call,
};

use super::{open::access_of, path::AT_FDCWD, text};
use crate::{
    direct, emit,
    enforce::{self, EPERM, Subject, action},
    kernel::{Kernel, file, path},
    maps::{DENY_FILES, DENY_PROGRAMS},
    probe::lsm::Claim,
    scratch::clear,
};


/// Whether this program is denied; then it is told, as a call that failed.
#[inline(always)]
pub(crate) fn exec(claim: &mut Claim, task: Kernel, binprm: Kernel) -> bool {
    let by_descriptor = binprm.follow(F::binprm_fdpath).is_some();
    let operation = if by_descriptor {
        operations::EXECVEAT
    } else {
        operations::EXECVE
    };
    let scratch = &mut claim.scratch;
    scratch.begin::<PathCall>(Hook::LsmExec);
    let fixed = scratch.fixed::<PathCall>();
    clear(fixed);
    fixed.result = EPERM;
    fixed.call = if by_descriptor {
        Call::Execveat
    } else {
        Call::Execve
    } as u32;
    fixed.dirfd = AT_FDCWD;
    fixed.dirfd2 = AT_FDCWD;
    if let Some(at) = binprm
        .follow(F::binprm_file)
        .and_then(|file| file.address(F::file_f_path))
    {
        let span = path::append(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<PathCall>().path = span;
    }
    let mut subject = Subject::new(operation, action::DENY);
    let path = scratch.fixed::<PathCall>().path;
    subject.paths = enforce::paths_with(claim.key, scratch, path, &DENY_PROGRAMS);
    let Some(verdict) = enforce::decide(&subject) else {
        return false;
    };
    if !enforce::mark_told(verdict) {
        return false;
    }
    let given = text::append_kernel(scratch, binprm.read_or_default(F::binprm_filename));
    scratch.fixed::<PathCall>().given = given;
    emit::describe_current(scratch, task);
    scratch.flag(flags::DENIED);
    if direct::send_whole(scratch, task, Kind::ExecFailed) {
        enforce::reported(verdict.rule);
    }
    true
}

/// Whether this file is denied; then it is told, as an open that failed.
#[inline(always)]
pub(crate) fn open(claim: &mut Claim, task: Kernel, file: Kernel) -> bool {
    let scratch = &mut claim.scratch;
    scratch.begin::<Open>(Hook::LsmOpen);
    let fixed = scratch.fixed::<Open>();
    clear(fixed);
    let file_flags: u32 = file.read_or_default(F::file_f_flags);
    fixed.result = EPERM;
    fixed.file_flags = file_flags;
    fixed.flags_given = u64::from(file_flags);
    fixed.dirfd = AT_FDCWD;
    fixed.call = Call::OpenAt as u32;
    if let Some(at) = file.address(F::file_f_path) {
        let span = path::append(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<Open>().path = span;
    }
    let mut subject = Subject::new(operations::OPEN, action::DENY);
    subject.access = access_of(file_flags);
    let path = scratch.fixed::<Open>().path;
    subject.paths = enforce::paths_with(claim.key, scratch, path, &DENY_FILES);
    let Some(verdict) = enforce::decide(&subject) else {
        return false;
    };
    if !enforce::mark_told(verdict) {
        return false;
    }
    let found = file::identify(file, &mut scratch.fixed::<Open>().file);
    emit::describe_current(scratch, task);
    scratch.flag(found | flags::DENIED);
    if direct::send_whole(scratch, task, Kind::Open) {
        enforce::reported(verdict.rule);
    }
    true
}
