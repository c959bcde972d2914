//! The watch against a server that answers as API servers were recorded to: lists, watches, bookmarks, 410 as a
//! status and as an event, throttling, silence, nonsense. A real server is asked in `tests/tests/kubernetes.rs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use super::*;
use crate::state::workload::feed::{self, FactReceiver};
use crate::state::workload::{Fact, PodFacts};

const DEADLINE: Duration = Duration::from_secs(20);

/// What the server answers to the next request.
#[derive(Clone)]
enum Reply {
    /// A status line's rest, further headers, a body.
    Whole(&'static str, &'static str, String),
    /// A watch that sends this and then stays open.
    Stream(String),
    /// Nothing at all.
    Silence,
}

fn pod(uid: &str, name: &str, version: u32, labels: &str) -> String {
    format!(
        r#"{{"kind":"Pod","metadata":{{"uid":"{uid}","name":"{name}","namespace":"shop","resourceVersion":"{version}","labels":{{{labels}}},
        "ownerReferences":[{{"kind":"ReplicaSet","name":"web-5d9c","uid":"rs","controller":true}}]}},"spec":{{"nodeName":"node-a"}}}}"#
    )
}

fn list(version: u32, pods: &[String]) -> Reply {
    let items = pods.join(",");
    let body = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"{version}"}},"items":[{items}]}}"#
    );
    Reply::Whole("200 OK", "", body)
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

/// A server that gives these answers to lists and watches, in this order, and one Deployment for each replica set.
struct Server {
    address: SocketAddr,
    asked: Receiver<String>,
}

impl Server {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = sync_channel(1024);
        let replies = Arc::new(std::sync::Mutex::new(VecDeque::from(replies)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tell, replies) = (tell.clone(), Arc::clone(&replies));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(path) = request(&mut reader) {
                        let reply = if path.contains("/replicasets/") {
                            let owner = r#"{"metadata":{"ownerReferences":[{"kind":"Deployment","name":"web","uid":"d","controller":true}]}}"#;
                            Reply::Whole("200 OK", "", owner.into())
                        } else {
                            replies.lock().unwrap().pop_front().unwrap_or(Reply::Silence)
                        };
                        let _ = tell.try_send(path);
                        answer(&stream, &reply);
                    }
                });
            }
        });
        Self { address, asked }
    }

    fn next(&self) -> String {
        loop {
            let path = self.asked.recv_timeout(DEADLINE).unwrap();
            if !path.contains("/replicasets/") {
                return path;
            }
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    Some(first.split(' ').nth(1)?.to_owned())
}

fn answer(mut stream: &TcpStream, reply: &Reply) {
    // The client may have gone: that is its business.
    let _ = match reply {
        Reply::Whole(status, headers, body) => write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        ),
        Reply::Stream(text) => write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n",
            text.len()
        ),
        Reply::Silence => Ok(()),
    };
}

struct Watched {
    kubernetes: Kubernetes,
    told: FactReceiver,
    metrics: KubernetesMetrics,
}

fn follow(server: &Server, pods_max: usize) -> Watched {
    let config = KubernetesConfig {
        api_server: Some(format!("http://{}", server.address)),
        ..KubernetesConfig::default()
    };
    let (facts, told) = feed::channel();
    let metrics = KubernetesMetrics::default();
    let kubernetes = start(&config, "node-a", pods_max, facts, &metrics)
        .unwrap()
        .unwrap();
    Watched {
        kubernetes,
        told,
        metrics,
    }
}

impl Watched {
    /// The next fact that fits.
    async fn find(&self, mut fits: impl FnMut(&Fact) -> bool) -> Fact {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            match self.told.next() {
                Some(fact) if fits(&fact) => return fact,
                Some(_) => {}
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        panic!("nothing was told: {:?}", self.kubernetes.health.degraded());
    }

    async fn pod(&self, mut fits: impl FnMut(&PodFacts) -> bool) -> Arc<PodFacts> {
        let fact = self
            .find(|fact| matches!(fact, Fact::Pod(pod) if fits(pod)))
            .await;
        let Fact::Pod(pod) = fact else { unreachable!() };
        pod
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_listed_watched_and_completed_by_their_deployment() {
    let changed = event("MODIFIED", &pod("1", "web-1", 12, r#""app":"two""#));
    let bookmark = event("BOOKMARK", r#"{"metadata":{"resourceVersion":"99"}}"#);
    let server = Server::start(vec![
        list(10, &[pod("1", "web-1", 7, r#""app":"one""#)]),
        Reply::Stream(format!("{changed}{bookmark}")),
    ]);
    let watched = follow(&server, 100);
    let whole = watched
        .pod(|pod| {
            pod.owners.last().is_some_and(|owner| &*owner.uid == "d")
                && pod.labels.values().any(|value| &**value == "two")
        })
        .await;
    let owners: Vec<_> = whole.owners.iter().map(|owner| &*owner.name).collect();
    assert_eq!(owners, ["web-5d9c", "web"]);
    let listed = server.next();
    assert!(
        listed.contains("fieldSelector=spec.nodeName%3Dnode-a") && listed.contains("resourceVersion=0"),
        "{listed}"
    );
    let watch = server.next();
    assert!(
        watch.contains("resourceVersion=10&") || watch.ends_with("resourceVersion=10"),
        "{watch}"
    );
    assert!(watch.contains("allowWatchBookmarks=true"), "{watch}");
    assert_eq!(watched.kubernetes.health.degraded(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_too_old_means_a_new_list_and_its_difference() {
    let expired =
        r#"{"kind":"Status","message":"too old resource version: 10 (50)","reason":"Expired","code":410}"#;
    for gone in [
        Reply::Stream(event("ERROR", expired)),
        Reply::Whole("410 Gone", "", expired.to_owned()),
    ] {
        let server = Server::start(vec![
            list(10, &[pod("1", "web", 7, "")]),
            gone,
            // Made anew under the same name.
            list(60, &[pod("2", "web", 55, "")]),
            Reply::Stream(String::new()),
        ]);
        let watched = follow(&server, 100);
        assert_eq!(&*watched.pod(|_| true).await.uid, "1");
        assert_eq!(&*watched.pod(|pod| &*pod.uid != "1").await.uid, "2");
        let paths: Vec<_> = (0..4).map(|_| server.next()).collect();
        assert!(paths[1].contains("watch=true"), "{paths:?}");
        assert!(!paths[2].contains("resourceVersion"), "{paths:?}");
        assert!(paths[3].contains("resourceVersion=60"), "{paths:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_wrong_is_counted_and_takes_nothing_away() {
    let server = Server::start(vec![
        Reply::Whole("429 Too Many Requests", "retry-after: 0\r\n", "{}".into()),
        Reply::Whole("403 Forbidden", "", "{}".into()),
        Reply::Whole("200 OK", "", "[]".into()),
        Reply::Whole(
            "200 OK",
            "",
            r#"{"metadata":{"resourceVersion":"1"},"items":[7,{}]}"#.into(),
        ),
        Reply::Whole("500 Internal Server Error", "", "{}".into()),
        Reply::Stream(format!("{}not json\n", event("ADDED", &pod("1", "web", 2, "")))),
    ]);
    let watched = follow(&server, 100);
    assert_eq!(&*watched.pod(|_| true).await.uid, "1");
    for cause in ["throttled", "forbidden", "malformed", "status"] {
        assert!(watched.metrics.failures(cause) > 0, "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_pods_are_read_and_no_more_than_allowed_are_kept() {
    let pods: Vec<_> = (0..10_000)
        .map(|number| pod(&number.to_string(), &format!("web-{number}"), number, ""))
        .collect();
    let server = Server::start(vec![list(1, &pods), Reply::Stream(String::new())]);
    let watched = follow(&server, 250);
    let mut told = std::collections::HashSet::new();
    watched
        .find(|fact| {
            if let Fact::Pod(pod) = fact {
                told.insert(pod.uid.clone());
            }
            told.len() == 250
        })
        .await;
    let end = Instant::now() + DEADLINE;
    while watched.metrics.failures("table_full") < 9_750 {
        assert!(Instant::now() < end, "{}", watched.metrics.failures("table_full"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_silent_is_told_by_status() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let absent = Server {
        address,
        asked: sync_channel(1).1,
    };
    let watched = follow(&absent, 10);
    let end = Instant::now() + DEADLINE;
    while watched.metrics.failures("connect") == 0 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = watched.kubernetes.health.degraded().unwrap();
    assert!(said.contains("cannot connect to the API server"), "{said}");
    let silent = Server::start(vec![Reply::Silence]);
    let watched = follow(&silent, 10);
    silent.next();
    assert!(
        watched
            .kubernetes
            .health
            .degraded()
            .unwrap()
            .contains("has not answered yet")
    );
}

#[test]
fn the_server_is_found() {
    let account = tempfile::tempdir().unwrap();
    let nowhere = account.path().join("none");
    std::fs::write(account.path().join("token"), "t").unwrap();
    let inside = |name: &'static str| {
        Some(match name {
            "KUBERNETES_SERVICE_HOST" => "fd00::1".to_owned(),
            _ => "6443".to_owned(),
        })
    };
    let outside = |_: &'static str| None;
    let with = |enabled, api_server: Option<&str>| KubernetesConfig {
        enabled,
        api_server: api_server.map(str::to_owned),
        ..KubernetesConfig::default()
    };
    let found = server(&with(None, None), inside, account.path())
        .unwrap()
        .unwrap();
    assert_eq!((found.is_tls, &*found.host, found.port), (true, "fd00::1", 6443));
    assert_eq!(
        (found.token_file, found.ca_file),
        (Some(account.path().join("token")), None)
    );
    assert_eq!(server(&with(None, None), inside, &nowhere).unwrap(), None);
    assert_eq!(server(&with(None, None), outside, account.path()).unwrap(), None);
    assert_eq!(
        server(&with(Some(false), None), inside, account.path()).unwrap(),
        None
    );
    assert!(matches!(
        server(&with(Some(true), None), outside, account.path()),
        Err(KubernetesError::NoServer)
    ));
    for (address, expected) in [
        ("https://10.0.0.1", Some((true, "10.0.0.1", 443))),
        ("https://api.example:6443/", Some((true, "api.example", 6443))),
        ("https://[::1]:1", Some((true, "::1", 1))),
        ("http://localhost:8001", Some((false, "localhost", 8001))),
        ("localhost:8001", None),
        ("ftp://x", None),
        ("https://", None),
        ("https://a@b", None),
        ("https://a/b", None),
    ] {
        let found = parse_server(address).ok();
        let found = found
            .as_ref()
            .map(|found| (found.is_tls, &*found.host, found.port));
        assert_eq!(found, expected, "{address}");
    }
}
