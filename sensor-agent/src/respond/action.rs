//! What the three kinds of action have in common: a plan that changes nothing, then a run, then a verdict.

use std::sync::Arc;
use std::time::Instant;

use sensor_proto::v1::Detection;
use sensor_proto::v1::hook_run::Outcome;
use tokio_util::sync::CancellationToken;

use super::journal::Output;
use super::kill::KillPlan;
use super::policy::Action;
use super::program::ProgramPlan;
use super::restore::RestorePlan;

/// Writes a detection as one JSON object on one line.
pub(crate) type Encode = Arc<dyn Fn(&Arc<Detection>) -> Vec<u8> + Send + Sync>;

/// What one run is about.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) run_id: String,
    pub(crate) detection: Arc<Detection>,
    pub(crate) encode: Encode,
}

/// Why an action is not allowed on this target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "errors are given away to be turned into their text"
    )]
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
    pub(crate) output: Option<Output>,
}

impl Verdict {
    pub(crate) fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
            output: None,
        }
    }

    pub(crate) fn done(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Done, detail)
    }

    pub(crate) fn failed(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, detail)
    }
}

/// An action on a target, ready to run.
#[derive(Debug)]
pub(crate) enum Plan {
    Program(ProgramPlan),
    Kill(KillPlan),
    Restore(RestorePlan),
}

impl Plan {
    /// Looks at the target. Changes nothing; blocks on files.
    pub(crate) fn new(action: &Action, request: &Request) -> Result<Self, Refusal> {
        match action {
            Action::Program(action) => ProgramPlan::new(action, request).map(Self::Program),
            Action::Kill(action) => KillPlan::new(action, &request.detection).map(Self::Kill),
            Action::Restore(action) => {
                RestorePlan::new(action, &request.detection, &request.run_id).map(Self::Restore)
            }
        }
    }

    /// What it will do, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Program(plan) => plan.describe(),
            Self::Kill(plan) => plan.describe(),
            Self::Restore(plan) => plan.describe(),
        }
    }

    /// Does it. Returns soon after `deadline` at the latest; programs are killed when `cancel` is called.
    pub(crate) async fn run(self, deadline: Instant, cancel: &CancellationToken) -> Verdict {
        let work: Box<dyn FnOnce() -> Verdict + Send> = match self {
            Self::Program(plan) => return plan.run(deadline, cancel).await,
            Self::Kill(plan) => Box::new(move || plan.run(deadline)),
            Self::Restore(plan) => Box::new(move || plan.run(deadline)),
        };
        let ran = tokio::task::spawn_blocking(work).await;
        ran.unwrap_or_else(|error| Verdict::failed(format!("the action broke off: {error}")))
    }
}
