//! The kinds of event.

/// What a record is about. The number is part of the record's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A process began.
    Fork = 0,
    /// A process replaced its program.
    Exec = 1,
    /// The last thread of a process ended.
    Exit = 2,
    /// A file was opened, or could not be.
    Open = 3,
    /// A socket was connected, or could not be.
    Connect = 4,
    /// A process asked to trace another.
    Ptrace = 5,
}

/// Number of kinds.
pub const KIND_COUNT: usize = 6;

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; KIND_COUNT] = [
        Self::Fork,
        Self::Exec,
        Self::Exit,
        Self::Open,
        Self::Connect,
        Self::Ptrace,
    ];

    /// The kind of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < KIND_COUNT {
            Some(Self::ALL[number as usize])
        } else {
            None
        }
    }

    /// Its name in metrics, status and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Open => "open",
            Self::Connect => "connect",
            Self::Ptrace => "ptrace",
        }
    }

    /// Whether a cgroup's budget applies: a program can make as many of these as it likes.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::Open | Self::Connect)
    }

    /// Whether its records need not wake the reader: they change what is known of processes, and the next record
    /// that needs that wakes the reader itself.
    #[must_use]
    pub const fn can_wait(self) -> bool {
        matches!(self, Self::Fork | Self::Exit)
    }

    /// Which ring carries it. Lifecycle kinds have one of their own, so that no flood of files or
    /// connections can blind the process table.
    #[must_use]
    pub const fn ring(self) -> Ring {
        match self {
            Self::Fork | Self::Exec | Self::Exit => Ring::Lifecycle,
            Self::Open | Self::Connect | Self::Ptrace => Ring::Activity,
        }
    }
}

/// The two ring buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ring {
    /// Fork, exec, exit. Drained first.
    Lifecycle = 0,
    /// Everything else.
    Activity = 1,
}

/// Number of rings.
pub const RING_COUNT: usize = 2;

impl Ring {
    /// Both.
    pub const ALL: [Self; RING_COUNT] = [Self::Lifecycle, Self::Activity];

    /// Its name in metrics, status and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Activity => "activity",
        }
    }
}
