//! One workload, and what it was seen to do.

use std::{net::IpAddr, sync::Arc};

use smallvec::SmallVec;

pub use super::bounded::{Bounded, Times};
use super::{
    owner::{Described, Owner},
    sight::Sight,
};
use crate::{config::InventoryConfig, state::workload::Labels};

/// Longest path that is kept, in bytes; longer ones are counted among the others.
const PATH_BYTES_MAX: usize = 256;

/// Images and names of containers of one workload that are kept, of each.
const NAMES_MAX: usize = 8;

/// Addresses of one port that are kept.
const ADDRESSES_MAX: usize = 4;

/// A port of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// `tcp`, `udp`, ...
    pub protocol: &'static str,
    /// Its number.
    pub number: u16,
}

/// Who was connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// Where it is; an IPv4 address in IPv6 clothes is an IPv4 address.
    pub address: IpAddr,
    /// Its port.
    pub port: Port,
}

/// What else is known of a port that is listened on.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// Where: at most four.
    pub addresses: SmallVec<[IpAddr; 1]>,
    /// The first program that did.
    pub program: Arc<[u8]>,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Who it is.
    pub owner: Arc<Owner>,
    /// When something was first seen of it, in nanoseconds after boot.
    pub first_ns: u64,
    /// When something was last seen of it.
    pub last_ns: u64,
    /// Images of its containers, as they were asked for.
    pub images: Vec<Box<str>>,
    /// Names of its containers; of a pod's, within the pod.
    pub containers: Vec<Box<str>>,
    /// Labels that all of its pods have in common, but for those that Kubernetes made; `None` while no pod is known.
    pub labels: Option<Labels>,
    /// One of its containers has the host's network.
    pub has_host_network: bool,
    /// Programs, by path.
    pub programs: Bounded<Arc<[u8]>>,
    /// Ports that it listens on.
    pub listens: Bounded<Port, Listener>,
    /// Who it connected to, with the first program that did.
    pub peers: Bounded<Peer, Arc<[u8]>>,
    /// Folders in which it wrote.
    pub folders: Bounded<Arc<[u8]>>,
}

impl Workload {
    /// Nothing seen of it yet.
    #[must_use]
    pub fn new(owner: Arc<Owner>, limits: &InventoryConfig, time_ns: u64) -> Self {
        Self {
            owner,
            first_ns: time_ns,
            last_ns: time_ns,
            images: Vec::new(),
            containers: Vec::new(),
            labels: None,
            has_host_network: false,
            programs: Bounded::new(limits.programs_max),
            listens: Bounded::new(limits.ports_max),
            peers: Bounded::new(limits.peers_max),
            folders: Bounded::new(limits.folders_max),
        }
    }

    /// Notes what was seen. Returns whether it found room.
    pub(super) fn take(&mut self, sight: Sight<'_>, program: &[u8], time_ns: u64) -> bool {
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
        match sight {
            Sight::Program(path) => take_path(&mut self.programs, path, time_ns),
            Sight::Listens(port, address) => {
                let listener = self.listens.take(&port, time_ns, || {
                    let program = short(program).into();
                    let addresses = SmallVec::new();
                    (port, Listener { addresses, program })
                });
                let Some(listener) = listener else { return false };
                listener.add(address);
                true
            }
            Sight::Peer(peer) => self
                .peers
                .take(&peer, time_ns, || (peer, short(program).into()))
                .is_some(),
            Sight::Writes(folder) => take_path(&mut self.folders, folder, time_ns),
            Sight::WritesSomewhere => {
                self.folders.refuse();
                false
            }
        }
    }

    /// Takes in what has become known of one of its containers.
    pub(super) fn describe(&mut self, described: Described) {
        add(&mut self.images, described.image);
        add(&mut self.containers, described.container);
        self.has_host_network |= described.has_host_network;
        if let Some(labels) = described.labels {
            match &mut self.labels {
                None => self.labels = Some(labels),
                Some(own) => own.retain(|name, value| labels.get(name) == Some(value)),
            }
        }
    }

    /// Takes in another, which has turned out to be this one. Returns how often something was seen that found no room.
    pub(super) fn merge(&mut self, other: &Self) -> u64 {
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
        self.has_host_network |= other.has_host_network;
        for image in &other.images {
            add(&mut self.images, Some(image.clone()));
        }
        for container in &other.containers {
            add(&mut self.containers, Some(container.clone()));
        }
        if self.labels.is_none() {
            self.labels.clone_from(&other.labels);
        }
        self.programs.merge(&other.programs, |(), ()| ())
            + self.folders.merge(&other.folders, |(), ()| ())
            + self.peers.merge(&other.peers, |_, _| ())
            + self.listens.merge(&other.listens, |own, other| {
                for address in &other.addresses {
                    own.add(*address);
                }
            })
    }
}

impl Listener {
    fn add(&mut self, address: IpAddr) {
        if self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }
}

fn take_path(table: &mut Bounded<Arc<[u8]>>, path: &[u8], time_ns: u64) -> bool {
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        table.refuse();
        return false;
    }
    table.take(path, time_ns, || (path.into(), ())).is_some()
}

/// A path, where it is short enough to be kept.
fn short(path: &[u8]) -> &[u8] {
    if path.len() > PATH_BYTES_MAX { &[] } else { path }
}

fn add(names: &mut Vec<Box<str>>, name: Option<Box<str>>) {
    if let Some(name) = name
        && names.len() < NAMES_MAX
        && !names.contains(&name)
    {
        names.push(name);
    }
}
