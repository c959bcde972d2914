//! The programs on what happens to tasks without a call of their own: names and cgroups. The agent runs without them,
//! and says why.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError, tp_btf::BtfTracePointLinkId},
};
use sensor_common::{hook::Hook, kind::Kind, syscall::Call};

use super::{
    attach::NOT_NEEDED,
    load::{LoadError, ProgramSpec},
};

/// A program on a tracepoint: its hook, its names, and the event that it tells.
struct Program {
    hook: Hook,
    spec: ProgramSpec,
    call: Call,
    kind: Kind,
    /// What is not known without it.
    losing: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        hook: Hook::CgroupAttach,
        spec: ProgramSpec {
            name: "cgroup_attach_task",
            tracepoint: "cgroup_attach_task",
        },
        call: Call::CgroupAttachTask,
        kind: Kind::CgroupMove,
        losing: "moves to cgroups that no process was started in are told without the cgroup's path",
    },
    Program {
        hook: Hook::TaskRename,
        spec: ProgramSpec {
            name: "task_rename",
            tracepoint: "task_rename",
        },
        call: Call::TaskRename,
        kind: Kind::Comm,
        losing: "names that processes give to themselves are seen by prctl alone",
    },
];

/// Loads the programs; of each, why it cannot be used here.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf) -> [Option<String>; PROGRAMS.len()] {
    PROGRAMS.each_ref().map(|of| {
        let loaded = program(ebpf, of.spec.name).and_then(|program| program.load(of.spec.tracepoint, types));
        loaded.err().map(|error| format!("{error}; {}", of.losing))
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
}

/// What is attached, in the order of the programs.
pub(super) struct Tasks {
    refused: [Option<String>; PROGRAMS.len()],
    links: [Option<BtfTracePointLinkId>; PROGRAMS.len()],
}

impl Tasks {
    /// Takes the programs that were loaded.
    pub(super) fn new(refused: [Option<String>; PROGRAMS.len()]) -> Self {
        Self {
            refused,
            links: Default::default(),
        }
    }

    /// Reports moves to other cgroups, which tell where processes are, and of the rest what is among these calls.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf, calls: &[Call]) -> Result<(), LoadError> {
        for (at, of) in PROGRAMS.iter().enumerate() {
            let is_wanted = of.kind == Kind::CgroupMove || calls.contains(&of.call);
            if !is_wanted {
                self.detach_one(ebpf, at)?;
            } else if self.links[at].is_none() && self.refused[at].is_none() {
                match program(ebpf, of.spec.name).and_then(BtfTracePoint::attach) {
                    Ok(link) => self.links[at] = Some(link),
                    Err(error) => self.refused[at] = Some(format!("{error}; {}", of.losing)),
                }
            }
        }
        Ok(())
    }

    /// Detaches all.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        (0..PROGRAMS.len()).try_for_each(|at| self.detach_one(ebpf, at))
    }

    fn detach_one(&mut self, ebpf: &mut Ebpf, at: usize) -> Result<(), LoadError> {
        let Some(link) = self.links[at].take() else {
            return Ok(());
        };
        let name = PROGRAMS[at].spec.name;
        program(ebpf, name)
            .and_then(|program| program.detach(link))
            .map_err(|source| LoadError::Program {
                program: name,
                source,
            })
    }

    /// The programs that must run now.
    pub(super) fn attached(&self) -> impl Iterator<Item = ProgramSpec> + '_ {
        let both = PROGRAMS.iter().zip(&self.links);
        both.filter_map(|(of, link)| link.as_ref().map(|_| of.spec))
    }

    /// Each hook: what it tells, whether it is attached, and why not.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (Hook, Vec<Kind>, bool, String)> + '_ {
        PROGRAMS.iter().enumerate().map(|(at, of)| {
            let attached = self.links[at].is_some();
            let reason = match &self.refused[at] {
                Some(reason) => reason.clone(),
                None if attached => String::new(),
                None => NOT_NEEDED.into(),
            };
            (of.hook, vec![of.kind], attached, reason)
        })
    }
}
