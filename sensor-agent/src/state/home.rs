//! Where processes belong: what [`residence`](super::residence) decides, applied to the process table, and the
//! containers whose facts are to be looked for.

use std::sync::Arc;

use hashbrown::HashSet;
use sensor_common::{record::Identity, syscall::Call};

use super::{
    State,
    cgroup::Cgroup,
    container::Container,
    process::{Home, Process, ProcessKey},
    programs::{PROGRAMS_MAX, ProgramKey},
    residence::{Arrival, Before, has_moved},
    runtime_call::{self, RuntimeCall},
};
use crate::event::{Body, Event, Exec};

/// Sweeps of the process table between two of containers and cgroups: about ten seconds.
pub(super) const SWEEPS_BETWEEN: u32 = 10;

/// Ancestors in which a runtime's call is looked for: runc's helpers are its children and grandchildren.
const RUNTIME_LEVELS_MAX: usize = 4;

/// Ancestors that are followed to leave a cgroup.
const OUTSIDE_LEVELS_MAX: usize = 16;

/// A container whose facts are to be looked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As its cgroup names it.
    pub container: Arc<Container>,
    /// The call that made it, where it was seen.
    pub call: Option<Arc<RuntimeCall>>,
    /// The parent of its first process that was seen; 0 when it is not known.
    pub starter_pid: u32,
}

impl State {
    /// Where a process belongs at its fork, or when it was found in /proc: where its parent does, as a rule.
    pub(super) fn settle_child(&mut self, key: ProcessKey, identity: &Identity, cgroup: &Cgroup) -> Home {
        self.settle(key, super::parent_key(identity), identity, cgroup)
    }

    /// Where a process belongs at its exec: where it did before, as a rule.
    pub(super) fn settle_exec(&mut self, key: ProcessKey, identity: &Identity, cgroup: &Cgroup) -> Home {
        let from = match self.processes.get(key) {
            Some(_) => key,
            None => super::parent_key(identity),
        };
        self.settle(key, from, identity, cgroup)
    }

    fn settle(&mut self, key: ProcessKey, from: ProcessKey, identity: &Identity, cgroup: &Cgroup) -> Home {
        let parent = super::parent_key(identity);
        let known = self.processes.get(from);
        let named = cgroup.container.as_ref();
        let before = match known {
            None => Before::Unknown,
            Some(Process {
                home:
                    Home {
                        container: Some(home),
                        ..
                    },
                ..
            }) => Before::In(home),
            Some(_) => Before::Host {
                starter_mount_ns: self.outside_mount_ns(parent, named),
            },
        };
        let entry = known.and_then(|process| process.home.entry);
        let arrival = Arrival {
            key,
            before,
            cgroup: named,
            mount_ns: identity.mount_ns,
            pid_ns: identity.pid_ns,
            vpid: identity.vpid,
            is_verified: named
                .and_then(|named| self.workloads.container(&named.id))
                .is_some_and(|facts| facts.is_verified),
        };
        let settled = self.residences.settle(&arrival);
        if let Some(container) = &settled.container {
            self.want(container, settled.is_first, key, parent);
        }
        Home {
            // What came in by `exec` stays so, as do its children.
            entry: settled.entry.or(entry.filter(|_| !settled.is_first)),
            container: settled.container,
            runtime_call: None,
        }
    }

    /// The mount namespace of the nearest ancestor that is not in the container's cgroup; 0 where none is known.
    fn outside_mount_ns(&self, parent: ProcessKey, named: Option<&Arc<Container>>) -> u32 {
        let Some(parent) = self.processes.get(parent) else {
            return 0;
        };
        let is_outside = |process: &&Process| {
            let theirs = process
                .cgroup
                .as_ref()
                .and_then(|cgroup| cgroup.container.as_ref());
            named.is_none() || theirs.map(|theirs| &theirs.id) != named.map(|named| &named.id)
        };
        std::iter::once(parent)
            .chain(self.processes.ancestors(parent))
            .take(OUTSIDE_LEVELS_MAX)
            .find(is_outside)
            .map_or(0, |process| process.identity.mount_ns)
    }

    /// Has a container's facts looked for, unless they are known.
    fn want(&mut self, container: &Arc<Container>, is_first: bool, key: ProcessKey, parent: ProcessKey) {
        let is_new = self.workloads.want(&container.id);
        if is_first {
            if !is_new {
                self.workloads.ask_again(&container.id);
            }
            self.inside.names.forget(&*container.id);
        }
        if is_new || is_first {
            self.wanted.push(Wanted {
                container: Arc::clone(container),
                call: self.call_near(key, parent),
                starter_pid: parent.tgid,
            });
        }
    }

    /// The same for a process that was never seen to begin.
    pub(super) fn want_of(&mut self, key: ProcessKey) {
        let home = self
            .processes
            .get(key)
            .and_then(|process| process.home.container.clone());
        if let Some(container) = home {
            self.want(&container, false, key, ProcessKey::default());
        }
    }

    /// The call of a runtime that a process comes from.
    fn call_near(&self, key: ProcessKey, parent: ProcessKey) -> Option<Arc<RuntimeCall>> {
        let nearest = self.processes.get(key).or_else(|| self.processes.get(parent))?;
        std::iter::once(nearest)
            .chain(self.processes.ancestors(nearest))
            .take(RUNTIME_LEVELS_MAX)
            .find_map(|process| process.home.runtime_call.clone())
    }

    /// Whether a process is in a cgroup that is not its home's.
    #[must_use]
    pub fn has_moved(&self, process: &Process, named: Option<&Container>) -> bool {
        let home = &process.home;
        let is_plain = home.container.as_deref().map(|home| &home.id) == named.map(|named| &named.id);
        if is_plain {
            return false;
        }
        let call = self.call_near(process.key, process.key);
        has_moved(home.container.as_deref(), named, home.entry, call.as_deref())
    }

    /// A process was put into another cgroup, whose path the event tells: where it belongs does not change.
    pub(super) fn follow_move(&mut self, event: &Event<'_>) {
        if let Body::Plain(call) = &event.body
            && event.call() == Call::CgroupAttachTask
        {
            let cgroup = self.cgroups.learn(call.fixed.args[0], call.text);
            let moved = ProcessKey {
                tgid: call.fixed.target_tgid,
                start_time_ns: call.fixed.target_start_time_ns,
            };
            self.processes.moved(moved, event.header.time_ns, cgroup);
        }
    }

    /// A process ended.
    pub(super) fn leave(&mut self, key: ProcessKey) {
        if let Some(process) = self.processes.get(key)
            && let Some(container) = &process.home.container
        {
            self.residences.exit(container, process.key);
        }
    }

    /// Takes the containers whose facts are to be looked for.
    pub fn take_wanted(&mut self) -> impl Iterator<Item = Wanted> {
        self.wanted.drain(..)
    }

    /// Whether there are any.
    #[must_use]
    pub fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Settles the processes that were read from /proc, in the order in which they began: the first of a container
    /// is the one that was there first, and a parent comes before its child.
    pub(super) fn settle_seeded(&mut self) {
        let mut seeded: Vec<_> = self
            .processes
            .iter()
            .map(|process| (process.key, process.identity, process.cgroup.clone()))
            .collect();
        seeded.sort_by_key(|(key, ..)| (key.start_time_ns, key.tgid));
        for (key, identity, cgroup) in seeded {
            let Some(cgroup) = cgroup else { continue };
            let mut home = self.settle_child(key, &identity, &cgroup);
            // A process of the host that became a container's between two looks at /proc came as its first.
            home.entry = None;
            if let Some(container) = &home.container {
                self.residences.ran(container, key, key.start_time_ns);
            }
            self.look_up_users(key, &identity, &home);
            self.processes.set_home(key, home);
        }
    }

    /// Forgets containers and cgroups that no process in the table has anything to do with.
    pub(super) fn forget_unused(&mut self) {
        let mut containers: HashSet<Box<str>, foldhash::fast::RandomState> = HashSet::default();
        let mut cgroups: HashSet<u64, foldhash::fast::RandomState> = HashSet::default();
        let mut user_namespaces: HashSet<u32, foldhash::fast::RandomState> = HashSet::default();
        for process in self.processes.iter() {
            user_namespaces.insert(process.identity.user_ns);
            let named = process
                .cgroup
                .as_ref()
                .and_then(|cgroup| cgroup.container.as_ref());
            for container in process.home.container.iter().chain(named) {
                for id in [Some(&container.id), container.outer.as_ref()]
                    .into_iter()
                    .flatten()
                {
                    if !containers.contains(id) {
                        containers.insert(id.clone());
                    }
                }
            }
            cgroups.extend(process.cgroup.as_ref().map(|cgroup| cgroup.id));
        }
        self.cgroups.retain(|id| cgroups.contains(&id));
        self.residences.retain(|id| containers.contains(id));
        self.workloads.retain(|id| containers.contains(id));
        self.inside.names.retain(|id| containers.contains(id));
        self.inside
            .namespaces
            .retain(|number| user_namespaces.contains(number));
        self.forget_programs();
    }

    /// Forgets the program files that nobody runs, once there are many.
    fn forget_programs(&mut self) {
        if self.programs.files.len() > PROGRAMS_MAX / 2 {
            let images = self.processes.iter().flat_map(|process| &process.images);
            let running: HashSet<ProgramKey, foldhash::fast::RandomState> =
                images.filter_map(|image| image.program).collect();
            self.programs.files.retain(|key| running.contains(key));
        }
    }
}

/// The call of an OCI runtime that an exec is; a process within a container is believed nothing.
pub(super) fn runtime_call(event: &Event<'_>, exec: &Exec<'_>, home: &Home) -> Option<Arc<RuntimeCall>> {
    if home.container.is_some() {
        return None;
    }
    let makes = runtime_call::parse(exec.argv, exec.cwd);
    (makes.is_some() || runtime_call::is_exec(exec.path, exec.argv)).then(|| {
        Arc::new(RuntimeCall {
            makes,
            pids: [event.header.tgid, exec.fixed.identity.parent_tgid],
            uid: exec.fixed.identity.euid,
        })
    })
}
