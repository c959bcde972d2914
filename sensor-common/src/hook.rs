//! Where records come from.

/// A place in the kernel that a record can come from. The number is part of the record's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Hook {
    /// The scheduler's tracepoint of the kind, or else the exit of a system call.
    Usual = 0,
    /// A TCP socket's change of state.
    SocketState = 1,
    /// `connect` of an IPv4 address.
    Connect4 = 2,
    /// `connect` of an IPv6 address.
    Connect6 = 3,
    /// A datagram to an IPv4 address.
    SendMessage4 = 4,
    /// A datagram to an IPv6 address.
    SendMessage6 = 5,
    /// A socket that was bound to an IPv4 address.
    PostBind4 = 6,
    /// A socket that was bound to an IPv6 address.
    PostBind6 = 7,
    /// A new internet socket.
    SocketCreate = 8,
    /// A request made through `io_uring`, when it was taken.
    IoUringSubmit = 9,
    /// A request made through `io_uring`, when it was done.
    IoUringComplete = 10,
    /// A mark on a file.
    Fanotify = 11,
    /// A program that is about to be started.
    LsmExec = 12,
    /// A file that is about to be opened.
    LsmOpen = 13,
    /// A thread that gets another name.
    TaskRename = 14,
    /// A process that is put into another cgroup.
    CgroupAttach = 15,
}

impl Hook {
    /// Every hook, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::Usual,
        Self::SocketState,
        Self::Connect4,
        Self::Connect6,
        Self::SendMessage4,
        Self::SendMessage6,
        Self::PostBind4,
        Self::PostBind6,
        Self::SocketCreate,
        Self::IoUringSubmit,
        Self::IoUringComplete,
        Self::Fanotify,
        Self::LsmExec,
        Self::LsmOpen,
        Self::TaskRename,
        Self::CgroupAttach,
    ];

    /// The hook of this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        if (number as usize) < Self::ALL.len() {
            Some(Self::ALL[number as usize])
        } else {
            None
        }
    }

    /// Its name in status, doctor and `evt.hook`: as the kernel names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usual => "tp_btf/sys_exit",
            Self::SocketState => "tp_btf/inet_sock_set_state",
            Self::Connect4 => "cgroup/connect4",
            Self::Connect6 => "cgroup/connect6",
            Self::SendMessage4 => "cgroup/sendmsg4",
            Self::SendMessage6 => "cgroup/sendmsg6",
            Self::PostBind4 => "cgroup/post_bind4",
            Self::PostBind6 => "cgroup/post_bind6",
            Self::SocketCreate => "cgroup/sock_create",
            Self::IoUringSubmit => "tp_btf/io_uring_submit_req",
            Self::IoUringComplete => "tp_btf/io_uring_complete",
            Self::Fanotify => "fanotify",
            Self::LsmExec => "lsm/bprm_check_security",
            Self::LsmOpen => "lsm/file_open",
            Self::TaskRename => "tp_btf/task_rename",
            Self::CgroupAttach => "tp_btf/cgroup_attach_task",
        }
    }
}

/// Bits by which programs know what other programs tell.
pub mod sources {
    /// `cgroup/connect4` and `connect6` are attached: they tell of internet sockets' connects.
    pub const CGROUP_CONNECT: u32 = 1 << 0;
    /// The exit of `connect` is followed: it tells how those ended.
    pub const EXIT_OF_CONNECT: u32 = 1 << 1;
    /// `cgroup/post_bind4` and `post_bind6` are attached: they tell of internet sockets' addresses.
    pub const CGROUP_BIND: u32 = 1 << 2;
    /// The exit of `bind` is followed.
    pub const EXIT_OF_BIND: u32 = 1 << 3;
    /// TCP's changes of state tell of sockets that listen.
    pub const STATE_LISTEN: u32 = 1 << 4;
    /// The exit of `listen` is followed.
    pub const EXIT_OF_LISTEN: u32 = 1 << 5;
    /// TCP's changes of state tell how connects end.
    pub const STATE_CONNECT: u32 = 1 << 6;
}
