//! Where the facts of one container are looked for, and in which order.
//!
//! The bundle that a runtime's call named comes first; then the folder that the container's starter is in (containerd's
//! shims live in their bundle); then the places where runtimes keep bundles by default. Docker's and Podman's own state
//! is found from the bundle, so any data root will do.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    docker,
    files::{self, Believed, Stamp},
    oci, podman,
};
use crate::state::{
    home::Wanted,
    workload::{ContainerFacts, Progress},
};

/// Default places of bundles, in which `{id}` stands for the container's id.
const BUNDLES: [&str; 6] = [
    "run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}",
    "run/containerd/io.containerd.runtime.v2.task/moby/{id}",
    "run/containerd/io.containerd.runtime.v2.task/default/{id}",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/{id}",
    "var/lib/containers/storage/overlay-containers/{id}/userdata",
    "run/containers/storage/overlay-containers/{id}/userdata",
];

/// Where runtimes without bundles say that a container is theirs.
const KNOWN: [(&str, &str); 3] = [
    ("lxc", "var/lib/lxc/{id}/config"),
    ("systemd-nspawn", "run/systemd/machines/{id}"),
    ("docker", "var/lib/docker/containers/{id}/config.v2.json"),
];

/// The host's root folder, as it is seen from here. Where that of the first process is closed to the agent (it has
/// capabilities that the agent lacks), the agent's own.
#[must_use]
pub fn host_root() -> &'static Path {
    static FOUND: OnceLock<&'static Path> = OnceLock::new();
    FOUND.get_or_init(|| {
        let of_first = Path::new("/proc/1/root");
        // The link itself can be seen by everybody.
        if of_first.join(".").metadata().is_ok() {
            of_first
        } else {
            Path::new("/")
        }
    })
}

/// What was found, and the files that it came from.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The facts.
    pub facts: ContainerFacts,
    /// The files, to see when they change.
    pub stamps: Vec<Stamp>,
}

/// Looks for a container's facts in files. What is not found stays unknown, and unverified.
#[must_use]
pub fn find(wanted: &Wanted) -> Found {
    let id = &*wanted.container.id;
    let mut found = Found {
        facts: ContainerFacts {
            id: id.into(),
            ..ContainerFacts::default()
        },
        stamps: Vec::new(),
    };
    // A name that is a folder's way up leads to no container.
    if !id.starts_with('.') {
        look(wanted, &mut found);
    }
    found.facts.id = id.into();
    found.facts.progress = Progress::Done;
    found
}

fn look(wanted: &Wanted, found: &mut Found) {
    let id = &*wanted.container.id;
    for (root, folder, believed) in bundles(wanted) {
        let Some((bytes, stamp)) = files::read(&root, &folder.join("config.json"), believed) else {
            continue;
        };
        let Some(facts) = oci::read(&bytes) else { continue };
        found.facts = ContainerFacts {
            id: id.into(),
            is_verified: true,
            ..facts
        };
        found.stamps.push(stamp);
        if let Some(state) = docker::folder(&found.facts) {
            add_docker(&root, &state, believed, found);
        } else if let Some(containers) = podman::containers_folder(&folder) {
            add_podman(&root, &containers, believed, found);
        }
        return;
    }
    for (runtime, path) in KNOWN {
        let path = PathBuf::from(path.replace("{id}", id));
        if wanted.container.runtime == runtime && files::exists(host_root(), &path) {
            found.facts.is_verified = true;
            found.facts.runtime = runtime;
            if runtime == "docker" {
                let folder = path.parent().unwrap_or(&path);
                add_docker(host_root(), folder, Believed { uid: 0 }, found);
            } else {
                found.facts.name = Some(id.into());
            }
        }
    }
}

/// Root folders and bundles below them.
fn bundles(wanted: &Wanted) -> Vec<(PathBuf, PathBuf, Believed)> {
    let id = &*wanted.container.id;
    let root_of = |pid: u32| PathBuf::from(format!("/proc/{pid}/root"));
    let mut places = Vec::new();
    if let Some(call) = &wanted.call
        && let Some((bundle, named)) = &call.makes
        && **named == *id
    {
        // The runtime ends when the container runs; who started it stays, and the files are looked at again.
        for pid in call.pids.into_iter().rev() {
            places.push((root_of(pid), bundle.clone(), Believed { uid: call.uid }));
        }
    }
    if wanted.starter_pid != 0
        && let Ok(folder) = std::fs::read_link(format!("/proc/{}/cwd", wanted.starter_pid))
        && folder.file_name().is_some_and(|name| name == id)
    {
        places.push((root_of(wanted.starter_pid), folder, Believed { uid: 0 }));
    }
    for bundle in BUNDLES {
        let bundle = PathBuf::from(bundle.replace("{id}", id));
        places.push((host_root().to_owned(), bundle, Believed { uid: 0 }));
    }
    places
}

fn add_docker(root: &Path, state: &Path, believed: Believed, found: &mut Found) {
    let mut add = |path: PathBuf, take: fn(&[u8], &mut ContainerFacts) -> bool| {
        let Some((bytes, stamp)) = files::read(root, &path, believed) else {
            return;
        };
        if take(&bytes, &mut found.facts) {
            found.stamps.push(stamp);
        }
    };
    add(state.join("config.v2.json"), docker::add_config);
    add(state.join("hostconfig.json"), docker::add_host_config);
    if let Some(data_root) = state.parent().and_then(Path::parent) {
        add(
            data_root.join("image/overlay2/repositories.json"),
            docker::add_digest,
        );
    }
}

fn add_podman(root: &Path, containers: &Path, believed: Believed, found: &mut Found) {
    for list in ["containers.json", "volatile-containers.json"] {
        if let Some((bytes, stamp)) = files::read(root, &containers.join(list), believed)
            && podman::add_container(&bytes, &mut found.facts)
        {
            found.stamps.push(stamp);
            break;
        }
    }
    let images = containers
        .file_name()
        .and_then(|name| name.to_str())
        .map(|name| containers.with_file_name(name.replace("-containers", "-images")));
    if let Some(images) = images
        && let Some((bytes, _)) = files::read(root, &images.join("images.json"), believed)
    {
        podman::add_digest(&bytes, &mut found.facts);
    }
}
