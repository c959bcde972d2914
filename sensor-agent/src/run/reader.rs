//! The thread that reads the rings and owns the pipeline.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use sensor_common::kind::Ring;
use tokio::sync::oneshot;

use super::{RunError, canaries::Canaries, feed::Feed, inventory::Questions};
use crate::{
    clock,
    kernel::ring::{self, Asleep, Control, ReadError, Rings},
    pipeline::Matching,
    selftest::round::Round,
    stats::Stats,
};

/// The running thread.
pub(super) struct Reader {
    control: Control,
    swaps: mpsc::SyncSender<Swap>,
    rounds: mpsc::SyncSender<Option<Arc<Round>>>,
    thread: JoinHandle<Result<(), ReadError>>,
    /// Resolves when the thread has ended.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Reader {
    /// Starts to read.
    pub(super) fn start(
        mut rings: Rings,
        mut asleep: Asleep,
        feed: Feed,
        stats: Arc<Stats>,
        control: Control,
        questions: Questions,
    ) -> Result<Self, RunError> {
        let controlled = control.clone();
        // One at a time: who asks for a swap waits for it.
        let (swaps, swaps_due) = mpsc::sync_channel(1);
        // One that begins and the end of the one before.
        let (rounds, rounds_due) = mpsc::sync_channel(2);
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || {
                // Dropped when the thread ends, however it ends.
                let _end: oneshot::Sender<()> = end;
                let mut work = Work {
                    feed,
                    stats,
                    swaps: swaps_due,
                    rounds: rounds_due,
                    questions,
                };
                ring::read(&mut rings, &mut asleep, &controlled, &mut work)
            })
            .map_err(anyhow::Error::from)?;
        Ok(Self {
            control,
            swaps,
            rounds,
            thread,
            ended,
        })
    }

    /// Who can change the rules while the thread runs.
    pub(super) fn swapper(&self) -> Swapper {
        Swapper {
            control: self.control.clone(),
            swaps: self.swaps.clone(),
        }
    }

    /// Who can have the thread look for a canary.
    pub(super) fn canaries(&self) -> Canaries {
        Canaries::new(self.control.clone(), self.rounds.clone())
    }

    /// Lets the thread end once the rings are empty, and waits for it.
    pub(super) async fn finish(self) -> Result<(), RunError> {
        self.control.stop();
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(anyhow::Error::from(error).into()),
            _ => Err(anyhow::anyhow!("the thread that reads the rings ended by itself").into()),
        }
    }
}

/// Other rules, to be used from the next record on.
struct Swap {
    new: Matching,
    done: oneshot::Sender<Swapped>,
}

/// Rules were changed.
pub(super) struct Swapped {
    /// What was in use before; dropping it may take a while.
    pub(super) former: Matching,
    /// For how long no record was read because of it.
    pub(super) pause: Duration,
}

/// Changes the rules of the running thread.
pub(super) struct Swapper {
    control: Control,
    swaps: mpsc::SyncSender<Swap>,
}

impl Swapper {
    /// Changes the rules between two records. `None` when the thread has ended.
    pub(super) async fn swap(&self, new: Matching) -> Option<Swapped> {
        let (done, swapped) = oneshot::channel();
        self.swaps.try_send(Swap { new, done }).ok()?;
        self.control.wake();
        swapped.await.ok()
    }
}

/// The pipeline as the reader of the rings sees it.
struct Work {
    feed: Feed,
    stats: Arc<Stats>,
    swaps: mpsc::Receiver<Swap>,
    rounds: mpsc::Receiver<Option<Arc<Round>>>,
    questions: Questions,
}

impl ring::Sink for Work {
    fn record(&mut self, ring: Ring, bytes: &[u8]) {
        self.feed.record(ring, bytes);
    }

    fn idle(&mut self) -> bool {
        self.feed.idle()
    }

    fn finish(&mut self) {
        self.feed.finish();
    }

    fn tick(&mut self) {
        self.feed.tick();
    }

    fn busy(&mut self, time: Duration) {
        self.stats
            .busy_ns
            .add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn between(&mut self) {
        self.feed.batch();
        while let Ok(round) = self.rounds.try_recv() {
            self.feed.pipeline.look_for(round);
        }
        let pipeline = &mut self.feed.pipeline;
        self.questions.answer(|| pipeline.inventory(clock::boot_ns()));
        if let Ok(Swap { new, done }) = self.swaps.try_recv() {
            let begin = Instant::now();
            let former = self.feed.pipeline.swap_rules(new);
            let pause = begin.elapsed();
            // Who asked has gone away only when the agent stops.
            let _ = done.send(Swapped { former, pause });
        }
    }
}
