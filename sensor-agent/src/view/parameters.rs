//! Parameters of the events of calls, in Falco's order and with Falco's names and spelling.
//!
//! One table: what each parameter of a call is made of. Calls that Falco knows only by their number have the
//! parameters of their nearest relative, so that one condition fits both.

use sensor_common::syscall::Call;
use sensor_rules::event::Value;

use super::{View, arguments::AT_FDCWD, call_names, names, text, write};
use crate::event::{Body, PathCall};

/// Where a parameter comes from. A number is the index of the call's argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The result: 0, or the error's name.
    Result,
    /// The result as a new descriptor.
    NewFd,
    /// The first path.
    Path,
    /// The second path.
    Path2,
    /// A path's folder, as a descriptor.
    DirFd(usize),
    /// The text of the call.
    Text,
    /// The second text of the call.
    Text2,
    /// The caller's string, as it is.
    Given,
    /// A signed number.
    Signed(usize),
    /// An unsigned number.
    Unsigned(usize),
    /// A number in hexadecimal.
    Hex(usize),
    /// The permissions of a file, by name.
    Mode(usize),
    /// A user id, by name.
    User(usize),
    /// A group id, by name.
    Group(usize),
    /// Flags of this table, by name.
    Flags(usize, call_names::Table),
    /// One of this table, by name.
    Name(usize, call_names::Table),
    /// A request to `ptrace`, by name.
    Request(usize),
    /// A descriptor and what it is.
    Fd(usize),
    /// Both ends of a socket.
    Tuple,
    /// The address that a socket got or went to.
    Address,
    /// The socket's descriptor and what it is.
    SocketFd,
    /// How full the queue of a listening socket is, in percent.
    QueuePercent,
}

use Source::{
    Address, DirFd, Fd, Flags, Given, Group, Hex, Mode, Name, NewFd, Path, Path2, QueuePercent, Request,
    Result, Signed, SocketFd, Text, Text2, Tuple, Unsigned, User,
};

/// A parameter: its name, and where it comes from.
pub(crate) type Parameter = (&'static str, Source);

/// The parameters of a call; none for calls whose events have a table of their own.
#[expect(
    clippy::too_many_lines,
    clippy::match_same_arms,
    reason = "a table, with the calls in their order"
)]
pub(crate) fn of(call: Call) -> &'static [Parameter] {
    match call {
        Call::Rename | Call::Link => &[("res", Result), ("oldpath", Path), ("newpath", Path2)],
        Call::Renameat => &[
            ("res", Result),
            ("olddirfd", DirFd(0)),
            ("oldpath", Path),
            ("newdirfd", DirFd(2)),
            ("newpath", Path2),
        ],
        Call::Renameat2 => &[
            ("res", Result),
            ("olddirfd", DirFd(0)),
            ("oldpath", Path),
            ("newdirfd", DirFd(2)),
            ("newpath", Path2),
            ("flags", Flags(4, call_names::RENAME)),
        ],
        Call::Linkat => &[
            ("res", Result),
            ("olddir", DirFd(0)),
            ("oldpath", Path),
            ("newdir", DirFd(2)),
            ("newpath", Path2),
            ("flags", Flags(4, call_names::AT)),
        ],
        Call::Symlink => &[("res", Result), ("target", Text), ("linkpath", Path2)],
        Call::Symlinkat => &[
            ("res", Result),
            ("target", Text),
            ("linkdirfd", DirFd(1)),
            ("linkpath", Path2),
        ],
        Call::Unlink | Call::Rmdir | Call::Chroot | Call::Chdir => &[("res", Result), ("path", Path)],
        Call::Unlinkat => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("name", Path),
            ("flags", Flags(2, call_names::UNLINK)),
        ],
        Call::Mkdir => &[("res", Result), ("path", Path), ("mode", Hex(1))],
        Call::Mkdirat => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("path", Path),
            ("mode", Hex(2)),
        ],
        Call::Truncate | Call::Truncate64 => &[("res", Result), ("path", Path), ("length", Unsigned(1))],
        Call::Ftruncate | Call::Ftruncate64 => &[("res", Result), ("fd", Fd(0)), ("length", Unsigned(1))],
        Call::Chmod => &[("res", Result), ("filename", Path), ("mode", Mode(1))],
        Call::Fchmod => &[("res", Result), ("fd", Fd(0)), ("mode", Mode(1))],
        Call::Fchmodat | Call::Fchmodat2 => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("filename", Path),
            ("mode", Mode(2)),
        ],
        Call::Chown | Call::Lchown | Call::Chown32 | Call::Lchown32 => &[
            ("res", Result),
            ("path", Path),
            ("uid", Signed(1)),
            ("gid", Signed(2)),
        ],
        Call::Fchown | Call::Fchown32 => &[
            ("res", Result),
            ("fd", Fd(0)),
            ("uid", Signed(1)),
            ("gid", Signed(2)),
        ],
        Call::Fchownat => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("pathname", Path),
            ("uid", Signed(2)),
            ("gid", Signed(3)),
            ("flags", Flags(4, call_names::AT)),
        ],
        Call::Setxattr | Call::Lsetxattr | Call::Removexattr | Call::Lremovexattr => {
            &[("res", Result), ("path", Path), ("name", Text)]
        }
        Call::Setxattrat | Call::Removexattrat => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("path", Path),
            ("name", Text),
        ],
        Call::Fsetxattr | Call::Fremovexattr => &[("res", Result), ("fd", Fd(0)), ("name", Text)],
        Call::Mknod => &[
            ("res", Result),
            ("path", Path),
            ("mode", Mode(1)),
            ("dev", Unsigned(2)),
        ],
        Call::Mknodat => &[
            ("res", Result),
            ("dirfd", DirFd(0)),
            ("path", Path),
            ("mode", Mode(2)),
            ("dev", Unsigned(3)),
        ],
        Call::Fchdir => &[("res", Result), ("fd", Fd(0))],
        Call::Setns => &[
            ("res", Result),
            ("fd", Fd(0)),
            ("nstype", Flags(1, call_names::CLONE)),
        ],
        Call::Mount => &[
            ("res", Result),
            ("dev", Given),
            ("dir", Path2),
            ("type", Text),
            ("flags", Flags(3, call_names::MOUNT)),
        ],
        Call::MoveMount => &[("res", Result), ("dev", Path), ("dir", Path2)],
        Call::OpenTree | Call::OpenTreeAttr | Call::Fspick | Call::MountSetattr => {
            &[("res", Result), ("dirfd", DirFd(0)), ("path", Path)]
        }
        Call::Fsopen => &[("fd", NewFd), ("type", Text)],
        Call::Fsconfig => &[
            ("res", Result),
            ("fd", Signed(0)),
            ("cmd", Signed(1)),
            ("key", Text),
        ],
        Call::Umount => &[("res", Result), ("name", Path)],
        Call::Umount2 => &[
            ("res", Result),
            ("name", Path),
            ("flags", Flags(1, call_names::UMOUNT)),
        ],
        Call::PivotRoot => &[("res", Result), ("path", Path), ("newpath", Path2)],
        Call::MemfdCreate => &[
            ("fd", NewFd),
            ("name", Text),
            ("flags", Flags(1, call_names::MEMFD)),
        ],
        Call::InitModule => &[("res", Result), ("length", Unsigned(1)), ("uargs", Text)],
        Call::FinitModule => &[
            ("res", Result),
            ("fd", Fd(0)),
            ("uargs", Text),
            ("flags", Flags(2, call_names::MODULE)),
        ],
        Call::DeleteModule => &[("res", Result), ("name", Text), ("flags", Hex(1))],
        Call::Setuid | Call::Setfsuid | Call::Setuid32 | Call::Setfsuid32 => {
            &[("res", Result), ("uid", User(0))]
        }
        Call::Setgid | Call::Setfsgid | Call::Setgid32 | Call::Setfsgid32 => {
            &[("res", Result), ("gid", Group(0))]
        }
        Call::Setreuid | Call::Setreuid32 => &[("res", Result), ("ruid", User(0)), ("euid", User(1))],
        Call::Setregid | Call::Setregid32 => &[("res", Result), ("rgid", Group(0)), ("egid", Group(1))],
        Call::Setresuid | Call::Setresuid32 => &[
            ("res", Result),
            ("ruid", User(0)),
            ("euid", User(1)),
            ("suid", User(2)),
        ],
        Call::Setresgid | Call::Setresgid32 => &[
            ("res", Result),
            ("rgid", Group(0)),
            ("egid", Group(1)),
            ("sgid", Group(2)),
        ],
        Call::Prctl => &[
            ("res", Result),
            ("option", Name(0, call_names::PRCTL)),
            ("arg2_str", Text),
            ("arg2_int", Signed(1)),
        ],
        Call::Unshare | Call::Clone | Call::Clone3 => {
            &[("res", Result), ("flags", Flags(0, call_names::CLONE))]
        }
        Call::Ptrace => &[
            ("res", Result),
            ("addr", Hex(2)),
            ("data", Hex(3)),
            ("request", Request(0)),
            ("pid", Signed(1)),
        ],
        Call::Kill => &[
            ("res", Result),
            ("pid", Signed(0)),
            ("sig", Name(1, call_names::SIGNAL)),
        ],
        Call::Tkill => &[
            ("res", Result),
            ("tid", Signed(0)),
            ("sig", Name(1, call_names::SIGNAL)),
        ],
        Call::Tgkill => &[
            ("res", Result),
            ("pid", Signed(0)),
            ("tid", Signed(1)),
            ("sig", Name(2, call_names::SIGNAL)),
        ],
        Call::PidfdSendSignal => &[
            ("res", Result),
            ("fd", Signed(0)),
            ("sig", Name(1, call_names::SIGNAL)),
        ],
        Call::RtSigqueueinfo => &[
            ("res", Result),
            ("pid", Signed(0)),
            ("sig", Name(1, call_names::SIGNAL)),
        ],
        Call::PidfdOpen => &[("fd", NewFd), ("pid", Signed(0)), ("flags", Hex(1))],
        Call::PidfdGetfd => &[
            ("fd", NewFd),
            ("pid_fd", Signed(0)),
            ("target_fd", Signed(1)),
            ("flags", Hex(2)),
        ],
        Call::Bpf => &[("fd", NewFd), ("cmd", Name(0, call_names::BPF))],
        Call::Userfaultfd => &[("res", Result), ("flags", Hex(0))],
        Call::Keyctl => &[("res", Result), ("operation", Unsigned(0))],
        Call::Seccomp => &[("res", Result), ("op", Unsigned(0)), ("flags", Hex(1))],
        Call::Mprotect | Call::PkeyMprotect => &[
            ("res", Result),
            ("addr", Hex(0)),
            ("length", Unsigned(1)),
            ("prot", Flags(2, call_names::PROT)),
        ],
        Call::Mmap | Call::Mmap2 => &[
            ("addr", Hex(0)),
            ("length", Unsigned(1)),
            ("prot", Flags(2, call_names::PROT)),
            ("flags", Hex(3)),
            ("fd", Signed(4)),
        ],
        Call::TaskRename => &[("comm", Text), ("oldcomm", Text2), ("tid", Signed(0))],
        Call::CgroupAttachTask => &[("path", Text), ("id", Unsigned(0))],
        Call::ProcessVmReadv | Call::ProcessVmWritev => &[("res", Result), ("pid", Signed(0))],
        Call::Connect | Call::SocketCall => &[
            ("res", Result),
            ("tuple", Tuple),
            ("fd", SocketFd),
            ("addr", Address),
        ],
        Call::Bind => &[("res", Result), ("addr", Address), ("fd", SocketFd)],
        Call::Listen => &[("res", Result), ("fd", SocketFd), ("backlog", Signed(1))],
        Call::Accept => &[
            ("fd", SocketFd),
            ("tuple", Tuple),
            ("queuepct", QueuePercent),
            ("queuelen", Unsigned(4)),
            ("queuemax", Unsigned(5)),
        ],
        Call::Accept4 => &[
            ("fd", SocketFd),
            ("tuple", Tuple),
            ("queuepct", QueuePercent),
            ("queuelen", Unsigned(4)),
            ("queuemax", Unsigned(5)),
            ("flags", Hex(3)),
        ],
        Call::Sendto | Call::Sendmsg | Call::Sendmmsg => {
            &[("res", Result), ("fd", SocketFd), ("tuple", Tuple)]
        }
        Call::Socket => &[
            ("fd", SocketFd),
            ("domain", Name(0, call_names::FAMILY)),
            ("type", Unsigned(1)),
            ("proto", Unsigned(2)),
        ],
        Call::Setsockopt => &[
            ("res", Result),
            ("fd", SocketFd),
            ("level", Name(1, call_names::LEVEL)),
            ("optname", Name(2, call_names::SOCKET_OPTION)),
            ("optlen", Unsigned(4)),
        ],
        Call::Dup => &[("res", SocketFd), ("oldfd", Signed(0))],
        Call::Dup2 => &[("res", SocketFd), ("oldfd", Signed(0)), ("newfd", Signed(1))],
        Call::Dup3 => &[
            ("res", SocketFd),
            ("oldfd", Signed(0)),
            ("newfd", Signed(1)),
            ("flags", Hex(2)),
        ],
        Call::Fcntl | Call::Fcntl64 => &[
            ("res", SocketFd),
            ("fd", Signed(0)),
            ("cmd", Name(1, call_names::FCNTL)),
        ],
        Call::Execve => &[("res", Result), ("filename", Path)],
        Call::Execveat => &[("res", Result), ("dirfd", DirFd(0)), ("filename", Path)],
        _ => &[("res", Result)],
    }
}

/// Where the parameter of this name comes from.
fn source_of(call: Call, name: &str) -> Option<Source> {
    let (_, source) = of(call).iter().find(|(known, _)| *known == name)?;
    Some(*source)
}

impl View<'_> {
    /// A parameter's value as text; `None` where the event has none of that name.
    pub(super) fn parameter_text<'b>(&'b self, name: &str, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let source = source_of(self.event.call(), name)?;
        match source {
            Result => self.result_text(buf),
            NewFd => match self.result() {
                fd @ 0.. => write(buf, format_args!("{fd}")),
                _ => self.result_text(buf),
            },
            Path => text(Self::call_path(self.path_call()?)),
            Path2 => text(second_path(self.path_call()?)),
            Given => text(self.path_call()?.given),
            Text => text(self.call_text()?),
            Text2 => text(self.second_text()?),
            DirFd(index) | Fd(index) => {
                let number = self.signed(index)?;
                if number == i64::from(AT_FDCWD) {
                    return Some(Value::Text(b"AT_FDCWD"));
                }
                write(buf, format_args!("{number}"))?;
                let path = self.path_call().map_or(&b""[..], |call| call.path);
                if matches!(source, Fd(_)) && !path.is_empty() {
                    buf.extend_from_slice(b"(<f>");
                    buf.extend_from_slice(path);
                    buf.push(b')');
                }
                Some(Value::Text(buf))
            }
            Tuple | Address | SocketFd | QueuePercent => self.socket_text(source, buf),
            Signed(index) => write(buf, format_args!("{}", self.signed(index)?)),
            Unsigned(index) => write(buf, format_args!("{}", self.argument(index)?)),
            Hex(index) => write(buf, format_args!("{:x}", self.argument(index)?)),
            Mode(index) => {
                call_names::mode(self.argument(index)?, buf);
                Some(Value::Text(buf))
            }
            User(index) => self.account(index, buf, Self::user_name),
            Group(index) => self.account(index, buf, Self::group_name),
            Request(index) => {
                let number = self.argument(index)?;
                match names::ptrace_request(number) {
                    Some(name) => Some(Value::Text(name.as_bytes())),
                    None => write(buf, format_args!("{number}")),
                }
            }
            Flags(index, table) => {
                call_names::flags(table, self.argument(index)?, buf);
                Some(Value::Text(buf))
            }
            Name(index, table) => {
                let number = self.argument(index)? & 0xffff_ffff;
                match table.iter().find(|(_, known)| *known == number) {
                    Some((name, _)) => Some(Value::Text(name.as_bytes())),
                    None => write(buf, format_args!("{number}")),
                }
            }
        }
    }

    /// A parameter's value as a number.
    pub(super) fn parameter_number(&self, name: &str) -> Option<Value<'_>> {
        let source = source_of(self.event.call(), name)?;
        match source {
            Result | NewFd => Some(Value::Int(self.result())),
            DirFd(index) | Fd(index) | Signed(index) => Some(Value::Int(self.signed(index)?)),
            Unsigned(index) | Hex(index) => Some(Value::Uint(self.argument(index)?)),
            Mode(index) | User(index) | Group(index) | Request(index) | Flags(index, _) | Name(index, _) => {
                Some(Value::Uint(self.argument(index)? & 0xffff_ffff))
            }
            SocketFd | QueuePercent => self.socket_number(source),
            Path | Path2 | Text | Text2 | Given | Tuple | Address => None,
        }
    }

    pub(super) fn result_text<'b>(&self, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match self.result() {
            0 => Some(Value::Text(b"0")),
            number @ 1.. => write(buf, format_args!("{number}")),
            errno => names::errno(errno.unsigned_abs()).map(|name| Value::Text(name.as_bytes())),
        }
    }

    /// The name of a user or a group: `<NONE>` for -1, `<NA>` where nobody knows it, as Falco prints it.
    fn account<'b>(
        &'b self,
        index: usize,
        buf: &'b mut Vec<u8>,
        name_of: impl Fn(&'b Self, u32) -> &'b [u8],
    ) -> Option<Value<'b>> {
        let id = u32::try_from(self.argument(index)? & 0xffff_ffff).ok()?;
        buf.extend_from_slice(if id == u32::MAX {
            b"<NONE>"
        } else {
            name_of(self, id)
        });
        Some(Value::Text(buf))
    }

    /// An argument of the call.
    pub(super) fn argument(&self, index: usize) -> Option<u64> {
        let args = match &self.event.body {
            Body::Socket(call) => &call.fixed.args,
            Body::Path(call) => &call.fixed.args,
            Body::Identity(call) => &call.fixed.args,
            Body::Plain(call) => &call.fixed.args,
            Body::Open(_) | Body::Fork(_) | Body::Exec(_) | Body::Exit(_) => return None,
        };
        args.get(index).copied()
    }

    /// An argument that is an `int` of the caller's.
    fn signed(&self, index: usize) -> Option<i64> {
        let low = u32::try_from(self.argument(index)? & 0xffff_ffff).ok()?;
        Some(i64::from(low.cast_signed()))
    }

    fn path_call(&self) -> Option<&PathCall<'_>> {
        match &self.event.body {
            Body::Path(call) => Some(call),
            _ => None,
        }
    }

    fn call_text(&self) -> Option<&[u8]> {
        match &self.event.body {
            Body::Path(call) => Some(call.text),
            Body::Identity(call) => Some(call.text),
            Body::Plain(call) => Some(call.text),
            _ => None,
        }
    }

    fn second_text(&self) -> Option<&[u8]> {
        match &self.event.body {
            Body::Plain(call) => Some(call.text2),
            _ => None,
        }
    }

    /// The first path: what kernel objects tell of it or else what the caller gave.
    pub(super) fn call_path<'b>(call: &'b PathCall<'b>) -> &'b [u8] {
        if call.path.is_empty() {
            call.given
        } else {
            call.path
        }
    }
}

/// The second path, likewise.
pub(super) fn second_path<'b>(call: &'b PathCall<'b>) -> &'b [u8] {
    if call.path2.is_empty() {
        call.given2
    } else {
        call.path2
    }
}
