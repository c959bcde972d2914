//! What was noted, as the wire has it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use hashbrown::HashMap;
use sensor_proto::v1::{self, workload};

use super::{
    Snapshot,
    owner::{self, Owner},
    workload::{Bounded, Times, Workload},
};
use crate::{clock::Clock, detection::timestamp, state::workload::PodFacts};

/// Which workloads are asked for; empty texts ask for all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The workload's name.
    pub name: String,
}

impl Wanted {
    fn fits(&self, (_, namespace, _, name): (&str, &str, &str, &str)) -> bool {
        (self.namespace.is_empty() || self.namespace == namespace)
            && (self.name.is_empty() || self.name == name)
    }
}

impl Snapshot {
    /// What is said before the workloads.
    #[must_use]
    pub fn summary(&self, hostname: &str, coverage: Vec<v1::Coverage>) -> v1::InventorySummary {
        let time = |boot_ns| Some(timestamp(self.clock.epoch_ns(boot_ns)));
        let count = |len| u32::try_from(len).unwrap_or(u32::MAX);
        v1::InventorySummary {
            hostname: hostname.to_owned(),
            since: time(self.since_ns),
            time: time(self.now_ns),
            coverage,
            workloads: count(self.workloads.len()),
            workloads_max: count(self.workloads_max),
            workloads_forgotten: self.forgotten,
            events_unattributed: self.unattributed,
        }
    }

    /// The workloads that are asked for, by type, namespace and name; each is put together when it is its turn.
    pub fn into_workloads(self, wanted: &Wanted) -> impl Iterator<Item = v1::Workload> + Send + use<> {
        let Self {
            mut workloads,
            pods,
            clock,
            ..
        } = self;
        workloads.retain(|workload| wanted.fits(workload.owner.names()));
        workloads.sort_by(|a, b| a.owner.names().cmp(&b.owner.names()));
        // A pod with the host's network has the node's address, as have many.
        let pods: HashMap<IpAddr, Option<Arc<PodFacts>>> = pods
            .into_iter()
            .filter_map(|pod| Some((pod.ip?, pod)))
            .fold(HashMap::new(), |mut by_address, (address, pod)| {
                by_address
                    .entry(address)
                    .and_modify(|known| *known = None)
                    .or_insert(Some(pod));
                by_address
            });
        workloads
            .into_iter()
            .map(move |workload| tell(&workload, &pods, clock))
    }
}

impl Owner {
    /// Type, namespace, kind and name.
    #[must_use]
    pub fn names(&self) -> (&'static str, &str, &str, &str) {
        match self {
            Self::Kubernetes {
                namespace,
                kind,
                name,
            } => ("kubernetes", namespace, kind, name),
            Self::Container { name, .. } => ("container", "", "container", name),
            Self::Unknown { id } => ("container", "", "container", id),
            Self::Host { unit } if unit.starts_with('/') => ("host", "", "cgroup", unit),
            Self::Host { unit } => ("host", "", "unit", unit),
        }
    }
}

fn tell(workload: &Workload, pods: &HashMap<IpAddr, Option<Arc<PodFacts>>>, clock: Clock) -> v1::Workload {
    let (sort, namespace, kind, name) = workload.owner.names();
    let time = |boot_ns| Some(timestamp(clock.epoch_ns(boot_ns)));
    let times = |times: &Times| {
        Some(workload::Times {
            count: times.count,
            first: time(times.first_ns),
            last: time(times.last_ns),
        })
    };
    let texts = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
    let mut images: Vec<String> = texts(&workload.images);
    if let Owner::Container { image, .. } = &*workload.owner
        && !image.is_empty()
        && !images.iter().any(|known| **known == **image)
    {
        images.insert(0, image.to_string());
    }
    v1::Workload {
        r#type: sort.to_owned(),
        namespace: namespace.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        images,
        containers: texts(&workload.containers),
        labels: workload.labels.iter().flatten().map(owned).collect(),
        host_network: workload.has_host_network,
        first_seen: time(workload.first_ns),
        last_seen: time(workload.last_ns),
        programs: sorted(&workload.programs)
            .map(|(path, seen, ())| workload::Program {
                path: text(path),
                times: times(seen),
            })
            .collect(),
        ports: sorted(&workload.listens)
            .map(|(port, seen, listener)| workload::Port {
                protocol: port.protocol.to_owned(),
                port: port.number.into(),
                addresses: listener.addresses.iter().map(ToString::to_string).collect(),
                program: text(&listener.program),
                times: times(seen),
            })
            .collect(),
        peers: sorted(&workload.peers)
            .map(|(peer, seen, program)| workload::Peer {
                address: peer.address.to_string(),
                port: peer.port.number.into(),
                protocol: peer.port.protocol.to_owned(),
                program: text(program),
                times: times(seen),
                pod: pods.get(&peer.address).and_then(Option::as_deref).map(pod),
            })
            .collect(),
        folders: sorted(&workload.folders)
            .map(|(path, seen, ())| workload::Folder {
                path: text(path),
                times: times(seen),
            })
            .collect(),
        others: Some(workload::Others {
            programs: workload.programs.others,
            ports: workload.listens.others,
            peers: workload.peers.others,
            folders: workload.folders.others,
        }),
    }
}

fn pod(pod: &PodFacts) -> workload::PodRef {
    let owner = pod.owners.last();
    let of = |text: Option<&str>| text.unwrap_or_default().to_owned();
    workload::PodRef {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        labels: owner::common_labels(&pod.labels)
            .iter()
            .map(owned)
            .collect::<BTreeMap<_, _>>(),
        owner_kind: of(owner.map(|owner| &*owner.kind)),
        owner_name: of(owner.map(|owner| &*owner.name)),
    }
}

fn owned<T: ToString>((name, value): (T, T)) -> (String, String) {
    (name.to_string(), value.to_string())
}

/// What was seen, in its own order, so that two answers can be compared.
fn sorted<K: Ord + std::hash::Hash + Eq + Clone, V: Clone>(
    table: &Bounded<K, V>,
) -> impl Iterator<Item = (&K, &Times, &V)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries.into_iter()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
