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
pub mod plan;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use sensor_common::{filter::Stage, kind::Kind};
use sensor_rules::partial::Demand;

use super::bpf::{self, Tracepoint};
use crate::view::EventTypes;

/// Kinds whose records a filter sees: those of the exit dispatcher.
const KINDS: [(Kind, &[Stage]); 1] = [(Kind::Open, &Stage::ALL)];

/// A filter in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Of which kind of event.
    pub kind: Kind,
    /// Before which step.
    pub stage: Stage,
    /// Length of its program.
    pub instructions: usize,
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
        for (kind, stages) in KINDS {
            for stage in stages {
                let slot = stage.slot(kind);
                match self.make(demands, kind, *stage, types) {
                    Some((program, instructions)) => {
                        bpf::set_slot(self.slots.as_fd(), slot, program.as_fd())?;
                        installed.push(Installed {
                            kind,
                            stage: *stage,
                            instructions,
                        });
                    }
                    None => bpf::clear_slot(self.slots.as_fd(), slot)?,
                }
            }
        }
        Ok(installed)
    }

    /// Lets every event pass.
    ///
    /// # Errors
    /// When a slot cannot be written.
    pub fn clear(&self) -> io::Result<()> {
        for (kind, stages) in KINDS {
            for stage in stages {
                bpf::clear_slot(self.slots.as_fd(), stage.slot(kind))?;
            }
        }
        Ok(())
    }

    fn make(
        &self,
        demands: &[Demand],
        kind: Kind,
        stage: Stage,
        types: &EventTypes,
    ) -> Option<(OwnedFd, usize)> {
        let formula = plan::plan(demands, kind, stage, types)?;
        let maps = emit::Maps {
            scratch: self.scratch.as_raw_fd(),
            depth: self.depth.as_raw_fd(),
            counters: self.counters.as_raw_fd(),
            next: self.next.as_raw_fd(),
        };
        let name = format!("filter_{}_{}", kind.name(), stage.name());
        let code = match emit::program(&formula, kind, stage, maps) {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(filter = name, %error, "the rules are too large for a filter in the kernel; every event of the kind is sent");
                return None;
            }
        };
        match bpf::load(&name, &code, Some(self.hook?)) {
            Ok(program) => Some((program, code.len())),
            Err(error) => {
                tracing::warn!(%error, "a filter is not used; every event of the kind is sent");
                None
            }
        }
    }
}
