//! Runtimes' sockets, which are asked for what their files do not tell: labels, digests, addresses, pods.
//!
//! One thread has a task for each socket, with a bounded queue of its own. A socket that hangs, lies or is gone is found
//! out by one container's question and then left alone for a while; who is asked about meanwhile is told at once that
//! nothing will come, and is asked about again when the socket answers again.
//!
//! Invariants: only requests that change nothing are sent. An answer is read up to a bound, within a time, and belongs
//! to the id that was asked about. Nobody waits for this thread.

mod cri;
mod engine;
pub(crate) mod fuzzing;
mod open;
mod task;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::{
    config::RuntimesConfig,
    metrics::RuntimeMetrics,
    runtime::places::host_root,
    state::{
        container::Container,
        workload::{ContainerFacts, Fact, Progress, feed::FactSender},
    },
};

/// Every reason why a socket has told nothing of a container.
pub(crate) const REASONS: [&str; 2] = [task::QUEUE_FULL, task::DOWN];

/// Containers that may wait for one socket.
const QUEUE_MAX: usize = 256;

/// Longest answer, in bytes. A verbose status has some 30 KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What speaks on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Kubernetes' Container Runtime Interface: containerd, CRI-O, cri-dockerd.
    Cri,
    /// Docker's API over HTTP.
    Docker,
    /// The same as Podman speaks it.
    Podman,
}

/// A socket that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What is spoken there.
    pub dialect: Dialect,
    /// On the host.
    pub path: PathBuf,
    /// The host's root folder, as it is seen from here.
    root: &'static Path,
}

impl Dialect {
    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Whether it may know more of a container than files have told.
    fn may_know(self, facts: &ContainerFacts, named: &Container) -> bool {
        let runtime = if facts.runtime.is_empty() {
            named.runtime
        } else {
            facts.runtime
        };
        let is_of_pod = facts.pod.is_some() || named.pod_uid.is_some();
        match (self, runtime) {
            (Self::Cri, "containerd" | "cri-o" | "cri" | "") => is_of_pod,
            // Docker's files tell all that its socket does.
            (Self::Docker, "docker") => facts.name.is_none(),
            (Self::Podman, "podman") => true,
            (Self::Docker | Self::Podman, "") => !facts.is_verified && !is_of_pod,
            _ => false,
        }
    }
}

/// Every socket of a configuration.
#[must_use]
pub fn configured(config: &RuntimesConfig) -> Vec<Socket> {
    let of = |dialect, paths: &[PathBuf]| {
        paths
            .iter()
            .map(move |path| Socket {
                dialect,
                path: path.clone(),
                root: host_root(),
            })
            .collect::<Vec<_>>()
    };
    [
        of(Dialect::Cri, &config.cri),
        of(Dialect::Docker, &config.docker),
        of(Dialect::Podman, &config.podman),
    ]
    .concat()
}

/// Why a socket has not told what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no such socket.
    #[error("it is not there")]
    Absent,
    #[error("it is neither root's nor the agent's user's, and nothing that it says is believed")]
    Foreign,
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("it does not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("it answers {0}")]
    Refused(String),
    #[error("its answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("its answer is not understood: {0}")]
    Malformed(String),
    #[error("it answers for another container than it was asked about")]
    OtherContainer,
}

impl Fault {
    /// As metrics name it; a fixed set.
    pub(crate) const fn cause(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Foreign => "foreign",
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Broken(_) => "broken",
            Self::Refused(_) => "refused",
            Self::TooLong => "too_long",
            Self::Malformed(_) => "malformed",
            Self::OtherContainer => "other_container",
        }
    }
}

/// What to ask about.
#[derive(Clone, Debug)]
pub(super) struct Question {
    container: Arc<Container>,
    /// It only holds a pod's namespaces.
    is_sandbox: bool,
    /// Sockets that are still to be asked, in this order.
    rest: SmallVec<[usize; 4]>,
}

/// How a socket does, for status and the files' thread.
#[derive(Debug)]
pub struct Health {
    socket: Socket,
    /// It answered its last question before any event would have stopped to wait.
    is_prompt: AtomicBool,
    fault: ArcSwapOption<String>,
}

impl Health {
    fn fails(&self, fault: &Fault) {
        // Who asks now is told at once that nothing will come.
        self.is_prompt.store(true, Ordering::Relaxed);
        // That a runtime is not installed is nothing to complain of.
        let is_fault = !matches!(fault, Fault::Absent);
        self.fault.store(is_fault.then(|| Arc::new(fault.to_string())));
    }

    fn works(&self, is_prompt: bool) {
        self.is_prompt.store(is_prompt, Ordering::Relaxed);
        self.fault.store(None);
    }

    /// What is wrong, as a sentence for `Agent.Status`.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let why = self.fault.load_full()?;
        Some(format!(
            "{} is not asked, new containers lack what only it knows (labels, digests): {why}",
            self.socket.path.display()
        ))
    }
}

/// Hands a question to the next socket that has room. Returns the container's id when there is none.
fn pass_on(
    mut question: Question,
    queue: impl Fn(usize) -> Option<mpsc::Sender<Question>>,
    full: impl Fn(&usize),
) -> Option<Box<str>> {
    while !question.rest.is_empty() {
        let next = question.rest.remove(0);
        let Some(queue) = queue(next) else { continue };
        match queue.try_send(question) {
            Ok(()) => return None,
            Err(refused) => {
                full(&next);
                question = refused.into_inner();
            }
        }
    }
    Some(question.container.id.clone())
}

/// The way to the sockets' thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Sockets {
    queues: Vec<mpsc::Sender<Question>>,
    health: Vec<Arc<Health>>,
    metrics: RuntimeMetrics,
}

impl Sockets {
    /// Starts the thread; `waits` is for how long events wait for a container's facts.
    ///
    /// # Errors
    /// When the system has no room for a thread or its descriptors.
    pub fn start(
        config: &RuntimesConfig,
        waits: Duration,
        facts: &FactSender,
        metrics: &RuntimeMetrics,
    ) -> std::io::Result<Self> {
        let timeout = Duration::from_millis(config.timeout_ms.into());
        Self::start_with(configured(config), timeout, waits, facts, metrics)
    }

    fn start_with(
        sockets: Vec<Socket>,
        timeout: Duration,
        waits: Duration,
        facts: &FactSender,
        metrics: &RuntimeMetrics,
    ) -> std::io::Result<Self> {
        let (mut queues, mut health, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for socket in sockets {
            let (queue, questions) = mpsc::channel(QUEUE_MAX);
            let of_socket = Arc::new(Health {
                socket: socket.clone(),
                is_prompt: AtomicBool::new(true),
                fault: ArcSwapOption::empty(),
            });
            tasks.push(task::Task {
                socket,
                timeout,
                waits,
                questions,
                health: Arc::clone(&of_socket),
                facts: facts.clone(),
                metrics: metrics.clone(),
                owed: std::collections::VecDeque::new(),
            });
            queues.push(queue);
            health.push(of_socket);
        }
        if !tasks.is_empty() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // Weak, so that the tasks end when the last who may ask is gone.
            let all: Arc<[_]> = queues.iter().map(mpsc::Sender::downgrade).collect();
            std::thread::Builder::new()
                .name("runtime-sockets".into())
                .spawn(move || {
                    runtime.block_on(async {
                        let mut running = tokio::task::JoinSet::new();
                        for task in tasks {
                            running.spawn(task.run(Arc::clone(&all)));
                        }
                        while running.join_next().await.is_some() {}
                    });
                })?;
        }
        Ok(Self {
            queues,
            health,
            metrics: metrics.clone(),
        })
    }

    /// What is to be asked about a container, where a socket may know more than `facts`, which then says that something
    /// is still to come.
    pub(super) fn question(&self, named: &Arc<Container>, facts: &mut ContainerFacts) -> Option<Question> {
        let may_know = |index: &usize| self.health[*index].socket.dialect.may_know(facts, named);
        let sockets: SmallVec<[usize; 4]> = (0..self.health.len()).filter(may_know).collect();
        if sockets.is_empty() {
            return None;
        }
        // Events wait for an answer only as long as it is known to be quick.
        let is_prompt = |index: &usize| self.health[*index].is_prompt.load(Ordering::Relaxed);
        facts.progress = if sockets.iter().all(is_prompt) {
            Progress::Asked
        } else {
            Progress::Files
        };
        Some(Question {
            container: Arc::clone(named),
            is_sandbox: facts.is_sandbox,
            rest: sockets,
        })
    }

    /// Puts a question.
    ///
    /// # Errors
    /// The fact that nothing will come, where no socket's queue takes it.
    pub(super) fn ask(&self, question: Question) -> Result<(), Fact> {
        let full = |index: &usize| self.metrics.asked(&self.health[*index].socket, "queue_full");
        match pass_on(question, |index| self.queues.get(index).cloned(), full) {
            None => Ok(()),
            Some(id) => Err(Fact::Missing(id, Some(task::QUEUE_FULL))),
        }
    }

    /// How each socket does.
    #[must_use]
    pub fn health(&self) -> Vec<Arc<Health>> {
        self.health.clone()
    }
}

/// Asks a socket who it is, for `sensor doctor`: the runtime's name and version.
///
/// # Errors
/// Why it does not answer, and `None` where there is no such socket.
pub fn hello(socket: &Socket, timeout: Duration) -> Result<String, Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Some(error.to_string()))?;
    runtime
        .block_on(task::hello(socket, timeout))
        .map_err(|fault| (!matches!(fault, Fault::Absent)).then(|| fault.to_string()))
}
