use sensor_proto::v1::{
    Coverage,
    coverage::State,
    workload::{Folder, Others, Peer, PodRef, Port, Program, Times},
};
use serde_json::{Value, json};

use super::*;

fn times(count: u64) -> Times {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 5 });
    Times {
        count,
        first: at(1_700_000_000),
        last: at(1_700_000_060),
    }
}

fn port(protocol: &str, number: u32, address: &str) -> Port {
    Port {
        protocol: protocol.into(),
        port: number,
        addresses: vec![address.into()],
        program: "/bin/web".into(),
        times: Some(times(1)),
    }
}

fn peer(address: &str, number: u32, protocol: &str) -> Peer {
    Peer {
        address: address.into(),
        port: number,
        protocol: protocol.into(),
        program: "/bin/web".into(),
        times: Some(times(3)),
        pod: None,
    }
}

fn deployment() -> Workload {
    let db = PodRef {
        namespace: "data".into(),
        name: "db-0".into(),
        labels: [("app".into(), "db".into())].into(),
        owner_kind: "StatefulSet".into(),
        owner_name: "db".into(),
    };
    Workload {
        r#type: "kubernetes".into(),
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: "web".into(),
        images: vec!["team/web:1".into()],
        containers: vec!["web".into()],
        // Each of these would be something else in YAML without quotes.
        labels: [("app".into(), "yes".into()), ("version".into(), "1.10".into())].into(),
        programs: vec![Program {
            path: "/bin/web".into(),
            times: Some(times(2)),
        }],
        ports: vec![
            port("tcp", 8080, "0.0.0.0"),
            port("tcp", 9000, "127.0.0.1"),
            port("udp", 8125, "10.1.0.4"),
        ],
        peers: vec![
            peer("192.0.2.7", 443, "tcp"),
            peer("192.0.2.7", 80, "tcp"),
            peer("127.0.0.1", 9000, "tcp"),
            peer("2001:db8::1", 53, "udp"),
            peer("192.0.2.9", 0, "icmp"),
            Peer {
                pod: Some(db),
                ..peer("10.1.0.9", 5432, "tcp")
            },
        ],
        folders: vec![Folder {
            path: "/var/log\n---\nkind: Evil".into(),
            times: Some(times(9)),
        }],
        others: Some(Others {
            peers: 12,
            ..Others::default()
        }),
        ..Workload::default()
    }
}

fn host(name: &str) -> Workload {
    Workload {
        r#type: "host".into(),
        kind: "unit".into(),
        name: name.into(),
        peers: vec![peer("192.0.2.7", 443, "tcp")],
        ..Workload::default()
    }
}

fn inventory(workloads: Vec<Workload>) -> Inventory {
    Inventory {
        summary: InventorySummary {
            hostname: "node-1".into(),
            coverage: vec![
                Coverage {
                    aspect: "programs".into(),
                    state: State::Complete.into(),
                    missing: Vec::new(),
                },
                Coverage {
                    aspect: "peers".into(),
                    state: State::Partial.into(),
                    missing: vec!["not collected: events of send\nkind: Evil".into()],
                },
            ],
            workloads: u32::try_from(workloads.len()).unwrap(),
            workloads_max: 256,
            ..InventorySummary::default()
        },
        workloads,
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

#[test]
fn a_policy_allows_what_was_seen_and_says_what_it_does_not_know() {
    let text = render(
        InventoryFormat::Networkpolicy,
        "",
        &inventory(vec![deployment(), host("a.service")]),
    )
    .unwrap();
    let expected = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "deployment-web-seen", "namespace": "shop" },
        "spec": {
            "podSelector": { "matchLabels": { "app": "yes", "version": "1.10" } },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "ports": [
                { "protocol": "TCP", "port": 8080 },
                { "protocol": "UDP", "port": 8125 },
            ] }],
            "egress": [
                { "to": [{ "ipBlock": { "cidr": "192.0.2.7/32" } }],
                  "ports": [{ "protocol": "TCP", "port": 80 }, { "protocol": "TCP", "port": 443 }] },
                { "to": [{ "ipBlock": { "cidr": "2001:db8::1/128" } }],
                  "ports": [{ "protocol": "UDP", "port": 53 }] },
                { "to": [{
                      "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "data" } },
                      "podSelector": { "matchLabels": { "app": "db" } } }],
                  "ports": [{ "protocol": "TCP", "port": 5432 }] },
            ],
        },
    });
    assert_eq!(documents(&text), [expected], "{text}");
    let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
    for part in [
        "Deployment web",
        "open to everybody",
        "events of send",
        "12 times",
        "icmp",
        "Services",
    ] {
        assert!(comments.iter().any(|line| line.contains(part)), "{part}: {text}");
    }
}

#[test]
fn a_policy_restricts_nothing_of_which_nothing_was_seen() {
    let mut only_out = deployment();
    only_out.ports.clear();
    only_out.peers.truncate(1);
    let mut on_host = deployment();
    on_host.host_network = true;
    let mut unnamed = deployment();
    unnamed.labels.clear();
    let mut silent = deployment();
    silent.ports.clear();
    silent.peers.clear();
    let all = inventory(vec![on_host, unnamed, silent, only_out]);
    let text = render(InventoryFormat::Networkpolicy, "", &all).unwrap();
    let found = documents(&text);
    assert_eq!(found.len(), 1, "{text}");
    assert_eq!(found[0]["spec"]["policyTypes"], json!(["Egress"]));
    assert_eq!(found[0]["spec"].get("ingress"), None);
    assert!(
        text.contains("No policy for shop/Deployment web: it has the host's network"),
        "{text}"
    );
    assert!(text.contains("allow port 53"), "{text}");
    let none = render(
        InventoryFormat::Networkpolicy,
        "",
        &inventory(vec![host("a.service")]),
    )
    .unwrap();
    assert!(none.starts_with("# No workload of Kubernetes"), "{none}");
}

#[test]
fn a_catalogue_has_a_component_a_workload_and_a_resource_a_peer() {
    let mut db = host("");
    db.r#type = "kubernetes".into();
    db.namespace = "data".into();
    db.kind = "StatefulSet".into();
    db.name = "db".into();
    let all = inventory(vec![
        deployment(),
        db,
        host("a@b.service"),
        host("a_b"),
        host("a/b"),
    ]);
    let text = render(InventoryFormat::Backstage, "team-shop", &all).unwrap();
    let found = documents(&text);
    let of_kind = |kind: &str| {
        let of = found.iter().filter(|entity| entity["kind"] == kind);
        of.map(|entity| entity["metadata"]["name"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of_kind("Component"),
        ["web", "db", "a-b.service", "a_b", "a-b"],
        "{text}"
    );
    assert_eq!(
        of_kind("Resource"),
        [
            "127.0.0.1-9000-tcp",
            "192.0.2.7-443-tcp",
            "192.0.2.7-80-tcp",
            "192.0.2.9-0-icmp",
            "2001-db8-1-53-udp"
        ]
    );
    let web = &found[0];
    assert_eq!(web["apiVersion"], "backstage.io/v1alpha1");
    assert_eq!(web["metadata"]["namespace"], "shop");
    assert_eq!(
        web["metadata"]["annotations"]["backstage.io/kubernetes-label-selector"],
        "app=yes,version=1.10"
    );
    assert_eq!(web["spec"]["owner"], "team-shop");
    let depends: Vec<_> = web["spec"]["dependsOn"].as_array().unwrap().iter().collect();
    assert!(depends.contains(&&json!("component:data/db")), "{text}");
    assert!(
        depends.contains(&&json!("resource:default/192.0.2.7-443-tcp")),
        "{text}"
    );
    // Names of entities are of the form that Backstage checks.
    for entity in &found {
        let name = entity["metadata"]["name"].as_str().unwrap();
        let is_good = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        assert!(name.len() <= 63 && name.chars().all(is_good), "{name}");
    }
}

#[test]
fn two_workloads_of_one_name_are_two_entities() {
    let long = "x".repeat(80);
    let all = inventory(vec![host("a"), host("A"), host(&long), host(&long)]);
    let found = documents(&render(InventoryFormat::Backstage, "me", &all).unwrap());
    let names: Vec<_> = found
        .iter()
        .filter(|entity| entity["kind"] == "Component")
        .map(|entity| entity["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["a", "A-2", &"x".repeat(63), &format!("{}-2", "x".repeat(61))]
    );
}

#[test]
fn what_is_watched_cannot_make_lines_of_its_own() {
    let all = inventory(vec![deployment()]);
    for format in [
        InventoryFormat::Table,
        InventoryFormat::Networkpolicy,
        InventoryFormat::Backstage,
    ] {
        let text = render(format, "me", &all).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("kind: Evil")), "{text}");
        assert!(
            !text.chars().any(|char| char.is_control() && char != '\n'),
            "{text:?}"
        );
    }
}

#[test]
fn a_table_and_json_show_all_of_it() {
    let all = inventory(vec![deployment()]);
    let table = render(InventoryFormat::Table, "", &all).unwrap();
    for part in [
        "1 workloads on node-1, of at most 256",
        "not covered: peers: not collected: events of send",
        "shop/Deployment web",
        "labels: app=yes, version=1.10",
        "8080/tcp",
        "data/db-0",
        "/bin/web",
        "and 12 times others",
    ] {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    let json: Value = serde_json::from_str(&render(InventoryFormat::Json, "", &all).unwrap()).unwrap();
    assert_eq!(json["coverage"][1]["state"], "partial");
    let workload = &json["workloads"][0];
    assert_eq!(workload["ports"][0]["port"], 8080);
    assert_eq!(workload["peers"][5]["pod"]["owner_name"], "db");
    assert_eq!(workload["folders"][0]["path"], "/var/log\n---\nkind: Evil");
    assert_eq!(workload["others"]["peers"], 12);
    assert_eq!(workload["programs"][0]["times"]["count"], 2);
}
