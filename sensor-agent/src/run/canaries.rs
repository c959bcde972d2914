//! How rounds of the self-test reach the thread that matches.

use std::sync::{Arc, mpsc};

use crate::{kernel::ring::Control, selftest::round::Round};

/// Sends rounds to the running thread.
pub struct Canaries {
    control: Control,
    rounds: mpsc::SyncSender<Option<Arc<Round>>>,
}

impl Canaries {
    pub(super) fn new(control: Control, rounds: mpsc::SyncSender<Option<Arc<Round>>>) -> Self {
        Self { control, rounds }
    }

    /// From here on the thread looks for the events of this round; with `None`, for those of none. `false` when it does
    /// not take it: it has ended, or is far behind.
    #[must_use]
    pub fn send(&self, round: Option<Arc<Round>>) -> bool {
        let sent = self.rounds.try_send(round).is_ok();
        self.control.wake();
        sent
    }
}
