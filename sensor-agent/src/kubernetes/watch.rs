//! Follows the pods of this node: one list, then a watch from the list's version on.
//!
//! The server ends each watch after some minutes, and it goes on from the last version seen. A version
//! that is too old (410) means a new list, whose difference to what is known is told. Until then what is
//! known stays: a server that cannot be reached takes no name away.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::mpsc;

use super::api::{self, ApiError, Connection, Server};
use super::owner::{Answer, Owners, Question};
use super::parse::{self, ListEnvelope, Seen, WatchEvent};
use super::split::{Shape, Splitter};
use super::{Health, Settings, escape};
use crate::metrics::KubernetesMetrics;
use crate::state::workload::feed::FactSender;
use crate::state::workload::{Fact, PodFacts};

/// Asked of the server: how long a watch may last.
const WATCH_SECONDS: u32 = 290;
/// Longest silence of a watch. Bookmarks come about once a minute, but old servers send none.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// Pods a page of a list, where the server makes pages.
const PAGE_PODS: u32 = 500;
/// Pages of one list.
const PAGES_MAX: u32 = 1000;
/// Wait after a failure; doubled by each further one.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_mins(1);
/// A watch that lasted this long was a good one.
const GOOD_WATCH: Duration = Duration::from_secs(10);
/// Least time between two log lines about failures.
const LOG_PAUSE: Duration = Duration::from_mins(1);
/// How long a pod that was deleted is remembered, for events that come late.
const GONE_KEEP: Duration = Duration::from_mins(1);
/// How often that is looked at.
const FAREWELL_PAUSE: Duration = Duration::from_secs(1);
/// Only JSON: protobuf would be shorter, and need the whole schema.
const JSON: &str = "application/json";

/// The watch and what it knows.
pub(super) struct Watcher {
    pub(super) server: Arc<Server>,
    pub(super) settings: Settings,
    pub(super) facts: FactSender,
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) answers: mpsc::Receiver<Answer>,
    pub(super) metrics: KubernetesMetrics,
    pub(super) health: Arc<Health>,
    /// By the API's uid.
    pub(super) known: HashMap<Box<str>, Arc<PodFacts>>,
    /// Pods that were deleted, by the uid of their cgroup, and when.
    pub(super) departed: VecDeque<(Instant, Box<str>)>,
    pub(super) owners: Owners,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    /// List, from the server's memory: it need not ask etcd.
    Memory,
    /// List what is true now: what the server remembers may be what was too old.
    Newest,
    /// Watch from this version.
    Version(Box<str>),
}

impl Watcher {
    /// Follows the pods until the task is ended.
    pub(super) async fn run(mut self) {
        let mut from = From::Memory;
        let mut failures = 0_u32;
        let mut logged: Option<Instant> = None;
        loop {
            let started = Instant::now();
            let ended = self.round(&mut from).await;
            if started.elapsed() >= GOOD_WATCH {
                failures = 0;
            }
            let retry_after = match ended {
                // The server ended the watch, as asked.
                Ok(()) if started.elapsed() >= GOOD_WATCH => continue,
                Ok(()) => None,
                Err(error) => {
                    self.metrics.failed(error.cause());
                    if error.is_gone() {
                        from = From::Newest;
                    } else {
                        self.health.fails(error.to_string());
                        if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
                            tracing::warn!(%error, "pods are not followed; what is known of them stays");
                            logged = Some(Instant::now());
                        }
                    }
                    error.retry_after()
                }
            };
            let pause = back_off(failures, crate::clock::boot_ns());
            failures = failures.saturating_add(1);
            tokio::time::sleep(retry_after.unwrap_or(pause)).await;
        }
    }

    /// One connection: a list where one is due, and a watch.
    async fn round(&mut self, from: &mut From) -> Result<(), ApiError> {
        let mut connection = self.server.connect().await?;
        let version = match from {
            From::Version(version) => version.clone(),
            From::Memory | From::Newest => {
                let version = self.list(&mut connection, *from == From::Memory).await?;
                *from = From::Version(version.clone());
                version
            }
        };
        self.watch(&mut connection, version, from).await
    }

    fn path(&self) -> String {
        format!(
            "/api/v1/pods?fieldSelector=spec.nodeName%3D{}",
            escape(&self.settings.node)
        )
    }

    /// Lists the pods and tells how they differ from what is known. Returns the list's version.
    async fn list(&mut self, connection: &mut Connection, from_memory: bool) -> Result<Box<str>, ApiError> {
        let base = format!("{}&limit={PAGE_PODS}", self.path());
        let mut path = if from_memory {
            format!("{base}&resourceVersion=0")
        } else {
            base.clone()
        };
        let mut present = HashSet::new();
        for _ in 0..PAGES_MAX {
            let envelope = self.page(connection, &path, &mut present).await?;
            let metadata = envelope.metadata;
            if metadata.continue_at.is_empty() {
                self.forget_all_but(&present).await;
                self.metrics.listed();
                return Ok(metadata.resource_version);
            }
            path = format!("{base}&continue={}", escape(&metadata.continue_at));
        }
        Err(ApiError::Malformed("the list has no end".into()))
    }

    async fn page(
        &mut self,
        connection: &mut Connection,
        path: &str,
        present: &mut HashSet<Box<str>>,
    ) -> Result<ListEnvelope, ApiError> {
        let mut body = connection.get(path, JSON).await?.into_body();
        let mut splitter = Splitter::new(Shape::List);
        while let Some(piece) = api::next(&mut body, api::ANSWER_TIMEOUT).await? {
            let mut found = Vec::new();
            let mut malformed = 0;
            splitter
                .feed(&piece, |item| match parse::pod(item) {
                    Ok(seen) => found.push(seen),
                    Err(_) => malformed += 1,
                })
                .map_err(|error| ApiError::Malformed(error.to_string()))?;
            self.metrics.malformed(malformed);
            for seen in found {
                if present.len() < self.settings.pods_max {
                    present.insert(seen.uid.clone());
                }
                self.is(seen).await;
            }
        }
        self.metrics.malformed(splitter.skipped);
        serde_json::from_slice(splitter.envelope()).map_err(|error| ApiError::Malformed(error.to_string()))
    }

    /// Tells of each pod that is known and not on the list that it is gone.
    async fn forget_all_but(&mut self, present: &HashSet<Box<str>>) {
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|uid| !present.contains(*uid))
            .cloned()
            .collect();
        for uid in gone {
            self.gone(uid).await;
        }
    }

    /// Watches until the server ends it.
    async fn watch(
        &mut self,
        connection: &mut Connection,
        version: Box<str>,
        from: &mut From,
    ) -> Result<(), ApiError> {
        let path = format!(
            "{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            self.path(),
            escape(&version)
        );
        let mut body = connection.get(&path, JSON).await?.into_body();
        self.health.works();
        let mut splitter = Splitter::new(Shape::Stream);
        let mut skipped = 0;
        loop {
            let piece = tokio::select! {
                Some(answer) = self.answers.recv() => {
                    self.answered(answer).await;
                    continue;
                }
                () = tokio::time::sleep(FAREWELL_PAUSE), if !self.departed.is_empty() => {
                    self.say_farewell().await;
                    continue;
                }
                piece = api::next(&mut body, SILENCE_MAX) => piece?,
            };
            let Some(piece) = piece else { return Ok(()) };
            let mut events = Vec::new();
            let mut malformed = 0;
            let fed = splitter.feed(&piece, |item| match parse::watch_event(item) {
                Ok(event) => events.push(event),
                Err(_) => malformed += 1,
            });
            self.metrics.malformed(malformed + splitter.skipped - skipped);
            skipped = splitter.skipped;
            for event in events {
                let version = self.take(event).await?;
                if !version.is_empty() {
                    *from = From::Version(version);
                }
            }
            // What came before the nonsense counts.
            fed.map_err(|error| ApiError::Malformed(error.to_string()))?;
        }
    }

    /// Takes in an event of the watch. Returns the version to go on from.
    async fn take(&mut self, event: WatchEvent) -> Result<Box<str>, ApiError> {
        self.metrics.watched();
        match event {
            WatchEvent::Is(seen) => {
                let version = seen.resource_version.clone();
                self.is(seen).await;
                Ok(version)
            }
            WatchEvent::Gone {
                uid,
                resource_version,
            } => {
                self.gone(uid).await;
                Ok(resource_version)
            }
            WatchEvent::Bookmark { resource_version } => Ok(resource_version),
            WatchEvent::Error { code, .. } => Err(ApiError::Status {
                status: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                retry_after: None,
            }),
        }
    }

    async fn is(&mut self, seen: Seen) {
        let Seen { mut pod, uid, .. } = seen;
        if !self.known.contains_key(&uid) && self.known.len() >= self.settings.pods_max {
            self.metrics.refused();
            return;
        }
        if let Some(question) = self.owners.complete(&mut pod)
            && self.questions.try_send(question).is_err()
        {
            self.metrics.unanswered();
        }
        if self.known.get(&uid).is_some_and(|known| **known == pod) {
            return;
        }
        self.departed.retain(|(_, departed)| *departed != pod.uid);
        let pod = Arc::new(pod);
        self.known.insert(uid, Arc::clone(&pod));
        self.tell(Fact::Pod(pod)).await;
    }

    async fn gone(&mut self, uid: Box<str>) {
        let Some(pod) = self.known.remove(&uid) else {
            return;
        };
        self.metrics.known(self.known.len());
        // A static pod that was changed has the same cgroup's uid under a new one of the API.
        if self.known.values().any(|other| other.uid == pod.uid) {
            return;
        }
        self.departed.push_back((Instant::now(), pod.uid.clone()));
        if self.departed.len() > self.settings.pods_max
            && let Some((_, oldest)) = self.departed.pop_front()
        {
            self.tell(Fact::PodGone(oldest)).await;
        }
    }

    /// Has the pods forgotten that were deleted a while ago.
    async fn say_farewell(&mut self) {
        while let Some((since, _)) = self.departed.front()
            && since.elapsed() >= GONE_KEEP
            && let Some((_, uid)) = self.departed.pop_front()
        {
            self.tell(Fact::PodGone(uid)).await;
        }
    }

    /// Completes the pods of an owner whose own owner is known by now.
    async fn answered(&mut self, answer: Answer) {
        let uid = answer.uid.clone();
        self.owners.learn(answer);
        let mut completed = Vec::new();
        for pod in self.known.values_mut() {
            if pod.owners.first().is_some_and(|owner| owner.uid == uid) {
                let mut whole = (**pod).clone();
                self.owners.complete(&mut whole);
                if whole != **pod {
                    *pod = Arc::new(whole);
                    completed.push(Arc::clone(pod));
                }
            }
        }
        for pod in completed {
            self.tell(Fact::Pod(pod)).await;
        }
    }

    /// Waits for room: the watch is what waits when the pipeline has no time.
    async fn tell(&self, fact: Fact) {
        self.metrics.known(self.known.len());
        self.facts.tell(fact).await;
    }
}

/// How long to wait after so many failures in a row, spread by a number that differs from node to node, so
/// that a server that comes back is not asked by all nodes at once.
fn back_off(failures: u32, spread: u64) -> Duration {
    let longest = BACK_OFF.saturating_mul(1 << failures.min(16)).min(BACK_OFF_MAX);
    let half = longest / 2;
    half + Duration::from_nanos(spread % u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_spread() {
        let of = |failures, spread| back_off(failures, spread).as_millis();
        assert_eq!(of(0, 0), 250);
        assert!((250..500).contains(&of(0, 123_456_789_000)));
        assert_eq!(of(3, 0), 2000);
        assert_eq!(of(1000, 0), 30_000);
        assert!(of(1000, u64::MAX) < 60_000);
    }
}
