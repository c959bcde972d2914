//! What is known of containers and pods: facts that runtimes and Kubernetes have told, by container id and by pod
//! uid.
//!
//! Facts are made elsewhere, by threads and tasks that may wait, and come here through one bounded channel
//! ([`feed`]). The state only looks them up. A fact that nobody told is `None` or empty, never a guess.

pub mod feed;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{
    environment::{Environment, EnvironmentKey},
    inside::InnerNames,
    programs::{ProgramFacts, ProgramKey},
    users::{Users, ids::Ids},
};
use crate::recording::forms;

/// Mounts of one container that are kept.
pub const MOUNTS_MAX: usize = 256;

/// Labels of one container or pod that are kept.
pub const LABELS_MAX: usize = 256;

/// Longest text of one fact, in bytes; what is longer is left out.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Labels by name.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// How far the search for a container's facts has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// Asked for; nothing has answered.
    #[default]
    Asked,
    /// The runtime's files have answered; a socket that is known to be slow has been asked for more.
    Files,
    /// All that can answer has answered, or did not in time.
    Done,
}

/// An image, as the runtime names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// As it was asked for: `registry/name:tag`.
    pub reference: Option<Box<str>>,
    /// The id of its configuration, without `sha256:`.
    pub id: Option<Box<str>>,
    /// The digest of its manifest, `sha256:` included.
    pub digest: Option<Box<str>>,
}

/// A mount that the runtime was told to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// On the host.
    pub source: Box<str>,
    /// In the container.
    pub destination: Box<str>,
    /// As the runtime has it; mostly empty.
    pub mode: Box<str>,
    /// Whether it may be written.
    pub is_writable: bool,
    /// `private`, `rslave`, ...
    pub propagation: Box<str>,
}

/// What a container's own facts say of its pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodRef {
    /// `metadata.name`
    pub name: Option<Box<str>>,
    /// `metadata.namespace`
    pub namespace: Option<Box<str>>,
    /// `metadata.uid`
    pub uid: Option<Box<str>>,
    /// The id of the container that holds the pod's namespaces.
    pub sandbox_id: Option<Box<str>>,
}

/// A runtime's name, one of those that this agent knows.
pub type RuntimeName = &'static str;

/// Why facts are missing, as a sentence's end.
pub type Reason = &'static str;

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerFacts {
    /// The runtime's whole id.
    pub id: Box<str>,
    /// Which runtime told: `docker`, `containerd`, `cri-o`, `podman`, ...; empty where only a bundle did.
    #[serde(with = "forms::runtime")]
    pub runtime: RuntimeName,
    /// Its name.
    pub name: Option<Box<str>>,
    /// Its image.
    pub image: ImageFacts,
    /// Whether it was started as privileged.
    pub is_privileged: Option<bool>,
    /// Whether it has the host's process ids.
    pub has_host_pid: Option<bool>,
    /// Whether it has the host's network.
    pub has_host_network: Option<bool>,
    /// Whether it has the host's IPC objects.
    pub has_host_ipc: Option<bool>,
    /// At most [`MOUNTS_MAX`].
    pub mounts: Vec<Mount>,
    /// At most [`LABELS_MAX`].
    pub labels: Labels,
    /// Its first address.
    pub ip: Option<IpAddr>,
    /// Published ports, as `host:container/protocol`.
    pub ports: Vec<Box<str>>,
    /// The pod that it belongs to.
    pub pod: Option<PodRef>,
    /// Labels of the pod, as the runtime has them.
    pub pod_labels: Labels,
    /// It only holds a pod's namespaces.
    pub is_sandbox: bool,
    /// Why a runtime's socket has not told what only it knows.
    #[serde(with = "forms::reason")]
    pub missing: Option<Reason>,
    /// A runtime or the kubelet knows this id. A name of a cgroup alone proves nothing.
    pub is_verified: bool,
    /// A socket has told of it, too.
    pub has_been_told: bool,
    /// How far the search has come.
    pub progress: Progress,
}

impl ContainerFacts {
    /// Fills what is not known from what another source has told.
    fn fill_from(&mut self, other: &Self) {
        fn fill<T: Clone>(into: &mut Option<T>, from: Option<&T>) {
            if into.is_none() {
                *into = from.cloned();
            }
        }
        if self.runtime.is_empty() {
            self.runtime = other.runtime;
        }
        fill(&mut self.name, other.name.as_ref());
        // Of one image only: an id and the digest of another would be worse than none.
        let is_same = |a: &Option<Box<str>>, b: &Option<Box<str>>| a.is_none() || b.is_none() || a == b;
        if is_same(&self.image.id, &other.image.id) {
            fill(&mut self.image.reference, other.image.reference.as_ref());
            fill(&mut self.image.id, other.image.id.as_ref());
            fill(&mut self.image.digest, other.image.digest.as_ref());
        }
        // A bundle only shows what privileged came to mean; the runtime knows the word.
        self.is_privileged = other.is_privileged.or(self.is_privileged);
        fill(&mut self.has_host_pid, other.has_host_pid.as_ref());
        fill(&mut self.has_host_network, other.has_host_network.as_ref());
        fill(&mut self.has_host_ipc, other.has_host_ipc.as_ref());
        fill(&mut self.ip, other.ip.as_ref());
        if self.mounts.is_empty() {
            self.mounts.clone_from(&other.mounts);
        }
        if self.labels.is_empty() {
            self.labels.clone_from(&other.labels);
        }
        if self.ports.is_empty() {
            self.ports.clone_from(&other.ports);
        }
        if self.pod_labels.is_empty() {
            self.pod_labels.clone_from(&other.pod_labels);
        }
        match (&mut self.pod, &other.pod) {
            (Some(own), Some(told)) => {
                fill(&mut own.name, told.name.as_ref());
                fill(&mut own.namespace, told.namespace.as_ref());
                fill(&mut own.uid, told.uid.as_ref());
                fill(&mut own.sandbox_id, told.sandbox_id.as_ref());
            }
            (own, told) => fill(own, told.as_ref()),
        }
        self.is_sandbox |= other.is_sandbox;
        self.is_verified |= other.is_verified;
        self.has_been_told |= other.has_been_told;
    }
}

/// Who a pod belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// `Deployment`, `DaemonSet`, ...
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

/// What is known of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodFacts {
    /// `metadata.uid`
    pub uid: Box<str>,
    /// `metadata.name`
    pub name: Box<str>,
    /// `metadata.namespace`
    pub namespace: Box<str>,
    /// At most [`LABELS_MAX`].
    pub labels: Labels,
    /// Owners, the nearest first: `ReplicaSet`, then `Deployment`.
    pub owners: Vec<Owner>,
    /// `spec.serviceAccountName`
    pub service_account: Option<Box<str>>,
    /// `spec.nodeName`
    pub node: Option<Box<str>>,
    /// `status.podIP`
    pub ip: Option<IpAddr>,
}

/// One piece of news for the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A container's facts from files: they replace what was known from files.
    Container(#[serde(with = "forms::shared")] Arc<ContainerFacts>),
    /// What a socket tells of a container: it fills in what files do not tell.
    Told(#[serde(with = "forms::shared")] Arc<ContainerFacts>),
    /// No socket will tell more of this container, and why; `None` where there is nothing wrong.
    Missing(Box<str>, #[serde(with = "forms::reason")] Option<Reason>),
    /// A pod's facts, whole.
    Pod(#[serde(with = "forms::shared")] Arc<PodFacts>),
    /// A pod that is gone.
    PodGone(Box<str>),
    /// Nobody will look for this container's facts: too many are looked for.
    Unanswered(Box<str>),
    /// The host's users and groups, all of them.
    HostUsers(#[serde(with = "forms::shared")] Arc<Users>),
    /// Users and groups of a container, whole; `None` when they could not be read.
    Names(Box<str>, Option<InnerNames>),
    /// What ids mean in a user namespace; `None` when it could not be told.
    Ids(u32, Option<Ids>),
    /// What was found out of a program file; `None` when there was nothing left to look at.
    Program(ProgramKey, Option<ProgramFacts>),
    /// The environment of a program; `None` when it could not be read.
    Environment(EnvironmentKey, Option<Environment>),
}

/// All facts.
#[derive(Debug)]
pub struct Workloads {
    containers: HashMap<Box<str>, Arc<ContainerFacts>, foldhash::fast::RandomState>,
    pods: HashMap<Box<str>, Arc<PodFacts>, foldhash::fast::RandomState>,
    len_max: usize,
    /// Facts that found no room.
    pub refused: u64,
}

impl Workloads {
    /// No facts; at most so many containers, and as many pods.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            containers: HashMap::default(),
            pods: HashMap::default(),
            len_max: len_max.max(1),
            refused: 0,
        }
    }

    /// Takes in news. Facts of a container that nobody asked for are not kept.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Container(facts) => {
                if let Some(known) = self.containers.get_mut(&facts.id) {
                    let before = std::mem::replace(known, facts);
                    if before.has_been_told {
                        Arc::make_mut(known).fill_from(&before);
                    } else if before.missing.is_some() {
                        // Other files are no word from the socket.
                        Arc::make_mut(known).missing = before.missing;
                    }
                }
            }
            Fact::Told(facts) => {
                if let Some(known) = self.containers.get_mut(&facts.id) {
                    let known = Arc::make_mut(known);
                    known.fill_from(&facts);
                    known.has_been_told = true;
                    known.missing = None;
                    known.progress = Progress::Done;
                }
            }
            Fact::Missing(id, why) => {
                if let Some(known) = self.containers.get_mut(&id) {
                    let known = Arc::make_mut(known);
                    known.missing = why;
                    known.progress = Progress::Done;
                }
            }
            Fact::Pod(facts) => {
                if self.pods.len() < self.len_max || self.pods.contains_key(&facts.uid) {
                    self.pods.insert(facts.uid.clone(), facts);
                } else {
                    self.refused += 1;
                }
            }
            Fact::PodGone(uid) => {
                self.pods.remove(&uid);
            }
            Fact::Unanswered(id) => self.give_up(&id),
            // The state's own.
            Fact::HostUsers(_)
            | Fact::Names(..)
            | Fact::Ids(..)
            | Fact::Program(..)
            | Fact::Environment(..) => {}
        }
    }

    /// Notes that a container's facts are wanted. Returns whether they were not wanted before.
    pub fn want(&mut self, id: &str) -> bool {
        if self.containers.contains_key(id) {
            return false;
        }
        if self.containers.len() >= self.len_max {
            self.refused += 1;
            return false;
        }
        let facts = ContainerFacts {
            id: id.into(),
            ..ContainerFacts::default()
        };
        self.containers.insert(id.into(), Arc::new(facts));
        true
    }

    /// Has known facts looked for once more: the container has been started again.
    pub fn ask_again(&mut self, id: &str) {
        if let Some(known) = self.containers.get_mut(id) {
            Arc::make_mut(known).progress = Progress::Asked;
        }
    }

    /// Says that nothing will answer for a container: its facts are done, as they are.
    pub fn give_up(&mut self, id: &str) {
        if let Some(known) = self.containers.get_mut(id) {
            Arc::make_mut(known).progress = Progress::Done;
        }
    }

    /// A container's facts, once something has been wanted of it.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&Arc<ContainerFacts>> {
        self.containers.get(id)
    }

    /// A pod's facts.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodFacts>> {
        self.pods.get(uid)
    }

    /// Every pod.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<PodFacts>> {
        self.pods.values()
    }

    /// Forgets the containers for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.containers.retain(|id, _| keep(id));
    }

    /// Containers and pods with facts.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.containers.len(), self.pods.len())
    }
}
