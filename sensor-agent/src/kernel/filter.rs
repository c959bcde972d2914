//! Rules that run in the kernel.
//!
//! What the rules demand of a kind of event is decided as far as the record tells ([`plan`]), and compiled to a program
//! ([`emit`], [`asm`]) that a collector reaches by tail call: before it collects text, and once the record is whole.
//! An event that no rule can match ends there, counted as filtered.
//!
//! Invariant: an event that a rule matches is never filtered. What the kernel cannot know passes; a filter that cannot
//! be made, or that the kernel refuses, leaves its slot empty, and an empty slot passes every event.

pub mod asm;
pub mod emit;
pub mod explain;
pub mod formula;
pub mod plan;
#[cfg(test)]
mod tests;
mod texts;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use sensor_common::{
    filter::{PARTS_MAX, Stage, first_part},
    kind::Kind,
    syscall::{Call, Handler, handler_of},
};
use sensor_rules::partial::Demand;

use self::{asm::AsmError, formula::Formula};
use super::bpf::{self, Tracepoint};
use crate::view::EventTypes;

/// Kinds whose collectors ask filters. The others' records all pass, though [`planned`] could be decided.
const ASKED: [Kind; 1] = [Kind::Open];

/// Kinds whose collectors ask filters, with the stages at which they do.
fn filtered() -> impl Iterator<Item = (Kind, &'static [Stage])> {
    planned().filter(|(kind, _)| ASKED.contains(kind))
}

/// Kinds of the exit dispatcher, whose records can be decided on, with the stages at which they can.
fn planned() -> impl Iterator<Item = (Kind, &'static [Stage])> {
    let has_call = |kind: &Kind| Call::ALL.iter().any(|call| call.kind() == Some(*kind));
    Kind::ALL.into_iter().filter(has_call).filter_map(|kind| {
        let stages: &[Stage] = match handler_of(kind) {
            Handler::None | Handler::Dup | Handler::Socket | Handler::SocketCall => return None,
            Handler::Open => &Stage::ALL,
            Handler::Path | Handler::Connect | Handler::Identity | Handler::Plain => &[Stage::Late],
        };
        Some((kind, stages))
    })
}

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
    /// Before which step.
    pub stage: Stage,
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
    /// The hook's type is not known.
    #[error("the kernel's types come from a file, so that no program can be made for its hooks")]
    NoHook,
}

/// The filters' maps.
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
    /// The hook that the collectors are on.
    pub hook: Option<Tracepoint>,
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
        for (kind, stages) in filtered() {
            for stage in stages {
                let slot = stage.slot(kind);
                let made = self.make(demands, kind, *stage, types).unwrap_or_else(|error| {
                    let (kind, stage) = (kind.name(), stage.name());
                    tracing::warn!(kind, stage, %error, "a filter is not used; every event of the kind is sent");
                    None
                });
                let Some((programs, about)) = made else {
                    bpf::clear_slot(self.slots.as_fd(), slot)?;
                    continue;
                };
                // The first comes last: until then nothing leads to the others.
                let parts = (first_part(slot)..).zip(&programs).collect::<Vec<_>>();
                for (part, program) in parts.into_iter().rev() {
                    bpf::set_slot(self.parts.as_fd(), part, program.as_fd())?;
                }
                if let Some(program) = programs.first() {
                    bpf::set_slot(self.slots.as_fd(), slot, program.as_fd())?;
                }
                installed.push(about);
            }
        }
        Ok(installed)
    }

    /// Lets every event pass.
    ///
    /// # Errors
    /// When a slot cannot be written.
    pub fn clear(&self) -> io::Result<()> {
        for (kind, stages) in filtered() {
            for stage in stages {
                bpf::clear_slot(self.slots.as_fd(), stage.slot(kind))?;
            }
        }
        Ok(())
    }

    /// The programs of a filter, loaded; `None` where every event passes anyway. Too large a filter is split or, where
    /// that is not enough, decides less.
    fn make(
        &self,
        demands: &[Demand],
        kind: Kind,
        stage: Stage,
        types: &EventTypes,
    ) -> Result<Option<(Vec<OwnedFd>, Installed)>, FilterError> {
        let maps = emit::Maps {
            scratch: self.scratch.as_raw_fd(),
            depth: self.depth.as_raw_fd(),
            counters: self.counters.as_raw_fd(),
            next: self.next.as_raw_fd(),
            parts: self.parts.as_raw_fd(),
        };
        let hook = self.hook.ok_or(FilterError::NoHook)?;
        smallest_that_fits(demands, kind, stage, types, |formulas| {
            load(formulas, kind, stage, maps, Some(hook))
        })
    }
}

/// Makes a filter as well as it can be made: tries to load it as a whole, in parts, and with less in it.
fn smallest_that_fits<T>(
    demands: &[Demand],
    kind: Kind,
    stage: Stage,
    types: &EventTypes,
    load: impl Fn(&[Formula]) -> Result<(T, usize), FilterError>,
) -> Result<Option<(T, Installed)>, FilterError> {
    let mut refusal = None;
    for (parts, constants_max) in ATTEMPTS {
        let mut formulas = plan::parts(demands, kind, stage, types, parts as usize);
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
                    stage,
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
    stage: Stage,
    maps: emit::Maps,
    hook: Option<Tracepoint>,
) -> Result<(Vec<OwnedFd>, usize), FilterError> {
    let name = format!("{}_{}", kind.name(), stage.name());
    let code = emit::programs(formulas, kind, stage, maps, first_part(stage.slot(kind)))?;
    let programs: Result<Vec<_>, _> = code.iter().map(|code| bpf::load(&name, code, hook)).collect();
    Ok((programs?, code.iter().map(Vec::len).sum()))
}
