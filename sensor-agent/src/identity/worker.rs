//! The thread that takes questions, has them answered, and passes the answers on.
//!
//! Nobody waits for it: questions come through a bounded queue that is never waited on, and facts leave through another.
//! About once a second it looks whether the files of known roots have changed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use super::{
    accounts::{self, Found, Job, Read, Stamps, Whose},
    environment::{Mask, Owner},
    hand::{Hands, Outcome},
    program::Bounds,
    programs,
};
use crate::state::{
    inside::InnerNames,
    lookup::Lookup,
    programs::Program,
    users::Users,
    workload::{Fact, feed::FactSender},
};

/// Questions that may wait.
pub const QUESTIONS_MAX: usize = 1024;

/// How long one look may take. What hangs longer is left behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often known files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Roots that are looked at in one round; with more, each has its turn in a later one.
const LOOKS_A_ROUND: usize = 128;

/// A root that takes longer for one look is not looked at again: the others would wait for it.
const SLOW: Duration = Duration::from_millis(100);

/// Roots whose files are looked at again.
const WATCHED_MAX: usize = 4096;

/// Memory of all names together, in bytes; roots with the same names share theirs.
pub const NAMES_BYTES_MAX: usize = 16 << 20;

/// What the thread counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Roots and user namespaces that were read, again after a change included.
    pub read: AtomicU64,
    /// Those that could not be read: who was in them had ended, as a rule.
    pub gone: AtomicU64,
    /// Questions that found the queue full, or too many threads left behind.
    pub refused: AtomicU64,
    /// Questions whose file system did not answer in time.
    pub hung: AtomicU64,
    /// Threads that wait for a file system at this moment.
    pub left_behind: AtomicU64,
    /// Names that were not kept, because all together took too much memory.
    pub too_many: AtomicU64,
    /// The same of program files.
    pub programs: Arc<programs::Counts>,
}

impl Counts {
    /// Each count's name in metrics, what it means, and how many.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut counts = vec![
            (
                "identity_read",
                "Names of a container's users, maps of user namespaces, and environments, that were read",
                self.read.load(Relaxed),
            ),
            (
                "identity_gone",
                "Those that could not be read, because who was asked about had ended",
                self.gone.load(Relaxed),
            ),
            (
                "identity_refused",
                "Those that nobody looked for, because too many waited",
                self.refused.load(Relaxed),
            ),
            (
                "identity_hung",
                "Those whose file system did not answer in time",
                self.hung.load(Relaxed),
            ),
            (
                "identity_names_dropped",
                "Names that were not kept, because all together took too much memory",
                self.too_many.load(Relaxed),
            ),
        ];
        counts.extend(self.programs.told());
        counts
    }
}

/// The way to the threads; they end when this is dropped.
#[derive(Clone, Debug)]
pub struct Identity {
    questions: SyncSender<Lookup>,
    programs: SyncSender<Program>,
    counts: Arc<Counts>,
}

impl Identity {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system has no room for a thread.
    pub fn start(facts: FactSender, bounds: Bounds, mask: Mask) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let counts = Arc::new(Counts::default());
        let programs = programs::start(facts.clone(), Arc::clone(&counts.programs), bounds)?;
        let mut desk = Desk::new(facts, Arc::clone(&counts), mask);
        std::thread::Builder::new()
            .name("identity".into())
            .spawn(move || desk.work(&asked))?;
        Ok(Self {
            questions,
            programs,
            counts,
        })
    }

    /// Asks. False when the queue is full, which is counted.
    #[must_use]
    pub fn ask(&self, question: Lookup) -> bool {
        let (is_taken, refused) = match question {
            Lookup::Program(program) => (
                self.programs.try_send(*program).is_ok(),
                &self.counts.programs.refused,
            ),
            question => (self.questions.try_send(question).is_ok(), &self.counts.refused),
        };
        refused.fetch_add(u64::from(!is_taken), Relaxed);
        is_taken
    }

    /// What the thread counts.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

/// A root whose files are looked at again.
#[derive(Debug)]
struct Watched {
    container: Box<str>,
    whose: Whose,
    stamps: Stamps,
}

/// What the thread has on its desk.
struct Desk {
    facts: FactSender,
    counts: Arc<Counts>,
    /// Which variables are secrets.
    mask: Arc<Mask>,
    hands: Hands<Job, Read>,
    watched: VecDeque<Watched>,
    /// Names that somebody has: the same ones are not kept twice.
    names: Vec<Weak<Users>>,
}

/// Nobody reads facts any more.
struct Over;

impl Desk {
    fn new(facts: FactSender, counts: Arc<Counts>, mask: Mask) -> Self {
        Self {
            facts,
            counts,
            mask: Arc::new(mask),
            hands: Hands::new("identity-hand", PATIENCE, accounts::read),
            watched: VecDeque::new(),
            names: Vec::new(),
        }
    }

    fn work(&mut self, asked: &Receiver<Lookup>) {
        let mut looked = Instant::now();
        loop {
            let done = match asked.recv_timeout(LOOK.saturating_sub(looked.elapsed())) {
                Ok(question) => self.answer(question),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if done.is_err() {
                return;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if self.look_again().is_err() {
                    return;
                }
            }
        }
    }

    fn answer(&mut self, question: Lookup) -> Result<(), Over> {
        match question {
            Lookup::Names {
                container,
                pids,
                mount_ns,
            } => self.answer_names(container, Whose { pids, mount_ns }),
            Lookup::Ids { user_ns, pid } => {
                let ids = match self.have_read(Job::Ids { user_ns, pid }) {
                    Some(Read::Ids(ids)) => Some(ids),
                    _ => None,
                };
                self.tell(Fact::Ids(user_ns, ids))
            }
            Lookup::Environment { key, inode } => {
                let owner = Owner {
                    process: key.process,
                    inode,
                };
                let found = match self.have_read(Job::Environment(owner, Arc::clone(&self.mask))) {
                    Some(Read::Environment(found)) => Some(found),
                    _ => None,
                };
                self.tell(Fact::Environment(key, found))
            }
            // These go to a thread of their own.
            Lookup::Program(program) => self.tell(Fact::Program(program.key, None)),
        }
    }

    fn answer_names(&mut self, container: Box<str>, whose: Whose) -> Result<(), Over> {
        let job = Job::Accounts { whose, before: None };
        let Some(Read::Accounts(found)) = self.have_read(job) else {
            return self.tell(Fact::Names(container, None));
        };
        let stamps = found.stamps;
        self.tell_names(&container, *found)?;
        self.watched.retain(|watched| watched.container != container);
        if self.watched.len() < WATCHED_MAX {
            self.watched.push_back(Watched {
                container,
                whose,
                stamps,
            });
        }
        Ok(())
    }

    /// Looks whether files have changed; who is gone is not looked at again.
    fn look_again(&mut self) -> Result<(), Over> {
        for _ in 0..self.watched.len().min(LOOKS_A_ROUND) {
            let Some(mut watched) = self.watched.pop_front() else {
                break;
            };
            let job = Job::Accounts {
                whose: watched.whose,
                before: Some(watched.stamps),
            };
            let began = Instant::now();
            match self.hands.run(job) {
                Outcome::Done(Read::Accounts(found)) => {
                    self.counts.read.fetch_add(1, Relaxed);
                    watched.stamps = found.stamps;
                    self.tell_names(&watched.container, *found)?;
                }
                Outcome::Done(Read::Unchanged) | Outcome::Refused => {}
                Outcome::Done(Read::Gone | Read::Ids(_) | Read::Environment(_)) => continue,
                Outcome::Hung => {
                    self.counts.hung.fetch_add(1, Relaxed);
                    continue;
                }
            }
            if began.elapsed() < SLOW {
                self.watched.push_back(watched);
            }
        }
        self.counts.left_behind.store(self.hands.left_behind(), Relaxed);
        Ok(())
    }

    /// What a hand has read, counted.
    fn have_read(&mut self, job: Job) -> Option<Read> {
        let outcome = self.hands.run(job);
        self.counts.left_behind.store(self.hands.left_behind(), Relaxed);
        let (counter, read) = match outcome {
            Outcome::Done(Read::Gone) => (&self.counts.gone, None),
            Outcome::Done(read) => (&self.counts.read, Some(read)),
            Outcome::Hung => (&self.counts.hung, None),
            Outcome::Refused => (&self.counts.refused, None),
        };
        counter.fetch_add(1, Relaxed);
        read
    }

    fn tell_names(&mut self, container: &str, found: Found) -> Result<(), Over> {
        let ids = found.ids;
        let names = self.keep(found.accounts).map(|users| InnerNames { users, ids });
        self.tell(Fact::Names(container.into(), names))
    }

    /// The names, shared with whom has the same ones; `None` when there is no room for them.
    fn keep(&mut self, accounts: Users) -> Option<Arc<Users>> {
        let mut bytes = 0;
        let mut same = None;
        self.names.retain(|known| {
            let Some(known) = known.upgrade() else {
                return false;
            };
            bytes += known.bytes();
            if *known == accounts {
                same = Some(known);
            }
            true
        });
        if same.is_none() && bytes + accounts.bytes() > NAMES_BYTES_MAX {
            self.counts.too_many.fetch_add(1, Relaxed);
            return None;
        }
        Some(same.unwrap_or_else(|| {
            let new = Arc::new(accounts);
            self.names.push(Arc::downgrade(&new));
            new
        }))
    }

    fn tell(&self, fact: Fact) -> Result<(), Over> {
        if self.facts.send(fact) { Ok(()) } else { Err(Over) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::workload::feed;

    #[test]
    fn the_same_names_are_kept_once_and_all_together_are_bounded() {
        let (facts, _told) = feed::channel();
        let mut desk = Desk::new(facts, Arc::default(), Mask::default());
        let small = || Users::within_bounds(b"ann:x:7:7::/:\n", b"");
        let (one, other) = (desk.keep(small()).unwrap(), desk.keep(small()).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        let large = |number: usize| {
            let line = |id| format!("{number:0>200}-{id}:x:{id}:0::/:\n");
            let lines: Vec<_> = (1..4000).map(line).collect();
            Users::within_bounds(lines.concat().as_bytes(), b"")
        };
        let mut kept: Vec<_> = (0..100).filter_map(|number| desk.keep(large(number))).collect();
        assert!(kept.len() > 5 && kept.len() < 100, "{}", kept.len());
        assert_eq!(desk.counts.too_many.load(Relaxed), 100 - kept.len() as u64);
        kept.clear();
        assert!(desk.keep(large(200)).is_some(), "room comes back");
    }
}
