//! Whether what the agent has set up in the kernel is still as it was: links, program arrays, tables.
//!
//! Whoever is root can detach links, replace their programs and empty maps (`docs/evasion.md`, A02 and A03), and the
//! programs would go on without a word. Constant maps are frozen, so that nobody can; the others are compared with what
//! was written last, and put right.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::Ebpf;
use sensor_common::{
    filter::{HOOK_SLOTS, STAGE_SLOTS},
    limits::SYSCALLS_MAX,
    syscall::IO_OPERATIONS_MAX,
};

use super::{
    bpf, inspect,
    load::{LoadError, map_fd},
};

/// Something of ours that somebody else changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// `link` or `map`.
    pub what: &'static str,
    /// Its name: a hook's program, or a map.
    pub name: String,
    /// What was done to it, as a sentence.
    pub found: String,
    /// Why it could not be put right; empty when it was.
    pub not_repaired: String,
}

/// What is in a map's slot.
enum Entry {
    Program {
        id: u32,
        /// `None` without `CAP_SYS_ADMIN`: the kernel then gives nobody a program by its number.
        program: Option<OwnedFd>,
    },
    Bytes(Vec<u8>),
    Empty,
}

/// A map and what must be in it.
struct Guarded {
    name: &'static str,
    map: OwnedFd,
    slots: u32,
    /// Size of a value; `None` for a program array.
    value_bytes: Option<usize>,
    expected: Vec<Entry>,
}

/// The maps that are compared: name, slots, bytes of a value (none for program arrays).
const GUARDED: [(&str, u32, Option<usize>); 10] = [
    ("FILTERS", STAGE_SLOTS, None),
    ("FILTER_CONNECT4", HOOK_SLOTS, None),
    ("FILTER_CONNECT6", HOOK_SLOTS, None),
    ("FILTER_SENDMSG4", HOOK_SLOTS, None),
    ("FILTER_SENDMSG6", HOOK_SLOTS, None),
    ("FILTER_BIND4", HOOK_SLOTS, None),
    ("FILTER_BIND6", HOOK_SLOTS, None),
    ("ROUTES", SYSCALLS_MAX, Some(4)),
    ("SOURCES", 1, Some(4)),
    ("IO_CALLS", IO_OPERATIONS_MAX, Some(4)),
];

/// Why a filter is not put back.
const NOT_HELD: &str = "without CAP_SYS_ADMIN it cannot be put back, so that slot lets every event pass";

/// The maps that nobody changes once they are filled: frozen.
const CONSTANT: [&str; 3] = ["HANDLERS", "CONTINUE", "CALLS"];

/// Maps and programs under guard.
pub(super) struct Integrity {
    guarded: Vec<Guarded>,
    constant: Vec<(&'static str, OwnedFd)>,
    /// Why a constant map can be changed all the same.
    not_frozen: Vec<String>,
}

impl Integrity {
    /// Takes hold of the maps, before they are handed out.
    pub(super) fn new(ebpf: &Ebpf) -> Result<Self, LoadError> {
        let guarded = GUARDED.into_iter().map(|(name, slots, value_bytes)| {
            Ok(Guarded {
                name,
                map: map_fd(ebpf, name)?,
                slots,
                value_bytes,
                expected: Vec::new(),
            })
        });
        let constant = CONSTANT.into_iter().map(|name| Ok((name, map_fd(ebpf, name)?)));
        Ok(Self {
            guarded: guarded.collect::<Result<_, LoadError>>()?,
            constant: constant.collect::<Result<_, LoadError>>()?,
            not_frozen: Vec::new(),
        })
    }

    /// Freezes what is constant from here on.
    pub(super) fn freeze(&mut self) {
        for (name, map) in &self.constant {
            if let Err(error) = inspect::freeze(map.as_fd()) {
                let sentence = format!("the map {name} cannot be made constant: {error}");
                tracing::warn!("{sentence}");
                self.not_frozen.push(sentence);
            }
        }
    }

    /// Why constant maps can be changed all the same, as sentences.
    pub(super) fn not_frozen(&self) -> &[String] {
        &self.not_frozen
    }

    /// Takes what a map holds now for what it must hold.
    pub(super) fn expect(&mut self, name: &str) -> io::Result<()> {
        for guarded in self.guarded.iter_mut().filter(|guarded| guarded.name == name) {
            guarded.expected = (0..guarded.slots)
                .map(|slot| guarded.read(slot))
                .collect::<io::Result<_>>()?;
        }
        Ok(())
    }

    /// Compares every map with what it must hold, and puts right what differs.
    pub(super) fn check(&self) -> io::Result<Vec<Tampering>> {
        let mut found = Vec::new();
        for guarded in &self.guarded {
            found.extend(guarded.check()?);
        }
        Ok(found)
    }
}

impl Guarded {
    fn read(&self, slot: u32) -> io::Result<Entry> {
        let bytes = inspect::entry(self.map.as_fd(), slot, self.value_bytes.unwrap_or(4))?;
        let Some(bytes) = bytes else {
            return Ok(Entry::Empty);
        };
        if self.value_bytes.is_some() {
            return Ok(Entry::Bytes(bytes));
        }
        let id = bytes.first_chunk().map_or(0, |id| u32::from_ne_bytes(*id));
        let program = match inspect::hold_program(id) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            held => Some(held?),
        };
        Ok(Entry::Program { id, program })
    }

    fn check(&self) -> io::Result<Option<Tampering>> {
        let (mut emptied, mut changed, mut failed) = (0, 0, String::new());
        for (slot, expected) in (0..).zip(&self.expected) {
            let bytes = inspect::entry(self.map.as_fd(), slot, self.value_bytes.unwrap_or(4))?;
            let is_same = match expected {
                Entry::Empty => bytes.is_none(),
                Entry::Bytes(expected) => bytes.as_ref() == Some(expected),
                Entry::Program { id, .. } => bytes.as_deref() == Some(&id.to_ne_bytes()[..]),
            };
            if is_same {
                continue;
            }
            if bytes.is_none() {
                emptied += 1;
            } else {
                changed += 1;
            }
            let repaired = match expected {
                Entry::Empty => bpf::clear_slot(self.map.as_fd(), slot),
                Entry::Bytes(expected) => inspect::set_entry(self.map.as_fd(), slot, expected),
                Entry::Program {
                    program: Some(program),
                    ..
                } => bpf::set_slot(self.map.as_fd(), slot, program.as_fd()),
                // An empty slot passes every event: no more can be put right, and nothing is lost.
                Entry::Program { program: None, .. } => {
                    bpf::clear_slot(self.map.as_fd(), slot).and_then(|()| Err(io::Error::other(NOT_HELD)))
                }
            };
            if let Err(error) = repaired {
                failed = error.to_string();
            }
        }
        Ok((emptied + changed > 0).then(|| Tampering {
            what: "map",
            name: self.name.to_lowercase(),
            found: format!("{emptied} entries were emptied and {changed} changed by somebody else"),
            not_repaired: failed,
        }))
    }
}
