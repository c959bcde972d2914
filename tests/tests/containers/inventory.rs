//! What workloads were seen to do: of real processes, containers and pods, asked by the real command.

use std::process::{Command, Output};

use sensor_proto::v1::{Workload, coverage::State};
use sensor_tests::{
    binary,
    cgroup::Cgroup,
    container::Container,
    cri::{Cri, Pod},
    engine::{IMAGE, Kind},
    report,
    scrape::{free_address, scrape},
    sensor::Sensor,
    wait::{self, DEADLINE},
};
use serde_json::{Value, json};

use crate::agent::{Agent, agent, agent_with, engine};

/// All that an inventory is made of.
const RULES: &str = "
- rule: all of it
  desc: events that an inventory is made of
  condition: >
    evt.type in (bind, listen, accept, accept4, connect, sendto, sendmsg, sendmmsg, open, openat, openat2, creat,
    rename, renameat, renameat2, unlink, unlinkat, mkdir, mkdirat)
  output: '%proc.name'
  priority: DEBUG
";

/// Listens, connects to itself, and writes.
const BUSY: &str = "ip link set lo up; nc -l -p 8080 </dev/null >/dev/null & \
    until nc 127.0.0.1 8080 </dev/null; do :; done; \
    mkdir /srv; echo x > /srv/one; echo x > /srv/two; mv /srv/two /tmp/two; exec sleep 1000";

/// The first workload that fits, once there is one.
fn find(agent: &Agent, what: &str, mut fits: impl FnMut(&Workload) -> bool) -> Workload {
    let found = wait::until(DEADLINE, || {
        let (_, workloads) = agent.client.inventory().unwrap();
        workloads.into_iter().find(|workload| fits(workload))
    });
    found.unwrap_or_else(|| panic!("{what}: {:#?}\n{}", agent.client.inventory(), agent.sensor.log()))
}

/// `sensor inventory` with arguments.
fn ask(sensor: &Sensor, arguments: &[&str]) -> Output {
    Command::new(binary::sensor())
        .args(["inventory", "--address"])
        .arg(sensor.socket())
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(sensor: &Sensor, arguments: &[&str]) -> String {
    let output = ask(sensor, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn ports(workload: &Workload) -> Vec<(&str, u32)> {
    workload
        .ports
        .iter()
        .map(|port| (&*port.protocol, port.port))
        .collect()
}

fn peers(workload: &Workload) -> Vec<(&str, u32)> {
    workload
        .peers
        .iter()
        .map(|peer| (&*peer.address, peer.port))
        .collect()
}

fn has_program(workload: &Workload, path: &str) -> bool {
    workload.programs.iter().any(|program| program.path == path)
}

fn has_folder(workload: &Workload, path: &str) -> bool {
    workload.folders.iter().any(|folder| folder.path == path)
}

#[test]
fn what_a_container_does_is_its_own_and_what_the_host_does_is_the_hosts() {
    let Some(agent) = agent_with(&[], |builder| builder.rules(RULES)) else {
        return;
    };
    let cgroup = Cgroup::new("/e2e-inventory/e2e-web.service").unwrap();
    let status = cgroup
        .command("/bin/busybox".as_ref())
        .args(["echo", "x"])
        .status();
    assert!(status.unwrap().success());
    let container = Container::builder()
        .capability("CAP_NET_ADMIN")
        .run(&["/bin/sh", "-c", BUSY])
        .unwrap();
    let own = find(&agent, "the container's work", |workload| {
        workload.name == container.id() && has_folder(workload, "/srv") && !workload.peers.is_empty()
    });
    assert_eq!((&*own.r#type, &*own.kind), ("container", "container"));
    assert!(has_program(&own, "/bin/busybox"), "{own:#?}");
    assert_eq!(ports(&own), [("tcp", 8080)], "{own:#?}");
    assert_eq!(peers(&own), [("127.0.0.1", 8080)], "{own:#?}");
    assert_eq!(own.ports[0].program, "/bin/busybox");
    // Two were written, one of them went.
    let folder = own.folders.iter().find(|folder| folder.path == "/srv").unwrap();
    assert_eq!(folder.times.unwrap().count, 3, "{own:#?}");
    assert!(has_folder(&own, "/tmp") && has_folder(&own, "/"), "{own:#?}");
    let host = find(&agent, "the host's unit", |workload| {
        workload.name == "e2e-web.service"
    });
    assert_eq!((&*host.r#type, &*host.kind), ("host", "unit"));
    assert!(
        has_program(&host, "/bin/busybox") || has_program(&host, "/usr/bin/busybox"),
        "{host:#?}"
    );
    assert!(host.ports.is_empty() && !has_folder(&host, "/srv"), "{host:#?}");

    let table = printed(&agent.sensor, &["--name", container.id()]);
    for part in [container.id(), "8080/tcp", "127.0.0.1", "/srv", "/bin/busybox"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!table.contains("e2e-web.service"), "{table}");
    let json: Value = serde_json::from_str(&printed(&agent.sensor, &["--format", "json"])).unwrap();
    let told = json["workloads"].as_array().unwrap().iter();
    let told = told.filter(|workload| workload["name"] == container.id()).count();
    assert_eq!(told, 1, "{json}");
    let catalogue = printed(&agent.sensor, &["--format", "backstage", "--owner", "team-e2e"]);
    let entities: Vec<Value> = serde_saphyr::from_multiple(&catalogue).unwrap();
    let component = entities
        .iter()
        .find(|entity| entity["metadata"]["title"] == "unit e2e-web.service")
        .unwrap_or_else(|| panic!("{catalogue}"));
    assert_eq!(component["kind"], "Component");
    assert_eq!(component["spec"]["owner"], "team-e2e");
}

#[test]
fn docker_containers_of_one_name_and_image_are_one_workload() {
    let Some(agent) = agent(&[Kind::Docker]) else {
        return;
    };
    let engine = engine(Kind::Docker);
    for _ in 0..2 {
        engine
            .run_once("e2e-cart", &[IMAGE, "/bin/echo", "e2e-inventory"])
            .unwrap();
    }
    engine.run_once("e2e-other", &[IMAGE, "/bin/true"]).unwrap();
    let cart = find(&agent, "the cart", |workload| {
        let runs = workload
            .programs
            .iter()
            .find(|program| program.path == "/bin/busybox");
        workload.name == "e2e-cart" && runs.is_some_and(|program| program.times.unwrap().count == 2)
    });
    assert_eq!((&*cart.r#type, &*cart.kind), ("container", "container"));
    assert_eq!(cart.images, [IMAGE]);
    assert_eq!(cart.containers, ["e2e-cart"]);
    find(&agent, "the other", |workload| workload.name == "e2e-other");
}

#[test]
fn pods_get_a_policy_that_allows_what_was_seen() {
    if let Some(missing) = Cri::missing() {
        report::skip(missing);
        return;
    }
    let mut cri = None;
    let agent = agent_with(&[], |builder| {
        let started = cri.insert(Cri::start().unwrap());
        builder
            .rules(RULES)
            .set(format!("runtimes.cri=[{}]", started.socket().display()))
    });
    let (Some(cri), Some(agent)) = (cri, agent) else {
        return;
    };
    let pod = |number: u8| Pod {
        name: format!("web-{number}"),
        uid: format!("3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2d{number:02x}"),
        ..Pod::default()
    };
    let (server, client) = (pod(1), pod(2));
    let server = cri.run(&server).unwrap();
    let serve = ["/bin/sh", "-c", "nc -l -p 8080 </dev/null; exec sleep 1000"];
    server.start("app", &serve).unwrap();
    let address = server.address().unwrap();
    let client = cri.run(&client).unwrap();
    let call = format!("until nc {address} 8080 </dev/null; do :; done; exec sleep 1000");
    client.start("app", &["/bin/sh", "-c", &call]).unwrap();

    let web_1 = find(&agent, "the server", |workload| {
        workload.name == "web-1" && !workload.ports.is_empty() && !workload.labels.is_empty()
    });
    assert_eq!(
        (&*web_1.r#type, &*web_1.namespace, &*web_1.kind),
        ("kubernetes", "shop", "Pod")
    );
    assert_eq!(web_1.images, [IMAGE]);
    assert_eq!(ports(&web_1), [("tcp", 8080)]);
    let web_2 = find(&agent, "the client", |workload| {
        workload.name == "web-2" && !workload.peers.is_empty() && !workload.labels.is_empty()
    });
    assert_eq!(peers(&web_2), [(&*address, 8080)]);

    let text = printed(
        &agent.sensor,
        &["--format", "networkpolicy", "--namespace", "shop"],
    );
    let policies: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let of = |name: &str| {
        let mut of = policies
            .iter()
            .filter(|policy| policy["metadata"]["name"] == name);
        of.next().unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let policy = of("pod-web-1-seen");
    assert_eq!(policy["apiVersion"], "networking.k8s.io/v1");
    assert_eq!(policy["kind"], "NetworkPolicy");
    assert_eq!(policy["metadata"]["namespace"], "shop");
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"]["app"], "web");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(
        policy["spec"]["ingress"],
        json!([{ "ports": [{ "protocol": "TCP", "port": 8080 }] }])
    );
    let policy = of("pod-web-2-seen");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Egress"]));
    assert_eq!(
        policy["spec"]["egress"],
        json!([{
            "to": [{ "ipBlock": { "cidr": format!("{address}/32") } }],
            "ports": [{ "protocol": "TCP", "port": 8080 }],
        }])
    );
    assert!(text.contains("# - no DNS was seen"), "{text}");
}

#[test]
fn what_is_not_collected_is_named_and_bounds_are_counted() {
    let address = free_address().unwrap();
    // Only programs: the rule of these tests asks for nothing else.
    let agent = agent_with(&[], |builder| {
        builder
            .set("inventory.programs_max=1")
            .set(format!("metrics.address={address}"))
    });
    let Some(agent) = agent else { return };
    let container = Container::builder()
        .run(&[
            "/bin/sh",
            "-c",
            "cp /bin/busybox /tmp/other; /tmp/other true; exec sleep 1000",
        ])
        .unwrap();
    let own = find(&agent, "the container's work", |workload| {
        workload.name == container.id() && workload.others.is_some_and(|others| others.programs > 0)
    });
    assert_eq!(own.programs.len(), 1, "{own:#?}");
    assert!(
        own.ports.is_empty() && own.peers.is_empty() && own.folders.is_empty(),
        "{own:#?}"
    );
    let (summary, _) = agent.client.inventory().unwrap();
    let of = |aspect: &str| {
        let mut of = summary
            .coverage
            .iter()
            .filter(|coverage| coverage.aspect == aspect);
        of.next().unwrap_or_else(|| panic!("{summary:#?}"))
    };
    assert_ne!(of("programs").state(), State::None);
    for aspect in ["ports", "peers", "folders"] {
        assert_eq!(of(aspect).state(), State::None, "{summary:#?}");
        assert!(
            of(aspect).missing[0].contains("no loaded rule needs them"),
            "{summary:#?}"
        );
    }
    let table = printed(&agent.sensor, &[]);
    assert!(table.contains("not covered: folders: not collected"), "{table}");
    // Shown by the metrics at the pipeline's next tick.
    let counted = wait::until(DEADLINE, || {
        let samples = scrape(address).unwrap();
        let others = *samples.get("sensor_inventory_others_total")?;
        let workloads = *samples.get("sensor_table_entries{table=\"inventory\"}")?;
        (others >= 1.0 && workloads >= 1.0).then_some(())
    });
    assert!(counted.is_some(), "{:?}", scrape(address));
}

#[test]
fn an_inventory_that_is_not_kept_is_refused_with_the_way_out() {
    let Some(agent) = agent_with(&[], |builder| builder.set("inventory.enabled=false")) else {
        return;
    };
    let output = ask(&agent.sensor, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("inventory.enabled"), "{said}");
}
