//! Pods and watch events out of the API server's JSON.
//!
//! Only the fields that are used are read; everything else is skipped without being stored. Texts are as
//! long as their item at most ([`ITEM_BYTES_MAX`](super::split::ITEM_BYTES_MAX)), lists are cut.

use serde::Deserialize;

use crate::state::workload::{LABELS_MAX, Labels, Owner, PodFacts, TEXT_BYTES_MAX};

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: Box<str>,
    #[serde(rename = "continue")]
    pub(super) continue_at: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListEnvelope {
    pub(super) metadata: ListMetadata,
}

/// A pod, and the version at which it was so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pod: PodFacts,
    /// The API's uid. That of `pod` is its cgroup's, which is another one for a static pod.
    pub(super) uid: Box<str>,
    pub(super) resource_version: Box<str>,
}

/// An event of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchEvent {
    /// Added or changed.
    Is(Seen),
    Gone {
        uid: Box<str>,
        resource_version: Box<str>,
    },
    /// Nothing happened up to this version.
    Bookmark { resource_version: Box<str> },
    /// The server ends the watch: 410 when the version to watch from is too old.
    Error { code: u16, message: Box<str> },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPod {
    metadata: RawMetadata,
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawMetadata {
    uid: Box<str>,
    name: Box<str>,
    namespace: Box<str>,
    resource_version: Box<str>,
    labels: Option<Pairs>,
    annotations: Option<RawAnnotations>,
    owner_references: Option<Vec<RawOwner>>,
}

/// The one annotation that is used; others may be as long as an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawAnnotations {
    #[serde(rename = "kubernetes.io/config.hash")]
    config_hash: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawOwner {
    kind: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    node_name: Box<str>,
    service_account_name: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawStatus {
    #[serde(rename = "podIP")]
    pod_ip: Box<str>,
}

/// A JSON object of texts, of which the first [`LABELS_MAX`] are kept.
#[derive(Debug, Default)]
struct Pairs(Labels);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Labels::new();
                while let Some((name, value)) = map.next_entry::<Box<str>, Box<str>>()? {
                    if pairs.len() < LABELS_MAX && name.len() + value.len() <= TEXT_BYTES_MAX {
                        pairs.insert(name, value);
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A pod of a list or a watch event.
///
/// # Errors
/// When the item is no pod: what serde says, or that it has no uid.
pub(super) fn pod(item: &[u8]) -> Result<Seen, serde_json::Error> {
    seen(serde_json::from_slice(item)?)
}

fn seen(raw: RawPod) -> Result<Seen, serde_json::Error> {
    use serde::de::Error as _;

    let RawPod {
        metadata,
        spec,
        status,
    } = raw;
    if metadata.uid.is_empty() || metadata.name.is_empty() {
        return Err(serde_json::Error::custom("a pod without uid or name"));
    }
    let owners = metadata.owner_references.unwrap_or_default();
    // The kubelet names the cgroup of a pod that it read from a file by the file's hash.
    let config_hash = metadata.annotations.and_then(|found| found.config_hash);
    Ok(Seen {
        pod: PodFacts {
            uid: config_hash.unwrap_or_else(|| metadata.uid.clone()),
            name: metadata.name,
            namespace: metadata.namespace,
            labels: metadata.labels.unwrap_or_default().0,
            owners: controller_of(owners).into_iter().collect(),
            service_account: Some(spec.service_account_name).filter(|name| !name.is_empty()),
            node: Some(spec.node_name).filter(|name| !name.is_empty()),
            ip: status.pod_ip.parse().ok(),
        },
        uid: metadata.uid,
        resource_version: metadata.resource_version,
    })
}

fn controller_of(owners: Vec<RawOwner>) -> Option<Owner> {
    owners
        .into_iter()
        .find(|owner| owner.controller)
        .map(|owner| Owner {
            kind: owner.kind,
            name: owner.name,
            uid: owner.uid,
        })
}

/// An event of a watch.
///
/// # Errors
/// When it is none that a watch of pods can have.
pub(super) fn watch_event(item: &[u8]) -> Result<WatchEvent, serde_json::Error> {
    use serde::de::Error as _;

    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(borrow)]
        object: &'a serde_json::value::RawValue,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        code: u16,
        message: Box<str>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        metadata: RawMetadata,
    }

    let raw: Raw<'_> = serde_json::from_slice(item)?;
    let object = raw.object.get();
    Ok(match raw.kind {
        "ADDED" | "MODIFIED" => WatchEvent::Is(seen(serde_json::from_str(object)?)?),
        "DELETED" => {
            let found: Metadata = serde_json::from_str(object)?;
            WatchEvent::Gone {
                uid: found.metadata.uid,
                resource_version: found.metadata.resource_version,
            }
        }
        "BOOKMARK" => {
            let found: Metadata = serde_json::from_str(object)?;
            WatchEvent::Bookmark {
                resource_version: found.metadata.resource_version,
            }
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(object)?;
            WatchEvent::Error {
                code: status.code,
                message: status.message,
            }
        }
        _ => return Err(serde_json::Error::custom("no type of event that a watch has")),
    })
}

/// The controller of an object, from its metadata alone.
///
/// # Errors
/// When the answer is no Kubernetes object.
pub(super) fn controller(item: &[u8]) -> Result<Option<Owner>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Object {
        metadata: RawMetadata,
    }
    let object: Object = serde_json::from_slice(item)?;
    Ok(controller_of(
        object.metadata.owner_references.unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server of release 1.20 wrote it, shortened.
    const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-5d9c-x7","generateName":"web-5d9c-",
      "namespace":"shop","uid":"3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d","resourceVersion":"412",
      "labels":{"pod-template-hash":"5d9c","app":"web"},"annotations":{"a":"{\"b\":1}"},
      "ownerReferences":[{"apiVersion":"v1","kind":"Other","name":"o","uid":"o"},
        {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d9c","uid":"rs","controller":true,"blockOwnerDeletion":true}]},
      "spec":{"nodeName":"node-a","serviceAccountName":"shop","containers":[{"name":"main"}]},
      "status":{"phase":"Running","podIP":"10.88.77.4","containerStatuses":[{"name":"main","image":"registry.test/busybox:1",
        "imageID":"sha256:aa","containerID":"containerd://c1"},{"name":"late","image":"x","imageID":""}],
        "initContainerStatuses":[{"name":"init","image":"i","imageID":"sha256:bb","containerID":"containerd://c2"}]}}"#;

    #[test]
    fn a_pod_is_read() {
        let Seen {
            pod,
            uid,
            resource_version,
        } = pod(POD.as_bytes()).unwrap();
        assert_eq!((&*resource_version, &uid), ("412", &pod.uid));
        assert_eq!((&*pod.name, &*pod.namespace), ("web-5d9c-x7", "shop"));
        assert_eq!(pod.node.as_deref(), Some("node-a"));
        assert_eq!(pod.service_account.as_deref(), Some("shop"));
        assert_eq!(pod.ip, Some("10.88.77.4".parse().unwrap()));
        assert_eq!(pod.labels.get("app").map(|value| &**value), Some("web"));
        let owners: Vec<_> = pod
            .owners
            .iter()
            .map(|owner| (&*owner.kind, &*owner.uid))
            .collect();
        assert_eq!(owners, [("ReplicaSet", "rs")]);
    }

    #[test]
    fn a_static_pod_has_the_uid_of_its_cgroup() {
        let text = POD.replace(r#""a":"{\"b\":1}""#, r#""kubernetes.io/config.hash":"f00d""#);
        let found = pod(text.as_bytes()).unwrap();
        assert_eq!(
            (&*found.pod.uid, &*found.uid),
            ("f00d", "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d")
        );
    }

    #[test]
    fn events_of_a_watch_are_read() {
        let of = |text: &str| watch_event(text.as_bytes()).unwrap();
        assert!(matches!(
            of(&format!(r#"{{"type":"MODIFIED","object":{POD}}}"#)),
            WatchEvent::Is(_)
        ));
        assert_eq!(
            of(&format!(r#"{{"object":{POD},"type":"DELETED"}}"#)),
            WatchEvent::Gone {
                uid: "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d".into(),
                resource_version: "412".into()
            }
        );
        // As servers of 1.20 and of 1.35 send them.
        for bookmark in [
            r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"99","creationTimestamp":null},"spec":{"containers":null},"status":{}}}"#,
            r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"99","annotations":{"k8s.io/initial-events-end":"true"}},"spec":{"containers":null},"status":{}}}"#,
        ] {
            assert_eq!(
                of(bookmark),
                WatchEvent::Bookmark {
                    resource_version: "99".into()
                }
            );
        }
        assert_eq!(
            of(
                r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#
            ),
            WatchEvent::Error {
                code: 410,
                message: "too old resource version: 1 (2)".into()
            }
        );
    }

    #[test]
    fn what_is_no_pod_is_an_error() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"metadata":{"name":"x"}}"#,
            r#"{"metadata":{"uid":7}}"#,
        ] {
            assert!(pod(text.as_bytes()).is_err(), "{text}");
            assert!(watch_event(text.as_bytes()).is_err(), "{text}");
        }
        assert!(watch_event(br#"{"type":"OTHER","object":{}}"#).is_err());
    }

    #[test]
    fn too_many_labels_are_cut() {
        let labels: serde_json::Map<_, _> = (0..LABELS_MAX + 50)
            .map(|number| (format!("l{number:04}"), "v".into()))
            .collect();
        let text = serde_json::json!({"metadata": {"uid": "u", "name": "n", "labels": labels}}).to_string();
        assert_eq!(pod(text.as_bytes()).unwrap().pod.labels.len(), LABELS_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_pod_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (pod(&bytes), watch_event(&bytes), controller(&bytes));
        }

        /// A sound answer with a piece cut out or changed.
        #[test]
        fn a_damaged_pod_is_a_pod_or_an_error(at in 0..POD.len(), len in 0_usize..40, with in "\\PC{0,4}") {
            let mut text = POD.as_bytes().to_vec();
            text.splice(at..(at + len).min(POD.len()), with.bytes());
            let event = [b"{\"type\":\"ADDED\",\"object\":", &text[..], b"}"].concat();
            let _ = (pod(&text), watch_event(&event), controller(&text));
        }
    }
}
