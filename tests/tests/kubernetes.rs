//! The sensor as a DaemonSet on a real node: pods are told by name, labels and owner, whatever the API server does.
//!
//! Kubernetes is 1.20, built from Debian's source package by `cargo xtask k8s`. What newer servers answer is tested
//! against their recorded protocol, in `sensor-agent/src/kubernetes/tests.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

use std::time::{Duration, Instant};

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

/// Where the agent has its metrics, in the network namespace of its pod.
const METRICS: &str = "127.0.0.1:9766";

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

/// What deploy/ holds, for this machine: without the capability that its root may lack, and with metrics.
fn apply_daemonset(node: &Node) {
    let manifest = std::fs::read_to_string(binary::repository().join("deploy/daemonset.yaml")).unwrap();
    let manifest = manifest.replace("                - SYS_RESOURCE\n", "").replace(
        "    grpc:\n",
        &format!("    metrics:\n      address: {METRICS}\n    grpc:\n"),
    );
    assert!(manifest.contains(METRICS), "{manifest}");
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
            "the agent does not answer: {:#}\n{}\n{}",
            pods.unwrap_or_default(),
            node.said("log/kubelet"),
            node.pods_said("sensor_")
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

/// Whether the agent was told that the version which its watch was at is gone.
fn has_been_gone(node: &Node) -> bool {
    let counted = node.metrics(METRICS).unwrap();
    let mut lines = counted.lines();
    lines.any(|line| {
        line.strip_prefix("sensor_kubernetes_failures_total{cause=\"gone\"} ")
            .is_some_and(|count| count != "0")
    })
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
    post(&node, "/api/v1/namespaces", r#"{"metadata": {"name": "shop"}}"#);
    let accounts = "/api/v1/namespaces/shop/serviceaccounts";
    post(&node, accounts, r#"{"metadata": {"name": "clerk"}}"#);
    // Made by a controller, in its own time.
    let account = wait::until(DEADLINE, || {
        node.api("GET", &format!("{accounts}/default"), None).ok()
    });
    account.expect("the default service account");
    post(&node, DEPLOYMENTS, &deployment("web"));
    apply_daemonset(&node);
    let client = client(&node);
    let mut detections = client.subscribe(None).unwrap();
    a_pod_is_told_with_all_of_it(&node, &mut detections);
    its_deployment_is_one_workload(&client);
    twins_are_told_apart(&node, &mut detections);
    the_api_server_hangs_is_slow_and_is_gone(&node, &client, &mut detections);
    it_comes_back_without_the_version(&node, &client, &mut detections);
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn post(node: &Node, path: &str, body: &str) {
    node.api("POST", path, Some(body)).unwrap();
}

/// Name, labels, owner, account, node.
fn a_pod_is_told_with_all_of_it(node: &Node, detections: &mut Subscription<'_>) {
    let (detection, pod) = find(detections, "web", whole);
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
    assert_eq!(pod.owners[1].uid, uid(node, &format!("{DEPLOYMENTS}/web")));
    let id = told["status"]["containerStatuses"][0]["containerID"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(id, format!("containerd://{}", detection.container.unwrap().id));
}

/// The inventory has both pods as one.
fn its_deployment_is_one_workload(client: &Client) {
    let (_, workloads) = client.inventory().unwrap();
    let web = workloads.iter().find(|workload| workload.kind == "Deployment");
    let web = web.unwrap_or_else(|| panic!("{workloads:#?}"));
    assert_eq!((web.namespace.as_str(), web.name.as_str()), ("shop", "web"));
    let labels: Vec<_> = web.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["app", "tier"], "{web:#?}");
    // Busybox's shell runs the others by itself.
    assert!(
        web.programs.iter().any(|program| program.path == "/bin/sh"),
        "{web:#?}"
    );
}

/// Made anew under the same name.
fn twins_are_told_apart(node: &Node, detections: &mut Subscription<'_>) {
    const TWIN: &str = "/api/v1/namespaces/shop/pods/twin";
    let mut uids = Vec::new();
    for generation in ["gen-1", "gen-2"] {
        post(node, "/api/v1/namespaces/shop/pods", &twin(generation));
        uids.push(uid(node, TWIN));
        let (_, pod) = find(detections, generation, |pod| !pod.name.is_empty());
        assert_eq!((pod.name.as_str(), &pod.uid), ("twin", uids.last().unwrap()));
        assert_eq!(pod.labels["generation"], generation);
        node.api("DELETE", TWIN, None).unwrap();
        let gone = wait::until(DEADLINE, || node.api("GET", TWIN, None).is_err().then_some(()));
        gone.expect("the twin is gone");
    }
    assert_ne!(uids[0], uids[1]);
}

/// What is known stays, and events come as before.
fn the_api_server_hangs_is_slow_and_is_gone(node: &Node, client: &Client, detections: &mut Subscription<'_>) {
    let mut still_whole = || {
        for _ in 0..10 {
            assert!(whole(&find(detections, "web", |_| true).1));
        }
    };
    node.signal_api(Signal::STOP).unwrap();
    still_whole();
    node.signal_api(Signal::CONT).unwrap();

    // It runs for a fifth of the time.
    let until = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while Instant::now() < until {
                for (signal, time) in [(Signal::STOP, 400), (Signal::CONT, 100)] {
                    node.signal_api(signal).unwrap();
                    std::thread::sleep(Duration::from_millis(time));
                }
            }
        });
        still_whole();
    });

    node.signal_api(Signal::KILL).unwrap();
    still_whole();
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
}

/// The version that the watch was at is gone: 410.
fn it_comes_back_without_the_version(node: &Node, client: &Client, detections: &mut Subscription<'_>) {
    assert!(!has_been_gone(node));
    node.restart_api().unwrap();
    post(node, DEPLOYMENTS, &deployment("late"));
    let (_, pod) = find(detections, "late", whole);
    assert_eq!(pod.owners[1].name, "late");
    let healed = wait::until(DEADLINE, || {
        client.status().unwrap().degraded.is_empty().then_some(())
    });
    healed.unwrap_or_else(|| panic!("still degraded: {:?}", client.status().unwrap().degraded));
    assert!(has_been_gone(node), "{}", node.metrics(METRICS).unwrap());
}
