//! The one way by which facts reach the pipeline's thread: a bounded channel that it never waits on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use super::Fact;

/// Facts that may wait for the pipeline's thread.
pub const FACTS_WAITING_MAX: usize = 1024;

/// Where facts are put. Clone it for each thread or task that has some.
#[derive(Clone, Debug)]
pub struct FactSender {
    sender: SyncSender<Fact>,
    refused: Arc<AtomicU64>,
}

/// Where the pipeline's thread takes them.
#[derive(Debug)]
pub struct FactReceiver(Receiver<Fact>);

/// The channel.
#[must_use]
pub fn channel() -> (FactSender, FactReceiver) {
    let (sender, receiver) = sync_channel(FACTS_WAITING_MAX);
    let sender = FactSender {
        sender,
        refused: Arc::default(),
    };
    (sender, FactReceiver(receiver))
}

impl FactSender {
    /// Puts a fact in, unless the channel is full; then it comes back, and is counted. Never waits, so it may be
    /// called from an asynchronous task.
    ///
    /// # Errors
    /// The fact itself, when there is no room; `None` when nobody reads any more.
    pub fn offer(&self, fact: Fact) -> Result<(), Option<Box<Fact>>> {
        self.sender.try_send(fact).map_err(|error| match error {
            TrySendError::Full(fact) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Some(Box::new(fact))
            }
            TrySendError::Disconnected(_) => None,
        })
    }

    /// Puts a fact in and waits for room: for tasks. When nobody reads any more it is dropped.
    pub async fn tell(&self, fact: Fact) {
        /// Wait before a fact is offered again to a full channel.
        const ROOM_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

        let mut fact = fact;
        while let Err(Some(refused)) = self.offer(fact) {
            fact = *refused;
            tokio::time::sleep(ROOM_PAUSE).await;
        }
    }

    /// Puts a fact in and waits for room: for threads that may wait. False when nobody reads any more.
    #[must_use]
    pub fn send(&self, fact: Fact) -> bool {
        self.sender.send(fact).is_ok()
    }

    /// Facts that found the channel full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl FactReceiver {
    /// The next fact, if one waits.
    #[must_use]
    pub fn next(&self) -> Option<Fact> {
        self.0.try_recv().ok()
    }
}
