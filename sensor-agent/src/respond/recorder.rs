//! Puts what became of a run into the journal, the log and the stream, in that order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use sensor_proto::v1::hook_run::{Mode as ProtoMode, Outcome};
use sensor_proto::v1::{Detection, HookRun};

use super::Publish;
use super::action::Verdict;
use super::config::Mode;
use super::guard::{Bucket, HeldBack};
use super::journal::{Entry, Journal, JournalError, Output, Run};
use crate::sink::outcome_name;

/// Bytes of a record's `detail`.
const DETAIL_BYTES_MAX: usize = 4096;
/// Runs that were held back and are told one by one, at once and each second; the rest are told as a number. Without this
/// an attacker could fill the journal.
const HELD_BACK_MAX: f64 = 200.0;
const HELD_BACK_PER_SECOND: f64 = 10.0;

/// One run, as it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct RunRecord {
    pub(crate) id: String,
    pub(crate) hook: String,
    pub(crate) detection_id: String,
    pub(crate) rule: String,
    pub(crate) mode: Mode,
    /// What the run answers; empty for a summary.
    pub(crate) detection: Arc<Detection>,
}

impl RunRecord {
    pub(crate) fn new(hook: &str, detection: &Arc<Detection>, mode: Mode) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            hook: hook.into(),
            detection_id: detection.id.clone(),
            rule: detection.rule.clone(),
            mode,
            detection: Arc::clone(detection),
        }
    }

    /// About no single run.
    pub(crate) fn summary() -> Self {
        Self::new("*", &Arc::default(), Mode::Observe)
    }
}

/// Where records go.
pub(crate) struct Recorder {
    journal: Arc<Mutex<Journal>>,
    publish: Box<dyn Publish>,
    held_back: Mutex<Untold>,
}

/// Runs that were held back and are not told one by one.
struct Untold {
    count: u64,
    tell: Bucket,
}

impl Recorder {
    pub(crate) fn new(journal: Journal, publish: Box<dyn Publish>) -> Self {
        let tell = Bucket::new(HELD_BACK_MAX, HELD_BACK_PER_SECOND, Instant::now());
        Self {
            journal: Arc::new(Mutex::new(journal)),
            publish,
            held_back: Mutex::new(Untold { count: 0, tell }),
        }
    }

    /// Writes down that a run is about to act. On disk when this returns `Ok`; the run must not start otherwise.
    pub(crate) async fn intent(&self, run: &RunRecord, detail: &str) -> Result<(), String> {
        let (run, detail) = (run.clone(), cut(detail));
        let write = move |journal: &mut Journal| journal.append(&Entry::Intent(line(&run, &detail)));
        self.write(write).await
    }

    /// Records the end of a run.
    pub(crate) async fn outcome(&self, run: &RunRecord, verdict: Verdict, started: Instant) {
        let Verdict {
            outcome,
            detail,
            output,
        } = verdict;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let detail = cut(&detail);
        let written = {
            let (run, detail) = (run.clone(), detail.clone());
            self.write(move |journal| {
                let outcome = outcome_name(outcome);
                journal.append(&entry(&run, &detail, outcome, duration_ms, output.as_ref()))
            })
            .await
        };
        if let Err(error) = written {
            tracing::error!(run = run.id, error, "a run's outcome is missing in the journal");
        }
        log(run, outcome, &detail);
        let record = HookRun {
            id: run.id.clone(),
            time: Some(SystemTime::now().into()),
            hook: run.hook.clone(),
            detection_id: run.detection_id.clone(),
            rule: run.rule.clone(),
            mode: match run.mode {
                Mode::Observe => ProtoMode::Observe,
                Mode::Act => ProtoMode::Act,
            }
            .into(),
            outcome: outcome.into(),
            detail,
            duration_ms,
        };
        self.publish.publish(record, &run.detection);
    }

    /// Records a run that did not start; beyond a rate only counts it.
    pub(crate) async fn held_back(&self, run: &RunRecord, why: HeldBack) {
        let earlier = {
            let mut untold = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
            if !untold.tell.take(Instant::now()) {
                untold.count += 1;
                return;
            }
            std::mem::take(&mut untold.count)
        };
        let reason = match earlier {
            0 => why.reason,
            more => format!(
                "{}; before it {more} more runs were held back that are not listed",
                why.reason
            ),
        };
        self.outcome(run, Verdict::new(why.outcome, reason), Instant::now())
            .await;
    }

    /// Tells how many runs were held back and not listed, and how many detections were `lost` before the guards.
    pub(crate) async fn tell_counts(&self, lost: u64) {
        let count = {
            let mut untold = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut untold.count)
        };
        if count > 0 {
            let detail = format!("{count} more runs were held back that are not listed");
            let verdict = Verdict::new(Outcome::Suppressed, detail);
            self.outcome(&RunRecord::summary(), verdict, Instant::now()).await;
        }
        if lost > 0 {
            let detail =
                format!("the queue was full: {lost} detections that hooks are bound to were not looked at");
            let verdict = Verdict::new(Outcome::Suppressed, detail);
            self.outcome(&RunRecord::summary(), verdict, Instant::now()).await;
        }
    }

    async fn write(
        &self,
        write: impl FnOnce(&mut Journal) -> Result<(), JournalError> + Send + 'static,
    ) -> Result<(), String> {
        let journal = Arc::clone(&self.journal);
        let write = move || write(&mut journal.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(write).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn line<'a>(run: &'a RunRecord, detail: &'a str) -> Run<'a> {
    Run {
        id: &run.id,
        hook: &run.hook,
        detection: &run.detection_id,
        rule: &run.rule,
        mode: match run.mode {
            Mode::Observe => "observe",
            Mode::Act => "act",
        },
        detail,
    }
}

fn entry<'a>(
    run: &'a RunRecord,
    detail: &'a str,
    outcome: &'a str,
    duration_ms: u64,
    output: Option<&'a Output>,
) -> Entry<'a> {
    Entry::Outcome {
        run: line(run, detail),
        outcome,
        duration_ms,
        output,
    }
}

fn log(run: &RunRecord, outcome: Outcome, detail: &str) {
    let RunRecord {
        id,
        hook,
        detection_id,
        rule,
        ..
    } = run;
    let name = outcome_name(outcome);
    if matches!(outcome, Outcome::Failed | Outcome::TimedOut) {
        tracing::warn!(
            run = id,
            hook,
            detection = detection_id,
            rule,
            outcome = name,
            detail,
            "hook"
        );
    } else {
        tracing::info!(
            run = id,
            hook,
            detection = detection_id,
            rule,
            outcome = name,
            detail,
            "hook"
        );
    }
}

fn cut(detail: &str) -> String {
    let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
    if end < detail.len() {
        format!("{}...", &detail[..end])
    } else {
        detail.to_owned()
    }
}
