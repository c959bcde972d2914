//! Who made the owner of a pod: the Deployment of a `ReplicaSet`, the `CronJob` of a Job.
//!
//! A task of its own asks the API server, one object at a time over one connection, so that a slow answer
//! holds up no event of the watch. What is found is kept by uid: a controller never changes its own.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::api::{ApiError, Connection, Server};
use super::parse;
use crate::metrics::KubernetesMetrics;
use crate::state::workload::{Owner, PodFacts};

/// Owners that are remembered; the oldest is forgotten.
const KNOWN_MAX: usize = 8192;
/// Questions that wait.
pub(super) const QUEUE_MAX: usize = 1024;
/// Least time between two questions: at most 20 a second go to the API server.
const PACE: Duration = Duration::from_millis(50);
/// Wait after a question that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Kinds that others make, and where the API has them.
const PLACES: [(&str, &str); 2] = [
    ("ReplicaSet", "/apis/apps/v1/namespaces/{ns}/replicasets/"),
    ("Job", "/apis/batch/v1/namespaces/{ns}/jobs/"),
];

/// An object whose controller is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    path: String,
    pub(super) uid: Box<str>,
}

/// What was found of an object: its controller, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) uid: Box<str>,
    pub(super) controller: Option<Owner>,
}

/// What is known of owners' owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_uid: HashMap<Box<str>, Option<Owner>>,
    order: VecDeque<Box<str>>,
}

impl Owners {
    /// Takes in an answer.
    pub(super) fn learn(&mut self, answer: Answer) {
        if self.by_uid.len() >= KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_uid.remove(&oldest);
        }
        if self
            .by_uid
            .insert(answer.uid.clone(), answer.controller)
            .is_none()
        {
            self.order.push_back(answer.uid);
        }
    }

    /// Completes the owners of a pod. Returns what has to be asked for that.
    pub(super) fn complete(&self, pod: &mut PodFacts) -> Option<Question> {
        pod.owners.truncate(1);
        let first = pod.owners.first()?;
        let (_, place) = PLACES.iter().find(|(kind, _)| *kind == &*first.kind)?;
        if let Some(known) = self.by_uid.get(&first.uid) {
            pod.owners.extend(known.clone());
            return None;
        }
        let question = Question {
            path: format!(
                "{}{}",
                place.replace("{ns}", &super::escape(&pod.namespace)),
                super::escape(&first.name)
            ),
            uid: first.uid.clone(),
        };
        let guess = deployment(pod);
        pod.owners.extend(guess);
        Some(question)
    }
}

/// The Deployment as its controller names its replica sets: `<deployment>-<pod-template-hash>`. It stands
/// until the API server has answered, and where it does not.
fn deployment(pod: &PodFacts) -> Option<Owner> {
    let set = pod.owners.first().filter(|owner| &*owner.kind == "ReplicaSet")?;
    let hash = pod.labels.get("pod-template-hash")?;
    let name = set.name.strip_suffix(&**hash)?.strip_suffix('-')?;
    (!name.is_empty()).then(|| Owner {
        kind: "Deployment".into(),
        name: name.into(),
        uid: Box::default(),
    })
}

/// Answers questions until nobody asks any more.
pub(super) async fn answer(
    server: Arc<Server>,
    mut questions: mpsc::Receiver<Question>,
    answers: mpsc::Sender<Answer>,
    metrics: KubernetesMetrics,
) {
    let mut connection = None;
    while let Some(question) = questions.recv().await {
        let wait = match ask(&server, &mut connection, &question).await {
            Ok(answer) => {
                if answers.send(answer).await.is_err() {
                    return;
                }
                PACE
            }
            Err(error) => {
                connection = None;
                metrics.failed(error.cause());
                tracing::debug!(%error, path = question.path, "the owner of a pod's owner was not found");
                error.retry_after().unwrap_or(PAUSE)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn ask(
    server: &Server,
    connection: &mut Option<Connection>,
    question: &Question,
) -> Result<Answer, ApiError> {
    let mut open = match connection.take().filter(Connection::is_open) {
        Some(open) => open,
        None => server.connect().await?,
    };
    let object = open.object(&question.path).await?;
    *connection = Some(open);
    let controller = parse::controller(&object).map_err(|error| ApiError::Malformed(error.to_string()))?;
    Ok(Answer {
        uid: question.uid.clone(),
        controller,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(kind: &str, name: &str, hash: &str) -> PodFacts {
        PodFacts {
            namespace: "shop".into(),
            labels: [("pod-template-hash".into(), hash.into())].into(),
            owners: vec![Owner {
                kind: kind.into(),
                name: name.into(),
                uid: "rs".into(),
            }],
            ..PodFacts::default()
        }
    }

    #[test]
    fn a_deployment_is_told_by_name_and_then_by_the_api() {
        let mut owners = Owners::default();
        let mut pod = owned("ReplicaSet", "web-5d9c", "5d9c");
        let question = owners.complete(&mut pod).unwrap();
        assert_eq!(
            question.path,
            "/apis/apps/v1/namespaces/shop/replicasets/web-5d9c"
        );
        let told = &pod.owners[1];
        assert_eq!((&*told.kind, &*told.name, &*told.uid), ("Deployment", "web", ""));
        owners.learn(Answer {
            uid: "rs".into(),
            controller: Some(Owner {
                kind: "Rollout".into(),
                name: "other".into(),
                uid: "r".into(),
            }),
        });
        assert_eq!(owners.complete(&mut pod), None);
        assert_eq!(pod.owners.len(), 2);
        assert_eq!((&*pod.owners[1].kind, &*pod.owners[1].uid), ("Rollout", "r"));
    }

    #[test]
    fn only_kinds_that_others_make_are_asked_for() {
        let owners = Owners::default();
        for (kind, name, hash, asks, guesses) in [
            ("DaemonSet", "sensor", "x", false, false),
            ("Job", "backup-1", "1", true, false),
            ("ReplicaSet", "alone", "5d9c", true, false),
            ("ReplicaSet", "-5d9c", "5d9c", true, false),
        ] {
            let mut pod = owned(kind, name, hash);
            assert_eq!(owners.complete(&mut pod).is_some(), asks, "{kind}");
            assert_eq!(pod.owners.len() == 2, guesses, "{kind} {name}");
        }
        assert_eq!(owners.complete(&mut PodFacts::default()), None);
    }

    #[test]
    fn names_cannot_lead_to_another_path() {
        let mut pod = owned("Job", "../../secrets/x?y#z", "");
        let question = Owners::default().complete(&mut pod).unwrap();
        assert_eq!(
            question.path,
            "/apis/batch/v1/namespaces/shop/jobs/..%2F..%2Fsecrets%2Fx%3Fy%23z"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut owners = Owners::default();
        for number in 0..KNOWN_MAX + 100 {
            owners.learn(Answer {
                uid: number.to_string().into(),
                controller: None,
            });
        }
        assert_eq!((owners.by_uid.len(), owners.order.len()), (KNOWN_MAX, KNOWN_MAX));
        assert!(owners.by_uid.contains_key("8291") && !owners.by_uid.contains_key("99"));
    }
}
