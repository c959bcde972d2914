//! The record: bytes in a ring.
//!
//! A record is a [`Header`], the fixed part of its kind, and a tail. The fixed part names pieces of the
//! tail by [`Span`]s, counted from the record's first byte. Numbers have the machine's own byte order: a
//! record never leaves the machine. Only the bytes in use are sent.

use crate::limits::TAIL_OFFSET_MAX;

/// A piece of the tail; `len` 0 means there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// From the record's first byte.
    pub offset: u16,
    /// In bytes.
    pub len: u16,
}

/// Facts about a record that a reader must know before trusting it.
pub mod flags {
    /// The caller is a 32-bit one.
    pub const COMPAT: u32 = 1 << 0;
    /// argv is cut: its head and its tail are kept.
    pub const ARGV_TRUNCATED: u32 = 1 << 1;
    /// argv could not be read.
    pub const ARGV_UNREADABLE: u32 = 1 << 2;
    /// A path is deeper or longer than is walked.
    pub const PATH_TRUNCATED: u32 = 1 << 3;
    /// The path does not lead to the root of a mount namespace: a memfd, a pipe, an unmounted tree.
    pub const PATH_DETACHED: u32 = 1 << 4;
    /// The working directory's path is cut.
    pub const CWD_TRUNCATED: u32 = 1 << 5;
    /// The cgroup's path is cut.
    pub const CGROUP_TRUNCATED: u32 = 1 << 6;
    /// What the caller gave could not be read.
    pub const GIVEN_UNREADABLE: u32 = 1 << 7;
    /// What the caller gave is cut.
    pub const GIVEN_TRUNCATED: u32 = 1 << 8;
    /// The peer's address is the caller's word: the socket no longer has it.
    pub const ADDRESS_FROM_CALLER: u32 = 1 << 9;
    /// The file has no name left (`i_nlink` is 0).
    pub const DELETED: u32 = 1 << 10;
    /// The file is a memfd.
    pub const MEMFD: u32 = 1 << 11;
    /// The file is in the upper layer of an overlay: written since the image was made.
    pub const UPPER_LAYER: u32 = 1 << 12;
    /// The file is on an overlay, in a lower layer.
    pub const LOWER_LAYER: u32 = 1 << 13;
    /// The program was started through an interpreter line (`#!`) or a registered format.
    pub const INTERPRETED: u32 = 1 << 14;
    /// This open made the file.
    pub const CREATED: u32 = 1 << 15;
    /// The opened file could not be found in the table of open files any more.
    pub const FILE_RACED: u32 = 1 << 16;
    /// The tail had no room for every piece.
    pub const TAIL_FULL: u32 = 1 << 17;
    /// It was asked for through `io_uring`, not by the system call itself.
    pub const VIA_IO_URING: u32 = 1 << 18;
    /// The path's end is the caller's word: the folder that it starts from is resolved, links behind it are not.
    pub const PATH_PARTLY_GIVEN: u32 = 1 << 19;
    /// The same of the second path.
    pub const PATH2_PARTLY_GIVEN: u32 = 1 << 20;
    /// The kernel side killed the process, for a rule that asked for it.
    pub const KILLED: u32 = 1 << 23;
    /// The kernel side denied the call, for a rule that asked for it.
    pub const DENIED: u32 = 1 << 30;

    /// The socket is connected.
    pub const ESTABLISHED: u32 = 1 << 24;
    /// The exit of the call is followed: it will tell the result and the descriptor.
    pub const EXIT_FOLLOWS: u32 = 1 << 25;
    /// The cgroup that the socket was made in is not the process's.
    pub const SOCKET_OF_OTHER_CGROUP: u32 = 1 << 26;
    /// The caller does not wait for the connection: its call says `EINPROGRESS`, whatever comes of it.
    pub const NO_WAIT: u32 = 1 << 27;
    /// The hook runs before the call ends and nothing will tell of its end: it is taken for a success.
    pub const RESULT_ASSUMED: u32 = 1 << 28;
    /// Written where numbering in order is not possible: `sequence` is 0.
    pub const UNNUMBERED: u32 = 1 << 29;
    /// The result is not known yet: an [`Outcome`](super::Outcome) with the same key follows.
    pub const PENDING: u32 = 1 << 31;

    /// Those that make a record count as truncated.
    pub const TRUNCATED: u32 = ARGV_TRUNCATED
        | ARGV_UNREADABLE
        | PATH_TRUNCATED
        | CWD_TRUNCATED
        | CGROUP_TRUNCATED
        | GIVEN_UNREADABLE
        | GIVEN_TRUNCATED
        | FILE_RACED
        | TAIL_FULL;
}

/// What every record begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// All of the record, in bytes.
    pub len: u32,
    /// [`LAYOUT_VERSION`](crate::LAYOUT_VERSION).
    pub version: u8,
    /// A [`Kind`](crate::kind::Kind)'s number.
    pub kind: u8,
    /// The CPU that wrote it.
    pub cpu: u16,
    /// Counts the records that this CPU wrote to this ring, lost ones too: a gap is a loss.
    pub sequence: u64,
    /// When it happened, in nanoseconds after boot (`CLOCK_BOOTTIME`).
    pub time_ns: u64,
    /// When the process began, in nanoseconds after boot. With `tgid`, the process's key.
    pub start_time_ns: u64,
    /// The process's cgroup: in the v2 hierarchy, or where it is at v2's root, in the v1 hierarchy that
    /// the agent chose.
    pub cgroup_id: u64,
    /// Process id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// Real user id, in the initial user namespace.
    pub uid: u32,
    /// Real group id, in the initial user namespace.
    pub gid: u32,
    /// [`flags`].
    pub flags: u32,
    /// A [`Hook`](crate::hook::Hook)'s number: what the record came from.
    pub hook: u32,
    /// The thread's name, padded with zeros.
    pub comm: [u8; 16],
    /// Of a record with [`flags::PENDING`] and of its [`Outcome`], what joins the two; else 0.
    pub key: u64,
}

/// A file's identity, as its inode tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FileId {
    /// `i_ino`
    pub inode: u64,
    /// `s_dev`, the kernel's encoding: major << 20 | minor.
    pub device: u32,
    /// `i_mode`: type and permissions.
    pub mode: u32,
    /// `i_uid`, in the initial user namespace.
    pub uid: u32,
    /// `i_nlink`
    pub links: u32,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: u64,
}

/// Identities of a process that change rarely; sent with fork and exec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Identity {
    /// The parent's process id (`real_parent`).
    pub parent_tgid: u32,
    /// The process's id in its own pid namespace.
    pub vpid: u32,
    /// The parent's start time, in nanoseconds after boot.
    pub parent_start_time_ns: u64,
    /// Effective capabilities.
    pub cap_effective: u64,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Inheritable capabilities.
    pub cap_inheritable: u64,
    /// Effective user id.
    pub euid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved user id.
    pub suid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Audit user id; `u32::MAX` when it was never set.
    pub loginuid: u32,
    /// The session's leader, in the initial pid namespace.
    pub sid: u32,
    /// The process group's leader, in the initial pid namespace.
    pub pgid: u32,
    /// The controlling terminal's device number as /proc/PID/stat prints it; 0 for none.
    pub tty: u32,
    /// Inode numbers of the namespaces: mount, pid, network, user.
    pub mount_ns: u32,
    /// Pid namespace.
    pub pid_ns: u32,
    /// Network namespace.
    pub net_ns: u32,
    /// User namespace.
    pub user_ns: u32,
}

/// Fixed part of [`Kind::Exec`](crate::kind::Kind::Exec).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Exec {
    /// The process, in its new identities.
    pub identity: Identity,
    /// The program file that runs: of a script, its interpreter.
    pub file: FileId,
    /// `argc` as the kernel counted it.
    pub argc: u32,
    /// All of argv, in bytes, before any cut.
    pub argv_len: u32,
    /// Where in `argv` the kept tail begins; `argv.len` when nothing is cut.
    pub argv_tail_at: u32,
    /// 1 when the file was named by a descriptor (`execveat`, `fexecve`).
    pub by_descriptor: u32,
    /// What standard input, output and error are.
    pub standard: Standard,
    /// Resolved path of `file`.
    pub path: Span,
    /// The name that the program was called by.
    pub filename: Span,
    /// The interpreter's name, as the last `#!` line gives it.
    pub interpreter: Span,
    /// Arguments, each ended by a zero byte.
    pub argv: Span,
    /// Resolved working directory.
    pub cwd: Span,
    /// The cgroup's path, root first.
    pub cgroup: Span,
}

/// What a program's first three descriptors are, and both ends of the first internet socket among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Standard {
    /// Of each: 0 where it is closed, else [`standard::OPEN`] with the type of the file (`S_IFMT` of its mode) and, of a
    /// socket, its family in the bits of [`standard::FAMILY`].
    pub types: [u16; 3],
    /// Which of them is the socket whose ends follow: a bit each, the lowest for standard input.
    pub is_socket: u16,
    /// `AF_*` of the socket; 0 where there is none.
    pub family: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// Filler.
    pub reserved: u16,
    /// IPv4 in the first four bytes, or IPv6.
    pub local_address: [u8; 16],
    /// IPv4 in the first four bytes, or IPv6.
    pub remote_address: [u8; 16],
}

/// Bits of [`Standard::types`].
pub mod standard {
    /// There is a file.
    pub const OPEN: u16 = 0x800;
    /// `AF_*` of a socket.
    pub const FAMILY: u16 = 0x7ff;
    /// `S_IFMT` (`include/uapi/linux/stat.h`)
    pub const TYPE: u16 = 0o170_000;
}

/// Fixed part of [`Kind::Fork`](crate::kind::Kind::Fork). The header tells of the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Fork {
    /// The child.
    pub identity: Identity,
    /// The child's cgroup's path, root first.
    pub cgroup: Span,
    /// Filler.
    pub reserved: u32,
}

/// Fixed part of [`Kind::Exit`](crate::kind::Kind::Exit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// `exit_code`: status << 8 | signal.
    pub code: u32,
    /// Filler.
    pub reserved: u32,
}

/// Fixed part of [`Kind::Open`](crate::kind::Kind::Open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Open {
    /// The file that was opened; zeros when the call failed.
    pub file: FileId,
    /// The descriptor, or a negated `errno`.
    pub result: i64,
    /// `O_*` as the caller gave them.
    pub flags_given: u64,
    /// The caller's mode for a new file.
    pub mode_given: u32,
    /// `f_flags` of the open file.
    pub file_flags: u32,
    /// The directory's descriptor the caller gave, `AT_FDCWD` where there is none.
    pub dirfd: i32,
    /// A [`Call`](crate::syscall::Call)'s number.
    pub call: u32,
    /// Resolved path of the file; none when the call failed.
    pub path: Span,
    /// The string that the caller gave.
    pub given: Span,
}

/// Fixed part of the kinds of [`Shape::Socket`](crate::kind::Shape::Socket).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketCall {
    /// The call's result: a negated `errno` when it failed.
    pub result: i64,
    /// The call's arguments. Of `accept` the last two are how many wait and may, of `dup` the last three the mode, inode
    /// and device of a file that is no socket.
    pub args: [u64; 6],
    /// The socket's descriptor: of `accept` the new one, of `dup` the one that it became.
    pub fd: i32,
    /// `AF_*` of the socket; 0 for a file that is none.
    pub family: u16,
    /// `SOCK_*`
    pub socket_type: u16,
    /// `IPPROTO_*`
    pub protocol: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// `AF_*` of the address: that of the caller's where it came from there.
    pub address_family: u16,
    /// IPv4 in the first four bytes, or IPv6.
    pub local_address: [u8; 16],
    /// IPv4 in the first four bytes, or IPv6.
    pub remote_address: [u8; 16],
    /// The network namespace's inode number.
    pub net_ns: u32,
    /// A [`Call`](crate::syscall::Call)'s number.
    pub call: u32,
    /// Resolved path of the peer's unix socket or, of a file that is no socket, of the file.
    pub path: Span,
    /// Address of the unix socket as the peer was bound to it, or else as the caller gave it; an abstract
    /// name begins with a zero byte.
    pub given: Span,
}

/// Fixed part of [`Kind::Outcome`](crate::kind::Kind::Outcome): what came of an event that was told before
/// its end. Its header's `key` says of which; the process is that event's, not this header's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Outcome {
    /// The file that was opened; zeros where there is none.
    pub file: FileId,
    /// As the call returns it, where `stage` is [`outcome::DONE`].
    pub result: i64,
    /// The socket's descriptor, where it is known; else -1.
    pub fd: i32,
    /// [`outcome`].
    pub stage: u32,
    /// `f_flags` of the open file.
    pub file_flags: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// `AF_*` of the local address; 0 where it is not known.
    pub local_family: u16,
    /// IPv4 in the first four bytes, or IPv6.
    pub local_address: [u8; 16],
    /// Resolved path of the file.
    pub path: Span,
    /// Filler.
    pub reserved: u32,
}

/// What an [`Outcome`] tells.
pub mod outcome {
    /// The end, with its result.
    pub const DONE: u32 = 0;
    /// It has begun: no result yet.
    pub const BEGUN: u32 = 1;
    /// It failed, and the kernel did not say why.
    pub const FAILED: u32 = 2;
}

/// Fixed part of the kinds of [`Shape::Path`](crate::kind::Shape::Path).
///
/// Of a call with two names, the first is what was there and the second what came to be: old and new name,
/// target and link, device and folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PathCall {
    /// The call's result: a negated `errno` when it failed.
    pub result: i64,
    /// The call's arguments.
    pub args: [u64; 6],
    /// The file itself, where the call named an open one; zeros where it did not.
    pub file: FileId,
    /// A [`Call`](crate::syscall::Call)'s number.
    pub call: u32,
    /// The folder's descriptor that `given` starts from, `AT_FDCWD` where there is none.
    pub dirfd: i32,
    /// The same of `given2`.
    pub dirfd2: i32,
    /// Path of the object: of an open file as the kernel has it, else the folder's, resolved, with `given`
    /// behind it ([`flags::PATH_PARTLY_GIVEN`]).
    pub path: Span,
    /// The string that the caller gave.
    pub given: Span,
    /// As `path`, of the second name.
    pub path2: Span,
    /// As `given`, of the second name.
    pub given2: Span,
    /// A text that is no name of a file: a link's target, a file system's type, an attribute's name.
    pub text: Span,
}

/// Fixed part of the kinds of [`Shape::Identity`](crate::kind::Shape::Identity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IdentityCall {
    /// The call's result: a negated `errno` when it failed.
    pub result: i64,
    /// The call's arguments.
    pub args: [u64; 6],
    /// Who the process is after the call.
    pub identity: Identity,
    /// Real user id after the call.
    pub uid: u32,
    /// Real group id after the call.
    pub gid: u32,
    /// A [`Call`](crate::syscall::Call)'s number.
    pub call: u32,
    /// A text that the call names: a name given by `prctl`.
    pub text: Span,
}

/// Fixed part of the kinds of [`Shape::Plain`](crate::kind::Shape::Plain).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PlainCall {
    /// The call's result: a negated `errno` when it failed.
    pub result: i64,
    /// The call's arguments; of a call that passes a structure, what matters of it (see the collector).
    pub args: [u64; 6],
    /// When the process that it is about began, in nanoseconds after boot; 0 where there is none or it cannot
    /// be told.
    pub target_start_time_ns: u64,
    /// The process that it is about, in the initial pid namespace; 0 as above.
    pub target_tgid: u32,
    /// A [`Call`](crate::syscall::Call)'s number.
    pub call: u32,
    /// A text that the call names.
    pub text: Span,
    /// A second one.
    pub text2: Span,
}

const _: () = {
    assert!(size_of::<Header>() == 88);
    assert!(size_of::<FileId>() == 40);
    assert!(size_of::<Identity>() == 88);
    assert!(size_of::<Standard>() == 48);
    assert!(size_of::<Exec>() == 216);
    assert!(size_of::<Fork>() == 96);
    assert!(size_of::<Exit>() == 8);
    assert!(size_of::<Open>() == 80);
    assert!(size_of::<SocketCall>() == 120);
    assert!(size_of::<PathCall>() == 128);
    assert!(size_of::<IdentityCall>() == 160);
    assert!(size_of::<PlainCall>() == 80);
    assert!(size_of::<Outcome>() == 88);
    // Spans are u16, so a tail must not reach further.
    assert!(crate::limits::RECORD_BYTES_MAX <= u16::MAX as usize);
    assert!(TAIL_OFFSET_MAX.is_power_of_two());
};
