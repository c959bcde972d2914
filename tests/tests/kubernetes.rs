//! The sensor as a DaemonSet on a real node: pods are told by name, labels and owner, whatever the API server does.
//!
//! Kubernetes is 1.20, built from Debian's source package by `cargo xtask k8s`. What newer servers answer is tested
//! against their recorded protocol, in `sensor-agent/src/kubernetes/tests.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

use std::time::Duration;

use rustix::process::Signal;
use sensor_proto::v1::{Detection, Pod};
use sensor_tests::{
    binary,
    client::{Client, Subscription},
    kubernetes::{Made, Node},
    lock, report, wait,
};

const RULE: &str = "Password file read";
const DEADLINE: Duration = Duration::from_mins(2);

/// A shell line that reads a password file again and again, with a word that tells who does.
fn reader(word: &str) -> String {
    format!(
        "mkdir -p /etc; echo x >/etc/shadow; while :; do cat /etc/shadow {word} 2>/dev/null; sleep 0.3; done"
    )
}

fn container(word: &str) -> String {
    let line = reader(word);
    format!(
        r#"{{"name": "main", "image": "registry.test/busybox:1", "command": ["/bin/sh", "-c", "{line}"]}}"#
    )
}

fn deployment(name: &str) -> String {
    format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "{name}"}}, "spec": {{"replicas": 2,
        "selector": {{"matchLabels": {{"app": "{name}"}}}}, "template": {{"metadata": {{"labels": {{"app": "{name}", "tier": "front"}}}},
        "spec": {{"serviceAccountName": "clerk", "terminationGracePeriodSeconds": 0, "containers": [{}]}}}}}}}}"#,
        container(name)
    )
}

fn twin(generation: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "twin", "labels": {{"generation": "{generation}"}}}},
        "spec": {{"terminationGracePeriodSeconds": 0, "containers": [{}]}}}}"#,
        container(generation)
    )
}

/// What deploy/ holds, for this machine: without the capability that its root may lack.
fn apply_daemonset(node: &Node) {
    let manifest = std::fs::read_to_string(binary::repository().join("deploy/daemonset.yaml")).unwrap();
    let manifest = manifest.replace("                - SYS_RESOURCE\n", "");
    for document in manifest.split("\n---\n") {
        let kind = document
            .lines()
            .find_map(|line| line.strip_prefix("kind: "))
            .unwrap_or("");
        let path = match kind {
            "Namespace" => "/api/v1/namespaces",
            "ServiceAccount" => "/api/v1/namespaces/sensor/serviceaccounts",
            "ConfigMap" => "/api/v1/namespaces/sensor/configmaps",
            "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "DaemonSet" => "/apis/apps/v1/namespaces/sensor/daemonsets",
            "" => continue,
            other => panic!("deploy/daemonset.yaml has a {other}, which this test does not know"),
        };
        node.api("POST", path, Some(document)).unwrap();
    }
}

fn client(node: &Node) -> Client {
    let socket = node.inside("/run/sensor/sensor.sock");
    let found = wait::until(DEADLINE, || {
        let client = Client::connect(&socket).ok()?;
        client.status().ok()?;
        Some(client)
    });
    found.unwrap_or_else(|| {
        let pods = node.api("GET", "/api/v1/namespaces/sensor/pods", None);
        panic!(
            "the agent does not answer: {:#}\n{}",
            pods.unwrap_or_default(),
            node.said("log/kubelet")
        )
    })
}

/// The next detection in a process with this word among its arguments whose pod fits.
fn find(
    detections: &mut Subscription<'_>,
    word: &str,
    mut fits: impl FnMut(&Pod) -> bool,
) -> (Detection, Pod) {
    let found = detections
        .find(DEADLINE, |detection| {
            let is_theirs = detection
                .process
                .as_ref()
                .is_some_and(|process| process.cmdline.ends_with(word));
            is_theirs && detection.rule == RULE && detection.pod.as_ref().is_some_and(&mut fits)
        })
        .unwrap();
    let found = found.unwrap_or_else(|| panic!("no detection of {word} whose pod is known"));
    let pod = found.pod.clone().unwrap();
    (found, pod)
}

fn uid(node: &Node, path: &str) -> String {
    node.api("GET", path, None).unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn whole(pod: &Pod) -> bool {
    pod.owners.len() == 2 && !pod.owners[1].uid.is_empty()
}

#[test]
fn pods_are_told_whatever_the_api_server_does() {
    let made = match Made::find() {
        Ok(made) => made,
        Err(why) => return report::skip(why),
    };
    let _alone = lock::alone().unwrap();
    let node = Node::start(&made).unwrap();
    report::note(format_args!("node ready after {} s", node.said("ready").trim()));
    let post = |path: &str, body: &str| node.api("POST", path, Some(body)).unwrap();
    post("/api/v1/namespaces", r#"{"metadata": {"name": "shop"}}"#);
    post(
        "/api/v1/namespaces/shop/serviceaccounts",
        r#"{"metadata": {"name": "clerk"}}"#,
    );
    // Made by a controller, in its own time.
    let account = wait::until(DEADLINE, || {
        node.api("GET", "/api/v1/namespaces/shop/serviceaccounts/default", None)
            .ok()
    });
    account.expect("the default service account");
    post("/apis/apps/v1/namespaces/shop/deployments", &deployment("web"));
    apply_daemonset(&node);
    let client = client(&node);
    let mut detections = client.subscribe(None).unwrap();

    // Name, labels, owner, account, node.
    let (detection, pod) = find(&mut detections, "web", whole);
    let told = node
        .api("GET", &format!("/api/v1/namespaces/shop/pods/{}", pod.name), None)
        .unwrap();
    assert_eq!(told["metadata"]["uid"], pod.uid.as_str());
    assert_eq!((pod.namespace.as_str(), pod.node.as_str()), ("shop", "node-a"));
    assert_eq!(
        (pod.labels["app"].as_str(), pod.labels["tier"].as_str()),
        ("web", "front")
    );
    assert_eq!(pod.service_account, "clerk");
    let owners: Vec<_> = pod.owners.iter().map(|owner| owner.kind.as_str()).collect();
    assert_eq!(owners, ["ReplicaSet", "Deployment"]);
    assert_eq!(pod.owners[1].name, "web");
    assert_eq!(
        pod.owners[1].uid,
        uid(&node, "/apis/apps/v1/namespaces/shop/deployments/web")
    );
    let id = told["status"]["containerStatuses"][0]["containerID"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(id, format!("containerd://{}", detection.container.unwrap().id));

    // Made anew under the same name.
    let twins = "/api/v1/namespaces/shop/pods";
    let mut uids = Vec::new();
    for generation in ["gen-1", "gen-2"] {
        post(twins, &twin(generation));
        uids.push(uid(&node, "/api/v1/namespaces/shop/pods/twin"));
        let (_, pod) = find(&mut detections, generation, |pod| !pod.name.is_empty());
        assert_eq!((pod.name.as_str(), &pod.uid), ("twin", uids.last().unwrap()));
        assert_eq!(pod.labels["generation"], generation);
        node.api("DELETE", "/api/v1/namespaces/shop/pods/twin", None)
            .unwrap();
        let gone = wait::until(DEADLINE, || {
            node.api("GET", "/api/v1/namespaces/shop/pods/twin", None)
                .is_err()
                .then_some(())
        });
        gone.expect("the twin is gone");
    }
    assert_ne!(uids[0], uids[1]);

    // It hangs: what is known stays, and events come as before.
    node.signal_api(Signal::STOP).unwrap();
    for _ in 0..10 {
        assert!(whole(&find(&mut detections, "web", |_| true).1));
    }
    node.signal_api(Signal::CONT).unwrap();

    // It is gone: the same, and it is said.
    node.signal_api(Signal::KILL).unwrap();
    for _ in 0..10 {
        assert!(whole(&find(&mut detections, "web", |_| true).1));
    }
    let said = wait::until(DEADLINE, || {
        let degraded = client.status().unwrap().degraded;
        degraded
            .iter()
            .any(|why| why.contains("pods are not followed"))
            .then_some(degraded)
    });
    report::note(format_args!(
        "API server stopped: {:?}",
        said.expect("status says so")
    ));

    // It comes back, and no longer has the version that the watch was at.
    node.restart_api().unwrap();
    post("/apis/apps/v1/namespaces/shop/deployments", &deployment("late"));
    let (_, pod) = find(&mut detections, "late", whole);
    assert_eq!(pod.owners[1].name, "late");
    let healed = wait::until(DEADLINE, || {
        client.status().unwrap().degraded.is_empty().then_some(())
    });
    healed.unwrap_or_else(|| panic!("still degraded: {:?}", client.status().unwrap().degraded));
}
