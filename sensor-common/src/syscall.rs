//! How a system call number leads to a handler, and what each call's arguments mean.
//!
//! The exit dispatcher looks the number up in one array. Each entry holds two handlers, since the same
//! number means different calls to 64-bit and 32-bit callers.

use crate::kind::{Kind, Shape};

/// Which handler an entry names. The number is the handler's slot in the program array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Handler {
    /// Nothing: the call is nobody's business, or no collector is there for it yet.
    None = 0,
    /// Calls that open files.
    Open = 1,
    /// `connect`
    Connect = 2,
    /// Calls about names and files.
    Path = 3,
    /// Calls that change who a process is.
    Identity = 4,
    /// Calls about which there are only numbers and a text to tell.
    Plain = 5,
    /// Descriptors that become standard input, output or error.
    Dup = 6,
    /// Calls that make sockets, give them an address, take connections, set filters.
    Socket = 7,
    /// The 32-bit `socketcall`, which goes on to the handler of the call that it stands for.
    SocketCall = 8,
}

/// Number of slots of the program array.
pub const HANDLER_COUNT: u32 = 9;

/// Slots of the array of what `socketcall`'s first argument leads to; `SYS_SENDMMSG` is the last
/// (`include/uapi/linux/net.h`).
pub const SOCKET_CALLS_MAX: u32 = 21;

/// Slots of the array of `io_uring`'s operations; those of 6.18 end at 62 (`include/uapi/linux/io_uring.h`).
pub const IO_OPERATIONS_MAX: u32 = 128;

/// Arguments of a call.
pub const ARGUMENTS_MAX: usize = 6;

/// Where a call's arguments name something: indices of arguments, [`NOWHERE`] where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Places {
    /// A descriptor of what the call is about.
    pub fd: u8,
    /// The folder that `path` starts from.
    pub dir: u8,
    /// A name in the caller's memory.
    pub path: u8,
    /// The folder that `path2` starts from.
    pub dir2: u8,
    /// A second name.
    pub path2: u8,
    /// A text that is no name of a file.
    pub text: u8,
    /// The [`Kind`] of the call, so that a handler needs no second table.
    pub kind: u8,
    /// Filler.
    pub reserved: u8,
}

/// No argument.
pub const NOWHERE: u8 = u8::MAX;

impl Places {
    const fn none(kind: Kind) -> Self {
        Self {
            fd: NOWHERE,
            dir: NOWHERE,
            path: NOWHERE,
            dir2: NOWHERE,
            path2: NOWHERE,
            text: NOWHERE,
            kind: kind as u8,
            reserved: 0,
        }
    }
}

macro_rules! calls {
    (@number -) => { None };
    (@number $number:literal) => { Some($number) };
    ($($call:ident = $index:literal: $name:literal, $of_64:tt, $of_32:tt, $kind:ident, $event:literal
        $(, $place:ident $argument:literal)*;)+) => {
        /// Which call it was: part of records, and what `evt.type` is made of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Call {
            /// No system call, or not one of these.
            None = 0,
            $(#[doc = concat!("`", $name, "`")] $call = $index,)+
        }

        impl Call {
            /// Every call that can become an event, in the order of numbers from 1 on.
            pub const ALL: [Self; CALL_COUNT - 1] = [$(Self::$call),+];

            /// The call of this number. A match and no table, whose bounds the verifier could not follow.
            #[must_use]
            pub const fn from_number(number: u8) -> Self {
                match number { $($index => Self::$call,)+ _ => Self::None }
            }

            /// Its name in the kernel's tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { Self::None => "", $(Self::$call => $name,)+ }
            }

            /// Its number for 64-bit callers (`arch/x86/entry/syscalls/syscall_64.tbl`).
            #[must_use]
            pub const fn number_64(self) -> Option<u32> {
                match self { Self::None => None, $(Self::$call => calls!(@number $of_64),)+ }
            }

            /// Its number for 32-bit callers (`arch/x86/entry/syscalls/syscall_32.tbl`).
            #[must_use]
            pub const fn number_32(self) -> Option<u32> {
                match self { Self::None => None, $(Self::$call => calls!(@number $of_32),)+ }
            }

            /// The kind of event that it becomes.
            #[must_use]
            pub const fn kind(self) -> Option<Kind> {
                match self { Self::None => None, $(Self::$call => Some(Kind::$kind),)+ }
            }

            /// The type of the event in the rule language, which is Falco's name for it.
            #[must_use]
            pub const fn event_type(self) -> &'static str {
                match self { Self::None => "", $(Self::$call => $event,)+ }
            }

            /// What its arguments mean.
            #[must_use]
            pub const fn places(self) -> Option<Places> {
                match self {
                    Self::None => None,
                    $(Self::$call => Some(Places { $($place: $argument,)* ..Places::none(Kind::$kind) }),)+
                }
            }
        }

        /// Number of calls, [`Call::None`] included.
        pub const CALL_COUNT: usize = [0, $($index),+].len();
    };
}

// The last ones are no calls but events of the kernel's own, with the names of their tracepoints.
// name in the table, number for 64-bit and for 32-bit callers, kind, event type, where arguments name something
calls! {
    Open = 1: "open", 2, 5, Open, "open";
    OpenAt = 2: "openat", 257, 295, Open, "openat";
    OpenAt2 = 3: "openat2", 437, 437, Open, "openat2";
    Creat = 4: "creat", 85, 8, Open, "creat";
    OpenByHandleAt = 5: "open_by_handle_at", 304, 342, Open, "open_by_handle_at";
    Connect = 6: "connect", 42, 362, Connect, "connect";
    SocketCall = 7: "socketcall", -, 102, Connect, "connect";
    Ptrace = 8: "ptrace", 101, 26, Ptrace, "ptrace";
    Execve = 9: "execve", 59, 11, ExecFailed, "execfailed", path 0;
    Execveat = 10: "execveat", 322, 358, ExecFailed, "execfailed", dir 0, path 1;
    Rename = 11: "rename", 82, 38, Rename, "rename", path 0, path2 1;
    Renameat = 12: "renameat", 264, 302, Rename, "renameat", dir 0, path 1, dir2 2, path2 3;
    Renameat2 = 13: "renameat2", 316, 353, Rename, "renameat2", dir 0, path 1, dir2 2, path2 3;
    Link = 14: "link", 86, 9, Link, "link", path 0, path2 1;
    Linkat = 15: "linkat", 265, 303, Link, "linkat", dir 0, path 1, dir2 2, path2 3;
    Symlink = 16: "symlink", 88, 83, Symlink, "symlink", text 0, path2 1;
    Symlinkat = 17: "symlinkat", 266, 304, Symlink, "symlinkat", text 0, dir2 1, path2 2;
    Unlink = 18: "unlink", 87, 10, Unlink, "unlink", path 0;
    Unlinkat = 19: "unlinkat", 263, 301, Unlink, "unlinkat", dir 0, path 1;
    Mkdir = 20: "mkdir", 83, 39, Mkdir, "mkdir", path 0;
    Mkdirat = 21: "mkdirat", 258, 296, Mkdir, "mkdirat", dir 0, path 1;
    Rmdir = 22: "rmdir", 84, 40, Rmdir, "rmdir", path 0;
    Truncate = 23: "truncate", 76, 92, Truncate, "truncate", path 0;
    Ftruncate = 24: "ftruncate", 77, 93, Truncate, "ftruncate", fd 0;
    Truncate64 = 25: "truncate64", -, 193, Truncate, "truncate", path 0;
    Ftruncate64 = 26: "ftruncate64", -, 194, Truncate, "ftruncate", fd 0;
    Chmod = 27: "chmod", 90, 15, Chmod, "chmod", path 0;
    Fchmod = 28: "fchmod", 91, 94, Chmod, "fchmod", fd 0;
    Fchmodat = 29: "fchmodat", 268, 306, Chmod, "fchmodat", dir 0, path 1;
    Fchmodat2 = 30: "fchmodat2", 452, 452, Chmod, "fchmodat2", dir 0, path 1;
    Chown = 31: "chown", 92, 182, Chown, "chown", path 0;
    Lchown = 32: "lchown", 94, 16, Chown, "lchown", path 0;
    Fchown = 33: "fchown", 93, 95, Chown, "fchown", fd 0;
    Fchownat = 34: "fchownat", 260, 298, Chown, "fchownat", dir 0, path 1;
    Chown32 = 35: "chown32", -, 212, Chown, "chown", path 0;
    Lchown32 = 36: "lchown32", -, 198, Chown, "lchown", path 0;
    Fchown32 = 37: "fchown32", -, 207, Chown, "fchown", fd 0;
    Setxattr = 38: "setxattr", 188, 226, Setxattr, "setxattr", path 0, text 1;
    Lsetxattr = 39: "lsetxattr", 189, 227, Setxattr, "lsetxattr", path 0, text 1;
    Fsetxattr = 40: "fsetxattr", 190, 228, Setxattr, "fsetxattr", fd 0, text 1;
    Setxattrat = 41: "setxattrat", 463, 463, Setxattr, "setxattrat", dir 0, path 1, text 3;
    Removexattr = 42: "removexattr", 197, 235, Setxattr, "removexattr", path 0, text 1;
    Lremovexattr = 43: "lremovexattr", 198, 236, Setxattr, "lremovexattr", path 0, text 1;
    Fremovexattr = 44: "fremovexattr", 199, 237, Setxattr, "fremovexattr", fd 0, text 1;
    Removexattrat = 45: "removexattrat", 466, 466, Setxattr, "removexattrat", dir 0, path 1, text 3;
    Mknod = 46: "mknod", 133, 14, Mknod, "mknod", path 0;
    Mknodat = 47: "mknodat", 259, 297, Mknod, "mknodat", dir 0, path 1;
    Chdir = 48: "chdir", 80, 12, Chdir, "chdir", path 0;
    Fchdir = 49: "fchdir", 81, 133, Chdir, "fchdir", fd 0;
    Mount = 50: "mount", 165, 21, Mount, "mount", path 0, path2 1, text 2;
    Fsopen = 51: "fsopen", 430, 430, Mount, "fsopen", text 0;
    Fsconfig = 52: "fsconfig", 431, 431, Mount, "fsconfig", text 2;
    Fsmount = 53: "fsmount", 432, 432, Mount, "fsmount";
    Fspick = 54: "fspick", 433, 433, Mount, "fspick", dir 0, path 1;
    MoveMount = 55: "move_mount", 429, 429, Mount, "move_mount", dir 0, path 1, dir2 2, path2 3;
    OpenTree = 56: "open_tree", 428, 428, Mount, "open_tree", dir 0, path 1;
    OpenTreeAttr = 57: "open_tree_attr", 467, 467, Mount, "open_tree_attr", dir 0, path 1;
    MountSetattr = 58: "mount_setattr", 442, 442, Mount, "mount_setattr", dir 0, path 1;
    Umount = 59: "umount", -, 22, Umount, "umount", path 0;
    Umount2 = 60: "umount2", 166, 52, Umount, "umount2", path 0;
    PivotRoot = 61: "pivot_root", 155, 217, PivotRoot, "pivot_root", path 0, path2 1;
    Chroot = 62: "chroot", 161, 61, Chroot, "chroot", path 0;
    MemfdCreate = 63: "memfd_create", 319, 356, Memfd, "memfd_create", text 0;
    MemfdSecret = 64: "memfd_secret", 447, 447, Memfd, "memfd_secret";
    InitModule = 65: "init_module", 175, 128, Module, "init_module", text 2;
    FinitModule = 66: "finit_module", 313, 350, Module, "finit_module", fd 0, text 1;
    DeleteModule = 67: "delete_module", 176, 129, Module, "delete_module", text 0;
    KexecLoad = 68: "kexec_load", 246, 283, Kexec, "kexec_load";
    KexecFileLoad = 69: "kexec_file_load", 320, -, Kexec, "kexec_file_load", fd 0, text 3;
    InotifyAddWatch = 70: "inotify_add_watch", 254, 292, Watch, "inotify_add_watch", path 1;
    FanotifyMark = 71: "fanotify_mark", 301, -, Watch, "fanotify_mark", dir 3, path 4;
    Swapon = 72: "swapon", 167, 87, System, "swapon", path 0;
    Swapoff = 73: "swapoff", 168, 115, System, "swapoff", path 0;
    Acct = 74: "acct", 163, 51, System, "acct", path 0;
    Reboot = 75: "reboot", 169, 88, System, "reboot";
    Quotactl = 76: "quotactl", 179, 131, System, "quotactl", path 1;
    QuotactlFd = 77: "quotactl_fd", 443, 443, System, "quotactl_fd";
    Syslog = 78: "syslog", 103, 103, System, "syslog";
    Iopl = 79: "iopl", 172, 110, System, "iopl";
    Ioperm = 80: "ioperm", 173, 101, System, "ioperm";
    Sethostname = 81: "sethostname", 170, 74, System, "sethostname", text 0;
    Setdomainname = 82: "setdomainname", 171, 121, System, "setdomainname", text 0;
    Settimeofday = 83: "settimeofday", 164, 79, System, "settimeofday";
    ClockSettime = 84: "clock_settime", 227, 264, System, "clock_settime";
    Adjtimex = 85: "adjtimex", 159, 124, System, "adjtimex";
    Bind = 86: "bind", 49, 361, Bind, "bind";
    Listen = 87: "listen", 50, 363, Listen, "listen";
    Accept = 88: "accept", 43, -, Accept, "accept";
    Accept4 = 89: "accept4", 288, 364, Accept, "accept4";
    Sendto = 90: "sendto", 44, 369, Send, "sendto";
    Sendmsg = 91: "sendmsg", 46, 370, Send, "sendmsg";
    Sendmmsg = 92: "sendmmsg", 307, 345, Send, "sendmmsg";
    Socket = 93: "socket", 41, 359, Socket, "socket";
    Setsockopt = 94: "setsockopt", 54, 366, Sockopt, "setsockopt";
    Dup = 95: "dup", 32, 41, Dup, "dup", fd 0;
    Dup2 = 96: "dup2", 33, 63, Dup, "dup2", fd 0;
    Dup3 = 97: "dup3", 292, 330, Dup, "dup3", fd 0;
    Fcntl = 98: "fcntl", 72, 55, Dup, "fcntl", fd 0;
    Fcntl64 = 99: "fcntl64", -, 221, Dup, "fcntl", fd 0;
    Setuid = 100: "setuid", 105, 23, Setuid, "setuid";
    Setreuid = 101: "setreuid", 113, 70, Setuid, "setreuid";
    Setresuid = 102: "setresuid", 117, 164, Setuid, "setresuid";
    Setfsuid = 103: "setfsuid", 122, 138, Setuid, "setfsuid";
    Setuid32 = 104: "setuid32", -, 213, Setuid, "setuid";
    Setreuid32 = 105: "setreuid32", -, 203, Setuid, "setreuid";
    Setresuid32 = 106: "setresuid32", -, 208, Setuid, "setresuid";
    Setfsuid32 = 107: "setfsuid32", -, 215, Setuid, "setfsuid";
    Setgid = 108: "setgid", 106, 46, Setgid, "setgid";
    Setregid = 109: "setregid", 114, 71, Setgid, "setregid";
    Setresgid = 110: "setresgid", 119, 170, Setgid, "setresgid";
    Setfsgid = 111: "setfsgid", 123, 139, Setgid, "setfsgid";
    Setgroups = 112: "setgroups", 116, 81, Setgid, "setgroups";
    Setgid32 = 113: "setgid32", -, 214, Setgid, "setgid";
    Setregid32 = 114: "setregid32", -, 204, Setgid, "setregid";
    Setresgid32 = 115: "setresgid32", -, 210, Setgid, "setresgid";
    Setfsgid32 = 116: "setfsgid32", -, 216, Setgid, "setfsgid";
    Setgroups32 = 117: "setgroups32", -, 206, Setgid, "setgroups";
    Capset = 118: "capset", 126, 185, Capset, "capset";
    Prctl = 119: "prctl", 157, 172, Prctl, "prctl";
    Unshare = 120: "unshare", 272, 310, Unshare, "unshare";
    Setns = 121: "setns", 308, 346, Setns, "setns", fd 0;
    Setsid = 122: "setsid", 112, 66, Setsid, "setsid";
    Clone = 123: "clone", 56, 120, Clone, "clone";
    Clone3 = 124: "clone3", 435, 435, Clone, "clone3";
    ProcessVmReadv = 125: "process_vm_readv", 310, 347, ProcessVm, "process_vm_readv";
    ProcessVmWritev = 126: "process_vm_writev", 311, 348, ProcessVm, "process_vm_writev";
    ProcessMadvise = 127: "process_madvise", 440, 440, ProcessVm, "process_madvise";
    PidfdOpen = 128: "pidfd_open", 434, 434, Pidfd, "pidfd_open";
    PidfdGetfd = 129: "pidfd_getfd", 438, 438, Pidfd, "pidfd_getfd";
    Bpf = 130: "bpf", 321, 357, Bpf, "bpf";
    PerfEventOpen = 131: "perf_event_open", 298, 336, Perf, "perf_event_open";
    Userfaultfd = 132: "userfaultfd", 323, 374, Userfaultfd, "userfaultfd";
    Keyctl = 133: "keyctl", 250, 288, Keyctl, "keyctl";
    AddKey = 134: "add_key", 248, 286, Keyctl, "add_key", text 0;
    RequestKey = 135: "request_key", 249, 287, Keyctl, "request_key", text 0;
    Personality = 136: "personality", 135, 136, Personality, "personality";
    Kill = 137: "kill", 62, 37, Kill, "kill";
    Tkill = 138: "tkill", 200, 238, Kill, "tkill";
    Tgkill = 139: "tgkill", 234, 270, Kill, "tgkill";
    PidfdSendSignal = 140: "pidfd_send_signal", 424, 424, Kill, "pidfd_send_signal";
    RtSigqueueinfo = 141: "rt_sigqueueinfo", 129, 178, Kill, "rt_sigqueueinfo";
    RtTgsigqueueinfo = 142: "rt_tgsigqueueinfo", 297, 335, Kill, "rt_tgsigqueueinfo";
    Seccomp = 143: "seccomp", 317, 354, Seccomp, "seccomp";
    Mprotect = 144: "mprotect", 10, 125, Mprotect, "mprotect";
    PkeyMprotect = 145: "pkey_mprotect", 329, 380, Mprotect, "pkey_mprotect";
    Mmap = 146: "mmap", 9, -, Mmap, "mmap";
    Mmap2 = 147: "mmap2", -, 192, Mmap, "mmap2";
    IoUringSetup = 148: "io_uring_setup", 425, 425, IoUring, "io_uring_setup";
    IoUringRegister = 149: "io_uring_register", 427, 427, IoUring, "io_uring_register";
    FanotifyMark32 = 150: "fanotify_mark", -, 339, Watch, "fanotify_mark", dir 4, path 5;
    OldMmap = 151: "mmap", -, 90, Mmap, "mmap";
    ClockSettime64 = 152: "clock_settime64", -, 404, System, "clock_settime";
    TaskRename = 153: "task_rename", -, -, Comm, "task_rename";
    CgroupAttachTask = 154: "cgroup_attach_task", -, -, CgroupMove, "cgroup_attach_task";
}

impl Call {
    /// The handler that collects it.
    #[must_use]
    pub const fn handler(self) -> Handler {
        if matches!(self, Self::SocketCall) {
            return Handler::SocketCall;
        }
        match self.kind() {
            Some(kind) => handler_of(kind),
            None => Handler::None,
        }
    }
}

impl Call {
    /// What the 32-bit `socketcall` calls it (`SYS_*` of `include/uapi/linux/net.h`).
    #[must_use]
    pub const fn socketcall(self) -> Option<u32> {
        Some(match self {
            Self::Socket => 1,
            Self::Bind => 2,
            Self::Connect => 3,
            Self::Listen => 4,
            Self::Accept => 5,
            Self::Sendto => 11,
            Self::Setsockopt => 14,
            Self::Sendmsg => 16,
            Self::Accept4 => 18,
            Self::Sendmmsg => 20,
            _ => return None,
        })
    }
}

impl Call {
    /// The operation of `io_uring` that does the same (`IORING_OP_*` of `include/uapi/linux/io_uring.h`).
    #[must_use]
    pub const fn io_operation(self) -> Option<u32> {
        Some(match self {
            Self::Accept4 => 13,
            Self::Connect => 16,
            Self::OpenAt => 18,
            Self::OpenAt2 => 28,
            Self::Renameat2 => 35,
            Self::Unlinkat => 36,
            Self::Mkdirat => 37,
            Self::Symlinkat => 38,
            Self::Linkat => 39,
            Self::Socket => 45,
            Self::Bind => 56,
            Self::Listen => 57,
            _ => return None,
        })
    }
}

/// The handler that collects a kind of event; [`Handler::None`] for what comes from other hooks.
#[must_use]
pub const fn handler_of(kind: Kind) -> Handler {
    match kind.shape() {
        Shape::Fork | Shape::Exec | Shape::Exit | Shape::Outcome => Handler::None,
        Shape::Open => Handler::Open,
        Shape::Path => Handler::Path,
        Shape::Identity => Handler::Identity,
        Shape::Plain => match kind {
            Kind::Comm | Kind::CgroupMove | Kind::Dns => Handler::None,
            _ => Handler::Plain,
        },
        Shape::Socket => match kind {
            Kind::Connect => Handler::Connect,
            Kind::Dup => Handler::Dup,
            Kind::Bind | Kind::Listen | Kind::Accept | Kind::Socket | Kind::Sockopt => Handler::Socket,
            _ => Handler::None,
        },
    }
}

/// One entry of the dispatcher's array: what a number means to each kind of caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Route {
    /// A [`Call`]'s number, for 64-bit callers.
    pub call_64: u8,
    /// A [`Handler`]'s number, for 64-bit callers.
    pub handler_64: u8,
    /// A [`Call`]'s number, for 32-bit callers.
    pub call_32: u8,
    /// A [`Handler`]'s number, for 32-bit callers.
    pub handler_32: u8,
}

const _: () = {
    let mut index = 0;
    while index < Call::ALL.len() {
        let call = Call::ALL[index];
        assert!(
            call as usize == index + 1,
            "calls are listed in the order of their numbers"
        );
        index += 1;
    }
};
