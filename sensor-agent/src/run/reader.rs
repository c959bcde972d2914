//! The thread that reads the rings and owns the pipeline.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use sensor_common::kind::Ring;
use tokio::sync::oneshot;

use super::RunError;
use crate::{
    kernel::ring::{self, Asleep, ReadError, Rings, Stop},
    pipeline::Pipeline,
    stats::Stats,
};

/// The running thread.
pub(super) struct Reader {
    stop: Stop,
    thread: JoinHandle<Result<(), ReadError>>,
    /// Resolves when the thread has ended.
    pub(super) ended: oneshot::Receiver<()>,
}

impl Reader {
    /// Starts to read.
    pub(super) fn start(
        mut rings: Rings,
        mut asleep: Asleep,
        pipeline: Pipeline,
        stats: Arc<Stats>,
    ) -> Result<Self, RunError> {
        let stop =
            Stop::new().map_err(|error| anyhow::anyhow!("cannot make an event descriptor: {error}"))?;
        let stopped = stop.clone();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || {
                // Dropped when the thread ends, however it ends.
                let _end: oneshot::Sender<()> = end;
                let mut work = Work { pipeline, stats };
                ring::read(&mut rings, &mut asleep, &stopped, &mut work)
            })
            .map_err(anyhow::Error::from)?;
        Ok(Self { stop, thread, ended })
    }

    /// Lets the thread end once the rings are empty, and waits for it.
    pub(super) async fn finish(self) -> Result<(), RunError> {
        self.stop.stop();
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(anyhow::Error::from(error).into()),
            _ => Err(anyhow::anyhow!("the thread that reads the rings ended by itself").into()),
        }
    }
}

/// The pipeline as the reader of the rings sees it.
struct Work {
    pipeline: Pipeline,
    stats: Arc<Stats>,
}

impl ring::Sink for Work {
    fn record(&mut self, ring: Ring, bytes: &[u8]) {
        self.pipeline.handle(ring, bytes);
    }

    fn idle(&mut self) -> bool {
        self.pipeline.settle()
    }

    fn finish(&mut self) {
        self.pipeline.finish();
    }

    fn tick(&mut self) {
        self.pipeline.tick();
    }

    fn busy(&mut self, time: Duration) {
        self.stats
            .busy_ns
            .add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}
