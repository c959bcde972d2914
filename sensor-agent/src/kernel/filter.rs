//! Rules that run in the kernel.
//!
//! What the rules demand of a kind of event is decided as far as the record tells ([`plan`]), and compiled to a program
//! ([`emit`], [`asm`]) that a collector reaches by tail call ([`place`]): before it collects text, once the record is
//! whole or, on cgroups, before there is a record. An event that no rule can match ends there, counted as filtered.
//!
//! Fork, exec and exit are never filtered, since what is known of processes follows from all of them; requests of
//! `io_uring` are not either, nor what TCP's changes of state tell: both are rare.
//!
//! Invariant: an event that a rule matches is never filtered. What the kernel cannot know passes; a filter that cannot
//! be made, or that the kernel refuses, leaves its slot empty, and an empty slot passes every event.

pub mod asm;
pub mod emit;
pub mod explain;
pub mod formula;
pub mod place;
pub mod plan;
#[cfg(test)]
mod tests;
mod texts;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use sensor_common::{
    filter::{HOOK_FIRST, HOOK_NEXT, HOOK_PARTS, PARTS_MAX, first_part},
    hook::Hook,
    kind::Kind,
};
use sensor_rules::partial::Demand;

use self::{asm::AsmError, formula::Formula, place::Place};
use super::bpf;
use crate::view::EventTypes;

/// How a filter is made, from the best to what always fits: in how many parts, and how large a set of constants may be.
const ATTEMPTS: [(u32, usize); 6] = [
    (1, usize::MAX),
    (3, usize::MAX),
    (PARTS_MAX, usize::MAX),
    (1, 512),
    (PARTS_MAX, 512),
    (PARTS_MAX, 16),
];

/// What one program may take the verifier: half of the million instructions that it looks at, since this is an estimate.
const WORK_MAX: usize = 500_000;

/// A filter in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Of which kind of event.
    pub kind: Kind,
    /// Where it is asked.
    pub place: Place,
    /// Programs that it is made of.
    pub parts: usize,
    /// Length of its programs.
    pub instructions: usize,
    /// Sets of more constants than these are not looked at, since the whole was too large.
    pub constants_max: Option<usize>,
    /// How long the kernel took to check and load it.
    pub load_time: Duration,
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be written.
    #[error("the rules are too large for a filter in the kernel: {0}")]
    Code(#[from] AsmError),
    /// The kernel would not look at it to its end (`BPF_COMPLEXITY_LIMIT_INSNS`, `include/linux/bpf_verifier.h`).
    #[error("the rules are too large for a filter in the kernel: about {0} steps to check")]
    Work(usize),
    /// The kernel does not take it.
    #[error(transparent)]
    Refused(#[from] bpf::Refused),
}

/// The filters' maps, and the hooks that ask them.
pub struct Filters {
    /// Scratch slots.
    pub scratch: OwnedFd,
    /// How many are taken.
    pub depth: OwnedFd,
    /// Counters by kind.
    pub counters: OwnedFd,
    /// What comes next.
    pub next: OwnedFd,
    /// The filters.
    pub slots: OwnedFd,
    /// Their further parts.
    pub parts: OwnedFd,
    /// The exit of system calls, as programs name it.
    pub exit: Option<bpf::Hook>,
    /// The hooks on cgroups whose programs are there, each with its array.
    pub cgroups: Vec<(Hook, bpf::Hook, OwnedFd)>,
}

/// Where a filter goes, and for which hook it is made.
struct Target<'a> {
    hook: bpf::Hook,
    first: (BorrowedFd<'a>, u32),
    parts: (BorrowedFd<'a>, u32),
    maps: emit::Maps,
}

impl Filters {
    /// Replaces every filter, each in one step, by those of these demands.
    ///
    /// Where the rules change while events are matched, the filters must be those of the old rules and the new until
    /// the old are gone.
    ///
    /// # Errors
    /// Only when a slot cannot be written; a filter that cannot be had is said in the log, and its events all pass.
    pub fn install(&self, demands: &[Demand], types: &EventTypes) -> io::Result<Vec<Installed>> {
        let mut installed = Vec::new();
        for (kind, place) in asked() {
            let Some(target) = self.target(kind, place) else {
                continue;
            };
            let made = smallest_that_fits(demands, kind, place, types, |formulas| {
                load(formulas, kind, place, target.maps, Some(target.hook))
            });
            let made = made.unwrap_or_else(|error| {
                let (kind, place) = (kind.name(), place.name());
                tracing::warn!(kind, place, %error, "a filter is not used; every event of the kind is sent");
                None
            });
            let (first, slot) = target.first;
            let Some((programs, about)) = made else {
                bpf::clear_slot(first, slot)?;
                continue;
            };
            // The first comes last: until then nothing leads to the others.
            let (parts, first_part) = target.parts;
            let numbered = (first_part..).zip(&programs).collect::<Vec<_>>();
            for (part, program) in numbered.into_iter().rev() {
                bpf::set_slot(parts, part, program.as_fd())?;
            }
            if let Some(program) = programs.first() {
                bpf::set_slot(first, slot, program.as_fd())?;
            }
            installed.push(about);
        }
        Ok(installed)
    }

    /// Lets every event pass.
    ///
    /// # Errors
    /// When a slot cannot be written.
    pub fn clear(&self) -> io::Result<()> {
        for (kind, place) in asked() {
            if let Some(target) = self.target(kind, place) {
                let (first, slot) = target.first;
                bpf::clear_slot(first, slot)?;
            }
        }
        Ok(())
    }

    /// Where the filter of a kind and place goes; `None` where nothing asks it here.
    fn target(&self, kind: Kind, place: Place) -> Option<Target<'_>> {
        let (hook, first, next, parts) = match place {
            Place::Exit(stage) => {
                let slot = stage.slot(kind);
                let first = (self.slots.as_fd(), slot);
                let parts = (self.parts.as_fd(), first_part(slot));
                (self.exit?, first, (self.next.as_fd(), slot), parts)
            }
            Place::Cgroup(hook) => {
                let (_, program, array) = self.cgroups.iter().find(|(of, ..)| *of == hook)?;
                let at = |slot| (array.as_fd(), slot);
                (*program, at(HOOK_FIRST), at(HOOK_NEXT), at(HOOK_PARTS))
            }
        };
        let slot = |(array, index): (BorrowedFd<'_>, u32)| emit::Slot {
            array: array.as_raw_fd(),
            index,
        };
        let maps = emit::Maps {
            scratch: self.scratch.as_raw_fd(),
            depth: self.depth.as_raw_fd(),
            counters: self.counters.as_raw_fd(),
            next: slot(next),
            parts: slot(parts),
        };
        Some(Target {
            hook,
            first,
            parts,
            maps,
        })
    }
}

/// Every kind and place at which a filter is asked.
fn asked() -> impl Iterator<Item = (Kind, Place)> {
    place::kinds().flat_map(|kind| place::of(kind).map(move |place| (kind, place)))
}

/// Makes a filter as well as it can be made: tries to load it as a whole, in parts, and with less in it.
fn smallest_that_fits<T>(
    demands: &[Demand],
    kind: Kind,
    place: Place,
    types: &EventTypes,
    load: impl Fn(&[Formula]) -> Result<(T, usize), FilterError>,
) -> Result<Option<(T, Installed)>, FilterError> {
    let mut refusal = None;
    for (parts, constants_max) in ATTEMPTS {
        let mut formulas = plan::parts(demands, kind, place, types, parts as usize);
        if constants_max != usize::MAX {
            formulas = formulas
                .iter()
                .map(|formula| formula.weakened(constants_max))
                .collect();
        }
        if formulas.is_empty() || formulas.iter().any(Formula::is_true) {
            break;
        }
        let work = formulas.iter().map(Formula::work).max().unwrap_or(0);
        if work > WORK_MAX {
            refusal = Some(FilterError::Work(work));
            continue;
        }
        let begin = Instant::now();
        match load(&formulas) {
            Ok((loaded, instructions)) => {
                let about = Installed {
                    kind,
                    place,
                    parts: formulas.len(),
                    instructions,
                    constants_max: (constants_max != usize::MAX).then_some(constants_max),
                    load_time: begin.elapsed(),
                };
                return Ok(Some((loaded, about)));
            }
            Err(error) => refusal = Some(error),
        }
    }
    refusal.map_or(Ok(None), Err)
}

/// Loads the programs of a filter, and tells how long they are.
fn load(
    formulas: &[Formula],
    kind: Kind,
    place: Place,
    maps: emit::Maps,
    hook: Option<bpf::Hook>,
) -> Result<(Vec<OwnedFd>, usize), FilterError> {
    let name = match place {
        Place::Exit(stage) => format!("{}_{}", kind.name(), stage.name()),
        Place::Cgroup(_) => format!("{}_begins", kind.name()),
    };
    let code = emit::programs(formulas, kind, place, maps)?;
    let programs: Result<Vec<_>, _> = code.iter().map(|code| bpf::load(&name, code, hook)).collect();
    Ok((programs?, code.iter().map(Vec::len).sum()))
}
