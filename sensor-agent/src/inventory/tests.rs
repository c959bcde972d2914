use std::net::{IpAddr, Ipv4Addr};

use sensor_common::{
    kind::Kind,
    record::{self, FileId, Header, Identity, flags},
    syscall::Call,
};

use super::*;
use crate::{
    event::{Body, Event, Exec, Open, PathCall, SocketCall},
    state::{
        StateLimits,
        workload::{ContainerFacts, Fact, ImageFacts, Owner as PodOwner, PodRef, Progress},
    },
    view::{Context, EventTypes},
};

/// `O_WRONLY`
const WRITE_ONLY: u32 = 1;

/// A state, an inventory, and events for both.
struct Machine {
    state: State,
    inventory: Inventory,
    context: Context,
    counts: InventoryStats,
    time_ns: u64,
}

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

impl Machine {
    fn new(limits: InventoryConfig) -> Self {
        Self {
            state: State::new(StateLimits {
                processes_max: 1000,
                exited_keep_ns: 0,
                cgroups_max: 1000,
            }),
            inventory: Inventory::new(limits, 1),
            context: Context {
                types: EventTypes::new().unwrap(),
                clock: Clock::from_offset_ns(0),
                hostname: "node".into(),
                start_ns: 0,
            },
            counts: InventoryStats::default(),
            time_ns: 1000,
        }
    }

    fn header(&mut self, pid: u32, kind: Kind) -> Header {
        self.time_ns += 1;
        Header {
            tgid: pid,
            start_time_ns: u64::from(pid),
            time_ns: self.time_ns,
            cgroup_id: u64::from(pid),
            kind: kind as u8,
            ..Header::default()
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        self.state.apply(event);
        self.inventory
            .note(&View::new(event, &self.state, &self.context, 1));
    }

    /// Each process has a cgroup of its own: the host's, or a container's.
    fn exec(&mut self, pid: u32, cgroup: &str, path: &str) {
        let header = self.header(pid, Kind::Exec);
        let exec = Exec {
            fixed: record::Exec {
                identity: Identity {
                    parent_tgid: 1,
                    mount_ns: pid,
                    ..Identity::default()
                },
                ..record::Exec::default()
            },
            path: path.as_bytes(),
            filename: b"",
            interpreter: b"",
            argv: b"",
            cwd: b"",
            cgroup: cgroup.as_bytes(),
        };
        self.note(&Event {
            header,
            body: Body::Exec(exec),
        });
    }

    fn socket(&mut self, pid: u32, kind: Kind, call: Call, local: u16, remote: ([u8; 4], u16), result: i64) {
        let address = |bytes: [u8; 4]| {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&bytes);
            all
        };
        let header = self.header(pid, kind);
        self.note(&Event {
            header,
            body: Body::Socket(SocketCall {
                fixed: record::SocketCall {
                    result,
                    call: call as u32,
                    family: 2,
                    address_family: 2,
                    protocol: if kind == Kind::Bind { 17 } else { 6 },
                    local_port: local,
                    local_address: address([10, 0, 0, 1]),
                    remote_port: remote.1,
                    remote_address: address(remote.0),
                    ..record::SocketCall::default()
                },
                path: b"",
                given: b"",
            }),
        });
    }

    fn connect(&mut self, pid: u32, address: [u8; 4], port: u16) {
        self.socket(pid, Kind::Connect, Call::Connect, 40_000, (address, port), 0);
    }

    fn open(&mut self, pid: u32, path: &str, file_flags: u32, found: u32, result: i64) {
        let mut header = self.header(pid, Kind::Open);
        header.flags = found;
        self.note(&Event {
            header,
            body: Body::Open(Open {
                fixed: record::Open {
                    file: FileId::default(),
                    result,
                    file_flags,
                    call: Call::OpenAt as u32,
                    ..record::Open::default()
                },
                path: path.as_bytes(),
                given: path.as_bytes(),
            }),
        });
    }

    fn rename(&mut self, pid: u32, from: &str, to: &str) {
        let header = self.header(pid, Kind::Rename);
        self.note(&Event {
            header,
            body: Body::Path(PathCall {
                fixed: record::PathCall {
                    call: Call::Rename as u32,
                    ..record::PathCall::default()
                },
                path: from.as_bytes(),
                given: from.as_bytes(),
                path2: to.as_bytes(),
                given2: to.as_bytes(),
                text: b"",
            }),
        });
    }

    fn tick(&mut self) {
        self.inventory.tick(&self.state, &self.counts);
    }

    /// The workloads as `kind name: programs | ports | peers | folders`.
    fn seen(&mut self) -> Vec<String> {
        self.tick();
        let snapshot = self
            .inventory
            .snapshot(&self.state, self.time_ns, self.context.clock);
        let told = snapshot.into_workloads(&answer::Wanted::default());
        told.map(|workload| {
            let count = |times: &Option<sensor_proto::v1::workload::Times>| times.as_ref().unwrap().count;
            let programs = workload
                .programs
                .iter()
                .map(|one| format!("{}*{}", one.path, count(&one.times)));
            let ports = workload
                .ports
                .iter()
                .map(|one| format!("{}/{}*{}", one.port, one.protocol, count(&one.times)));
            let peers = workload
                .peers
                .iter()
                .map(|one| format!("{}:{}*{}", one.address, one.port, count(&one.times)));
            let folders = workload
                .folders
                .iter()
                .map(|one| format!("{}*{}", one.path, count(&one.times)));
            format!(
                "{} {}: {} | {} | {} | {}",
                workload.kind,
                workload.name,
                programs.collect::<Vec<_>>().join(" "),
                ports.collect::<Vec<_>>().join(" "),
                peers.collect::<Vec<_>>().join(" "),
                folders.collect::<Vec<_>>().join(" "),
            )
        })
        .collect()
    }

    /// What a runtime tells of a container in a pod.
    fn told(&mut self, letter: char, pod: Option<PodRef>, name: &str) {
        self.state.take(Fact::Container(Arc::new(ContainerFacts {
            id: id(letter).into(),
            runtime: "containerd",
            name: Some(name.into()),
            image: ImageFacts {
                reference: Some("team/app:1".into()),
                ..ImageFacts::default()
            },
            pod,
            pod_labels: [
                ("app".into(), "web".into()),
                ("pod-template-hash".into(), "7d4".into()),
            ]
            .into(),
            is_verified: true,
            progress: Progress::Done,
            ..ContainerFacts::default()
        })));
    }

    fn pod(&mut self, uid: &str, name: &str, owners: &[(&str, &str)]) {
        self.state.take(Fact::Pod(Arc::new(PodFacts {
            uid: uid.into(),
            name: name.into(),
            namespace: "shop".into(),
            labels: [
                ("app".into(), "web".into()),
                ("pod-template-hash".into(), "7d4".into()),
            ]
            .into(),
            owners: owners
                .iter()
                .map(|(kind, name)| PodOwner {
                    kind: (*kind).into(),
                    name: (*name).into(),
                    uid: "".into(),
                })
                .collect(),
            ip: Some(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9))),
            ..PodFacts::default()
        })));
    }
}

fn in_pod(uid: &str, letter: char) -> String {
    format!("/kubepods/besteffort/pod{uid}/{}", id(letter))
}

fn pod_ref(uid: &str, name: &str) -> PodRef {
    PodRef {
        name: Some(name.into()),
        namespace: Some("shop".into()),
        uid: Some(uid.into()),
        sandbox_id: None,
    }
}

const UID: &str = "0ad4b1d5-7a3c-4e2b-9f57-111111111111";
const UID_2: &str = "0ad4b1d5-7a3c-4e2b-9f57-222222222222";

#[test]
fn what_a_unit_of_the_host_does_is_seen_by_sort() {
    let mut machine = Machine::new(InventoryConfig::default());
    machine.exec(10, "/system.slice/web.service", "/usr/bin/web");
    machine.exec(11, "/system.slice/web.service", "/usr/bin/web");
    machine.socket(10, Kind::Listen, Call::Listen, 80, ([0; 4], 0), 0);
    machine.socket(11, Kind::Accept, Call::Accept4, 80, ([10, 0, 0, 7], 50_000), 5);
    machine.connect(10, [192, 0, 2, 7], 443);
    machine.connect(11, [192, 0, 2, 7], 443);
    machine.open(10, "/var/log/web/access.log", WRITE_ONLY, 0, 3);
    machine.open(10, "/var/lib/new", 0, flags::CREATED, 3);
    machine.rename(10, "/var/log/web/a", "/srv/b");
    // None of these is anything that was done.
    machine.open(10, "/etc/passwd", 0, 0, 3);
    machine.open(10, "/etc/shadow", WRITE_ONLY, 0, -13);
    machine.open(10, "memfd:x", WRITE_ONLY, flags::MEMFD, 3);
    machine.socket(
        10,
        Kind::Connect,
        Call::Connect,
        40_000,
        ([192, 0, 2, 8], 443),
        -111,
    );
    machine.socket(10, Kind::Bind, Call::Bind, 41_000, ([0; 4], 0), 0);
    assert_eq!(
        machine.seen(),
        ["unit web.service: /usr/bin/web*2 | 80/tcp*2 | 192.0.2.7:443*2 | /srv*1 /var/lib*1 /var/log/web*2"]
    );
}

#[test]
fn a_bound_that_is_reached_counts_what_is_beyond() {
    let mut machine = Machine::new(InventoryConfig {
        programs_max: 2,
        ports_max: 2,
        peers_max: 2,
        folders_max: 2,
        ..InventoryConfig::default()
    });
    for number in 0..5_u8 {
        machine.exec(10, "/a.service", &format!("/bin/{number}"));
        machine.socket(
            10,
            Kind::Listen,
            Call::Listen,
            80 + u16::from(number),
            ([0; 4], 0),
            0,
        );
        machine.connect(10, [192, 0, 2, number], 443);
        machine.open(10, &format!("/{number}/file"), WRITE_ONLY, 0, 3);
    }
    // What is known is still counted.
    machine.exec(10, "/a.service", "/bin/0");
    let long = format!("/{}", "x".repeat(300));
    machine.exec(10, "/a.service", &long);
    machine.open(10, &format!("{long}/file"), WRITE_ONLY, 0, 3);
    assert_eq!(
        machine.seen(),
        [
            "unit a.service: /bin/0*2 /bin/1*1 | 80/tcp*1 81/tcp*1 | 192.0.2.0:443*1 192.0.2.1:443*1 | /0*1 /1*1"
        ]
    );
    let snapshot = machine
        .inventory
        .snapshot(&machine.state, 0, machine.context.clock);
    let workload = &snapshot.workloads[0];
    let others = [
        workload.programs.others,
        workload.listens.others,
        workload.peers.others,
        workload.folders.others,
    ];
    assert_eq!(others, [4, 3, 3, 4]);
    assert_eq!(machine.counts.others.get(), 14);
}

#[test]
fn with_too_many_workloads_the_one_longest_silent_is_forgotten() {
    let mut machine = Machine::new(InventoryConfig {
        workloads_max: 2,
        ..InventoryConfig::default()
    });
    machine.exec(10, "/a.service", "/bin/a");
    machine.exec(20, "/b.service", "/bin/b");
    machine.connect(10, [192, 0, 2, 1], 443);
    machine.exec(30, "/c.service", "/bin/c");
    // The way to the forgotten one leads to a new one.
    assert_eq!(
        machine.seen(),
        [
            "unit a.service: /bin/a*1 |  | 192.0.2.1:443*1 | ",
            "unit c.service: /bin/c*1 |  |  | "
        ]
    );
    machine.connect(20, [192, 0, 2, 2], 443);
    assert_eq!(
        machine.seen(),
        [
            "unit b.service:  |  | 192.0.2.2:443*1 | ",
            "unit c.service: /bin/c*1 |  |  | "
        ]
    );
    assert_eq!(machine.counts.forgotten.get(), 2);
}

#[test]
fn a_container_is_seen_under_its_name_once_that_is_known() {
    let mut machine = Machine::new(InventoryConfig::default());
    machine.exec(10, &format!("/docker/{}", id('a')), "/bin/app");
    assert_eq!(
        machine.seen(),
        [format!("container {}: /bin/app*1 |  |  | ", id('a'))]
    );
    machine.told('a', None, "cart");
    machine.connect(10, [192, 0, 2, 1], 443);
    assert_eq!(
        machine.seen(),
        ["container cart: /bin/app*1 |  | 192.0.2.1:443*1 | "]
    );
    // Another of the same name and image is the same workload; of another name it is not.
    machine.exec(20, &format!("/docker/{}", id('b')), "/bin/app");
    machine.told('b', None, "cart");
    machine.exec(30, &format!("/docker/{}", id('c')), "/bin/app");
    machine.told('c', None, "other");
    assert_eq!(
        machine.seen(),
        [
            "container cart: /bin/app*2 |  | 192.0.2.1:443*1 | ",
            "container other: /bin/app*1 |  |  | "
        ]
    );
}

#[test]
fn pods_of_one_owner_are_one_workload_whenever_the_owner_is_told() {
    let mut machine = Machine::new(InventoryConfig::default());
    machine.exec(10, &in_pod(UID, 'a'), "/bin/app");
    machine.exec(20, &in_pod(UID_2, 'b'), "/bin/app");
    machine.told('a', Some(pod_ref(UID, "web-7d4-x2x4z")), "app");
    machine.told('b', Some(pod_ref(UID_2, "web-7d4-9k9k9")), "app");
    assert_eq!(machine.seen(), ["PodTemplate web: /bin/app*2 |  |  | "]);
    // The API tells of one first, and of its owner's owner later.
    machine.pod(UID, "web-7d4-x2x4z", &[("ReplicaSet", "web-7d4")]);
    machine.tick();
    machine.connect(10, [10, 1, 0, 9], 5432);
    assert_eq!(
        machine.seen(),
        [
            "PodTemplate web: /bin/app*2 |  |  | ",
            "ReplicaSet web-7d4:  |  | 10.1.0.9:5432*1 | "
        ]
    );
    let owners = [("ReplicaSet", "web-7d4"), ("Deployment", "web")];
    machine.pod(UID, "web-7d4-x2x4z", &owners);
    machine.pod(UID_2, "web-7d4-9k9k9", &owners);
    let whole = ["Deployment web: /bin/app*2 |  | 10.1.0.9:5432*1 | "];
    assert_eq!(machine.seen(), whole);
    // A pod that is gone takes nothing away.
    machine.state.take(Fact::PodGone(UID.into()));
    assert_eq!(machine.seen(), whole);
    let snapshot = machine
        .inventory
        .snapshot(&machine.state, 0, machine.context.clock);
    let labels = snapshot.workloads[0].labels.clone().unwrap();
    assert_eq!(labels, [("app".into(), "web".into())].into());
}

#[test]
fn what_is_asked_for_does_not_change_afterwards() {
    let mut machine = Machine::new(InventoryConfig::default());
    machine.exec(10, "/a.service", "/bin/a");
    let before = machine
        .inventory
        .snapshot(&machine.state, 0, machine.context.clock);
    machine.exec(10, "/a.service", "/bin/b");
    assert_eq!(before.workloads[0].programs.iter().count(), 1);
    let one = answer::Wanted {
        name: "b.service".into(),
        ..answer::Wanted::default()
    };
    assert_eq!(before.into_workloads(&one).count(), 0);
}

#[test]
fn processes_that_run_already_are_seen_once() {
    let mut machine = Machine::new(InventoryConfig::default());
    machine.exec(10, "/a.service", "/bin/a");
    let mut inventory = Inventory::new(InventoryConfig::default(), 1);
    inventory.seed(&machine.state);
    machine.inventory = inventory;
    assert_eq!(machine.seen(), ["unit a.service: /bin/a*1 |  |  | "]);
}
