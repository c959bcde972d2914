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

/// Mounts of one container that are kept.
pub const MOUNTS_MAX: usize = 256;

/// Labels of one container or pod that are kept.
pub const LABELS_MAX: usize = 256;

/// Longest text of one fact, in bytes; what is longer is left out.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Labels by name.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// How far the search for a container's facts has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Asked for; nothing has answered.
    #[default]
    Asked,
    /// The runtime's files have answered; a socket has been asked for more.
    Files,
    /// All that can answer has answered, or did not in time.
    Done,
}

/// An image, as the runtime names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// As it was asked for: `registry/name:tag`.
    pub reference: Option<Box<str>>,
    /// The id of its configuration, without `sha256:`.
    pub id: Option<Box<str>>,
    /// The digest of its manifest, `sha256:` included.
    pub digest: Option<Box<str>>,
}

/// A mount that the runtime was told to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// The runtime's whole id.
    pub id: Box<str>,
    /// Which runtime told: `docker`, `containerd`, `cri-o`, `podman`, ...; empty where only a bundle did.
    pub runtime: &'static str,
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
    /// A runtime or the kubelet knows this id. A name of a cgroup alone proves nothing.
    pub is_verified: bool,
    /// How far the search has come.
    pub progress: Progress,
}

/// Who a pod belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `Deployment`, `DaemonSet`, ...
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

/// What is known of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug)]
pub enum Fact {
    /// A container's facts, whole: what was known before is replaced.
    Container(Arc<ContainerFacts>),
    /// A pod's facts, whole.
    Pod(Arc<PodFacts>),
    /// A pod that is gone.
    PodGone(Box<str>),
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
                    *known = facts;
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
