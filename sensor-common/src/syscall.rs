//! How a system call number leads to a handler.
//!
//! The exit dispatcher looks the number up in one array. Each entry holds two handlers, since the same
//! number means different calls to 64-bit and 32-bit callers.

/// Which handler an entry names. The number is the handler's slot in the program array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Handler {
    /// Nothing: the call is nobody's business.
    None = 0,
    /// `open(path, flags, mode)`
    Open = 1,
    /// `connect(fd, address, length)`
    Connect = 2,
    /// `ptrace(request, pid, ...)`
    Ptrace = 3,
}

/// Number of slots of the program array.
pub const HANDLER_COUNT: u32 = 4;

/// Which call of its family it was: part of records, and what `evt.type` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Call {
    /// No system call, or not one of these.
    None = 0,
    /// `open`
    Open = 1,
    /// `openat`
    OpenAt = 2,
    /// `openat2`
    OpenAt2 = 3,
    /// `creat`
    Creat = 4,
    /// `open_by_handle_at`
    OpenByHandleAt = 5,
    /// `connect`
    Connect = 6,
    /// 32-bit `socketcall`, of which only `SYS_CONNECT` becomes an event.
    SocketCall = 7,
    /// `ptrace`
    Ptrace = 8,
}

impl Call {
    /// The call of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Open,
            2 => Self::OpenAt,
            3 => Self::OpenAt2,
            4 => Self::Creat,
            5 => Self::OpenByHandleAt,
            6 => Self::Connect,
            7 => Self::SocketCall,
            8 => Self::Ptrace,
            _ => Self::None,
        }
    }

    /// The handler that collects it.
    #[must_use]
    pub const fn handler(self) -> Handler {
        match self {
            Self::None => Handler::None,
            Self::Open | Self::OpenAt | Self::OpenAt2 | Self::Creat | Self::OpenByHandleAt => Handler::Open,
            Self::Connect | Self::SocketCall => Handler::Connect,
            Self::Ptrace => Handler::Ptrace,
        }
    }

    /// Its number for 64-bit callers (`arch/x86/entry/syscalls/syscall_64.tbl`).
    #[must_use]
    pub const fn number_64(self) -> Option<u32> {
        match self {
            Self::Open => Some(2),
            Self::OpenAt => Some(257),
            Self::OpenAt2 => Some(437),
            Self::Creat => Some(85),
            Self::OpenByHandleAt => Some(304),
            Self::Connect => Some(42),
            Self::Ptrace => Some(101),
            Self::None | Self::SocketCall => None,
        }
    }

    /// Its number for 32-bit callers (`arch/x86/entry/syscalls/syscall_32.tbl`).
    #[must_use]
    pub const fn number_32(self) -> Option<u32> {
        match self {
            Self::Open => Some(5),
            Self::OpenAt => Some(295),
            Self::OpenAt2 => Some(437),
            Self::Creat => Some(8),
            Self::OpenByHandleAt => Some(342),
            Self::Connect => Some(362),
            Self::SocketCall => Some(102),
            Self::Ptrace => Some(26),
            Self::None => None,
        }
    }

    /// Every call that becomes an event.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::OpenAt,
        Self::OpenAt2,
        Self::Creat,
        Self::OpenByHandleAt,
        Self::Connect,
        Self::SocketCall,
        Self::Ptrace,
    ];
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
