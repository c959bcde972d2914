//! The bounded queue of one subscriber.
//!
//! When it is full, items are counted instead of kept. A gap then takes the place that they would have
//! had: before the next item that finds room, or at the end if the reader comes there first.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use sensor_proto::v1::Gap;

use super::Item;

/// The cause in the gaps that are made here.
const CAUSE: &str = "subscriber_full";
/// What can be missing, as the gap's `kind` names it; see [`kind_index`].
const KINDS: [&str; 4] = ["detection", "gap", "hook_run", "rules_reload"];

fn kind_index(item: &Item) -> usize {
    match item {
        Item::Detection(_) => 0,
        Item::Gap(_) => 1,
        Item::HookRun { .. } => 2,
        Item::RulesReload(_) => 3,
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// There was no room.
    Dropped,
    /// Nobody reads any more.
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue {
    items_max: usize,
    inner: Mutex<Inner>,
    /// For a reader that blocks its thread.
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    /// Dropped since the last gap, by [`KINDS`].
    missed: [u64; KINDS.len()],
    closed: bool,
    /// For a reader that is a task.
    waker: Option<Waker>,
}

impl Inner {
    /// Puts the gaps that are due at the end: at most one a kind, so that `items_max` is exceeded by
    /// no more than that.
    fn settle(&mut self) {
        for (kind, count) in KINDS.iter().zip(&mut self.missed) {
            if *count > 0 {
                self.items.push_back(Item::Gap(Arc::new(Gap {
                    time: Some(SystemTime::now().into()),
                    cause: CAUSE.to_owned(),
                    kind: (*kind).to_owned(),
                    count: std::mem::take(count),
                    ..Gap::default()
                })));
            }
        }
    }

    fn pop(&mut self) -> Option<Item> {
        if self.items.is_empty() {
            self.settle();
        }
        self.items.pop_front()
    }
}

impl Queue {
    pub(super) fn new(items_max: NonZeroUsize) -> Self {
        Self {
            items_max: items_max.get(),
            inner: Mutex::default(),
            ready: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: Item) -> Pushed {
        let mut inner = self.lock();
        if inner.closed {
            return Pushed::Closed;
        }
        if inner.items.len() >= self.items_max {
            inner.missed[kind_index(&item)] += 1;
            return Pushed::Dropped;
        }
        inner.settle();
        inner.items.push_back(item);
        let waker = inner.waker.take();
        drop(inner);
        self.ready.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
        Pushed::Queued
    }

    /// The next item; `None` when closed and empty.
    pub(super) fn poll_pop(&self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut inner = self.lock();
        match inner.pop() {
            Some(item) => Poll::Ready(Some(item)),
            None if inner.closed => Poll::Ready(None),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for at least one item and takes up to `items_max`; 0 when closed and empty.
    pub(super) fn pop_blocking(&self, into: &mut VecDeque<Item>, items_max: NonZeroUsize) -> usize {
        let mut inner = self.lock();
        loop {
            let mut taken = 0;
            while taken < items_max.get()
                && let Some(item) = inner.pop()
            {
                into.push_back(item);
                taken += 1;
            }
            if taken > 0 || inner.closed {
                return taken;
            }
            inner = self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Lets the reader come to an end once all is read.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let waker = inner.waker.take();
        drop(inner);
        self.ready.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For a reader that has left.
    pub(super) fn close_and_clear(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let unread = std::mem::take(&mut inner.items);
        drop(inner);
        drop(unread);
    }
}
