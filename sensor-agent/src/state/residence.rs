//! Which container a process belongs to.
//!
//! A process belongs where its parent did. It comes into a container by leaving the mount namespace of who started
//! it: that is what a runtime does, and what a process cannot do by writing its id into a file of cgroupfs. The
//! cgroup then names the container, once. Later moves to other cgroups change nothing, but are seen
//! ([`Residences::has_moved`]).
//!
//! Invariants: a process of a container never becomes the host's or another container's by its own doing; a process
//! of the host becomes a container's only with a mount namespace that is not its starter's. Where the kernel does not
//! tell namespaces (zeros), the cgroup has the only word.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::HashMap;

use super::{container::Container, process::ProcessKey, runtime_call::RuntimeCall};

/// How a process that is not the container's own child came into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The runtime put it there: `docker exec`, `kubectl exec`, a probe.
    Exec,
    /// It joined the namespaces and kept its own cgroup: `nsenter`.
    Nsenter,
}

impl Entry {
    /// As a rule compares it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Nsenter => "nsenter",
        }
    }
}

/// A container that processes were seen in.
#[derive(Debug)]
pub struct Residence {
    /// As its cgroup named it when its first process came.
    pub container: Arc<Container>,
    /// Its first process.
    pub init: ProcessKey,
    /// The first process's mount namespace; 0 when it is not known.
    pub mount_ns: u32,
    /// The first process's pid namespace; 0 when it is not known.
    pub pid_ns: u32,
    /// When the first process began, in nanoseconds after boot.
    pub started_ns: u64,
    /// When it started its first program, in nanoseconds after boot: from then on the container is on its own. 0 where it
    /// was not seen.
    pub ran_ns: u64,
    /// The first process has ended.
    pub has_ended: bool,
}

/// Where a process was before: what its lineage says.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    /// Nothing is known of its lineage.
    Unknown,
    /// On the host. The mount namespace is that of the nearest ancestor outside the cgroup that it is in now.
    Host {
        /// 0 when it is not known.
        starter_mount_ns: u32,
    },
    /// In a container.
    In(&'a Arc<Container>),
}

/// A process at its fork or exec.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Who it is.
    pub key: ProcessKey,
    /// What its lineage says.
    pub before: Before<'a>,
    /// What the cgroup says that it is in now.
    pub cgroup: Option<&'a Arc<Container>>,
    /// 0 when it is not known.
    pub mount_ns: u32,
    /// 0 when it is not known.
    pub pid_ns: u32,
    /// Its id in its own pid namespace.
    pub vpid: u32,
    /// Whether a runtime knows the container that the cgroup names.
    pub is_verified: bool,
}

/// What was decided of a process.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Where it belongs; the host is `None`.
    pub container: Option<Arc<Container>>,
    /// How it came there, when it came from outside into a container that was there already.
    pub entry: Option<Entry>,
    /// It is the first of its container.
    pub is_first: bool,
}

/// All containers that processes were seen in.
#[derive(Debug)]
pub struct Residences {
    by_id: HashMap<Box<str>, Residence, foldhash::fast::RandomState>,
    /// Ids of the containers that run, by mount namespace.
    by_mount_ns: HashMap<u32, Box<str>, foldhash::fast::RandomState>,
    len_max: usize,
    /// The host's own mount namespace; 0 when it is not known.
    host_mount_ns: u32,
}

impl Residences {
    /// Nothing seen; at most so many containers are remembered.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            by_id: HashMap::default(),
            by_mount_ns: HashMap::default(),
            len_max: len_max.max(1),
            host_mount_ns: 0,
        }
    }

    /// Says which mount namespace is the host's.
    pub fn set_host_mount_ns(&mut self, mount_ns: u32) {
        self.host_mount_ns = mount_ns;
    }

    /// Whether this is the host's mount namespace.
    #[must_use]
    pub const fn is_of_host(&self, mount_ns: u32) -> bool {
        mount_ns == self.host_mount_ns
    }

    /// Decides where a process belongs.
    pub fn settle(&mut self, arrival: &Arrival<'_>) -> Settled {
        match arrival.before {
            Before::In(home) => self.leave(home, arrival),
            Before::Host { starter_mount_ns } => self.enter(starter_mount_ns, arrival),
            Before::Unknown => self.enter(0, arrival),
        }
    }

    /// From the host, or from nobody knows where.
    fn enter(&mut self, starter_mount_ns: u32, arrival: &Arrival<'_>) -> Settled {
        if arrival.mount_ns != 0
            && arrival.mount_ns != starter_mount_ns
            && let Some(there) = self
                .by_mount_ns
                .get(&arrival.mount_ns)
                .and_then(|id| self.by_id.get(id))
        {
            return Settled {
                entry: there.entry(arrival),
                container: Some(Arc::clone(&there.container)),
                is_first: false,
            };
        }
        let Some(named) = arrival.cgroup else {
            return Settled::default();
        };
        if arrival.mount_ns != 0
            && (arrival.mount_ns == starter_mount_ns || arrival.mount_ns == self.host_mount_ns)
        {
            return Settled::default();
        }
        match self.by_id.get(&named.id) {
            // Somebody with a mount namespace of its own in this container's cgroup: of the container only if it
            // shares the pid namespace.
            Some(there) if !there.has_ended && there.mount_ns != 0 && arrival.mount_ns != 0 => {
                if there.pid_ns == arrival.pid_ns && there.pid_ns != 0 {
                    Settled {
                        entry: there.entry(arrival),
                        container: Some(Arc::clone(&there.container)),
                        is_first: false,
                    }
                } else {
                    Settled::default()
                }
            }
            Some(there) if !there.has_ended => Settled {
                entry: None,
                container: Some(Arc::clone(&there.container)),
                is_first: false,
            },
            _ => self.found(named, arrival),
        }
    }

    /// From one container to another: only into one within it, or into one that a runtime knows and that nobody is in.
    fn leave(&mut self, home: &Arc<Container>, arrival: &Arrival<'_>) -> Settled {
        let stay = || Settled {
            container: Some(Arc::clone(home)),
            ..Settled::default()
        };
        let Some(named) = arrival.cgroup.filter(|named| named.id != home.id) else {
            return stay();
        };
        let home_mount_ns = self.by_id.get(&home.id).map_or(0, |there| there.mount_ns);
        if arrival.mount_ns == 0
            || arrival.mount_ns == home_mount_ns
            || arrival.mount_ns == self.host_mount_ns
            || home_mount_ns == 0
        {
            return stay();
        }
        if let Some(there) = self.by_id.get(&named.id).filter(|there| !there.has_ended) {
            let is_inner = named.outer.as_ref() == Some(&home.id);
            return if is_inner && there.mount_ns == arrival.mount_ns {
                Settled {
                    entry: there.entry(arrival),
                    container: Some(Arc::clone(&there.container)),
                    is_first: false,
                }
            } else {
                stay()
            };
        }
        let is_inner = named.outer.as_ref() == Some(&home.id);
        if is_inner || (arrival.is_verified && arrival.vpid == 1) {
            return self.found(named, arrival);
        }
        stay()
    }

    /// The first process of a container.
    fn found(&mut self, named: &Arc<Container>, arrival: &Arrival<'_>) -> Settled {
        if self.by_id.len() >= self.len_max && !self.by_id.contains_key(&named.id) {
            let ended: Vec<_> = self.by_id.iter().filter(|(_, there)| there.has_ended).collect();
            match ended.first().map(|(id, _)| (*id).clone()) {
                Some(id) => drop(self.by_id.remove(&id)),
                // Full of containers that run: this one is told by its cgroup alone.
                None => {
                    return Settled {
                        container: Some(Arc::clone(named)),
                        ..Settled::default()
                    };
                }
            }
        }
        if let Some(before) = self.by_id.get(&named.id) {
            self.by_mount_ns.remove(&before.mount_ns);
        }
        if arrival.mount_ns != 0 && arrival.mount_ns != self.host_mount_ns {
            self.by_mount_ns.insert(arrival.mount_ns, named.id.clone());
        }
        let residence = Residence {
            container: Arc::clone(named),
            init: arrival.key,
            mount_ns: arrival.mount_ns,
            pid_ns: arrival.pid_ns,
            started_ns: arrival.key.start_time_ns,
            ran_ns: 0,
            has_ended: false,
        };
        self.by_id.insert(named.id.clone(), residence);
        Settled {
            container: Some(Arc::clone(named)),
            entry: None,
            is_first: true,
        }
    }

    /// A process has started a program.
    pub fn ran(&mut self, container: &Container, key: ProcessKey, time_ns: u64) {
        if let Some(there) = self.by_id.get_mut(&container.id)
            && there.init == key
            && there.ran_ns == 0
        {
            there.ran_ns = time_ns;
        }
    }

    /// A process ended. With its first process a container ends.
    pub fn exit(&mut self, container: &Container, key: ProcessKey) {
        if let Some(there) = self.by_id.get_mut(&container.id)
            && there.init == key
        {
            there.has_ended = true;
            if self.by_mount_ns.get(&there.mount_ns) == Some(&there.container.id) {
                self.by_mount_ns.remove(&there.mount_ns);
            }
        }
    }

    /// A container that processes were seen in.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Residence> {
        self.by_id.get(id)
    }

    /// The eldest other container with this pid namespace that runs: a debug container shares that of its target.
    #[must_use]
    pub fn sharing_pids(&self, id: &str) -> Option<&Residence> {
        let own = self.by_id.get(id)?.pid_ns;
        let is_other = |there: &&Residence| {
            own != 0 && there.pid_ns == own && !there.has_ended && *there.container.id != *id
        };
        self.by_id
            .values()
            .filter(is_other)
            .min_by(|a, b| (a.started_ns, &a.container.id).cmp(&(b.started_ns, &b.container.id)))
    }

    /// Forgets the containers that nobody remembers.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.by_id.retain(|id, _| keep(id));
        self.by_mount_ns.retain(|_, id| self.by_id.contains_key(id));
    }

    /// Containers that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl Residence {
    /// How an arriving process came here, unless it is the first process itself.
    fn entry(&self, arrival: &Arrival<'_>) -> Option<Entry> {
        let is_named = arrival.cgroup.is_some_and(|named| named.id == self.container.id);
        (arrival.key != self.init && !matches!(arrival.before, Before::Unknown)).then_some(if is_named {
            Entry::Exec
        } else {
            Entry::Nsenter
        })
    }
}

/// Whether a process that belongs to `home` is in a cgroup that says otherwise. A runtime's own helpers are on
/// their way into the container and have not moved.
#[must_use]
pub fn has_moved(
    home: Option<&Container>,
    named: Option<&Container>,
    entry: Option<Entry>,
    starter: Option<&RuntimeCall>,
) -> bool {
    match (home, named) {
        (None, None) => false,
        (Some(home), Some(named)) => home.id != named.id && named.outer.as_ref() != Some(&home.id),
        (None, Some(_)) => starter.is_none(),
        (Some(_), None) => entry != Some(Entry::Nsenter),
    }
}
