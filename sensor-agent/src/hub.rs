//! Hands finished detections to everyone who reads them.
//!
//! The pipeline publishes from a plain thread and must never wait, so each subscriber has a bounded
//! queue of its own, and an item for which there is no room is dropped for that subscriber alone,
//! counted, and announced to it by a [`Gap`] at the very place in its stream where items are missing.
//!
//! Invariants:
//! - [`Hub::publish`] takes no lock that a reader holds while it does anything but move one item.
//! - For each subscriber, items come out in the order in which they were published.
//! - Each item that a subscriber's filter passes is delivered to it, waits for it, or is counted as
//!   dropped; only a subscriber that leaves takes its unread items with it.

pub mod filter;
mod queue;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use sensor_proto::v1::{self, Detection, Gap, HookRun, RulesReload};

use crate::metrics::{SubscriberKind, SubscriberMetrics};
pub use filter::CompiledFilter;
use queue::Queue;

/// What travels from the pipeline and the responder to the readers.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A rule matched an event.
    Detection(Arc<Detection>),
    /// Something was lost on the way here.
    Gap(Arc<Gap>),
    /// The responder ran a hook.
    HookRun {
        /// What the hook did.
        run: Arc<HookRun>,
        /// The detection that it answers; who gets that gets the run.
        answers: Arc<Detection>,
    },
    /// The rules were read anew.
    RulesReload(Arc<RulesReload>),
}

/// The bounds of a [`Hub`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Items that may wait for one subscriber.
    pub queue_items_max: NonZeroUsize,
    /// Subscribers at one time, the sinks and the responder included.
    pub subscribers_max: usize,
}

/// Why nobody can subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// Every place is taken.
    #[error(
        "{0} subscribers are connected, which is the most allowed; raise grpc.subscribers_max or stop one"
    )]
    Full(usize),
    /// The sensor is shutting down.
    #[error("the sensor is shutting down")]
    Closed,
}

/// Who subscribes, and to what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The kind of reader, for metrics.
    pub kind: SubscriberKind,
    /// The reader itself, for `Agent.Status`: an address or a path; may be empty.
    pub peer: String,
    /// What the reader wants.
    pub filter: CompiledFilter,
}

/// The meeting point of those who publish and those who subscribe.
#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
    metrics: SubscriberMetrics,
    /// Replaced as a whole on each change, so that publishing takes no lock.
    subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// Serialises changes of `subscribers`; never held while publishing.
    membership: Mutex<Membership>,
}

#[derive(Debug)]
struct Membership {
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    id: u64,
    request: Request,
    queue: Queue,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Hub {
    /// A hub without subscribers.
    #[must_use]
    pub fn new(limits: HubLimits, metrics: SubscriberMetrics) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            subscribers: ArcSwap::default(),
            membership: Mutex::new(Membership {
                next_id: 1,
                closed: false,
            }),
        })
    }

    /// Gives the item to each subscriber that wants it. Never waits for any of them; after
    /// [`Hub::close`], does nothing.
    pub fn publish(&self, item: &Item) {
        for subscriber in self.subscribers.load().iter() {
            if subscriber.request.filter.passes(item) {
                self.offer(subscriber, item);
            }
        }
    }

    fn offer(&self, subscriber: &Subscriber, item: &Item) {
        let kind = subscriber.request.kind;
        match subscriber.queue.push(item.clone()) {
            queue::Pushed::Dropped => {
                subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                self.metrics.dropped(kind);
            }
            queue::Pushed::Queued | queue::Pushed::Closed => {}
        }
    }

    /// Adds a subscriber, who gets what is published from now on.
    ///
    /// # Errors
    /// [`SubscribeError::Full`] when there are `subscribers_max` already, [`SubscribeError::Closed`]
    /// after [`Hub::close`].
    pub fn subscribe(self: &Arc<Self>, request: Request) -> Result<Subscription, SubscribeError> {
        let mut membership = self.membership.lock().unwrap_or_else(PoisonError::into_inner);
        if membership.closed {
            return Err(SubscribeError::Closed);
        }
        let mut subscribers = Vec::clone(&self.subscribers.load());
        if subscribers.len() >= self.limits.subscribers_max {
            return Err(SubscribeError::Full(subscribers.len()));
        }
        let subscriber = Arc::new(Subscriber {
            id: membership.next_id,
            request,
            queue: Queue::new(self.limits.queue_items_max),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        membership.next_id += 1;
        subscribers.push(Arc::clone(&subscriber));
        self.subscribers.store(Arc::new(subscribers));
        Ok(Subscription {
            hub: Arc::clone(self),
            subscriber,
        })
    }

    fn leave(&self, subscriber: &Subscriber) {
        let membership = self.membership.lock().unwrap_or_else(PoisonError::into_inner);
        let mut subscribers = Vec::clone(&self.subscribers.load());
        subscribers.retain(|other| other.id != subscriber.id);
        self.subscribers.store(Arc::new(subscribers));
        drop(membership);
        subscriber.queue.close_and_clear();
    }

    /// Ends every subscription once its queue is read empty, and refuses new ones.
    pub fn close(&self) {
        let mut membership = self.membership.lock().unwrap_or_else(PoisonError::into_inner);
        membership.closed = true;
        for subscriber in self.subscribers.load().iter() {
            subscriber.queue.close();
        }
    }

    /// The subscribers of this moment, as `Agent.Status` shows them.
    #[must_use]
    pub fn subscribers(&self) -> Vec<v1::Subscriber> {
        let queued_max = self.limits.queue_items_max.get() as u64;
        let describe = |subscriber: &Arc<Subscriber>| v1::Subscriber {
            id: subscriber.id,
            delivered: subscriber.delivered.load(Ordering::Relaxed),
            dropped: subscriber.dropped.load(Ordering::Relaxed),
            kind: subscriber.request.kind.as_str().to_owned(),
            peer: subscriber.request.peer.clone(),
            queued: subscriber.queue.len() as u64,
            queued_max,
        };
        self.subscribers.load().iter().map(describe).collect()
    }
}

/// One reader's end. Dropping it ends the subscription.
///
/// A reader uses either the asynchronous calls or the blocking one, not both.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    /// The id that `Agent.Status` shows.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.subscriber.id
    }

    /// The next item, or `None` when the hub is closed and all is read.
    pub async fn recv(&mut self) -> Option<Item> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`Subscription::recv`], for hand-written futures.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let item = std::task::ready!(self.subscriber.queue.poll_pop(context));
        self.count_delivered(usize::from(item.is_some()));
        Poll::Ready(item)
    }

    /// Waits in this thread until something is there, then moves up to `items_max` items to the end
    /// of `into`. Returns false when the hub is closed and all is read.
    pub fn recv_blocking(&mut self, into: &mut VecDeque<Item>, items_max: NonZeroUsize) -> bool {
        let taken = self.subscriber.queue.pop_blocking(into, items_max);
        self.count_delivered(taken);
        taken > 0
    }

    fn count_delivered(&self, items: usize) {
        if items > 0 {
            self.subscriber
                .delivered
                .fetch_add(items as u64, Ordering::Relaxed);
            self.hub.metrics.delivered(self.subscriber.request.kind, items);
        }
    }
}

impl tokio_stream::Stream for Subscription {
    type Item = Item;

    fn poll_next(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.get_mut().poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.subscriber);
    }
}

#[cfg(test)]
mod tests;
