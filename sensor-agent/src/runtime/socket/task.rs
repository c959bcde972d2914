//! The task of one socket: one question at a time, and none while it fails.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};

use super::{Dialect, Fault, Health, Question, Socket, cri::Cri, engine::Engine};
use crate::{
    metrics::RuntimeMetrics,
    state::workload::{ContainerFacts, Fact, feed::FactSender},
};

/// Why facts are missing, on detections.
pub(super) const QUEUE_FULL: &str = "too many containers wait for the runtime's socket";
pub(super) const DOWN: &str = "the runtime's socket does not answer";

/// Containers that are asked about again when the socket answers again.
const OWED_MAX: usize = 1024;

/// Wait after a failure before the socket is tried again; doubled by each further one.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Least time between two log lines about failures of one socket.
const LOG_PAUSE: Duration = Duration::from_mins(1);

/// What the task is made of.
pub(super) struct Task {
    pub(super) socket: Socket,
    pub(super) timeout: Duration,
    /// For how long events wait for a container's facts.
    pub(super) waits: Duration,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) health: Arc<Health>,
    pub(super) facts: FactSender,
    pub(super) metrics: RuntimeMetrics,
    /// Containers whose questions were not put.
    pub(super) owed: VecDeque<Question>,
}

/// A connection in the socket's language.
enum Speaker {
    Cri(Cri),
    Engine(Engine),
}

/// A socket that failed: when it is tried again.
struct Down {
    failures: u32,
    attempt: JoinHandle<Result<(), Fault>>,
}

impl Task {
    /// Answers questions until nobody can ask any more.
    pub(super) async fn run(mut self, all: Arc<[mpsc::WeakSender<Question>]>) {
        let mut speaker: Option<Speaker> = None;
        let mut down: Option<Down> = None;
        let mut logged: Option<Instant> = None;
        loop {
            let question = match &mut down {
                None => match self.owed.pop_front() {
                    Some(owed) => Some(owed),
                    None => self.questions.recv().await,
                },
                Some(failed) => tokio::select! {
                    question = self.questions.recv() => question,
                    again = &mut failed.attempt => {
                        let failures = failed.failures + 1;
                        down = match again.unwrap_or_else(|error| Err(Fault::Broken(error.to_string()))) {
                            Ok(()) => {
                                self.health.works(true);
                                tracing::info!(socket = %self.socket.path.display(), "the runtime's socket answers again");
                                None
                            }
                            Err(fault) => Some(self.failed(&fault, failures)),
                        };
                        continue;
                    }
                },
            };
            let Some(question) = question else { return };
            if down.is_some() {
                let outcome = if self.is_absent() { "absent" } else { "down" };
                self.metrics.asked(&self.socket, outcome);
                self.give_up(question, &all).await;
                continue;
            }
            let begin = Instant::now();
            let asked = tokio::time::timeout(self.timeout, ask(&self.socket, &mut speaker, &question)).await;
            match asked.unwrap_or(Err(Fault::Timeout(self.timeout))) {
                Ok(answer) => {
                    self.health.works(begin.elapsed() < self.waits);
                    self.answered(question, answer, &all).await;
                }
                Err(fault) => {
                    // Whatever is still to come on it belongs to no question.
                    speaker = None;
                    if !matches!(fault, Fault::Absent) && logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
                        tracing::warn!(socket = %self.socket.path.display(), %fault, "a runtime's socket is not asked for a while; containers lack what only it knows");
                        logged = Some(Instant::now());
                    }
                    down = Some(self.failed(&fault, 0));
                    self.give_up(question, &all).await;
                }
            }
        }
    }

    async fn answered(
        &self,
        question: Question,
        answer: Option<ContainerFacts>,
        all: &[mpsc::WeakSender<Question>],
    ) {
        if let Some(mut facts) = answer {
            self.metrics.asked(&self.socket, "answered");
            facts.is_verified = true;
            self.facts.tell(Fact::Told(Arc::new(facts))).await;
            return;
        }
        self.metrics.asked(&self.socket, "unknown");
        if let Some(id) = self.pass_on(question, all) {
            self.facts.tell(Fact::Missing(id, None)).await;
        }
    }

    /// Says that nothing will come, unless another socket can be asked; keeps the question for later.
    async fn give_up(&mut self, question: Question, all: &[mpsc::WeakSender<Question>]) {
        let is_absent = self.is_absent();
        if !is_absent {
            if self.owed.len() >= OWED_MAX {
                self.owed.pop_front();
                self.metrics.asked(&self.socket, "forgotten");
            }
            let mut later = question.clone();
            later.rest.clear();
            self.owed.push_back(later);
        }
        if let Some(id) = self.pass_on(question, all) {
            let why = (!is_absent).then_some(DOWN);
            self.facts.tell(Fact::Missing(id, why)).await;
        }
    }

    fn pass_on(&self, question: Question, all: &[mpsc::WeakSender<Question>]) -> Option<Box<str>> {
        let queue = |index: usize| all.get(index).and_then(mpsc::WeakSender::upgrade);
        super::pass_on(question, queue, |_| {
            self.metrics.asked(&self.socket, "queue_full");
        })
    }

    /// Whether the socket is down because there is none.
    fn is_absent(&self) -> bool {
        self.health.fault.load().is_none()
    }

    /// Notes a failure, and has the socket tried again when the time has come.
    fn failed(&self, fault: &Fault, failures: u32) -> Down {
        self.health.fails(fault);
        self.metrics.failed(&self.socket, fault.cause());
        let pause = BACK_OFF.saturating_mul(1 << failures.min(16)).min(BACK_OFF_MAX);
        let (socket, timeout) = (self.socket.clone(), self.timeout);
        let attempt = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            hello(&socket, timeout).await.map(drop)
        });
        Down { failures, attempt }
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        self.attempt.abort();
    }
}

/// Asks over the connection that there is; over a new one where that turns out to be of a runtime that has ended.
async fn ask(
    socket: &Socket,
    speaker: &mut Option<Speaker>,
    question: &Question,
) -> Result<Option<ContainerFacts>, Fault> {
    if let Some(open) = speaker {
        match open.look(question).await {
            Err(Fault::Broken(_)) => *speaker = None,
            answer => return answer,
        }
    }
    let open = match socket.dialect {
        Dialect::Cri => Speaker::Cri(Cri::open(socket).await?.0),
        Dialect::Docker | Dialect::Podman => Speaker::Engine(Engine::open(socket).await?),
    };
    speaker.insert(open).look(question).await
}

impl Speaker {
    async fn look(&mut self, question: &Question) -> Result<Option<ContainerFacts>, Fault> {
        match self {
            Self::Cri(cri) => cri.look(question).await,
            Self::Engine(engine) => engine.look(question).await,
        }
    }
}

/// Connects and asks who is there.
pub(super) async fn hello(socket: &Socket, timeout: Duration) -> Result<String, Fault> {
    let greet = async {
        match socket.dialect {
            Dialect::Cri => Ok(Cri::open(socket).await?.1),
            Dialect::Docker | Dialect::Podman => Engine::open(socket).await?.hello().await,
        }
    };
    let answer = tokio::time::timeout(timeout, greet).await;
    answer.unwrap_or(Err(Fault::Timeout(timeout)))
}
