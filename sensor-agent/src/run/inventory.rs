//! How questions about the inventory reach the thread that keeps it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use sensor_proto::v1::InventorySummary;
use tokio::sync::oneshot;

use crate::{
    inventory::{Snapshot, answer::Wanted},
    kernel::ring::Control,
    serve::{InventorySource, NoInventory, Workloads},
    status::Live,
};

/// Questions that may wait.
const QUESTIONS_MAX: usize = 16;

/// How long an answer may take: the thread looks for questions once a batch of records.
const ANSWERS_IN: Duration = Duration::from_secs(5);

/// Who asks: it gets what was noted, or nothing where that is not kept.
type Question = oneshot::Sender<Option<Snapshot>>;

/// Asks the thread.
pub(super) struct Asker {
    control: Control,
    questions: mpsc::SyncSender<Question>,
    live: Arc<Live>,
}

/// What the thread is asked.
pub(super) struct Questions(mpsc::Receiver<Question>);

/// The two ends.
pub(super) fn channel(control: Control, live: Arc<Live>) -> (Asker, Questions) {
    let (questions, due) = mpsc::sync_channel(QUESTIONS_MAX);
    let asker = Asker {
        control,
        questions,
        live,
    };
    (asker, Questions(due))
}

impl Questions {
    /// Answers all questions of this moment.
    pub(super) fn answer(&self, mut snapshot: impl FnMut() -> Option<Snapshot>) {
        while let Ok(question) = self.0.try_recv() {
            // Who asked may have gone away.
            let _ = question.send(snapshot());
        }
    }
}

#[tonic::async_trait]
impl InventorySource for Asker {
    async fn inventory(&self, wanted: Wanted) -> Result<(InventorySummary, Workloads), NoInventory> {
        let (question, answer) = oneshot::channel();
        self.questions.try_send(question).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => NoInventory::Busy,
            mpsc::TrySendError::Disconnected(_) => NoInventory::Silent,
        })?;
        self.control.wake();
        let answer = tokio::time::timeout(ANSWERS_IN, answer).await;
        let Ok(Ok(snapshot)) = answer else {
            return Err(NoInventory::Silent);
        };
        let snapshot = snapshot.ok_or(NoInventory::Disabled)?;
        let summary = snapshot.summary(&self.live.hostname, self.live.coverage());
        Ok((summary, Box::new(snapshot.into_workloads(&wanted))))
    }
}
