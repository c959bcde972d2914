//! Takes detections from the queue, asks the guards, and runs hooks.
//!
//! The guards are asked by one task, in the order in which detections came. The hooks of one detection run one after the
//! other, in the order of its bindings, so that `[kill, restore]` means what it says; those of different detections
//! run side by side within the limits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sensor_proto::v1::Detection;
use sensor_proto::v1::hook_run::Outcome;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::action::{Encode, Plan, Request, Verdict};
use super::config::Mode;
use super::guard::{Guards, HeldBack, kill_switch};
use super::policy::Policy;
use super::recorder::{Recorder, RunRecord};

/// How often counts of what was not told one by one are told.
const TELL_COUNTS: Duration = Duration::from_secs(1);
/// Time for killed hooks to be cleared up after when the agent stops.
const CLEANUP: Duration = Duration::from_secs(10);

/// A detection, and the hooks (by their place in the policy) that it is bound to.
pub(crate) struct Job {
    pub(crate) detection: Arc<Detection>,
    pub(crate) hooks: Vec<usize>,
}

/// What all runs share.
pub(crate) struct Shared {
    pub(crate) policy: Arc<Policy>,
    pub(crate) recorder: Recorder,
    pub(crate) encode: Encode,
    /// Detections that did not fit in the queue.
    pub(crate) lost: Arc<AtomicU64>,
    /// One for each hook, then all together.
    hook_permits: Vec<Arc<Semaphore>>,
    permits: Arc<Semaphore>,
    /// Called when no more runs may start.
    stopping: CancellationToken,
    /// Called when running programs are to be killed.
    killing: CancellationToken,
}

/// A run that the guards let pass.
struct Admitted {
    hook: usize,
    record: RunRecord,
    /// Why it only observes.
    note: Option<String>,
}

impl Shared {
    pub(crate) fn new(policy: Arc<Policy>, recorder: Recorder, encode: Encode, lost: Arc<AtomicU64>) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self {
            hook_permits: policy
                .hooks
                .iter()
                .map(|hook| semaphore(hook.concurrency_max))
                .collect(),
            permits: semaphore(policy.config.limits.concurrent_max),
            stopping: CancellationToken::new(),
            killing: CancellationToken::new(),
            policy,
            recorder,
            encode,
            lost,
        }
    }

    async fn tell_counts(&self, told: &mut u64) {
        let lost = self.lost.load(Ordering::Relaxed);
        self.recorder.tell_counts(lost - *told).await;
        *told = lost;
    }
}

/// Works until `stop` gives a deadline: then runs go on until it, and what is queued is recorded as suppressed.
pub(crate) async fn work(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Job>,
    mut stop: oneshot::Receiver<Instant>,
) {
    let mut guards = Guards::new(&shared.policy.config, Instant::now());
    let waiting = Arc::new(Semaphore::new(shared.policy.config.limits.queue_max as usize));
    let runs = TaskTracker::new();
    let mut told = 0;
    let mut tell = tokio::time::interval(TELL_COUNTS);
    let deadline = loop {
        tokio::select! {
            biased;
            deadline = &mut stop => break deadline.unwrap_or_else(|_| Instant::now()),
            _ = tell.tick() => shared.tell_counts(&mut told).await,
            job = queue.recv() => match job {
                Some(job) => start(&shared, &mut guards, &waiting, &runs, job).await,
                None => break Instant::now(),
            },
        }
    };
    shared.stopping.cancel();
    queue.close();
    while let Some(job) = queue.recv().await {
        for hook in job.hooks {
            let (record, _) = record(&shared, hook, &job.detection);
            shared.recorder.held_back(&record, stopping()).await;
        }
    }
    runs.close();
    if tokio::time::timeout_at(deadline.into(), runs.wait())
        .await
        .is_err()
    {
        shared.killing.cancel();
        if tokio::time::timeout(CLEANUP, runs.wait()).await.is_err() {
            tracing::error!(runs = runs.len(), "hooks did not end when the agent stopped");
        }
    }
    shared.tell_counts(&mut told).await;
}

fn stopping() -> HeldBack {
    HeldBack::suppressed("the agent is stopping")
}

fn record(shared: &Shared, hook: usize, detection: &Arc<Detection>) -> (RunRecord, Option<String>) {
    let hook = &shared.policy.hooks[hook];
    let (mode, note) = shared.policy.mode(hook, detection);
    (RunRecord::new(&hook.name, detection, mode), note)
}

/// Asks the guards about each hook of `job`, and starts what they let pass.
async fn start(
    shared: &Arc<Shared>,
    guards: &mut Guards,
    waiting: &Arc<Semaphore>,
    runs: &TaskTracker,
    job: Job,
) {
    let mut admitted = VecDeque::new();
    let place = Arc::clone(waiting).try_acquire_owned();
    for hook in job.hooks {
        let (record, note) = record(shared, hook, &job.detection);
        let allowed = if place.is_ok() {
            guards.admit(
                &shared.policy.hooks[hook],
                record.mode,
                &job.detection,
                Instant::now(),
            )
        } else {
            let most = shared.policy.config.limits.queue_max;
            Err(HeldBack::suppressed(format!(
                "{most} detections wait for their hooks already"
            )))
        };
        match allowed {
            Ok(()) => admitted.push_back(Admitted { hook, record, note }),
            Err(why) => shared.recorder.held_back(&record, why).await,
        }
    }
    if let (Ok(place), false) = (place, admitted.is_empty()) {
        let shared = Arc::clone(shared);
        runs.spawn(async move {
            for run in admitted {
                run_one(&shared, run, &job.detection).await;
            }
            drop(place);
        });
    }
}

async fn run_one(shared: &Shared, run: Admitted, detection: &Arc<Detection>) {
    let Admitted { hook, record, note } = run;
    let permits = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => None,
        permits = permits(shared, hook) => permits,
    };
    let Some(_permits) = permits else {
        return shared.recorder.held_back(&record, stopping()).await;
    };
    let started = Instant::now();
    let verdict = act(shared, hook, &record, note, detection).await;
    shared.recorder.outcome(&record, verdict, started).await;
}

/// The hook's own permit first: who waits for it must not keep others from the common ones.
async fn permits(shared: &Shared, hook: usize) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
    let own = Arc::clone(&shared.hook_permits[hook])
        .acquire_owned()
        .await
        .ok()?;
    Some((own, Arc::clone(&shared.permits).acquire_owned().await.ok()?))
}

async fn act(
    shared: &Shared,
    hook: usize,
    record: &RunRecord,
    note: Option<String>,
    detection: &Arc<Detection>,
) -> Verdict {
    let request = Request {
        run_id: record.id.clone(),
        detection: Arc::clone(detection),
        encode: Arc::clone(&shared.encode),
    };
    let policy = Arc::clone(&shared.policy);
    let planned = move || Plan::new(&policy.hooks[hook].action, &request);
    let plan = match tokio::task::spawn_blocking(planned).await {
        Ok(Ok(plan)) => plan,
        Ok(Err(refusal)) => return Verdict::new(Outcome::Refused, refusal.0),
        Err(error) => return Verdict::failed(format!("the plan broke off: {error}")),
    };
    let detail = plan.describe();
    if record.mode == Mode::Observe {
        let note = note.map(|note| format!("; {note}")).unwrap_or_default();
        return Verdict::new(Outcome::Observed, format!("would {detail}{note}"));
    }
    // It may have been set while the run waited for its turn.
    if let Err(held) = kill_switch(&shared.policy.config.kill_switch) {
        return Verdict::new(held.outcome, held.reason);
    }
    if let Err(error) = shared.recorder.intent(record, &detail).await {
        return Verdict::new(
            Outcome::Refused,
            format!("nothing is done that is not on record: {error}"),
        );
    }
    let deadline = Instant::now() + shared.policy.hooks[hook].timeout;
    plan.run(deadline, &shared.killing).await
}
