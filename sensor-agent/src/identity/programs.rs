//! The thread that looks at program files: one after the other, no faster than allowed, behind everybody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::{
    hand::{Hands, Outcome},
    program::{self, Bounds},
};
use crate::state::{
    programs::{Hashed, Program, ProgramFacts},
    workload::{Fact, feed::FactSender},
};

/// Programs that may wait to be looked at.
pub const WAITING_MAX: usize = 1024;

/// How long reading may take beyond what the allowed speed asks for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the thread counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files that were hashed.
    pub hashed: AtomicU64,
    /// Files that were not, since another was there by then.
    pub raced: AtomicU64,
    /// Files that are too long.
    pub too_long: AtomicU64,
    /// Files that were gone, or could not be read.
    pub gone: AtomicU64,
    /// Programs that nobody looked at, because too many waited.
    pub refused: AtomicU64,
    /// Files whose file system did not answer in time.
    pub hung: AtomicU64,
}

impl Counts {
    /// Each count's name in metrics, what it means, and how many.
    pub(super) fn told(&self) -> [(&'static str, &'static str, u64); 6] {
        [
            (
                "programs_hashed",
                "Program files that were hashed",
                self.hashed.load(Relaxed),
            ),
            (
                "programs_raced",
                "Program files that were not hashed, since another was there by then",
                self.raced.load(Relaxed),
            ),
            (
                "programs_too_long",
                "Program files that are too long to be hashed",
                self.too_long.load(Relaxed),
            ),
            (
                "programs_gone",
                "Program files that were gone before they could be looked at",
                self.gone.load(Relaxed),
            ),
            (
                "programs_refused",
                "Program files that nobody looked at, because too many waited",
                self.refused.load(Relaxed),
            ),
            (
                "programs_hung",
                "Program files whose file system did not answer in time",
                self.hung.load(Relaxed),
            ),
        ]
    }
}

/// Starts the thread; it ends when what is returned is dropped.
///
/// # Errors
/// When the system has no room for a thread.
pub(super) fn start(
    facts: FactSender,
    counts: Arc<Counts>,
    bounds: Bounds,
) -> std::io::Result<SyncSender<Program>> {
    let (programs, waiting) = sync_channel(WAITING_MAX);
    std::thread::Builder::new()
        .name("programs".into())
        .spawn(move || work(&waiting, &facts, &counts, bounds))?;
    Ok(programs)
}

fn work(waiting: &Receiver<Program>, facts: &FactSender, counts: &Counts, bounds: Bounds) {
    let reading = Duration::from_secs(bounds.file_bytes_max / bounds.bytes_per_second.max(1));
    let mut hands = Hands::new("programs-hand", reading + PATIENCE, program::look);
    while let Ok(program) = waiting.recv() {
        let key = program.key;
        let found = match hands.run((program, bounds)) {
            Outcome::Done(found) => {
                count(counts, &found);
                Some(found)
            }
            Outcome::Hung => {
                counts.hung.fetch_add(1, Relaxed);
                None
            }
            Outcome::Refused => {
                counts.refused.fetch_add(1, Relaxed);
                None
            }
        };
        if !facts.send(Fact::Program(key, found)) {
            return;
        }
    }
}

fn count(counts: &Counts, found: &ProgramFacts) {
    let counter = match found.hashed {
        Hashed::Known(_) => &counts.hashed,
        Hashed::Raced => &counts.raced,
        Hashed::TooLong => &counts.too_long,
        Hashed::Unreadable => &counts.gone,
        Hashed::Unasked => return,
    };
    counter.fetch_add(1, Relaxed);
}
