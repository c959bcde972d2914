//! The kinds of event: one table, with each kind's name, ring and shape.

/// The fixed part of a kind's record, behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// [`Fork`](crate::record::Fork)
    Fork,
    /// [`Exec`](crate::record::Exec)
    Exec,
    /// [`Exit`](crate::record::Exit)
    Exit,
    /// [`Open`](crate::record::Open)
    Open,
    /// [`SocketCall`](crate::record::SocketCall): what happened to a socket.
    Socket,
    /// [`PathCall`](crate::record::PathCall): what happened to one or two names, or to an open file.
    Path,
    /// [`IdentityCall`](crate::record::IdentityCall): a process became somebody else.
    Identity,
    /// [`PlainCall`](crate::record::PlainCall): numbers, and two pieces of text at most.
    Plain,
    /// [`Outcome`](crate::record::Outcome): joined with the event that it is of.
    Outcome,
}

/// The ring buffers. A flood in one does not displace what another carries
/// (`docs/adr/0012-three-rings-and-shared-shapes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ring {
    /// Fork, exec, exit: what keeps the process table true. Drained first.
    Lifecycle = 0,
    /// What is rare and matters by itself: privilege, namespaces, mounts, modules, tracing.
    Critical = 1,
    /// What a busy machine does all the time: files and connections.
    Activity = 2,
}

/// Number of rings.
pub const RING_COUNT: usize = 3;

impl Ring {
    /// All, in the order in which they are drained.
    pub const ALL: [Self; RING_COUNT] = [Self::Lifecycle, Self::Critical, Self::Activity];

    /// Its name in metrics, status and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Critical => "critical",
            Self::Activity => "activity",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal: $name:literal, $ring:ident, $shape:ident;)+) => {
        /// What a record is about. The number is part of the record's layout.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $kind = $number,)+ }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: [Self; KIND_COUNT] = [$(Self::$kind),+];

            /// The kind of this number. A match and no table, whose bounds the verifier could not follow.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)+ _ => None }
            }

            /// Its name in metrics, status and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// Which ring carries it.
            #[must_use]
            pub const fn ring(self) -> Ring {
                match self { $(Self::$kind => Ring::$ring,)+ }
            }

            /// What its record looks like.
            #[must_use]
            pub const fn shape(self) -> Shape {
                match self { $(Self::$kind => Shape::$shape,)+ }
            }
        }

        /// Number of kinds.
        pub const KIND_COUNT: usize = [$($number),+].len();
    };
}

kinds! {
    /// A process began.
    Fork = 0: "fork", Lifecycle, Fork;
    /// A process replaced its program.
    Exec = 1: "exec", Lifecycle, Exec;
    /// The last thread of a process ended.
    Exit = 2: "exit", Lifecycle, Exit;
    /// A file was opened or made, or could not be.
    Open = 3: "open", Activity, Open;
    /// A socket was connected, or could not be.
    Connect = 4: "connect", Activity, Socket;
    /// A process asked to trace another.
    Ptrace = 5: "ptrace", Critical, Plain;

    /// A program could not be started.
    ExecFailed = 6: "exec_failed", Activity, Path;
    /// A name was changed, or two were exchanged.
    Rename = 7: "rename", Activity, Path;
    /// A file got one more name.
    Link = 8: "link", Activity, Path;
    /// A symbolic link was made.
    Symlink = 9: "symlink", Activity, Path;
    /// A name was removed.
    Unlink = 10: "unlink", Activity, Path;
    /// A folder was made.
    Mkdir = 11: "mkdir", Activity, Path;
    /// A folder was removed.
    Rmdir = 12: "rmdir", Activity, Path;
    /// A file was cut or stretched.
    Truncate = 13: "truncate", Activity, Path;
    /// A file's permissions were changed.
    Chmod = 14: "chmod", Activity, Path;
    /// A file's owner was changed.
    Chown = 15: "chown", Activity, Path;
    /// An extended attribute was set or removed.
    Setxattr = 16: "setxattr", Activity, Path;
    /// A device, a pipe or a file was made by `mknod`.
    Mknod = 17: "mknod", Critical, Path;
    /// The working directory was changed.
    Chdir = 18: "chdir", Activity, Path;
    /// A file system was mounted, or prepared to be, by the old calls or the new.
    Mount = 19: "mount", Critical, Path;
    /// A file system was unmounted.
    Umount = 20: "umount", Critical, Path;
    /// The root of a mount namespace was exchanged.
    PivotRoot = 21: "pivot_root", Critical, Path;
    /// A process got another root.
    Chroot = 22: "chroot", Critical, Path;
    /// A file without a name was made.
    Memfd = 23: "memfd", Critical, Path;
    /// A kernel module was loaded or removed.
    Module = 24: "module", Critical, Path;
    /// A kernel was made ready to be started.
    Kexec = 25: "kexec", Critical, Path;
    /// Somebody watches files (inotify, fanotify).
    Watch = 26: "watch", Activity, Path;
    /// The machine was changed: swap, accounting, names, clock, restart, ports, the kernel's log.
    System = 27: "system", Critical, Path;

    /// A socket got an address.
    Bind = 28: "bind", Activity, Socket;
    /// A socket takes connections.
    Listen = 29: "listen", Activity, Socket;
    /// A connection was taken.
    Accept = 30: "accept", Activity, Socket;
    /// Something was sent to a destination.
    Send = 31: "send", Activity, Socket;
    /// A socket was made.
    Socket = 32: "socket", Activity, Socket;
    /// A socket's option that matters was set: a filter.
    Sockopt = 33: "sockopt", Activity, Socket;
    /// A name was looked up, or an answer came.
    Dns = 34: "dns", Activity, Plain;
    /// A descriptor became one of standard input, output and error.
    Dup = 35: "dup", Activity, Socket;

    /// User ids were changed.
    Setuid = 36: "setuid", Critical, Identity;
    /// Group ids were changed.
    Setgid = 37: "setgid", Critical, Identity;
    /// Capabilities were changed.
    Capset = 38: "capset", Critical, Identity;
    /// A process changed how it is treated.
    Prctl = 39: "prctl", Critical, Identity;
    /// A process left its namespaces.
    Unshare = 40: "unshare", Critical, Identity;
    /// A process joined other namespaces.
    Setns = 41: "setns", Critical, Identity;
    /// A process began a session of its own.
    Setsid = 42: "setsid", Critical, Identity;

    /// A process was begun in namespaces of its own, told by its parent.
    Clone = 43: "clone", Critical, Plain;
    /// Another process's memory was read or written.
    ProcessVm = 44: "process_vm", Critical, Plain;
    /// A descriptor was taken from another process, or a process was held.
    Pidfd = 45: "pidfd", Critical, Plain;
    /// `bpf` was called.
    Bpf = 46: "bpf", Critical, Plain;
    /// Performance events were opened.
    Perf = 47: "perf", Critical, Plain;
    /// A process takes care of its own page faults.
    Userfaultfd = 48: "userfaultfd", Critical, Plain;
    /// The kernel's keys were used.
    Keyctl = 49: "keyctl", Critical, Plain;
    /// A process's execution domain was changed.
    Personality = 50: "personality", Critical, Plain;
    /// A signal was sent.
    Kill = 51: "kill", Critical, Plain;
    /// System calls were restricted, or are answered by another process.
    Seccomp = 52: "seccomp", Critical, Plain;
    /// Memory was made executable.
    Mprotect = 53: "mprotect", Activity, Plain;
    /// Executable memory was mapped.
    Mmap = 54: "mmap", Activity, Plain;
    /// `io_uring` was set up.
    IoUring = 55: "io_uring", Critical, Plain;
    /// A process was given another name.
    Comm = 56: "comm", Activity, Plain;
    /// A process was moved to another cgroup.
    CgroupMove = 57: "cgroup_move", Critical, Plain;
    /// What came of an event that was told before its end; joined with it, and no event by itself.
    Outcome = 58: "outcome", Activity, Outcome;
}

impl Kind {
    /// Whether a cgroup's budget applies: a program can make as many of these as it likes.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self.ring(), Ring::Activity)
    }

    /// Whether its records need not wake the reader: they change what is known of processes, and the next record
    /// that needs that wakes the reader itself.
    #[must_use]
    pub const fn can_wait(self) -> bool {
        matches!(self, Self::Fork | Self::Exit)
    }
}

const _: () = {
    let mut index = 0;
    while index < KIND_COUNT {
        assert!(
            Kind::ALL[index] as usize == index,
            "kinds are listed in the order of their numbers"
        );
        index += 1;
    }
};
