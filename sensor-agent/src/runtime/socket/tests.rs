//! Sockets against servers that do as no runtime should: they hang, lie, talk without end, are gone. Real runtimes are
//! asked in `tests/tests/containers`.

mod fault;

use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;

use self::fault::{CriFault, Mode, Server};
use super::*;
use crate::state::workload::feed::{self, FactReceiver};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const DEADLINE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(300);

struct Asked {
    sockets: Sockets,
    told: FactReceiver,
    metrics: RuntimeMetrics,
    all: Vec<Socket>,
}

fn socket(dialect: Dialect, path: &Path) -> Socket {
    Socket {
        dialect,
        path: path.to_owned(),
        root: Path::new("/"),
    }
}

fn start(all: &[Socket]) -> Asked {
    let (facts, told) = feed::channel();
    let metrics = RuntimeMetrics::default();
    let sockets =
        Sockets::start_with(all.to_vec(), TIMEOUT, Duration::from_secs(5), &facts, &metrics).unwrap();
    Asked {
        sockets,
        told,
        metrics,
        all: all.to_vec(),
    }
}

fn named(id: &str, runtime: &'static str) -> Arc<Container> {
    Arc::new(Container {
        id: id.into(),
        runtime,
        pod_uid: (runtime == "containerd").then(|| "3a41d0c5-3f8b-4c3c-9f39-6f8e4a1b2c3d".into()),
        ..Container::default()
    })
}

impl Asked {
    /// Asks as the files' thread does; what the state is told at once.
    fn ask(&self, container: &Arc<Container>) -> Progress {
        let mut facts = ContainerFacts {
            id: container.id.clone(),
            progress: Progress::Done,
            ..ContainerFacts::default()
        };
        let question = self.sockets.question(container, &mut facts).unwrap();
        if let Err(fact) = self.sockets.ask(question) {
            assert!(matches!(fact, Fact::Missing(_, Some(task::QUEUE_FULL))));
        }
        facts.progress
    }

    fn next(&self) -> Fact {
        let since = Instant::now();
        loop {
            if let Some(fact) = self.told.next() {
                return fact;
            }
            assert!(since.elapsed() < DEADLINE, "no fact came");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn told(&self) -> Arc<ContainerFacts> {
        match self.next() {
            Fact::Told(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn missing(&self) -> Option<&'static str> {
        match self.next() {
            Fact::Missing(id, why) => {
                assert_eq!(*id, *ID);
                why
            }
            other => panic!("{other:?}"),
        }
    }

    fn degraded(&self) -> Option<String> {
        self.sockets.health()[0].degraded()
    }
}

#[test]
fn docker_and_podman_tell_labels_mounts_and_digests() {
    for (dialect, runtime) in [(Dialect::Docker, "docker"), (Dialect::Podman, "podman")] {
        let server = Server::start(&[Mode::Answers]);
        let asked = start(&[socket(dialect, &server.path)]);
        assert_eq!(asked.ask(&named(ID, runtime)), Progress::Asked);
        let facts = asked.told();
        assert_eq!((facts.runtime, facts.name.as_deref()), (runtime, Some("web")));
        assert_eq!(&*facts.labels["team"], "shop");
        assert_eq!(facts.image.digest.as_deref(), Some("sha256:d1"));
        assert_eq!((facts.is_privileged, facts.is_verified), (Some(true), true));
        assert_eq!(&*facts.mounts[0].destination, "/data");
        assert_eq!(&*facts.ports[0], "8080:80/tcp");
        assert_eq!(asked.metrics.outcomes(&asked.all[0], "answered"), 1);
        assert_eq!(asked.degraded(), None);
        assert_eq!(hello(&asked.all[0], TIMEOUT).unwrap(), format!("{runtime} 20.10"));
    }
}

/// Each fault is counted by its cause, said in the status, and gives the container up at once.
#[test]
fn a_socket_that_fails_is_said_counted_and_left_alone() {
    let cases = [
        (Mode::Hangs, "timeout", "does not answer within 300 ms"),
        (Mode::Closes, "broken", "broke"),
        (Mode::Nonsense, "malformed", "not understood"),
        (Mode::NoJson, "malformed", "not understood"),
        (Mode::OtherContainer, "other_container", "another container"),
        (Mode::Huge, "too_long", "longer than"),
        (Mode::EndlessHeaders, "malformed", "not understood"),
        (Mode::Status500, "refused", "500"),
    ];
    for (mode, cause, words) in cases {
        let server = Server::start(&[mode]);
        let asked = start(&[socket(Dialect::Docker, &server.path)]);
        asked.ask(&named(ID, "docker"));
        assert_eq!(asked.missing(), Some(task::DOWN), "{mode:?}");
        assert_eq!(
            asked.metrics.failures(&asked.all[0], cause),
            1,
            "{mode:?}: {:?}",
            asked.degraded()
        );
        let said = asked.degraded().unwrap();
        assert!(said.contains(words), "{mode:?}: {said}");
        // Doctor says the same of a socket that greets as badly.
        let doctor = hello(&asked.all[0], TIMEOUT);
        if !matches!(mode, Mode::OtherContainer) {
            assert!(doctor.is_err(), "{mode:?}: {doctor:?}");
        }
    }
}

/// An answer without an end is cut off by its length or by the time, whichever comes first.
#[test]
fn an_endless_answer_has_an_end() {
    let server = Server::start(&[Mode::Endless]);
    let asked = start(&[socket(Dialect::Docker, &server.path)]);
    asked.ask(&named(ID, "docker"));
    assert_eq!(asked.missing(), Some(task::DOWN));
    let failures = |cause| asked.metrics.failures(&asked.all[0], cause);
    assert_eq!(failures("too_long") + failures("timeout"), 1);
}

/// While the server still holds its first question, a hundred others have been given up.
#[test]
fn nobody_waits_for_a_socket_that_hangs() {
    let server = Server::start(&[Mode::Hangs]);
    let asked = start(&[socket(Dialect::Docker, &server.path)]);
    asked.ask(&named(ID, "docker"));
    assert_eq!(asked.missing(), Some(task::DOWN));
    for _ in 0..100 {
        // Nothing holds back events of these containers either: word comes at once.
        asked.ask(&named(ID, "docker"));
        assert_eq!(asked.missing(), Some(task::DOWN));
    }
    assert_eq!(server.answered(), 0);
    assert_eq!(asked.metrics.outcomes(&asked.all[0], "down"), 100);
}

#[test]
fn a_full_queue_is_counted_and_gives_up_at_once() {
    let server = Server::start(&[Mode::Hangs]);
    let asked = start(&[socket(Dialect::Docker, &server.path)]);
    for _ in 0..2 * QUEUE_MAX {
        asked.ask(&named(ID, "docker"));
    }
    assert!(asked.metrics.outcomes(&asked.all[0], "queue_full") >= 100);
}

#[test]
fn a_socket_that_answers_again_is_asked_what_it_owes() {
    let server = Server::start(&[Mode::Hangs, Mode::Answers]);
    let asked = start(&[socket(Dialect::Docker, &server.path)]);
    asked.ask(&named(ID, "docker"));
    assert_eq!(asked.missing(), Some(task::DOWN));
    // Nobody asks again; the answer comes by itself.
    assert_eq!(&*asked.told().labels["team"], "shop");
    assert_eq!(asked.degraded(), None);
}

/// A runtime that ends while its connection is open is found out by the next question, which is put again.
#[test]
fn a_runtime_that_has_started_anew_is_asked_over_a_new_connection() {
    let server = Server::start(&[Mode::AnswersOnce, Mode::Answers]);
    let asked = start(&[socket(Dialect::Docker, &server.path)]);
    for _ in 0..3 {
        asked.ask(&named(ID, "docker"));
        assert_eq!(&*asked.told().labels["team"], "shop");
    }
    assert_eq!(asked.degraded(), None);
}

#[test]
fn slow_answers_come_and_events_do_not_wait_for_the_next() {
    let server = Server::start(&[Mode::After(Duration::from_millis(100))]);
    let (facts, told) = feed::channel();
    let metrics = RuntimeMetrics::default();
    let all = vec![socket(Dialect::Docker, &server.path)];
    // Events wait for 20 ms.
    let sockets =
        Sockets::start_with(all.clone(), DEADLINE, Duration::from_millis(20), &facts, &metrics).unwrap();
    let asked = Asked {
        sockets,
        told,
        metrics,
        all,
    };
    assert_eq!(asked.ask(&named(ID, "docker")), Progress::Asked);
    asked.told();
    assert_eq!(
        asked.ask(&named(ID, "docker")),
        Progress::Files,
        "known to be slow"
    );
    asked.told();
}

#[test]
fn a_socket_that_is_not_there_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let asked = start(&[socket(Dialect::Docker, &folder.path().join("none"))]);
    for _ in 0..2 {
        asked.ask(&named(ID, "docker"));
        assert_eq!(asked.missing(), None);
    }
    assert_eq!(asked.degraded(), None);
    assert_eq!(hello(&asked.all[0], TIMEOUT), Err(None));
    // The file of one that has ended is told from that.
    let server = Server::start(&[Mode::Answers]);
    let path = server.end();
    let asked = start(&[socket(Dialect::Docker, &path)]);
    asked.ask(&named(ID, "docker"));
    assert_eq!(asked.missing(), Some(task::DOWN));
    assert_eq!(asked.metrics.failures(&asked.all[0], "connect"), 1);
}

#[test]
fn who_does_not_know_a_container_hands_the_question_on() {
    let servers = [Server::start(&[Mode::Unknown]), Server::start(&[Mode::Answers])];
    let asked = start(&[
        socket(Dialect::Docker, &servers[0].path),
        socket(Dialect::Podman, &servers[1].path),
    ]);
    // Whose it is, neither files nor the cgroup have told.
    asked.ask(&named(ID, ""));
    assert_eq!(asked.told().runtime, "podman");
    assert_eq!(asked.metrics.outcomes(&asked.all[0], "unknown"), 1);
    let asked = start(&[socket(Dialect::Docker, &servers[0].path)]);
    asked.ask(&named(ID, "docker"));
    assert_eq!(asked.missing(), None, "no fault: it is just not Docker's");
}

#[test]
fn cri_tells_labels_image_and_pod_in_both_versions() {
    for version in ["v1", "v1alpha2"] {
        let server = fault::Cri::start(version, CriFault::None);
        let asked = start(&[socket(Dialect::Cri, &server.path)]);
        asked.ask(&named(ID, "containerd"));
        let facts = asked.told();
        assert_eq!(facts.name.as_deref(), Some("app"));
        assert_eq!(&*facts.labels["team"], "shop");
        assert_eq!(facts.image.reference.as_deref(), Some("registry.test/app:1"));
        assert_eq!(
            (facts.image.id.as_deref(), facts.image.digest.as_deref()),
            (Some("beef"), Some("sha256:d1"))
        );
        let pod = facts.pod.as_ref().unwrap();
        assert_eq!(
            (pod.name.as_deref(), pod.uid.as_deref()),
            (Some("web-0"), Some("u-1"))
        );
        assert_eq!(pod.sandbox_id.as_deref(), Some(OTHER));
        assert_eq!(&*facts.pod_labels["app"], "web");
        assert_eq!(facts.ip.unwrap().to_string(), "10.1.2.3");
        assert_eq!(
            (facts.has_host_network, facts.has_host_pid),
            (Some(true), Some(false))
        );
        assert_eq!(facts.is_privileged, Some(true));
        assert_eq!(&*facts.mounts[0].propagation, "rslave");
        let who = hello(&asked.all[0], TIMEOUT).unwrap();
        assert_eq!(who, format!("fault server 0 over runtime.{version}"));
        // A pod's own container is known as a pod only.
        asked.ask(&named(OTHER, "containerd"));
        let facts = asked.told();
        assert!(facts.is_sandbox && facts.pod.is_some());
    }
}

#[test]
fn cri_that_fails_is_said_counted_and_left_alone() {
    let cases = [
        (CriFault::OtherContainer, "other_container"),
        (CriFault::Huge, "too_long"),
        (CriFault::Hangs, "timeout"),
        (CriFault::Refuses, "refused"),
    ];
    for (fault, cause) in cases {
        let server = fault::Cri::start("v1", fault);
        let asked = start(&[socket(Dialect::Cri, &server.path)]);
        asked.ask(&named(ID, "containerd"));
        assert_eq!(asked.missing(), Some(task::DOWN), "{fault:?}");
        assert_eq!(
            asked.metrics.failures(&asked.all[0], cause),
            1,
            "{fault:?}: {:?}",
            asked.degraded()
        );
    }
    // What speaks no HTTP/2 at all.
    for mode in [Mode::Nonsense, Mode::Hangs, Mode::Closes, Mode::Endless] {
        let server = Server::start(&[mode]);
        let asked = start(&[socket(Dialect::Cri, &server.path)]);
        asked.ask(&named(ID, "containerd"));
        assert_eq!(asked.missing(), Some(task::DOWN), "{mode:?}");
        assert!(asked.degraded().is_some(), "{mode:?}");
    }
}

proptest! {
    #[test]
    fn any_answer_has_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::answer(&bytes);
    }

    #[test]
    fn any_json_is_facts_or_a_fault(text in "[a-z/:@*\n]{0,12}", number in any::<i64>()) {
        for value in [json!(text), json!(number), json!([text]), json!({"team": text, "x": number}), json!(null)] {
            let answer = json!({"Id": ID, "Name": value, "Config": {"Labels": value, "Image": value}, "Image": value,
                "Mounts": value, "HostConfig": value, "NetworkSettings": {"Networks": value}});
            let mut facts = ContainerFacts { id: ID.into(), ..ContainerFacts::default() };
            engine::add_container(&answer, &mut facts).unwrap();
            engine::add_image(&json!({"Id": value, "RepoDigests": value}), &mut facts);
        }
    }
}
