//! What the agent remembers: processes with their programs and ancestors, cgroups and the containers
//! behind them, user names.
//!
//! Invariants: one thread owns it, so there is no lock; nothing here waits for anything; every table has
//! a bound. A fact that is missing is `None`, never a guess.

pub mod answers;
pub mod cgroup;
pub mod container;
pub mod environment;
pub mod home;
pub mod inside;
pub mod lookup;
pub mod process;
pub mod programs;
pub mod residence;
pub mod runtime_call;
pub mod seed;
pub mod users;
pub mod workload;

use std::sync::Arc;

use crate::{
    clock::Clock,
    event::{Body, Event},
};

use self::{
    cgroup::{Cgroup, Cgroups},
    environment::Environments,
    home::Wanted,
    inside::Inside,
    lookup::Lookup,
    process::{Image, Process, ProcessKey, Processes},
    programs::Programs,
    residence::Residences,
    users::Users,
    workload::{Fact, Workloads},
};

/// Bounds of the tables.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    /// Processes, ended ones that are still remembered included.
    pub processes_max: usize,
    /// How long an ended process without living children is remembered, in nanoseconds.
    pub exited_keep_ns: u64,
    /// Cgroups, containers, pods: so many of each.
    pub cgroups_max: usize,
}

/// All that is remembered.
#[derive(Debug)]
pub struct State {
    /// Processes by key.
    pub processes: Processes,
    /// Cgroups by id.
    pub cgroups: Cgroups,
    /// Containers that processes were seen in.
    pub residences: Residences,
    /// What runtimes and Kubernetes have told.
    pub workloads: Workloads,
    /// Names of the host's users and groups.
    pub users: Users,
    /// Users and groups as they are inside of containers and user namespaces.
    pub inside: Inside,
    /// What is known of program files.
    pub programs: Programs,
    /// Environments of programs.
    pub environments: Environments,
    /// From boot time to the calendar, as last told.
    pub clock: Clock,
    /// What somebody should look up.
    lookups: Vec<Lookup>,
    /// Containers whose facts somebody should look for.
    wanted: Vec<Wanted>,
    sweeps: u32,
}

impl State {
    /// Nothing remembered yet.
    #[must_use]
    pub fn new(limits: StateLimits) -> Self {
        Self {
            processes: Processes::new(limits.processes_max, limits.exited_keep_ns),
            cgroups: Cgroups::new(limits.cgroups_max),
            residences: Residences::new(limits.cgroups_max),
            workloads: Workloads::new(limits.cgroups_max),
            wanted: Vec::new(),
            sweeps: 0,
            users: Users::default(),
            inside: Inside::new(limits.cgroups_max),
            programs: Programs::default(),
            environments: Environments::default(),
            clock: Clock::from_offset_ns(0),
            lookups: Vec::new(),
        }
    }

    /// Takes in what no event tells.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::HostUsers(users) => self.users = Arc::unwrap_or_clone(users),
            Fact::Names(container, names) => self.inside.names.learn(&*container, names),
            Fact::Ids(user_ns, ids) => self.inside.namespaces.learn(&user_ns, ids),
            Fact::Program(key, facts) => self.programs.files.learn(&key, facts),
            Fact::Environment(key, found) => self.environments.learn(&key, found),
            fact => self.workloads.take(fact),
        }
    }

    /// Takes in what an event tells. Activity tells nothing new of a process that is known.
    pub fn apply(&mut self, event: &Event<'_>) {
        let header = &event.header;
        match &event.body {
            Body::Fork(fork) => {
                let cgroup = self.cgroups.learn(header.cgroup_id, fork.cgroup);
                let parent = parent_key(&fork.fixed.identity);
                let image = self.processes.image_at(parent, header.time_ns);
                let before = self.processes.get(parent).map(|parent| parent.identity);
                self.enter_user_ns(before.as_ref(), fork.fixed.identity.user_ns);
                let home = self.settle_child(key(event), &fork.fixed.identity, &cgroup);
                let process = Process {
                    key: key(event),
                    parent: Some(parent),
                    identity: fork.fixed.identity,
                    uid: header.uid,
                    gid: header.gid,
                    images: smallvec::smallvec![image.unwrap_or_else(|| Image::unknown(event.comm()))],
                    cgroup: Some(cgroup),
                    home,
                    exited_ns: None,
                    is_approximate: false,
                    children: 0,
                };
                self.processes.insert(process, header.time_ns);
            }
            Body::Exec(exec) => {
                let cgroup = self.cgroups.learn(header.cgroup_id, exec.cgroup);
                let mut home = self.settle_exec(key(event), &exec.fixed.identity, &cgroup);
                home.runtime_call = home::runtime_call(event, exec, &home);
                let before = self.processes.get(key(event)).map(|process| process.identity);
                self.enter_user_ns(before.as_ref(), exec.fixed.identity.user_ns);
                self.look_up_users(key(event), &exec.fixed.identity, &home);
                if let Some(container) = &home.container {
                    self.residences.ran(container, key(event), header.time_ns);
                }
                let epoch_ns = self.clock.epoch_ns(header.time_ns);
                self.processes.exec(event, exec, epoch_ns, cgroup, home);
                self.look_up_program(key(event));
                self.look_up_environment(key(event));
            }
            Body::Exit(_) => {
                self.leave(key(event));
                self.processes.exit(key(event), header.time_ns);
            }
            Body::Open(_) | Body::Socket(_) | Body::Path(_) | Body::Identity(_) | Body::Plain(_) => {
                if self.processes.get_or_upgrade(key(event)).is_none() {
                    let cgroup = self.cgroups.get(header.cgroup_id);
                    self.processes.insert_unknown(event, cgroup);
                    self.want_of(key(event));
                }
                self.follow_move(event);
                if let Body::Identity(call) = &event.body {
                    let before = self.processes.get(key(event)).map(|process| process.identity);
                    self.enter_user_ns(before.as_ref(), call.fixed.identity.user_ns);
                    self.processes.identify(key(event), header.time_ns, &call.fixed);
                }
            }
        }
    }

    /// The cgroup that an event happened in: what the kernel said, where that cgroup is known, or else
    /// the process's.
    #[must_use]
    pub fn cgroup_of(&self, event: &Event<'_>) -> Option<Arc<Cgroup>> {
        self.cgroups.get(event.header.cgroup_id).or_else(|| {
            self.processes
                .get(key(event))
                .and_then(|process| process.cgroup.clone())
        })
    }

    /// Forgets what is old; called about once a second.
    pub fn sweep(&mut self, now_ns: u64) {
        self.processes.sweep(now_ns);
        self.environments.forget_unused(&self.processes);
        self.sweeps = self.sweeps.wrapping_add(1);
        if self.sweeps.is_multiple_of(home::SWEEPS_BETWEEN) {
            self.forget_unused();
        }
    }
}

/// The key of the process that an event tells of.
#[must_use]
pub fn key(event: &Event<'_>) -> ProcessKey {
    ProcessKey {
        tgid: event.header.tgid,
        start_time_ns: event.header.start_time_ns,
    }
}

fn parent_key(identity: &sensor_common::record::Identity) -> ProcessKey {
    ProcessKey {
        tgid: identity.parent_tgid,
        start_time_ns: identity.parent_start_time_ns,
    }
}
