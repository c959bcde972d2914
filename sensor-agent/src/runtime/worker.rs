//! The thread that reads runtimes' files.
//!
//! It may wait for a disk, and nobody waits for it: requests come through a bounded queue that is never waited on, and
//! facts leave through another. Once a second it looks whether files of known containers have changed (a rename, new
//! labels).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use hashbrown::HashMap;

use super::{
    places::{self, Found},
    socket::Sockets,
};
use crate::state::{
    home::Wanted,
    workload::{Fact, feed::FactSender},
};

/// Containers whose facts may wait to be looked for.
pub const REQUESTS_MAX: usize = 1024;

/// How often known files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Containers whose files are looked at again.
const WATCHED_MAX: usize = 4096;

/// What the thread counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Containers that were looked for.
    pub asked: AtomicU64,
    /// Containers of which no runtime's file tells.
    pub unknown: AtomicU64,
    /// Requests that found the queue full.
    pub refused: AtomicU64,
    /// Nanoseconds spent on looking.
    pub busy_ns: AtomicU64,
}

/// The way to the thread; it ends when this is dropped.
#[derive(Clone, Debug)]
pub struct Worker {
    requests: SyncSender<Wanted>,
    counts: Arc<Counts>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub fn start(facts: FactSender, sockets: Sockets) -> std::io::Result<Self> {
        let (requests, receiver) = sync_channel(REQUESTS_MAX);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        std::thread::Builder::new()
            .name("runtime-files".into())
            .spawn(move || work(&receiver, &facts, &sockets, &counted))?;
        Ok(Self { requests, counts })
    }

    /// Has a container's facts looked for. False when the queue is full, which is counted.
    #[must_use]
    pub fn ask(&self, wanted: Wanted) -> bool {
        let is_taken = self.requests.try_send(wanted).is_ok();
        if !is_taken {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// What the thread counts.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

fn work(requests: &Receiver<Wanted>, facts: &FactSender, sockets: &Sockets, counts: &Counts) {
    let mut watched: HashMap<Box<str>, (Wanted, Found)> = HashMap::new();
    let mut looked = Instant::now();
    loop {
        match requests.recv_timeout(LOOK.saturating_sub(looked.elapsed())) {
            Ok(wanted) => {
                let begin = Instant::now();
                let found = places::find(&wanted);
                counts.asked.fetch_add(1, Ordering::Relaxed);
                counts
                    .unknown
                    .fetch_add(u64::from(!found.facts.is_verified), Ordering::Relaxed);
                let spent = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
                counts.busy_ns.fetch_add(spent, Ordering::Relaxed);
                let mut told = found.facts.clone();
                let question = sockets.question(&wanted.container, &mut told);
                if !facts.send(Fact::Container(Arc::new(told))) {
                    return;
                }
                // Asked once the files' facts are on their way: the answer comes behind them.
                if let Some(question) = question
                    && let Err(missing) = sockets.ask(question)
                    && !facts.send(missing)
                {
                    return;
                }
                if watched.len() < WATCHED_MAX && !found.stamps.is_empty() {
                    watched.insert(found.facts.id.clone(), (wanted, found));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            watched.retain(|_, (wanted, found)| look_again(wanted, found, facts));
        }
    }
}

/// Whether the container is still to be watched: its files go when it does.
fn look_again(wanted: &Wanted, found: &mut Found, facts: &FactSender) -> bool {
    let states: Vec<_> = found.stamps.iter().map(super::files::Stamp::is_current).collect();
    if states.iter().any(Option::is_none) {
        return false;
    }
    if states.contains(&Some(false)) {
        let fresh = places::find(wanted);
        if !fresh.facts.is_verified {
            return false;
        }
        if fresh.facts != found.facts && !facts.send(Fact::Container(Arc::new(fresh.facts.clone()))) {
            return false;
        }
        *found = fresh;
    }
    true
}
