//! Every way into a container and out of it, by the namespaces and cgroups that the kernel reports.

use super::*;

const HOST: u32 = 1;
const OURS: u32 = 100;
const OTHERS: u32 = 200;
const FOREIGN: u32 = 300;

fn container(id: &str) -> Arc<Container> {
    Arc::new(Container {
        id: id.into(),
        ..Container::default()
    })
}

fn inner(id: &str, outer: &str) -> Arc<Container> {
    Arc::new(Container {
        id: id.into(),
        outer: Some(outer.into()),
        ..Container::default()
    })
}

fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        tgid: pid,
        start_time_ns: u64::from(pid),
    }
}

/// Containers `ours` and `others` run, each with its own namespaces.
fn residences() -> Residences {
    let mut residences = Residences::new(8);
    residences.set_host_mount_ns(HOST);
    for (id, pid, ns) in [("ours", 10, OURS), ("others", 20, OTHERS)] {
        let named = container(id);
        let settled = residences.settle(&Arrival {
            key: key(pid),
            before: Before::Host {
                starter_mount_ns: HOST,
            },
            cgroup: Some(&named),
            mount_ns: ns,
            pid_ns: ns,
            vpid: 1,
            is_verified: false,
        });
        assert!(settled.is_first);
    }
    residences
}

struct Case {
    name: &'static str,
    before: Option<&'static str>,
    cgroup: Option<Arc<Container>>,
    mount_ns: u32,
    pid_ns: u32,
    is_verified: bool,
    expected: Option<&'static str>,
    entry: Option<Entry>,
    has_moved: bool,
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn lineage_and_namespaces_have_the_word_before_the_cgroup() {
    let case = |name, before, cgroup, (mount_ns, pid_ns), expected, has_moved| Case {
        name,
        before,
        cgroup,
        mount_ns,
        pid_ns,
        is_verified: false,
        expected,
        entry: None,
        has_moved,
    };
    let entered = |case: Case, entry| Case {
        entry: Some(entry),
        ..case
    };
    let verified = |case: Case| Case {
        is_verified: true,
        ..case
    };
    let named = |id| Some(container(id));
    let cases = [
        case("a host process stays one", None, None, (HOST, HOST), None, false),
        case(
            "it moves into a container's cgroup",
            None,
            named("ours"),
            (HOST, HOST),
            None,
            true,
        ),
        case(
            "and brings a mount namespace",
            None,
            named("ours"),
            (FOREIGN, HOST),
            None,
            true,
        ),
        case(
            "a new container",
            None,
            named("new"),
            (FOREIGN, FOREIGN),
            Some("new"),
            false,
        ),
        entered(
            case(
                "docker exec",
                None,
                named("ours"),
                (OURS, OURS),
                Some("ours"),
                false,
            ),
            Entry::Exec,
        ),
        entered(
            case("nsenter", None, None, (OURS, OURS), Some("ours"), false),
            Entry::Nsenter,
        ),
        entered(
            case(
                "nsenter of pids, in the cgroup",
                None,
                named("ours"),
                (FOREIGN, OURS),
                Some("ours"),
                false,
            ),
            Entry::Exec,
        ),
        case(
            "a child",
            Some("ours"),
            named("ours"),
            (OURS, OURS),
            Some("ours"),
            false,
        ),
        case(
            "it leaves for the root cgroup",
            Some("ours"),
            None,
            (OURS, OURS),
            Some("ours"),
            true,
        ),
        case(
            "for another container's",
            Some("ours"),
            named("others"),
            (OURS, OURS),
            Some("ours"),
            true,
        ),
        case(
            "with the other's namespaces",
            Some("ours"),
            named("others"),
            (OTHERS, OTHERS),
            Some("ours"),
            true,
        ),
        case(
            "for a made-up one",
            Some("ours"),
            named("made-up"),
            (FOREIGN, FOREIGN),
            Some("ours"),
            true,
        ),
        case(
            "it joins the host's namespaces",
            Some("ours"),
            None,
            (HOST, HOST),
            Some("ours"),
            true,
        ),
        case(
            "a name made up in its own folder",
            Some("ours"),
            Some(inner("made-up", "ours")),
            (OURS, OURS),
            Some("ours"),
            false,
        ),
        case(
            "a container within it",
            Some("ours"),
            Some(inner("nested", "ours")),
            (FOREIGN, FOREIGN),
            Some("nested"),
            false,
        ),
        verified(case(
            "a runtime that is a container itself",
            Some("ours"),
            named("new"),
            (FOREIGN, FOREIGN),
            Some("new"),
            false,
        )),
        case(
            "nothing is known of namespaces",
            None,
            named("new"),
            (0, 0),
            Some("new"),
            false,
        ),
    ];
    for case in cases {
        let mut residences = residences();
        let home = case.before.map(container);
        let settled = residences.settle(&Arrival {
            key: key(30),
            before: home.as_ref().map_or(
                Before::Host {
                    starter_mount_ns: HOST,
                },
                Before::In,
            ),
            cgroup: case.cgroup.as_ref(),
            mount_ns: case.mount_ns,
            pid_ns: case.pid_ns,
            vpid: 1,
            is_verified: case.is_verified,
        });
        let found = settled.container.as_deref();
        assert_eq!(found.map(|found| &*found.id), case.expected, "{}", case.name);
        assert_eq!(settled.entry, case.entry, "{}", case.name);
        let moved = has_moved(found, case.cgroup.as_deref(), settled.entry, None);
        assert_eq!(moved, case.has_moved, "{}", case.name);
    }
}

#[test]
fn a_container_that_is_started_again_is_a_new_one() {
    let mut residences = residences();
    let named = container("ours");
    residences.exit(&named, key(11));
    assert!(
        !residences.get("ours").unwrap().has_ended,
        "only its first process ends it"
    );
    residences.exit(&named, key(10));
    assert!(residences.get("ours").unwrap().has_ended);
    let again = residences.settle(&Arrival {
        key: key(40),
        before: Before::Host {
            starter_mount_ns: HOST,
        },
        cgroup: Some(&named),
        mount_ns: FOREIGN,
        pid_ns: FOREIGN,
        vpid: 1,
        is_verified: false,
    });
    assert!(again.is_first && again.entry.is_none());
    assert_eq!(residences.get("ours").unwrap().started_ns, 40);
}

#[test]
fn the_inode_number_of_a_namespace_may_be_used_again() {
    let mut residences = residences();
    residences.exit(&container("ours"), key(10));
    let named = container("later");
    let settled = residences.settle(&Arrival {
        key: key(50),
        before: Before::Host {
            starter_mount_ns: HOST,
        },
        cgroup: Some(&named),
        mount_ns: OURS,
        pid_ns: OURS,
        vpid: 1,
        is_verified: false,
    });
    assert_eq!(&*settled.container.unwrap().id, "later");
}

#[test]
fn a_full_table_forgets_who_ended_and_never_who_runs() {
    let mut residences = residences();
    let arrive = |residences: &mut Residences, number: u32| {
        let named = container(&format!("c{number}"));
        let settled = residences.settle(&Arrival {
            key: key(number),
            before: Before::Host {
                starter_mount_ns: HOST,
            },
            cgroup: Some(&named),
            mount_ns: number,
            pid_ns: number,
            vpid: 1,
            is_verified: false,
        });
        assert_eq!(
            *settled.container.unwrap().id,
            *named.id,
            "it is told by its cgroup all the same"
        );
    };
    for number in 1000..1100 {
        arrive(&mut residences, number);
        assert!(residences.len() <= 8);
    }
    assert!(residences.get("ours").is_some());
    residences.exit(&container("ours"), key(10));
    arrive(&mut residences, 2000);
    assert!(residences.get("ours").is_none() && residences.get("c2000").is_some());
}

#[test]
fn a_runtimes_helper_on_its_way_has_not_moved() {
    let call = RuntimeCall {
        makes: None,
        pids: [1, 1],
        uid: 0,
    };
    let named = container("ours");
    assert!(!has_moved(None, Some(&named), None, Some(&call)));
    assert!(has_moved(None, Some(&named), None, None));
}
