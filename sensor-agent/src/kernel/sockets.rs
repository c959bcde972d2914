//! The programs on internet sockets: on the root of the cgroup hierarchy, and on TCP's changes of state.
//!
//! None of them is needed for the agent to run: what cannot be loaded or attached is left to the exit of system calls,
//! or not seen, and said.

use std::{
    fs::File,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData, MapError},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSock, CgroupSockAddr, ProgramError,
        cgroup_sock::CgroupSockLinkId, cgroup_sock_addr::CgroupSockAddrLinkId, tp_btf::BtfTracePointLinkId,
    },
};
use sensor_common::{
    filter::HOOK_NEXT,
    hook::{Hook, sources},
    kind::Kind,
};

use super::{
    attach::NOT_NEEDED,
    bpf,
    filter::place::cgroup_hooks,
    load::{LoadError, map_fd, take_map, told},
};
use crate::state::seed::Hierarchies;

/// Inode number of the root of a cgroup hierarchy (`fs/kernfs/dir.c`); another is the root of a namespace.
const ROOT_INODE: u64 = 1;

/// Each hook, its program's name, and what it tells of.
const PROGRAMS: [(Hook, &str, &[Kind]); 7] = [
    (Hook::Connect4, "connect4", &[Kind::Connect]),
    (Hook::Connect6, "connect6", &[Kind::Connect]),
    (Hook::PostBind4, "post_bind4", &[Kind::Bind]),
    (Hook::PostBind6, "post_bind6", &[Kind::Bind]),
    (Hook::SendMessage4, "sendmsg4", &[Kind::Send]),
    (Hook::SendMessage6, "sendmsg6", &[Kind::Send]),
    (
        Hook::SocketState,
        "inet_sock_set_state",
        &[Kind::Connect, Kind::Listen],
    ),
];

/// A program's type, which its hook decides.
enum Type {
    Address,
    Socket,
    State,
}

const fn type_of(hook: Hook) -> Type {
    match hook {
        Hook::PostBind4 | Hook::PostBind6 => Type::Socket,
        Hook::SocketState => Type::State,
        _ => Type::Address,
    }
}

/// An attached program.
enum Link {
    Address(CgroupSockAddrLinkId),
    Socket(CgroupSockLinkId),
    State(BtfTracePointLinkId),
}

/// One program, as far as it has come.
struct Program {
    hook: Hook,
    name: &'static str,
    kinds: &'static [Kind],
    /// Why it cannot be used here.
    refused: Option<String>,
    link: Option<Link>,
}

/// Loads the programs; of each hook, why it cannot be used here.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf) -> Vec<(Hook, Option<String>)> {
    PROGRAMS
        .into_iter()
        .map(|(hook, name, _)| (hook, load_one(ebpf, hook, name, Some(types)).err()))
        .collect()
}

/// Loads a program; the types are needed for one on a change of state alone.
fn load_one(ebpf: &mut Ebpf, hook: Hook, name: &str, types: Option<&Btf>) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or(ABSENT)?;
    let loaded = match type_of(hook) {
        Type::State => {
            let types = types.ok_or(ABSENT)?;
            <&mut BtfTracePoint>::try_from(program).and_then(|program| program.load(name, types))
        }
        Type::Address => <&mut CgroupSockAddr>::try_from(program).and_then(CgroupSockAddr::load),
        Type::Socket => <&mut CgroupSock>::try_from(program).and_then(CgroupSock::load),
    };
    loaded.map_err(|error| error.to_string())
}

/// The hooks on cgroups that ask a filter, each with its array, in which the program is that the filter goes on to. One
/// whose program cannot be had here has no filter, and its events all pass.
pub(super) fn filters(ebpf: &mut Ebpf) -> Result<Vec<(Hook, bpf::Hook, OwnedFd)>, LoadError> {
    let mut found = Vec::new();
    for (hook, about) in cgroup_hooks() {
        let Some((_, name, _)) = PROGRAMS.into_iter().find(|(of, ..)| *of == hook) else {
            continue;
        };
        if let Err(reason) = load_one(ebpf, hook, &format!("{name}_next"), None) {
            tracing::warn!(hook = hook.name(), reason, "no filter is asked at a hook");
            continue;
        }
        let next = ebpf
            .program(&format!("{name}_next"))
            .and_then(|program| program.fd().ok())
            .ok_or(LoadError::Absent(about.map))?
            .as_fd()
            .try_clone_to_owned()
            .map_err(MapError::IoError)?;
        let array = map_fd(ebpf, about.map)?;
        bpf::set_slot(array.as_fd(), HOOK_NEXT, next.as_fd()).map_err(MapError::IoError)?;
        let program = bpf::Hook::on_cgroups(about.program_type, about.attach_type);
        found.push((hook, program, array));
    }
    Ok(found)
}

const ABSENT: &str = "it is not in the embedded object";

/// What is wanted of sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Kinds that rules ask for.
    pub(super) kinds: Vec<Kind>,
    /// Kinds whose calls' exits are followed.
    pub(super) exits: Vec<Kind>,
}

/// What is attached to sockets.
pub(super) struct Sockets {
    sources: Array<MapData, u32>,
    programs: Vec<Program>,
}

impl Sockets {
    /// Takes the programs that were loaded.
    pub(super) fn new(ebpf: &mut Ebpf, loaded: Vec<(Hook, Option<String>)>) -> Result<Self, LoadError> {
        let programs = PROGRAMS.into_iter().zip(loaded);
        Ok(Self {
            sources: Array::try_from(take_map(ebpf, "SOURCES")?)?,
            programs: programs
                .map(|((hook, name, kinds), (_, refused))| Program {
                    hook,
                    name,
                    kinds,
                    refused,
                    link: None,
                })
                .collect(),
        })
    }

    /// Attaches the programs that tell what is wanted, detaches the others, and tells them of each other.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf, wanted: &Wanted) -> Result<(), LoadError> {
        let mut root = None;
        for program in &mut self.programs {
            let is_wanted = program.kinds.iter().any(|kind| wanted.kinds.contains(kind));
            if !is_wanted {
                program.detach(ebpf)?;
            } else if program.refused.is_none() && program.link.is_none() {
                let root = root.get_or_insert_with(self::root);
                match program.attach(ebpf, root.as_ref()) {
                    Ok(link) => program.link = Some(link),
                    Err(reason) => program.refused = Some(reason),
                }
            }
        }
        self.say(wanted)
    }

    /// Tells the programs what other programs tell.
    fn say(&mut self, wanted: &Wanted) -> Result<(), LoadError> {
        let wants = |kind| wanted.kinds.contains(&kind);
        let state = self.is_attached(&[Hook::SocketState]);
        let bits = [
            (sources::CGROUP_CONNECT, self.tells(Kind::Connect)),
            (sources::EXIT_OF_CONNECT, wanted.exits.contains(&Kind::Connect)),
            (sources::CGROUP_BIND, self.tells(Kind::Bind)),
            (sources::EXIT_OF_BIND, wanted.exits.contains(&Kind::Bind)),
            (sources::STATE_LISTEN, state && wants(Kind::Listen)),
            (sources::EXIT_OF_LISTEN, wanted.exits.contains(&Kind::Listen)),
            (sources::STATE_CONNECT, state && wants(Kind::Connect)),
        ];
        let set = bits.iter().filter(|(_, is_set)| *is_set);
        Ok(self.sources.set(0, set.fold(0, |all, (bit, _)| all | bit), 0)?)
    }

    /// Whether these programs tell of internet sockets' events of a kind.
    pub(super) fn tells(&self, kind: Kind) -> bool {
        match kind {
            Kind::Connect => self.is_attached(&[Hook::Connect4, Hook::Connect6]),
            Kind::Bind => self.is_attached(&[Hook::PostBind4, Hook::PostBind6]),
            Kind::Send => self.is_attached(&[Hook::SendMessage4, Hook::SendMessage6]),
            Kind::Listen => self.is_attached(&[Hook::SocketState]),
            _ => false,
        }
    }

    fn is_attached(&self, hooks: &[Hook]) -> bool {
        let mut of = self
            .programs
            .iter()
            .filter(|program| hooks.contains(&program.hook));
        of.all(|program| program.link.is_some())
    }

    /// The programs that must run now, by name.
    pub(super) fn attached(&self) -> Vec<&'static str> {
        let attached = self.programs.iter().filter(|program| program.link.is_some());
        attached.map(|program| program.name).collect()
    }

    /// Attaches a program again whose link was detached or runs another program; such a link is let go.
    pub(super) fn attach_again(&mut self, ebpf: &mut Ebpf, name: &str) -> Result<(), String> {
        let mut programs = self.programs.iter_mut();
        let program = programs.find(|program| program.name == name).ok_or(ABSENT)?;
        program.detach(ebpf).map_err(|error| error.to_string())?;
        program.link = Some(program.attach(ebpf, root().as_ref())?);
        Ok(())
    }

    /// Detaches all of them.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        for program in &mut self.programs {
            program.detach(ebpf)?;
        }
        Ok(())
    }

    /// Each hook: what it tells, whether it is attached, and why not.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (Hook, Vec<Kind>, bool, String)> + '_ {
        self.programs.iter().map(|program| {
            let reason = match (&program.refused, &program.link) {
                (Some(reason), _) => format!("{reason}; {}", instead(program.hook)),
                (None, Some(_)) => String::new(),
                (None, None) => NOT_NEEDED.into(),
            };
            let mut kinds = program.kinds.to_vec();
            if program.hook == Hook::SocketState {
                kinds.push(Kind::Outcome);
            }
            (program.hook, kinds, program.link.is_some(), reason)
        })
    }
}

/// What a hook's absence means.
const fn instead(hook: Hook) -> &'static str {
    match hook {
        Hook::SendMessage4 | Hook::SendMessage6 => "destinations of datagrams are not seen",
        _ => "the exit of system calls is used instead",
    }
}

impl Program {
    fn attach(&self, ebpf: &mut Ebpf, root: Result<&File, &String>) -> Result<Link, String> {
        let program = ebpf.program_mut(self.name).ok_or(ABSENT)?;
        let mode = CgroupAttachMode::Single;
        let attached = match type_of(self.hook) {
            Type::State => <&mut BtfTracePoint>::try_from(program)
                .and_then(BtfTracePoint::attach)
                .map(Link::State),
            Type::Address => {
                let root = root.map_err(Clone::clone)?;
                <&mut CgroupSockAddr>::try_from(program)
                    .and_then(|program| program.attach(root, mode).map(Link::Address))
            }
            Type::Socket => {
                let root = root.map_err(Clone::clone)?;
                <&mut CgroupSock>::try_from(program)
                    .and_then(|program| program.attach(root, mode).map(Link::Socket))
            }
        };
        attached.map_err(|error| told(&error))
    }

    fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        let Some(link) = self.link.take() else {
            return Ok(());
        };
        let name = self.name;
        let program = ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
        let detached: Result<(), ProgramError> = match link {
            Link::State(link) => <&mut BtfTracePoint>::try_from(program).and_then(|of| of.detach(link)),
            Link::Address(link) => <&mut CgroupSockAddr>::try_from(program).and_then(|of| of.detach(link)),
            Link::Socket(link) => <&mut CgroupSock>::try_from(program).and_then(|of| of.detach(link)),
        };
        detached.map_err(|source| LoadError::Program {
            program: name,
            source,
        })
    }
}

/// The root of the v2 hierarchy, or why it cannot be used.
fn root() -> Result<File, String> {
    let mount = Hierarchies::find().v2.ok_or(
        "no cgroup v2 hierarchy is mounted here: mount cgroup2, or /sys/fs/cgroup into the agent's container",
    )?;
    let fault = |error: std::io::Error| format!("{}: {error}", mount.display());
    let root = File::open(&mount).map_err(fault)?;
    if root.metadata().map_err(fault)?.ino() != ROOT_INODE {
        return Err(format!(
            "{} is a cgroup namespace's root, not the machine's: run the agent in the host's cgroup namespace",
            mount.display()
        ));
    }
    Ok(root)
}
