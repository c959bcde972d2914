//! Pods, as the API and as the runtime tell of them.

use std::sync::Arc;

use super::*;
use crate::state::workload::{ContainerFacts, Fact, ImageFacts, Mount, Owner, PodFacts, PodRef, Progress};

const UID: &str = "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d";

/// What a runtime knows of the pod of the container that sample events happen in.
pub(super) fn tell_runtime(state: &mut State) {
    state.take(Fact::Container(Arc::new(ContainerFacts {
        id: ID.into(),
        pod: Some(PodRef {
            name: Some("by-runtime".into()),
            namespace: Some("shop".into()),
            uid: Some(UID.into()),
            sandbox_id: Some("fedcba9876543210".into()),
        }),
        pod_labels: [("name".into(), "by-runtime".into())].into(),
        name: Some("app".into()),
        image: ImageFacts {
            reference: Some("registry.test/app:1".into()),
            id: Some("beef".into()),
            digest: Some("sha256:d1".into()),
        },
        is_privileged: Some(false),
        has_host_pid: Some(false),
        has_host_network: Some(false),
        has_host_ipc: Some(false),
        mounts: vec![Mount {
            source: "/srv".into(),
            destination: "/data".into(),
            mode: "Z".into(),
            is_writable: true,
            propagation: "rprivate".into(),
        }],
        labels: [("name".into(), "shop".into())].into(),
        ip: Some("10.88.77.3".parse().unwrap()),
        is_verified: true,
        progress: Progress::Done,
        ..ContainerFacts::default()
    })));
}

/// What the API knows of it.
pub(super) fn tell_api(state: &mut State) {
    let owner = |kind: &str, name: &str| Owner {
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-of-{name}").into(),
    };
    state.take(Fact::Pod(Arc::new(PodFacts {
        uid: UID.into(),
        name: "web-5d9c-x7".into(),
        namespace: "shop".into(),
        labels: [("app".into(), "web".into()), ("name".into(), "web".into())].into(),
        owners: vec![
            owner("ReplicationController", "old"),
            owner("ReplicaSet", "web-5d9c"),
            owner("Deployment", "web"),
        ],
        service_account: Some("clerk".into()),
        node: Some("node-a".into()),
        ip: Some("10.88.77.4".parse().unwrap()),
    })));
}

fn shows(state: &State, cases: &[(Field, FieldArg, &str)]) {
    let (event, context) = (open(3, b"/etc/shadow", b"shadow"), context());
    let view = View::new(&event, state, &context, 1);
    for (field, arg, expected) in cases {
        assert_eq!(shown(&view, *field, arg.clone()), *expected, "{field:?} {arg:?}");
    }
}

#[test]
fn the_runtime_names_a_pod_until_the_api_does() {
    use FieldArg::None;

    let mut state = state();
    shows(&state, &[(Field::K8sPodUid, None, "none")]);
    tell_runtime(&mut state);
    shows(
        &state,
        &[
            (Field::K8sPodUid, None, UID),
            (Field::K8sPodName, None, "by-runtime"),
            (Field::K8sNsName, None, "shop"),
            (Field::K8sPodSandboxId, None, "fedcba987654"),
            (Field::K8sPodLabels, None, "name:by-runtime"),
            (Field::K8sPodOwnerKind, None, "none"),
        ],
    );
    tell_api(&mut state);
    shows(
        &state,
        &[
            (Field::K8sPodName, None, "web-5d9c-x7"),
            (Field::K8sPodLabel, key("app"), "web"),
            (Field::K8sPodLabel, key("nothing"), "none"),
            (Field::K8sPodLabels, None, "app:web, name:web"),
            (Field::K8sPodIp, None, "10.88.77.4"),
            (Field::K8sPodOwnerKind, None, "Deployment"),
            (Field::K8sPodOwnerName, None, "web"),
            (Field::K8smetaRsName, None, "web-5d9c"),
            (Field::K8smetaDeploymentUid, None, "uid-of-web"),
            (Field::K8sPodServiceAccount, None, "clerk"),
            (Field::K8sNodeName, None, "node-a"),
        ],
    );
    state.take(Fact::PodGone(UID.into()));
    shows(&state, &[(Field::K8sPodName, None, "by-runtime")]);
}
