//! Files as the runtimes of Debian 12 wrote them, shortened; and any bytes at all.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::state::workload::ContainerFacts;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn facts() -> ContainerFacts {
    ContainerFacts {
        id: ID.into(),
        ..ContainerFacts::default()
    }
}

#[test]
fn a_bundle_of_a_pods_container() {
    let config = json!({
        "ociVersion": "1.0.2-dev",
        "process": {"capabilities": {"bounding": ["CAP_CHOWN"]}},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rprivate", "ro"]},
        ],
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.image-name": "registry.test/app:1",
            "io.kubernetes.cri.sandbox-id": "aa",
            "io.kubernetes.cri.sandbox-name": "web-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": "u-1",
        },
        "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "mount"}]},
    });
    let found = oci::read(config.to_string().as_bytes()).unwrap();
    assert_eq!(
        (found.runtime, found.name.as_deref()),
        ("containerd", Some("app"))
    );
    assert_eq!(found.image.reference.as_deref(), Some("registry.test/app:1"));
    let pod = found.pod.unwrap();
    assert_eq!(
        (pod.name.as_deref(), pod.namespace.as_deref(), pod.uid.as_deref()),
        (Some("web-0"), Some("shop"), Some("u-1"))
    );
    assert_eq!(
        (found.has_host_network, found.has_host_pid, found.has_host_ipc),
        (Some(true), Some(false), None)
    );
    assert_eq!((found.is_privileged, found.is_sandbox), (Some(false), false));
    assert_eq!(found.mounts.len(), 1);
    assert!(!found.mounts[0].is_writable);
    assert_eq!(oci::read(b"{\"linux\": {}}"), None, "no bundle's description");
}

#[test]
fn dockers_state_of_a_container() {
    let config = json!({
        "ID": ID, "Name": "/web", "Image": "sha256:beef",
        "Config": {"Image": "app:1", "Labels": {"team": "shop"}},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        "MountPoints": {"/data": {"Source": "/srv", "Destination": "/data", "RW": true, "Propagation": "rprivate"}},
    });
    let mut found = facts();
    assert!(docker::add_config(config.to_string().as_bytes(), &mut found));
    assert_eq!(
        (found.name.as_deref(), found.image.reference.as_deref()),
        (Some("web"), Some("app:1"))
    );
    assert_eq!(
        (&*found.labels["team"], found.ip.unwrap().to_string()),
        ("shop", "172.17.0.2".into())
    );
    let host = json!({"Privileged": true, "NetworkMode": "host", "PidMode": "", "IpcMode": "private",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}});
    assert!(docker::add_host_config(host.to_string().as_bytes(), &mut found));
    assert_eq!(
        (found.is_privileged, found.has_host_network),
        (Some(true), Some(true))
    );
    assert_eq!(&*found.ports[0], "8080:80/tcp");
    let names = json!({"Repositories": {"app": {"app:1": "sha256:beef", "app@sha256:d1": "sha256:beef"}}});
    assert!(docker::add_digest(names.to_string().as_bytes(), &mut found));
    assert_eq!(found.image.digest.as_deref(), Some("sha256:d1"));

    let mut other = ContainerFacts {
        id: "other".into(),
        ..ContainerFacts::default()
    };
    assert!(
        !docker::add_config(config.to_string().as_bytes(), &mut other),
        "another container's file"
    );
    assert_eq!(other.name, None);
}

#[test]
fn podmans_state_of_a_container() {
    let list = json!([
        {"id": "other", "names": ["other"], "image": "i0"},
        {"id": ID, "names": ["web"], "image": "i1",
         "metadata": "{\"image-name\":\"localhost/app:1\",\"name\":\"web\"}"},
    ]);
    let mut found = facts();
    assert!(podman::add_container(list.to_string().as_bytes(), &mut found));
    assert_eq!(
        (found.name.as_deref(), found.image.reference.as_deref()),
        (Some("web"), Some("localhost/app:1"))
    );
    let images = json!([{"id": "i1", "digest": "sha256:d1"}]);
    assert!(podman::add_digest(images.to_string().as_bytes(), &mut found));
    assert_eq!(found.image.digest.as_deref(), Some("sha256:d1"));
}

#[test]
fn names_that_would_break_a_line_are_none() {
    let mut found = facts();
    let config = json!({"ID": ID, "Name": "/a\nb", "Config": {"Image": "x".repeat(5000)}});
    assert!(docker::add_config(config.to_string().as_bytes(), &mut found));
    assert_eq!((found.name, found.image.reference), (None, None));
}

#[test]
fn a_file_is_read_only_within_bounds_and_from_who_may_say_so() {
    let root = tempfile::tempdir().unwrap();
    let own = files::Believed {
        uid: rustix::process::getuid().as_raw(),
    };
    let path = std::path::Path::new("config.json");
    let at = root.path().join(path);
    assert!(files::read(root.path(), path, own).is_none());
    std::fs::write(&at, "1").unwrap();
    let (bytes, stamp) = files::read(root.path(), path, own).unwrap();
    assert_eq!((&bytes[..], stamp.is_current()), (&b"1"[..], Some(true)));
    std::fs::write(&at, "22").unwrap();
    assert_eq!(stamp.is_current(), Some(false));
    std::fs::File::options()
        .write(true)
        .open(&at)
        .unwrap()
        .set_len(files::FILE_BYTES_MAX + 1)
        .unwrap();
    assert!(files::read(root.path(), path, own).is_none(), "too long");
    std::fs::remove_file(&at).unwrap();
    assert_eq!(stamp.is_current(), None);
    // What leads out of the root leads back into it; a pipe makes nobody wait.
    std::os::unix::fs::symlink("/etc/passwd", &at).unwrap();
    assert!(files::read(root.path(), path, own).is_none());
    std::fs::remove_file(&at).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(files::read(root.path(), path, own).is_none());
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut found = facts();
        let _ = oci::read(&bytes);
        for add in [docker::add_config, docker::add_host_config, docker::add_digest, podman::add_container, podman::add_digest] {
            let _ = add(&bytes, &mut found);
        }
    }

    #[test]
    fn any_json_has_an_answer(value in json_value()) {
        let mut config = serde_json::Map::new();
        for key in ["ociVersion", "annotations", "linux", "mounts", "process", "Config", "Name", "NetworkSettings",
            "MountPoints", "Repositories", "PortBindings"] {
            config.insert(key.into(), value.clone());
        }
        config.insert("ID".into(), ID.into());
        let bytes = serde_json::to_vec(&serde_json::Value::Object(config)).unwrap();
        let mut found = facts();
        let _ = oci::read(&bytes);
        docker::add_config(&bytes, &mut found);
        docker::add_host_config(&bytes, &mut found);
        docker::add_digest(&bytes, &mut found);
        let list = serde_json::to_vec(&json!([{"id": ID, "image": value, "metadata": value.to_string(), "names": value}]));
        podman::add_container(&list.unwrap(), &mut found);
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z/:@*]{0,12}".prop_map(Into::into),
    ];
    let key = prop::sample::select(vec![
        "namespaces",
        "resources",
        "devices",
        "type",
        "source",
        "destination",
        "options",
        "Image",
        "Labels",
        "Networks",
        "IPAddress",
        "Source",
        "Destination",
        "HostPort",
        "capabilities",
        "bounding",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}
