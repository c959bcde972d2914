//! Reads a program's start: what runs, as whom, where, and with which arguments.

use sensor_common::{
    enforce::operations,
    kernel_fields::KernelField as F,
    kind::Kind,
    limits::{ARGV_HEAD_BYTES_MAX, ARGV_TAIL_BYTES_MAX},
    record::{Exec, Span, Standard, flags, standard},
};

use super::{
    connect::{self, Ends},
    socket::{AF_INET, AF_INET6},
    text,
};
use crate::{
    emit,
    enforce::{self, Subject, action},
    kernel::{Kernel, cgroup, file, path, task},
    maps::DENY_PROGRAMS,
    scratch::{Scratch, clear},
};

/// Sends an exec record for the current task, whose new program `binprm` describes.
#[inline(always)]
pub(crate) fn collect(task: Kernel, binprm: Kernel) {
    let Some(mut scratch) = emit::begin::<Exec>(task, Kind::Exec) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    task::identity(task, &mut scratch.fixed::<Exec>().identity);

    if let Some(file) = binprm.follow(F::binprm_file) {
        let found = file::identify(file, &mut scratch.fixed::<Exec>().file);
        scratch.flag(found);
        if let Some(at) = file.address(F::file_f_path) {
            let span = path::append(&mut scratch, at, flags::PATH_TRUNCATED);
            scratch.fixed::<Exec>().path = span;
        }
    } else {
        clear(&mut scratch.fixed::<Exec>().file);
        scratch.fixed::<Exec>().path = Span::default();
    }
    names(&mut scratch, binprm);
    arguments(&mut scratch, task, binprm);
    let cwd = match task.follow(F::task_fs).and_then(|fs| fs.address(F::fs_pwd)) {
        Some(at) => path::append(&mut scratch, at, flags::CWD_TRUNCATED),
        None => Span::default(),
    };
    scratch.fixed::<Exec>().cwd = cwd;
    let cgroup = match cgroup::directory(task) {
        Some(directory) => cgroup::append_path(&mut scratch, directory),
        None => Span::default(),
    };
    scratch.fixed::<Exec>().cgroup = cgroup;
    read_standard(task.0, &mut scratch.fixed::<Exec>().standard);
    answer(&mut scratch);
    emit::send(scratch, task, Kind::Exec);
}

/// Kills the process for a rule that asks for it: the new program does not run.
#[inline(always)]
fn answer(scratch: &mut Scratch) {
    let fixed = scratch.fixed::<Exec>();
    let operation = if fixed.by_descriptor == 0 {
        operations::EXECVE
    } else {
        operations::EXECVEAT
    };
    let path = fixed.path;
    if !enforce::kills_for(operation) {
        return;
    }
    let mut subject = Subject::new(operation, action::KILL);
    subject.paths = enforce::paths_of(scratch, path, &DENY_PROGRAMS);
    enforce::kill_for(scratch, &subject);
}

/// What standard input, output and error are, by whatever way they came there. What is closed at an exec is closed by now
/// (`begin_new_exec`, `fs/exec.c`).
///
/// A function of its own, as [`task::identity`] is.
#[inline(never)]
fn read_standard(task: u64, standard: &mut Standard) -> i32 {
    clear(standard);
    let Standard {
        types,
        is_socket,
        family: of_socket,
        local_port,
        remote_port,
        local_address,
        remote_address,
        ..
    } = standard;
    let mut first = 0;
    for (fd, of) in (0_u64..).zip(types) {
        let Some(file) = file::by_descriptor(Kernel(task), fd) else {
            continue;
        };
        let mode: u16 = file
            .follow(F::file_f_inode)
            .map_or(0, |inode| inode.read_or_default(F::inode_i_mode));
        *of = mode & standard::TYPE | standard::OPEN;
        let Some(sock) = connect::socket_of(file).and_then(|socket| socket.follow(F::socket_sk)) else {
            continue;
        };
        let family: u16 = sock.read_or_default(F::sock_family);
        *of |= family & standard::FAMILY;
        if family != AF_INET && family != AF_INET6 || first != 0 && first != sock.0 {
            continue;
        }
        *is_socket |= 1 << fd;
        if first == 0 {
            first = sock.0;
            *of_socket = family;
            let ends = Ends {
                local_port: &mut *local_port,
                remote_port: &mut *remote_port,
                local_address: &mut *local_address,
                remote_address: &mut *remote_address,
            };
            connect::inet_ends(ends, sock, family);
        }
    }
    0
}

/// The name that the program was called by and, of a script, its interpreter's.
#[inline(always)]
fn names(scratch: &mut Scratch, binprm: Kernel) {
    let filename: u64 = binprm.read_or_default(F::binprm_filename);
    let interpreter: u64 = binprm.read_or_default(F::binprm_interp);
    let span = text::append_kernel(scratch, filename);
    scratch.fixed::<Exec>().filename = span;
    let mut span = Span::default();
    // The two are one pointer unless a `#!` line or a registered format changed the second
    // (`bprm_change_interp`, fs/exec.c).
    if interpreter != filename {
        scratch.flag(flags::INTERPRETED);
        span = text::append_kernel(scratch, interpreter);
    }
    let by_descriptor = binprm.follow(F::binprm_fdpath).is_some();
    let fixed = scratch.fixed::<Exec>();
    fixed.interpreter = span;
    fixed.by_descriptor = u32::from(by_descriptor);
}

/// argv, from the new address space: nobody else can write there yet. Its head and, where it is too
/// long, its tail.
#[inline(always)]
fn arguments(scratch: &mut Scratch, task: Kernel, binprm: Kernel) {
    let mut start = 0_u64;
    let mut len = 0_u64;
    if let Some(mm) = task.follow(F::task_mm) {
        start = mm.read_or_default(F::mm_arg_start);
        len = mm.read_or_default::<u64>(F::mm_arg_end).saturating_sub(start);
    }
    let argc: u32 = binprm.read_or_default(F::binprm_argc);
    let head_len = if len > ARGV_HEAD_BYTES_MAX as u64 {
        ARGV_HEAD_BYTES_MAX as u64
    } else {
        len
    };
    let mut argv = text::append_user_bytes(scratch, start, head_len, flags::ARGV_UNREADABLE);
    let tail_at = argv.len;
    if len > head_len {
        let mut tail_len = len - head_len;
        if tail_len > ARGV_TAIL_BYTES_MAX as u64 {
            tail_len = ARGV_TAIL_BYTES_MAX as u64;
            scratch.flag(flags::ARGV_TRUNCATED);
        }
        let tail = text::append_user_bytes(scratch, start + len - tail_len, tail_len, flags::ARGV_UNREADABLE);
        argv.len += tail.len;
    }
    let fixed = scratch.fixed::<Exec>();
    fixed.argc = argc;
    fixed.argv_len = if len > u64::from(u32::MAX) {
        u32::MAX
    } else {
        len as u32
    };
    fixed.argv = argv;
    fixed.argv_tail_at = u32::from(tail_at);
}
