//! A thread that may be left behind.
//!
//! Looking at a file of a container can take forever: the container may serve the file system itself. Who gives work
//! to a [`Hands`] waits for a bounded time; a thread that has not come back by then goes on alone, and another takes
//! its place, up to a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

/// Threads that may be left behind at the same time; with more, no work is taken until one has come back.
pub const LEFT_BEHIND_MAX: u64 = 8;

/// What became of a piece of work.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<A> {
    /// It is done.
    Done(A),
    /// It did not come back in time.
    Hung,
    /// There is nobody to do it.
    Refused,
}

/// One thread at work, and those that were left behind.
#[derive(Debug)]
pub struct Hands<J, A> {
    name: &'static str,
    work: fn(J) -> A,
    patience: Duration,
    current: Option<Hand<J, A>>,
    left_behind: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Hand<J, A> {
    jobs: SyncSender<J>,
    answers: Receiver<A>,
    is_left: Arc<AtomicBool>,
}

impl<J: Send + 'static, A: Send + 'static> Hands<J, A> {
    /// Hands that do `work`, each piece within `patience`.
    #[must_use]
    pub fn new(name: &'static str, patience: Duration, work: fn(J) -> A) -> Self {
        Self {
            name,
            work,
            patience,
            current: None,
            left_behind: Arc::default(),
        }
    }

    /// Has a piece of work done, and waits for it no longer than the patience lasts.
    pub fn run(&mut self, job: J) -> Outcome<A> {
        let Some(hand) = self.current.take().or_else(|| self.start()) else {
            return Outcome::Refused;
        };
        if hand.jobs.send(job).is_err() {
            return Outcome::Refused;
        }
        if let Ok(answer) = hand.answers.recv_timeout(self.patience) {
            self.current = Some(hand);
            return Outcome::Done(answer);
        }
        // Counted before the thread can know: it takes itself off the count when it ends.
        self.left_behind.fetch_add(1, Ordering::Relaxed);
        hand.is_left.store(true, Ordering::Release);
        Outcome::Hung
    }

    /// Threads that have not come back.
    #[must_use]
    pub fn left_behind(&self) -> u64 {
        self.left_behind.load(Ordering::Relaxed)
    }

    fn start(&self) -> Option<Hand<J, A>> {
        if self.left_behind() >= LEFT_BEHIND_MAX {
            return None;
        }
        let (jobs, given) = sync_channel::<J>(1);
        let (done, answers) = sync_channel(1);
        let is_left = Arc::new(AtomicBool::new(false));
        let (is_left_here, left_behind, work) =
            (Arc::clone(&is_left), Arc::clone(&self.left_behind), self.work);
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            while let Ok(job) = given.recv() {
                if done.send(work(job)).is_err() {
                    break;
                }
            }
            if is_left_here.load(Ordering::Acquire) {
                left_behind.fetch_sub(1, Ordering::Relaxed);
            }
        });
        thread.ok()?;
        Some(Hand {
            jobs,
            answers,
            is_left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers a number at once, and waits for the other end of a pipe before it answers none.
    fn work(job: Option<Receiver<()>>) -> u8 {
        job.map_or(1, |until| {
            let _ = until.recv();
            2
        })
    }

    #[test]
    fn work_that_hangs_is_left_behind_up_to_a_bound_and_counted_until_it_comes_back() {
        let mut hands = Hands::new("test", Duration::from_millis(400), work);
        assert_eq!(hands.run(None), Outcome::Done(1));
        let mut held = Vec::new();
        for left in 1..=LEFT_BEHIND_MAX {
            let (end, until) = sync_channel(0);
            held.push(end);
            assert_eq!(hands.run(Some(until)), Outcome::Hung);
            assert_eq!(hands.left_behind(), left);
            if left < LEFT_BEHIND_MAX {
                assert_eq!(hands.run(None), Outcome::Done(1), "another takes its place");
            }
        }
        assert_eq!(hands.run(None), Outcome::Refused);
        drop(held);
        while hands.left_behind() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(hands.run(None), Outcome::Done(1));
    }
}
