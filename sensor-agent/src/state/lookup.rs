//! Questions about processes and files that only the file system answers: what the state wants looked up, and what a
//! record may have to wait for.
//!
//! Another thread answers them ([`identity`](crate::identity)); nothing here touches the system.

use sensor_common::record::Identity;

use super::{
    State,
    process::{Home, ProcessKey},
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
}

impl Lookup {
    /// What waits for its answer.
    #[must_use]
    pub fn need(&self) -> Need {
        match self {
            Self::Names { container, .. } => Need::Names(container.clone()),
            Self::Ids { user_ns, .. } => Need::Ids(*user_ns),
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
