//! Processes of this machine, held by pidfd so that a reused id is never taken for the process it was.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What `/proc/PID/stat` says, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    /// At most 15 bytes; the process sets them itself.
    pub(crate) name: Vec<u8>,
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    flags: u32,
    /// Clock ticks after boot.
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
    const KERNEL_THREAD: u32 = 0x0020_0000;

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & Self::KERNEL_THREAD != 0
    }

    /// Whether a stop has not reached it yet. One that waits in the kernel without interruption goes no further before
    /// it has seen the signal, so it counts as stopped.
    pub(crate) fn may_run(&self) -> bool {
        matches!(self.state, b'R' | b'S')
    }

    /// For people: the id, and the name with everything unprintable escaped.
    pub(crate) fn describe(&self) -> String {
        format!("{} ({})", self.pid, self.name.escape_ascii())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name is in parentheses and may hold any byte, parentheses and newlines too.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let pid = number(text.get(..open)?.trim_ascii())?;
        let name = text.get(open + 1..close)?.to_vec();
        let rest: Vec<&[u8]> = text.get(close + 2..)?.split(|byte| *byte == b' ').collect();
        // proc_pid_stat(5) counts from 1, and `rest` starts at field 3.
        let field = |number: usize| rest.get(number - 3).copied();
        Some(Self {
            pid,
            name,
            state: *field(3)?.first()?,
            parent: number(field(4)?)?,
            group: number(field(5)?)?,
            flags: number(field(9)?)?,
            start_ticks: number(field(22)?)?,
        })
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads the state of the process `pid` now.
pub(crate) fn stat(pid: u32) -> io::Result<Stat> {
    let text = std::fs::read(format!("/proc/{pid}/stat"))?;
    Stat::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat")))
}

/// All processes, in no order. Those that end meanwhile are left out.
pub(crate) fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Ok(stat) = stat(pid) {
            found.push(stat);
        }
    }
    Ok(found)
}

/// The children of each of `processes`, by the parent's id.
pub(crate) fn children(processes: &[Stat]) -> HashMap<u32, Vec<&Stat>> {
    let mut children: HashMap<u32, Vec<&Stat>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    children
}

/// The ancestors of `pid`, nearest first, as `processes` has them.
pub(crate) fn ancestors(pid: u32, processes: &[Stat]) -> Vec<u32> {
    let parents: HashMap<u32, u32> = processes
        .iter()
        .map(|process| (process.pid, process.parent))
        .collect();
    let mut found = Vec::new();
    let mut at = pid;
    // Ids that are used again while the list is read could make a circle.
    while let Some(parent) = parents
        .get(&at)
        .copied()
        .filter(|parent| *parent != 0 && !found.contains(parent))
    {
        found.push(parent);
        at = parent;
    }
    found
}

/// When a process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// As `/proc/PID/stat` gives it.
    Ticks(u64),
    /// As the kernel keeps it, in nanoseconds after boot.
    Nanoseconds(u64),
}

impl Start {
    /// Whether a process that started at `ticks` can be this one.
    ///
    /// `/proc` rounds down to a tick, and kernels with a time namespace convert with an offset: one tick either way
    /// is let pass. Within two ticks (20 ms) no id comes round again.
    fn fits(self, ticks: u64) -> bool {
        match self {
            Self::Ticks(own) => own == ticks,
            Self::Nanoseconds(ns) => {
                let own = u128::from(ns) * u128::from(procfs::ticks_per_second()) / 1_000_000_000;
                own.abs_diff(u128::from(ticks)) <= 1
            }
        }
    }
}

/// Why a process cannot be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    #[error("process {0} has ended")]
    Gone(u32),
    #[error("process {0} is another one by now: its id was used again")]
    Reused(u32),
    #[error("process {pid} cannot be looked at: {error}")]
    Io { pid: u32, error: io::Error },
}

/// A process that cannot be mistaken for another.
#[derive(Debug)]
pub(crate) struct Held {
    pidfd: OwnedFd,
    /// As it was when it was held.
    pub(crate) stat: Stat,
}

impl Held {
    /// Holds the process `pid` that started at `start`.
    ///
    /// The start time is read after the pidfd is open: if it is the right one then, the process that had the id at
    /// that moment is the one that the pidfd stands for, since it is older than the pidfd.
    pub(crate) fn new(pid: u32, start: Start) -> Result<Self, HoldError> {
        let io = |error: io::Error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::SRCH | rustix::io::Errno::NOENT) => HoldError::Gone(pid),
            _ => HoldError::Io { pid, error },
        };
        let raw = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(HoldError::Gone(pid))?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).map_err(|error| io(error.into()))?;
        let now = stat(pid).map_err(io)?;
        if !start.fits(now.start_ticks) {
            return Err(HoldError::Reused(pid));
        }
        let held = Self { pidfd, stat: now };
        if held.ended_by(Instant::now()) {
            Err(HoldError::Gone(pid))
        } else {
            Ok(held)
        }
    }

    /// Sends `signal`; a process that has ended has no more use for it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until all threads of the process have ended; `false` when they have not by `deadline`.
    pub(crate) fn ended_by(&self, deadline: Instant) -> bool {
        ended_by(&self.pidfd, deadline)
    }
}

/// Waits until all threads of the process behind `pidfd` have ended; `false` when they have not by `deadline`.
pub(crate) fn ended_by(pidfd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left.min(Duration::from_hours(1))).unwrap_or_default();
        let mut waited = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        match poll(&mut waited, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Held, HoldError, Start, Stat, ancestors, stat};

    #[test]
    fn names_may_hold_anything() {
        let text = b"7 (a) R 1 (b)\n\xff) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 0 0\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.name, b"a) R 1 (b)\n\xff");
        assert_eq!(
            (stat.pid, stat.state, stat.parent, stat.group, stat.start_ticks),
            (7, b'S', 3, 4, 4242)
        );
        assert_eq!(stat.describe(), r"7 (a) R 1 (b)\n\xff)");
        for cut in 0..text.len() - 8 {
            // Must not panic; what it returns for a cut line does not matter.
            let _ = Stat::parse(&text[..cut]);
        }
    }

    #[test]
    fn a_wrong_start_time_is_another_process() {
        let own = stat(std::process::id()).unwrap();
        let ns = own.start_ticks * 1_000_000_000 / procfs::ticks_per_second();
        let tick = 1_000_000_000 / procfs::ticks_per_second();
        for right in [
            Start::Ticks(own.start_ticks),
            Start::Nanoseconds(ns),
            Start::Nanoseconds(ns + tick - 1),
        ] {
            Held::new(own.pid, right).unwrap();
        }
        let wrong = [
            Start::Ticks(own.start_ticks + 1),
            Start::Nanoseconds(ns + 3 * tick),
            Start::Nanoseconds(0),
            Start::Nanoseconds(u64::MAX),
        ];
        for wrong in wrong {
            assert!(
                matches!(Held::new(own.pid, wrong), Err(HoldError::Reused(_))),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn an_ended_process_is_gone_even_before_it_is_reaped() {
        let mut child = Command::new("/usr/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let started = stat(child.id()).unwrap().start_ticks;
        let held = Held::new(child.id(), Start::Ticks(started)).unwrap();
        assert!(!held.ended_by(std::time::Instant::now()));
        drop(child.stdin.take());
        assert!(held.ended_by(std::time::Instant::now() + std::time::Duration::from_secs(10)));
        assert!(matches!(
            Held::new(child.id(), Start::Ticks(started)),
            Err(HoldError::Gone(_))
        ));
        child.wait().unwrap();
        for gone in [child.id(), 0, u32::MAX] {
            assert!(matches!(
                Held::new(gone, Start::Ticks(started)),
                Err(HoldError::Gone(_))
            ));
        }
    }

    #[test]
    fn ancestors_end_at_the_first_process() {
        let own = ancestors(std::process::id(), &super::all().unwrap());
        assert_eq!(own.first(), Some(&std::os::unix::process::parent_id()));
        assert_eq!(own.last(), Some(&1));
    }
}
