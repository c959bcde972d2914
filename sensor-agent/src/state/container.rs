//! Containers, recognised by the cgroup that their runtime made.
//!
//! The path is what the kernel calls the cgroup, so it is there from the container's first process on and
//! cannot be late. It is only a name: whoever may make cgroups can make this one too. Which processes belong to the
//! container is [`residence`](super::residence)'s business, and what a runtime says of it [`workload`](super::workload)'s.

#[cfg(test)]
mod tests;

use super::workload::ContainerFacts;

/// A container, as far as its cgroup's path tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// The runtime's whole id.
    pub id: Box<str>,
    /// Who made it; empty where the path does not tell.
    pub runtime: &'static str,
    /// The container around it, where the path names one: a runtime within a container.
    pub outer: Option<Box<str>>,
    /// The pod whose folder is above it.
    pub pod_uid: Option<Box<str>>,
}

/// Characters of `container.id` in Falco's rules and outputs.
pub const SHORT_ID_CHARS: usize = 12;

impl Container {
    /// Its id as Falco shows it.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT_ID_CHARS).unwrap_or(&self.id)
    }

    /// The uid of its pod: by the cgroup or, where that does not tell, by these facts of its runtime.
    #[must_use]
    pub fn pod_uid_by<'a>(&'a self, facts: Option<&'a ContainerFacts>) -> Option<&'a str> {
        self.pod_uid
            .as_deref()
            .or_else(|| facts?.pod.as_ref()?.uid.as_deref())
    }
}

/// Every runtime that is told, by the name that it has in facts and recordings.
pub const RUNTIMES: [&str; 10] = [
    "docker",
    "containerd",
    "cri-o",
    "podman",
    "buildah",
    "buildkit",
    "cri",
    "lxc",
    "libvirt-lxc",
    "systemd-nspawn",
];

/// Names that runtimes put before a container's id, and whose they are.
const PREFIXES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
    ("buildah-", "buildah"),
];

/// Folders that hold containers by id, and whose they are.
const PARENTS: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("libpod_parent", "podman"),
    ("ecs", "docker"),
    ("actions_job", "docker"),
    ("default", "containerd"),
    ("k8s.io", "containerd"),
    ("moby", "docker"),
];

/// containerd's own namespaces: below these, any name is a container's.
const CONTAINERD_NAMESPACES: &[&str] = &["default", "k8s.io", "moby"];

/// Longest name taken for a container's id, in bytes; containerd allows 76.
const ID_BYTES_MAX: usize = 128;

/// The innermost container that a cgroup's path names.
#[must_use]
pub fn from_cgroup_path(path: &[u8]) -> Option<Container> {
    let path = std::str::from_utf8(path).ok()?;
    let components: Vec<&str> = path
        .split('/')
        .filter(|component| !component.is_empty())
        .collect();
    let named = |index: usize| {
        let parent = index.checked_sub(1).map(|before| components[before]);
        from_component(components[index], parent, index).map(|(id, runtime)| (index, id, runtime))
    };
    let (index, id, runtime) = (0..components.len()).rev().find_map(named)?;
    let outer = (0..index).rev().find_map(named).map(|(_, outer, _)| outer);
    let pod_uid = components[..=index]
        .iter()
        .rev()
        .find_map(|component| pod_uid(component));
    Some(Container {
        id: id.into(),
        runtime,
        outer: outer.filter(|outer| *outer != id).map(Into::into),
        pod_uid,
    })
}

/// The id and the runtime that one component names.
fn from_component<'p>(
    component: &'p str,
    parent: Option<&str>,
    depth: usize,
) -> Option<(&'p str, &'static str)> {
    // `kubepods-pod<uid>.slice:cri-containerd:<id>`: containerd with systemd's names but without systemd.
    if let Some((rest, id)) = component.rsplit_once(':')
        && is_hex_id(id)
    {
        let runtime = match rest.rsplit(':').next() {
            Some("cri-containerd") => "containerd",
            Some("crio") => "cri-o",
            Some("docker") => "docker",
            _ => "",
        };
        return Some((id, runtime));
    }
    let name = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, runtime) in PREFIXES {
        // `crio-conmon-<id>` and `libpod-conmon-<id>` are the runtimes' own helpers on the host.
        if let Some(id) = name.strip_prefix(prefix)
            && is_hex_id(id)
        {
            return Some((id, runtime));
        }
    }
    if let Some(id) = named_container(component, parent) {
        return Some(id);
    }
    let by_parent = PARENTS.iter().find(|(folder, _)| Some(*folder) == parent);
    if is_hex_id(component) {
        let runtime = match (by_parent, parent) {
            (Some((_, runtime)), _) => runtime,
            (None, Some(parent)) if is_pod(parent) => "cri",
            _ => "",
        };
        return Some((component, runtime));
    }
    // `ctr run` and nerdctl put their containers at /<namespace>/<name>.
    if depth == 1
        && parent.is_some_and(|parent| CONTAINERD_NAMESPACES.contains(&parent))
        && is_name(component)
    {
        return Some((component, "containerd"));
    }
    None
}

/// Runtimes whose containers have names instead of ids.
fn named_container<'p>(component: &'p str, parent: Option<&str>) -> Option<(&'p str, &'static str)> {
    let of = |id: &'p str, runtime| is_name(id).then_some((id, runtime));
    if let Some(id) = component.strip_prefix("lxc.payload.") {
        return of(id, "lxc");
    }
    if parent == Some("lxc") || parent == Some("lxc.payload") {
        return of(component, "lxc");
    }
    // BuildKit's build steps, which run below the daemon's own folder.
    if parent == Some("buildkit") {
        return of(component, "buildkit");
    }
    // systemd-machined: machine-<name>.scope for nspawn and libvirt, whose names are escaped: `-` is `\x2d`.
    let scope = component.strip_suffix(".scope");
    if let Some(id) = scope.and_then(|name| name.strip_prefix("machine-")) {
        return match id.split_once(r"\x2d") {
            Some(("qemu", _)) => None,
            Some(("lxc", rest)) => of(rest, "libvirt-lxc"),
            _ => of(id, "systemd-nspawn"),
        };
    }
    if let Some(id) = component
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
    {
        return of(id, "systemd-nspawn");
    }
    None
}

/// 64 hexadecimal digits, as Docker, containerd's CRI, CRI-O and Podman make them; ECS on Fargate puts a
/// number behind 32 of them.
fn is_hex_id(id: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match id.len() {
        64 => is_hex(id),
        33..64 => id.split_once('-').is_some_and(|(hex, number)| {
            hex.len() == 32 && is_hex(hex) && number.bytes().all(|b| b.is_ascii_digit())
        }),
        _ => false,
    }
}

/// A pod's folder: `pod<uid>` or `kubepods-...-pod<uid>.slice`.
fn is_pod(component: &str) -> bool {
    pod_uid(component).is_some()
}

/// The uid in a pod's folder. systemd's names have `_` where the uid has `-`.
fn pod_uid(component: &str) -> Option<Box<str>> {
    // `kubepods-...-pod<uid>.slice:cri-containerd:<id>` is a container's folder with its pod's name in it.
    let component = component.split(':').next().unwrap_or(component);
    let uid = component.strip_prefix("pod").or_else(|| {
        component
            .strip_suffix(".slice")
            .and_then(|slice| slice.rsplit_once("-pod"))
            .map(|(_, uid)| uid)
    })?;
    let is_uid = (32..=ID_BYTES_MAX).contains(&uid.len())
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_');
    is_uid.then(|| uid.replace('_', "-").into())
}

/// What containerd and LXC take for a name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= ID_BYTES_MAX
        && name.strip_suffix(".slice").is_none()
        && name
            .bytes()
            // The backslash is of systemd's escapes.
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-\\".contains(&byte))
}
