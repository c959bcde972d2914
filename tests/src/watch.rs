//! The detections of an agent, with the time at which each arrived here: what the demo and the benchmarks measure.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, anyhow, bail};
use sensor_proto::v1::subscribe_response::Item;

use crate::client::Client;

/// Items that may wait to be read.
const ITEMS_MAX: usize = 4096;

/// How often the thread looks whether it is still wanted.
const PAUSE: Duration = Duration::from_millis(100);

/// A subscription that is read by a thread of its own, so that what happens here delays no time stamp.
#[derive(Debug)]
pub struct Watch {
    items: Receiver<(SystemTime, Item)>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Watch {
    /// Subscribes to everything, and returns when that is done.
    pub fn start(socket: &Path) -> anyhow::Result<Self> {
        let (sender, items) = sync_channel(ITEMS_MAX);
        let (ready, subscribed) = sync_channel(1);
        let over = Arc::new(AtomicBool::new(false));
        let client = Client::connect(socket)?;
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || read(&client, &ready, &sender, &over)
        });
        let mut watch = Self {
            items,
            over,
            thread: Some(thread),
        };
        match subscribed.recv() {
            Ok(()) => Ok(watch),
            Err(_) => Err(watch.why_ended()),
        }
    }

    /// The next item, or `None` when none came in time.
    pub fn next(&mut self, timeout: Duration) -> anyhow::Result<Option<(SystemTime, Item)>> {
        match self.items.recv_timeout(timeout) {
            Ok(item) => Ok(Some(item)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.why_ended()),
        }
    }

    fn why_ended(&mut self) -> anyhow::Error {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error.context("the subscription has failed"),
            _ => anyhow!("the subscription has ended"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // That the stream fails while the agent is being ended is nobody's concern any more.
            let _ = thread.join();
        }
    }
}

fn read(
    client: &Client,
    ready: &SyncSender<()>,
    items: &SyncSender<(SystemTime, Item)>,
    over: &AtomicBool,
) -> anyhow::Result<()> {
    let mut stream = client.subscribe(None)?;
    ready.send(())?;
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match stream.next(PAUSE)? {
            Some(item) => items
                .try_send((SystemTime::now(), item))
                .context("its reader does not keep up")?,
            // Sooner than the time was over: the stream is at its end.
            None if asked.elapsed() < PAUSE => bail!("the agent has ended the stream"),
            None => {}
        }
    }
    Ok(())
}
