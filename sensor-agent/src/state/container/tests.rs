use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const POD: &str = "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
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
        (
            format!("/machine.slice/buildah-{ID}.scope"),
            Some((ID, "buildah")),
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
        (
            r"/machine.slice/machine-my\x2ddebian.scope".into(),
            Some((r"my\x2ddebian", "systemd-nspawn")),
        ),
        (
            r"/machine.slice/machine-lxc\x2d4242\x2dweb.scope".into(),
            Some((r"4242\x2dweb", "libvirt-lxc")),
        ),
        (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope".into(), None),
        // Podman's pods, CRI-O with crun, rootless containerd, BuildKit, LXC on Proxmox.
        (
            format!("/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope"),
            Some((ID, "podman")),
        ),
        (
            format!(
                "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{OTHER}.slice/libpod-{ID}.scope/container"
            ),
            Some((ID, "podman")),
        ),
        (
            format!("/kubepods.slice/kubepods-pod{uid}.slice/crio-{ID}.scope/container"),
            Some((ID, "cri-o")),
        ),
        (
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{ID}.scope"),
            Some((ID, "containerd")),
        ),
        (
            "/docker/buildkit/pmiqdvyfnr7w".into(),
            Some(("pmiqdvyfnr7w", "buildkit")),
        ),
        ("/lxc/101/ns".into(), Some(("101", "lxc"))),
        // A static pod, whose uid is a digest of its file.
        (
            format!("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{ID}"),
            Some((ID, "cri")),
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
    let mut told = BTreeSet::from([""]);
    for (path, expected) in cases {
        let found = from_cgroup_path(path.as_bytes());
        let found = found
            .as_ref()
            .map(|container| (&*container.id, container.runtime));
        assert_eq!(found, expected, "{path}");
        told.extend(found.map(|(_, runtime)| runtime));
    }
    // A recording knows them by this list: each of them, and no other.
    let listed = RUNTIMES.into_iter().chain([""]).collect();
    assert_eq!(told, listed);
}

#[test]
fn what_is_around_a_container_is_told_by_its_path() {
    let uid = POD.replace('-', "_");
    let cases: Vec<(String, Option<&str>, Option<&str>)> = vec![
        (format!("/docker/{ID}"), None, None),
        (format!("/docker/{ID}/docker/{OTHER}"), Some(ID), None),
        (
            format!("/system.slice/docker-{ID}.scope/libpod_parent/libpod-{OTHER}"),
            Some(ID),
            None,
        ),
        // kind: a node that is a container, and a pod in it.
        (
            format!(
                "/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid}.slice/cri-containerd-{OTHER}.scope"
            ),
            Some(ID),
            Some(POD),
        ),
        (format!("/kubepods/besteffort/pod{POD}/{ID}"), None, Some(POD)),
        (
            format!(
                "/system.slice/containerd.service/kubepods-besteffort-pod{uid}.slice:cri-containerd:{ID}"
            ),
            None,
            Some(POD),
        ),
        (
            format!("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{ID}"),
            None,
            Some("0123456789abcdef0123456789abcdef"),
        ),
        (format!("/podnotauid/docker/{ID}"), None, None),
    ];
    for (path, outer, pod) in cases {
        let found = from_cgroup_path(path.as_bytes()).unwrap();
        assert_eq!(found.outer.as_deref(), outer, "{path}");
        assert_eq!(found.pod_uid.as_deref(), pod, "{path}");
    }
}

#[test]
fn a_short_id_has_twelve_characters_where_there_are_so_many() {
    let of = |id: &str| Container {
        id: id.into(),
        ..Container::default()
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
