//! Answers detections with hooks: programs of the operator's, and actions that are built in.
//!
//! Nothing here decides whether a rule matched. A detection comes in, [`config::RespondConfig`] says which hooks
//! it is bound to, the guards say whether they may act, and each run leaves an intent and an outcome
//! in a hash-chained journal and one `HookRun` for the subscribers.
//!
//! Invariants:
//! - `observe` is the default, and changes nothing but the journal and the stream.
//! - An act is written to the journal, and is on disk, before it starts.
//! - A process is acted upon by pidfd after its start time was checked, never by a bare pid.
//! - Text from a detection reaches a program only on its standard input, never its arguments or environment.
//! - Every queue, loop, file and wait here has a bound.

mod action;
pub mod config;
mod guard;
mod hash;
pub mod journal;
mod kill;
mod pattern;
mod policy;
mod process;
mod program;
mod recorder;
pub mod restore;
mod secure_path;
mod tree;
mod users;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sensor_proto::v1::hook_run::Outcome;
use sensor_proto::v1::{Detection, HookRun};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use action::Verdict;
use config::{ConfigError, RespondConfig};
use journal::{Journal, Recovery};
use policy::{Action, Policy};
use recorder::{Recorder, RunRecord};
use worker::{Job, Shared, work};

/// Takes the record of each run to whoever wants it.
pub trait Publish: Send + Sync + 'static {
    /// Hands over one record and the detection that the run answers (an empty one for a summary). Must not block.
    fn publish(&self, run: HookRun, answers: &Arc<Detection>);
}

impl<F: Fn(HookRun) + Send + Sync + 'static> Publish for F {
    fn publish(&self, run: HookRun, _answers: &Arc<Detection>) {
        self(run);
    }
}

/// Answers detections with hooks. See the module's documentation.
pub struct Responder {
    policy: Arc<Policy>,
    lost: Arc<AtomicU64>,
    /// `None` when there are no hooks.
    queue: Option<mpsc::Sender<Job>>,
    worker: Mutex<Option<(oneshot::Sender<Instant>, JoinHandle<()>)>>,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder")
            .field("policy", &self.policy)
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

impl Responder {
    /// Checks `config`, opens the journal, records files that have no good copy yet, and starts to work.
    ///
    /// `encode` writes a detection as one JSON object: what programs get on standard input. Without hooks nothing is
    /// opened or made. Must be called within a Tokio runtime; blocks for as long as reading the journal takes.
    ///
    /// # Errors
    /// All that is wrong with the configuration, or with the files that it names.
    pub fn new(
        config: &RespondConfig,
        publish: impl Publish,
        encode: impl Fn(&Arc<Detection>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Self, Vec<ConfigError>> {
        let policy = Arc::new(Policy::new(config)?);
        let lost = Arc::new(AtomicU64::new(0));
        if policy.hooks.is_empty() {
            return Ok(Self {
                policy,
                lost,
                queue: None,
                worker: Mutex::new(None),
            });
        }
        record_missing(&policy)?;
        let (journal, recovery) =
            Journal::open(&config.journal, config.journal_bytes_max).map_err(|error| {
                let help = "give a path on a disk that the agent can write, for it alone".into();
                vec![ConfigError {
                    path: "respond.journal".into(),
                    message: error.to_string(),
                    help,
                }]
            })?;
        let recorder = Recorder::new(journal, Box::new(publish));
        let shared = Arc::new(Shared::new(
            Arc::clone(&policy),
            recorder,
            Arc::new(encode),
            Arc::clone(&lost),
        ));
        let (queue, jobs) = mpsc::channel(config.limits.queue_max as usize);
        let (stop, stopped) = oneshot::channel();
        let worker = tokio::spawn(async move {
            if !recovery.is_clean() {
                report(&shared.recorder, &recovery).await;
            }
            work(shared, jobs, stopped).await;
        });
        Ok(Self {
            policy,
            lost,
            queue: Some(queue),
            worker: Mutex::new(Some((stop, worker))),
        })
    }

    /// Answers `detection`, some time soon. Never blocks: a detection that does not fit in the queue is counted,
    /// and the count is recorded and published.
    pub fn handle(&self, detection: Arc<Detection>) {
        let Some(queue) = &self.queue else { return };
        let hooks = self.policy.hooks_for(&detection);
        if !hooks.is_empty() && queue.try_send(Job { detection, hooks }).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Detections bound to hooks that were not looked at, because the queue was full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Stops: what is queued is recorded as suppressed, what runs may go on until `deadline` and is killed then.
    /// Returns when the journal has everything. Later calls return at once.
    pub async fn shutdown(&self, deadline: Instant) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, worker)) = worker {
            // One that has ended needs no word.
            let _ = stop.send(deadline);
            if let Err(error) = worker.await {
                tracing::error!(%error, "the responder broke off");
            }
        }
    }
}

fn record_missing(policy: &Policy) -> Result<(), Vec<ConfigError>> {
    let mut errors = Vec::new();
    for (at, hook) in policy.hooks.iter().enumerate() {
        if let Action::Restore(action) = &hook.action
            && let Err(error) = restore::record_missing(action)
        {
            let help =
                "give `copies` a folder that only the agent's user can enter, and `paths` that it can read";
            let path = format!("respond.hooks[{at}]");
            errors.push(ConfigError {
                path,
                message: error.to_string(),
                help: help.into(),
            });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Tells what was wrong with the journal.
async fn report(recorder: &Recorder, recovery: &Recovery) {
    let Recovery {
        torn_bytes,
        unfinished,
        broken,
    } = recovery;
    let mut found = Vec::new();
    if let Some(broken) = broken {
        found.push(format!("the chain is broken at {broken}"));
    }
    if *torn_bytes > 0 {
        found.push(format!("a torn last line of {torn_bytes} bytes was cut off"));
    }
    if !unfinished.is_empty() {
        found.push(format!(
            "{} runs have no outcome: {}",
            unfinished.len(),
            unfinished.join(", ")
        ));
    }
    let verdict = Verdict::new(
        Outcome::Failed,
        format!("the journal, as it was found: {}", found.join("; ")),
    );
    recorder
        .outcome(&RunRecord::summary(), verdict, Instant::now())
        .await;
}
