//! The programs on internet sockets: on the root of the cgroup hierarchy, and on TCP's changes of state.
//!
//! None of them is needed for the agent to run: what cannot be loaded or attached is left to the exit of system calls,
//! and said.

use std::{fs::File, os::unix::fs::MetadataExt as _};

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{BtfTracePoint, CgroupAttachMode, CgroupSockAddr},
};
use sensor_common::hook::{Hook, sources};

use super::load::{LoadError, take_map};
use crate::state::seed::Hierarchies;

/// Inode number of the root of a cgroup hierarchy (`fs/kernfs/dir.c`); another is the root of a namespace.
const ROOT_INODE: u64 = 1;

/// Each hook and its program's name.
const PROGRAMS: [(Hook, &str); 3] = [
    (Hook::Connect4, "connect4"),
    (Hook::Connect6, "connect6"),
    (Hook::SocketState, "inet_sock_set_state"),
];

/// Loads the programs; of each hook, why it cannot be used here.
pub(super) fn load(ebpf: &mut Ebpf, types: &Btf) -> Vec<(Hook, Option<String>)> {
    PROGRAMS
        .into_iter()
        .map(|(hook, name)| (hook, load_one(ebpf, types, hook, name).err()))
        .collect()
}

fn load_one(ebpf: &mut Ebpf, types: &Btf, hook: Hook, name: &str) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("it is not in the embedded object")?;
    let loaded = if hook == Hook::SocketState {
        <&mut BtfTracePoint>::try_from(program).and_then(|program| program.load(name, types))
    } else {
        <&mut CgroupSockAddr>::try_from(program).and_then(CgroupSockAddr::load)
    };
    loaded.map_err(|error| error.to_string())
}

/// What is attached to sockets.
pub(super) struct Sockets {
    sources: Array<MapData, u32>,
    hooks: Vec<(Hook, Option<String>)>,
    attached: bool,
}

impl Sockets {
    /// Takes the programs that were loaded.
    pub(super) fn new(ebpf: &mut Ebpf, hooks: Vec<(Hook, Option<String>)>) -> Result<Self, LoadError> {
        Ok(Self {
            sources: Array::try_from(take_map(ebpf, "SOURCES")?)?,
            hooks,
            attached: false,
        })
    }

    /// Attaches the programs, once; `exit_follows` says whether the exit of `connect` is reported too.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, exit_follows: bool) -> Result<(), LoadError> {
        if !self.attached {
            self.attached = true;
            let root = root();
            for (hook, refused) in &mut self.hooks {
                if refused.is_none() {
                    *refused = attach_one(ebpf, *hook, root.as_ref()).err();
                }
            }
        }
        self.say(exit_follows)
    }

    /// Tells the programs what other programs tell.
    pub(super) fn say(&mut self, exit_follows: bool) -> Result<(), LoadError> {
        let mut bits = 0;
        if self.tells_connects() {
            bits |= sources::CGROUP_CONNECT;
        }
        if exit_follows {
            bits |= sources::EXIT_OF_CONNECT;
        }
        Ok(self.sources.set(0, bits, 0)?)
    }

    /// Whether connects of internet sockets are told by these programs.
    pub(super) fn tells_connects(&self) -> bool {
        self.attached
            && self
                .hooks
                .iter()
                .all(|(hook, refused)| *hook == Hook::SocketState || refused.is_none())
    }

    /// Detaches all of them.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        if !std::mem::take(&mut self.attached) {
            return Ok(());
        }
        for (hook, refused) in &self.hooks {
            let name = PROGRAMS
                .iter()
                .find(|(of, _)| of == hook)
                .map_or("", |(_, name)| *name);
            if refused.is_some() {
                continue;
            }
            let program = ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
            let detached = if *hook == Hook::SocketState {
                <&mut BtfTracePoint>::try_from(program).and_then(BtfTracePoint::unload)
            } else {
                <&mut CgroupSockAddr>::try_from(program).and_then(CgroupSockAddr::unload)
            };
            detached.map_err(|source| LoadError::Program {
                program: name,
                source,
            })?;
        }
        Ok(())
    }

    /// Each hook: whether it is attached, and why not.
    pub(super) fn hooks(&self) -> impl Iterator<Item = (Hook, bool, String)> + '_ {
        self.hooks.iter().map(|(hook, refused)| match refused {
            Some(reason) => (
                *hook,
                false,
                format!("{reason}; the exit of system calls is used instead"),
            ),
            None if self.attached => (*hook, true, String::new()),
            None => (*hook, false, "no loaded rule needs it".into()),
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

fn attach_one(ebpf: &mut Ebpf, hook: Hook, root: Result<&File, &String>) -> Result<(), String> {
    let name = PROGRAMS
        .iter()
        .find(|(of, _)| *of == hook)
        .map_or("", |(_, name)| *name);
    let program = ebpf.program_mut(name).ok_or("it is not in the embedded object")?;
    let attached = if hook == Hook::SocketState {
        <&mut BtfTracePoint>::try_from(program).and_then(|program| program.attach().map(drop))
    } else {
        let root = root.map_err(Clone::clone)?;
        <&mut CgroupSockAddr>::try_from(program)
            .and_then(|program| program.attach(root, CgroupAttachMode::Single).map(drop))
    };
    attached.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}
