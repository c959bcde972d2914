//! One round: which events must come, and whether an event is one of them.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use sensor_common::{hook::Hook, kind::Kind};

use super::act::{Act, Wanted};
use crate::event::{Body, Event};

/// What is expected of one canary. The pipeline's thread writes to it, and the self-test reads.
#[derive(Debug)]
pub struct Round {
    agent: u32,
    /// Drawn for this round: part of the canary's arguments and of its folder's name.
    pub nonce: String,
    /// The canary's folder.
    pub folder: PathBuf,
    /// Where it connects to, on IPv4 and IPv6 loopback.
    pub ports: [Option<u16>; 2],
    /// The events that must come.
    pub wanted: Vec<Wanted>,
    /// What the loader opens for every program like the agent's.
    libraries: HashSet<Vec<u8>>,
    /// The canary's process; 0 until its first program is seen.
    pid: AtomicU32,
    /// A bit for each that has come.
    seen: AtomicU64,
    /// Programs that the canary has been.
    execs: AtomicU32,
}

impl Round {
    /// A round of which nothing has come.
    #[must_use]
    pub fn new(
        agent: u32,
        nonce: String,
        folder: PathBuf,
        ports: [Option<u16>; 2],
        wanted: Vec<Wanted>,
    ) -> Self {
        Self {
            agent,
            nonce,
            folder,
            ports,
            wanted,
            libraries: libraries(),
            pid: AtomicU32::new(0),
            seen: AtomicU64::new(0),
            execs: AtomicU32::new(0),
        }
    }

    /// The events that have not come.
    #[must_use]
    pub fn missing(&self) -> Vec<Wanted> {
        let seen = self.seen.load(Relaxed);
        let is_missing = |(bit, _): &(usize, &Wanted)| seen >> bit & 1 == 0;
        let missing = self.wanted.iter().enumerate().filter(is_missing);
        missing.map(|(_, wanted)| *wanted).collect()
    }

    /// Whether this event is the canary's, and not for the users' rules. Each is only once.
    #[must_use]
    pub fn recognises(&self, event: &Event<'_>) -> bool {
        let tgid = event.header.tgid;
        match &event.body {
            // Which child it is its first program tells, which comes later.
            Body::Fork(fork) => fork.fixed.identity.parent_tgid == self.agent && self.take(Act::Fork, event),
            Body::Exec(exec) => {
                if !contains(exec.argv, self.nonce.as_bytes()) {
                    return false;
                }
                let known = self.pid.load(Relaxed);
                let is_first = known == 0 && exec.fixed.identity.parent_tgid == self.agent;
                if is_first {
                    self.pid.store(tgid, Relaxed);
                    self.execs.store(1, Relaxed);
                    return true;
                }
                known == tgid && self.take(Act::Exec, event)
            }
            _ if self.pid.load(Relaxed) != tgid || tgid == 0 => false,
            Body::Exit(_) => self.take(Act::Exit, event),
            Body::Open(open) => {
                let is_own = open.path == path_bytes(&self.file());
                (is_own && self.take(Act::Open, event))
                    || self.is_loading(tgid, open.path, open.fixed.flags_given)
            }
            Body::Socket(socket) => {
                let port = socket.fixed.remote_port;
                let act = match self.ports.iter().position(|known| *known == Some(port)) {
                    Some(0) => Act::Connect4,
                    Some(_) => Act::Connect6,
                    None => return false,
                };
                self.take(act, event)
            }
            Body::Path(path) => {
                let nonce = self.nonce.as_bytes();
                let names = [path.path, path.given, path.path2, path.given2, path.text];
                names.iter().any(|name| contains(name, nonce)) && self.take_kind(event)
            }
            Body::Identity(_) | Body::Plain(_) => self.take_kind(event),
        }
    }

    /// The file that the canary opens.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("file")
    }

    /// What the loader opens before a program of ours begins.
    fn is_loading(&self, tgid: u32, path: &[u8], flags: u64) -> bool {
        /// `O_ACCMODE`, `O_CREAT` and `O_TRUNC`.
        const CHANGES: u64 = 0o3 | 0o100 | 0o1000;
        // Where its own stack ends, every Rust program looks up.
        let is_known = || self.libraries.contains(path) || path == format!("/proc/{tgid}/maps").as_bytes();
        flags & CHANGES == 0 && self.execs.load(Relaxed) > 0 && is_known()
    }

    fn take_kind(&self, event: &Event<'_>) -> bool {
        let of_kind = self.wanted.iter().find(|wanted| wanted.kind == event.kind());
        of_kind.is_some_and(|wanted| self.take(wanted.act, event))
    }

    /// Takes an event for the one that the act makes; `false` when none is expected, or no more.
    fn take(&self, act: Act, event: &Event<'_>) -> bool {
        let Some(bit) = self.wanted.iter().position(|wanted| wanted.act == act) else {
            return false;
        };
        let is_hook = matches!(event.kind(), Kind::Fork | Kind::Exec | Kind::Exit)
            || Hook::from_number(event.header.hook) == Some(self.wanted[bit].hook);
        let before = self.seen.load(Relaxed);
        if before >> bit & 1 == 1 {
            return false;
        }
        // One that another hook tells is the canary's, and proves nothing of its own hook.
        if is_hook {
            self.seen.store(before | 1 << bit, Relaxed);
        }
        true
    }
}

/// The files that the loader maps into this very program, and its cache.
fn libraries() -> HashSet<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    mapped
        .chain(["/etc/ld.so.cache"])
        .filter(|path| path.starts_with('/'))
        .map(|path| path.as_bytes().to_vec())
        .collect()
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
