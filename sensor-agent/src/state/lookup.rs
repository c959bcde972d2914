//! Questions about processes and files that only the file system answers: what the state wants looked up, and what a
//! record may have to wait for.
//!
//! Another thread answers them ([`identity`](crate::identity)); nothing here touches the system.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use sensor_common::record::Identity;
use sensor_rules::engine::RuleSet;

use super::{
    State,
    environment::EnvironmentKey,
    process::{Home, ProcessKey},
    programs::{Program, ProgramKey},
    workload::{Fact, Progress},
};

/// Questions that wait to be taken; further ones are asked at the next program.
const LOOKUPS_MAX: usize = 256;

/// Something to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Names of a container's users and groups.
    Names {
        /// Its id.
        container: Box<str>,
        /// Processes whose root is the container's: one that has just started a program, and the container's first.
        pids: [u32; 2],
        /// Their mount namespace.
        mount_ns: u32,
    },
    /// What ids mean in a user namespace.
    Ids {
        /// Its inode number.
        user_ns: u32,
        /// A process in it.
        pid: u32,
    },
    /// Facts on a program file.
    Program(Box<Program>),
    /// The environment of a program that was just started.
    Environment {
        /// Which one.
        key: EnvironmentKey,
        /// The inode number of the program's file.
        inode: u64,
    },
}

/// What a record may have to wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// What a runtime has to say of a container.
    Facts(Box<str>),
    /// Names of a container's users.
    Names(Box<str>),
    /// What ids mean in a user namespace.
    Ids(u32),
    /// Facts on a program file.
    Program(ProgramKey),
    /// The environment of a program.
    Environment(EnvironmentKey),
}

impl Lookup {
    /// What waits for its answer.
    #[must_use]
    pub fn need(&self) -> Need {
        match self {
            Self::Names { container, .. } => Need::Names(container.clone()),
            Self::Ids { user_ns, .. } => Need::Ids(*user_ns),
            Self::Program(program) => Need::Program(program.key),
            Self::Environment { key, .. } => Need::Environment(*key),
        }
    }
}

impl Lookup {
    /// What is told when nobody can look.
    #[must_use]
    pub fn unanswered(&self) -> Fact {
        match self {
            Self::Names { container, .. } => Fact::Names(container.clone(), None),
            Self::Ids { user_ns, .. } => Fact::Ids(*user_ns, None),
            Self::Program(program) => Fact::Program(program.key, None),
            Self::Environment { key, .. } => Fact::Environment(*key, None),
        }
    }
}

impl State {
    /// How far the search for something has come.
    #[must_use]
    pub fn progress(&self, need: &Need) -> Progress {
        match need {
            Need::Facts(id) => self
                .workloads
                .container(id)
                .map_or(Progress::Done, |facts| facts.progress),
            Need::Names(id) => self.inside.names.progress(&**id),
            Need::Ids(user_ns) => self.inside.namespaces.progress(user_ns),
            Need::Program(key) => self.programs.files.progress(key),
            Need::Environment(key) => self.environments.answers().progress(key),
        }
    }

    /// A process has started a program: by now a runtime has given it its root and its ids.
    pub(super) fn look_up_users(&mut self, key: ProcessKey, identity: &Identity, home: &Home) {
        if self.lookups.len() >= LOOKUPS_MAX {
            return;
        }
        if self.inside.want_ids(identity.user_ns) {
            self.lookups.push(Lookup::Ids {
                user_ns: identity.user_ns,
                pid: key.tgid,
            });
        }
        if let Some(container) = &home.container
            && identity.mount_ns != 0
            && self.inside.names.want(container.id.clone())
        {
            let first = self
                .residences
                .get(&container.id)
                .map_or(0, |there| there.init.tgid);
            self.lookups.push(Lookup::Names {
                container: container.id.clone(),
                pids: [key.tgid, first],
                mount_ns: identity.mount_ns,
            });
        }
    }

    /// A process has started a program of which somebody wants to know more.
    pub(super) fn look_up_program(&mut self, key: ProcessKey) {
        if !self.programs.wishes.any() || self.lookups.len() >= LOOKUPS_MAX {
            return;
        }
        let Some(process) = self.processes.get(key) else {
            return;
        };
        let image = process.images.last();
        let Some((image, file)) = image.and_then(|image| Some((image, image.program?))) else {
            return;
        };
        if !self.programs.want(file) {
            return;
        }
        let home = process.home.container.as_ref();
        let first = home.and_then(|container| self.residences.get(&container.id));
        let mount_ns = process.identity.mount_ns;
        // Whoever has the same root and is likely to live longer than it.
        let parent = process.parent.map_or(0, |parent| parent.tgid);
        let inside = (!self.residences.is_of_host(mount_ns)).then(|| {
            (
                [first.map_or(0, |first| first.init.tgid), key.tgid, parent],
                mount_ns,
            )
        });
        self.lookups.push(Lookup::Program(Box::new(Program {
            key: file,
            mtime_ns: image.file.mtime_ns,
            pid: key.tgid,
            start_time_ns: key.start_time_ns,
            ran_ns: self.clock.epoch_ns(image.since_ns),
            path: OsStr::from_bytes(&image.exe_path).into(),
            inside,
            wishes: self.programs.wishes,
        })));
    }

    /// A process has started a program whose environment somebody wants to know.
    pub(super) fn look_up_environment(&mut self, key: ProcessKey) {
        if !self.environments.is_wanted || self.lookups.len() >= LOOKUPS_MAX {
            return;
        }
        if let Some(process) = self.processes.get(key)
            && let Some(image) = process.images.last()
            && let Some(own) = image.environment
            && own.process == process.key
            && self.environments.want(own)
        {
            let inode = image.file.inode;
            self.lookups.push(Lookup::Environment { key: own, inode });
        }
    }

    /// The same of the programs that run already, of which nobody has asked yet.
    pub(super) fn look_up_running(&mut self) {
        if self.programs.wishes.any() || self.environments.is_wanted {
            let keys: Vec<ProcessKey> = self.processes.iter().map(|process| process.key).collect();
            for key in keys {
                self.look_up_program(key);
                self.look_up_environment(key);
            }
        }
    }

    /// These rules are in use from now on: what they name of programs is wanted.
    pub fn wish_for(&mut self, rules: &RuleSet) {
        let before = self.programs.wishes;
        self.programs.wish_for(rules);
        let asks_more = self.environments.wish_for(rules);
        if asks_more || self.programs.wishes != before {
            self.look_up_running();
        }
    }

    /// A process is in a user namespace that its starter is not in: a new one, maybe, with the number of an earlier one.
    pub(super) fn enter_user_ns(&mut self, before: Option<&Identity>, now: u32) {
        if before.is_some_and(|before| before.user_ns != now) {
            self.inside.namespaces.forget(&now);
        }
    }

    /// Whether there are questions.
    #[must_use]
    pub fn has_lookups(&self) -> bool {
        !self.lookups.is_empty()
    }

    /// Takes the questions.
    pub fn take_lookups(&mut self) -> impl Iterator<Item = Lookup> {
        self.lookups.drain(..)
    }
}
