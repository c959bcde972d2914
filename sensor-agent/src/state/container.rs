//! Containers, recognised by the cgroup that their runtime made.
//!
//! The path is what the kernel calls the cgroup, so it is there from the container's first process on and
//! cannot be late. What it does not tell (image, name, pod) is another module's business.

/// A container, as far as its cgroup's path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The runtime's whole id.
    pub id: Box<str>,
    /// Who made it; empty where the path does not tell.
    pub runtime: &'static str,
}

/// Characters of `container.id` in Falco's rules and outputs.
pub const SHORT_ID_CHARS: usize = 12;

impl Container {
    /// Its id as Falco shows it.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..SHORT_ID_CHARS).unwrap_or(&self.id)
    }
}

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
    (0..components.len()).rev().find_map(|index| {
        let parent = index.checked_sub(1).map(|before| components[before]);
        from_component(components[index], parent, index)
    })
}

fn from_component(component: &str, parent: Option<&str>, depth: usize) -> Option<Container> {
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
        return Some(Container {
            id: id.into(),
            runtime,
        });
    }
    let name = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, runtime) in PREFIXES {
        // `crio-conmon-<id>` and `libpod-conmon-<id>` are the runtimes' own helpers on the host.
        if let Some(id) = name.strip_prefix(prefix)
            && is_hex_id(id)
        {
            return Some(Container {
                id: id.into(),
                runtime,
            });
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
        return Some(Container {
            id: component.into(),
            runtime,
        });
    }
    // `ctr run` and nerdctl put their containers at /<namespace>/<name>.
    if depth == 1
        && parent.is_some_and(|parent| CONTAINERD_NAMESPACES.contains(&parent))
        && is_name(component)
    {
        return Some(Container {
            id: component.into(),
            runtime: "containerd",
        });
    }
    None
}

/// Runtimes whose containers have names instead of ids.
fn named_container(component: &str, parent: Option<&str>) -> Option<Container> {
    let of = |id: &str, runtime| {
        is_name(id).then(|| Container {
            id: id.into(),
            runtime,
        })
    };
    if let Some(id) = component.strip_prefix("lxc.payload.") {
        return of(id, "lxc");
    }
    if parent == Some("lxc") || parent == Some("lxc.payload") {
        return of(component, "lxc");
    }
    // systemd-nspawn: machine-<name>.scope, and systemd-nspawn@<name>.service.
    let scope = component.strip_suffix(".scope");
    if let Some(id) = scope.and_then(|name| name.strip_prefix("machine-")) {
        return of(id, "systemd-nspawn");
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
    let uid = component.strip_prefix("pod").or_else(|| {
        component
            .strip_suffix(".slice")
            .and_then(|slice| slice.rsplit_once("-pod"))
            .map(|(_, uid)| uid)
    });
    uid.is_some_and(|uid| uid.len() >= 32)
}

/// What containerd and LXC take for a name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= ID_BYTES_MAX
        && name.strip_suffix(".slice").is_none()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d";

    #[test]
    fn runtimes_are_told_by_their_cgroups() {
        let uid = POD.replace('-', "_");
        let cases: Vec<(String, Option<(&str, &str)>)> = vec![
            // Docker: cgroupfs, systemd, rootless, in Docker.
            (format!("/docker/{ID}"), Some((ID, "docker"))),
            (format!("/system.slice/docker-{ID}.scope"), Some((ID, "docker"))),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"),
                Some((ID, "docker")),
            ),
            (format!("/docker/{ID}/docker/{OTHER}"), Some((OTHER, "docker"))),
            (format!("/docker/{ID}/init.scope"), Some((ID, "docker"))),
            (
                format!("/docker/{ID}/system.slice/ssh.service"),
                Some((ID, "docker")),
            ),
            // Kubernetes: cgroupfs and systemd drivers, every QoS class.
            (format!("/kubepods/besteffort/pod{POD}/{ID}"), Some((ID, "cri"))),
            (format!("/kubepods/pod{POD}/{ID}"), Some((ID, "cri"))),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope"
                ),
                Some((ID, "containerd")),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{ID}.scope"),
                Some((ID, "cri-o")),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{uid}.slice/docker-{ID}.scope"),
                Some((ID, "docker")),
            ),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid}.slice/cri-containerd-{ID}.scope"
                ),
                Some((ID, "containerd")),
            ),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-besteffort-pod{uid}.slice:cri-containerd:{ID}"
                ),
                Some((ID, "containerd")),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-conmon-{ID}.scope"),
                None,
            ),
            // Podman, rootful and rootless.
            (format!("/machine.slice/libpod-{ID}.scope"), Some((ID, "podman"))),
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                Some((ID, "podman")),
            ),
            (format!("/libpod_parent/libpod-{ID}"), Some((ID, "podman"))),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                Some((ID, "podman")),
            ),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
            // containerd without CRI, runc, ECS.
            ("/default/web".into(), Some(("web", "containerd"))),
            ("/k8s.io/web-1.a_b".into(), Some(("web-1.a_b", "containerd"))),
            (format!("/{ID}"), Some((ID, ""))),
            (format!("/ecs/task-1/{ID}"), Some((ID, ""))),
            (
                "/ecs/0123456789abcdef0123456789abcdef-1234567890".into(),
                Some(("0123456789abcdef0123456789abcdef-1234567890", "docker")),
            ),
            // LXC, systemd-nspawn.
            ("/lxc.payload.debian".into(), Some(("debian", "lxc"))),
            ("/lxc/debian/init.scope".into(), Some(("debian", "lxc"))),
            ("/lxc.monitor.debian".into(), None),
            (
                "/machine.slice/machine-debian.scope".into(),
                Some(("debian", "systemd-nspawn")),
            ),
            (
                "/machine.slice/systemd-nspawn@debian.service/payload".into(),
                Some(("debian", "systemd-nspawn")),
            ),
            // The host.
            ("/".into(), None),
            (String::new(), None),
            ("/init.scope".into(), None),
            ("/system.slice/docker.service".into(), None),
            ("/system.slice/containerd.service".into(), None),
            ("/user.slice/user-0.slice/session-1.scope".into(), None),
            (format!("/kubepods/besteffort/pod{POD}"), None),
            (format!("/kubepods.slice/kubepods-pod{uid}.slice"), None),
            (format!("/docker/{}", &ID[..63]), None),
            (format!("/docker/{}g", &ID[..63]), None),
            ("/default".into(), None),
        ];
        for (path, expected) in cases {
            let found = from_cgroup_path(path.as_bytes());
            let found = found
                .as_ref()
                .map(|container| (&*container.id, container.runtime));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_short_id_has_twelve_characters_where_there_are_so_many() {
        let of = |id: &str| Container {
            id: id.into(),
            runtime: "",
        };
        assert_eq!(of(ID).short_id(), "0123456789ab");
        assert_eq!(of("web").short_id(), "web");
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(path in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_cgroup_path(&path);
        }

        #[test]
        fn an_id_is_found_below_any_folders(before in "(/[a-z.-]{1,12}){0,4}", behind in "(/[a-z]{1,8}){0,2}") {
            let path = format!("{before}/docker-{ID}.scope{behind}");
            let found = from_cgroup_path(path.as_bytes());
            prop_assert!(found.is_some(), "{}", path);
        }
    }
}
