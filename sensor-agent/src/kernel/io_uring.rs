//! The programs on `io_uring`'s requests. The agent runs without them, and says why.

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{BtfTracePoint, ProgramError, tp_btf::BtfTracePointLinkId},
};
use sensor_common::{
    hook::Hook,
    kind::Kind,
    syscall::{Call, IO_OPERATIONS_MAX},
};

use super::{
    attach::NOT_NEEDED,
    load::{LoadError, take_map},
};

/// The hooks and their programs, which have their names. The second tells what came of what the first has told, so that
/// it is attached first.
const PROGRAMS: [(Hook, &str); 2] = [
    (Hook::IoUringComplete, "io_uring_complete"),
    (Hook::IoUringSubmit, "io_uring_submit_req"),
];

/// What is lost without them.
const LOSING: &str = "what is done through io_uring is not seen, but for connects";

/// Loads the programs; why they cannot be used here.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf) -> Result<(), String> {
    for (_, name) in PROGRAMS {
        program(ebpf, name)
            .and_then(|program| program.load(name, types))
            .map_err(|error| format!("{name}: {error}; {LOSING}"))?;
    }
    Ok(())
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
}

/// What is attached to `io_uring`.
pub(super) struct IoUring {
    calls: Array<MapData, u32>,
    kinds: Vec<Kind>,
    refused: Option<String>,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
}

impl IoUring {
    /// Takes the programs that were loaded.
    pub(super) fn new(ebpf: &mut Ebpf, refused: Option<String>) -> Result<Self, LoadError> {
        Ok(Self {
            calls: Array::try_from(take_map(ebpf, "IO_CALLS")?)?,
            kinds: Vec::new(),
            refused,
            links: Vec::new(),
        })
    }

    /// Reports the operations that stand for these calls, and no others; with none, requests cost nothing.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf, calls: &[Call]) -> Result<(), LoadError> {
        let mut table = [0; IO_OPERATIONS_MAX as usize];
        self.kinds.clear();
        for call in calls {
            if let (Some(operation), Some(kind)) = (call.io_operation(), call.kind()) {
                table[operation as usize] = *call as u32;
                self.kinds.push(kind);
            }
        }
        self.kinds.sort_unstable();
        self.kinds.dedup();
        for (operation, call) in (0..).zip(table) {
            self.calls.set(operation, call, 0)?;
        }
        if self.kinds.is_empty() {
            return self.detach(ebpf);
        }
        if self.refused.is_none() && self.links.is_empty() {
            for (_, name) in PROGRAMS {
                match program(ebpf, name).and_then(BtfTracePoint::attach) {
                    Ok(link) => self.links.push((name, link)),
                    Err(error) => {
                        self.refused = Some(format!("{name}: {error}; {LOSING}"));
                        return self.detach(ebpf);
                    }
                }
            }
        }
        Ok(())
    }

    /// Detaches both.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        // Who tells of beginnings goes first.
        for (name, link) in self.links.drain(..).rev() {
            program(ebpf, name)
                .and_then(|program| program.detach(link))
                .map_err(|source| LoadError::Program {
                    program: name,
                    source,
                })?;
        }
        Ok(())
    }

    /// Each hook: what it tells, whether it is attached, and why not.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (Hook, Vec<Kind>, bool, String)> + '_ {
        PROGRAMS.into_iter().rev().map(|(hook, _)| {
            let attached = !self.links.is_empty();
            let reason = match &self.refused {
                Some(reason) => reason.clone(),
                None if attached => String::new(),
                None => NOT_NEEDED.into(),
            };
            (hook, self.kinds.clone(), attached, reason)
        })
    }
}
