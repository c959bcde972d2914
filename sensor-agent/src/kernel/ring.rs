//! Reading the rings, on a thread of its own.
//!
//! Lifecycle records come first: before each other record the lifecycle ring is emptied, so that the
//! process of an activity is known by then. (A record of an earlier exec is in its ring before the
//! process can do anything that makes an activity record.) Critical records come before activity, so that
//! no flood of files makes them wait.
//!
//! The programs wake the reader only when it has said that it sleeps. After work the thread rests shortly
//! before it asks again, so that under load records come in batches and not each with a wake-up of its own.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aya::maps::{Array, MapData, MapError, RingBuf};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use sensor_common::kind::Ring;

/// The rest after work: a record waits this long at most when the machine is busy.
const REST: Duration = Duration::from_micros(250);

/// How often [`Sink::tick`] is called.
const TICK: Duration = Duration::from_secs(1);

/// How soon [`Sink::idle`] is called again while something waits.
const SOON: Duration = Duration::from_millis(1);

/// Records of one ring handled before the clock is asked.
const BATCH: usize = 1024;

/// A ring as the agent reads it.
pub type RingReader = RingBuf<MapData>;

/// All rings.
pub struct Rings {
    /// Fork, exec, exit.
    pub lifecycle: RingReader,
    /// What is rare and matters by itself.
    pub critical: RingReader,
    /// Files and connections.
    pub activity: RingReader,
}

/// By which the reader tells the programs that it sleeps.
pub struct Asleep(pub(super) Array<MapData, u32>);

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Waiting failed.
    #[error("cannot wait for the rings: {0}")]
    Wait(#[from] rustix::io::Errno),
    /// The programs cannot be told that the reader sleeps, and would not wake it.
    #[error("cannot write the map ASLEEP: {0}")]
    Asleep(#[from] MapError),
}

/// Takes what is read.
pub trait Sink {
    /// One record.
    fn record(&mut self, ring: Ring, bytes: &[u8]);
    /// The rings are empty. Returns whether something waits, so that this is called again soon.
    fn idle(&mut self) -> bool;
    /// The rings are empty for good.
    fn finish(&mut self);
    /// About once a second.
    fn tick(&mut self);
    /// Time that was spent on records.
    fn busy(&mut self, time: Duration);
    /// Between two records, at least once a batch and after each [`Control::wake`].
    fn between(&mut self);
}

/// Wakes or ends a reader from another thread.
#[derive(Clone, Debug)]
pub struct Control {
    stopping: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

impl Control {
    /// Makes one.
    pub fn new() -> Result<Self, rustix::io::Errno> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self {
            stopping: Arc::default(),
            wake,
        })
    }

    /// Lets the reader end once all rings are empty.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// Lets the reader call [`Sink::between`] soon, though no record may come.
    pub fn wake(&self) {
        // A full counter has woken the reader already.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }

    /// Forgets calls of [`wake`](Self::wake) so far; what they were made for is looked at afterwards.
    fn awake(&self) {
        // Nothing to read means that nobody has called.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
    }
}

/// Reads until [`Control::stop`], and then until the rings are empty.
pub fn read(
    rings: &mut Rings,
    asleep: &mut Asleep,
    control: &Control,
    sink: &mut impl Sink,
) -> Result<(), ReadError> {
    let mut last_tick = Instant::now();
    let mut may_sleep = false;
    loop {
        let stopping = control.stopping.load(Ordering::Acquire);
        sink.between();
        let begin = Instant::now();
        let count = drain(rings, sink);
        if count > 0 {
            sink.busy(begin.elapsed());
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            sink.tick();
        }
        match (count, stopping) {
            (0, true) => {
                sink.tick();
                sink.finish();
                return Ok(());
            }
            // Looked again after the word was given, and still nothing.
            (0, false) if may_sleep => {
                let time = if sink.idle() { SOON } else { TICK };
                wait(
                    [
                        rings.lifecycle.as_fd(),
                        rings.critical.as_fd(),
                        rings.activity.as_fd(),
                        control.wake.as_fd(),
                    ],
                    time,
                )?;
                control.awake();
                may_sleep = false;
                continue;
            }
            (0, false) => {
                asleep.0.set(0, 1, 0)?;
                may_sleep = true;
                continue;
            }
            (BATCH.., _) => {}
            _ => std::thread::sleep(REST),
        }
        may_sleep = false;
    }
}

/// Reads what is there, at most [`BATCH`] activity records; returns how many of any ring.
fn drain(rings: &mut Rings, sink: &mut impl Sink) -> usize {
    let mut count = 0;
    for _ in 0..BATCH {
        count += drain_first(rings, sink);
        let Some(record) = rings.activity.next() else {
            return count;
        };
        // A lifecycle record that came before this one, but after the look at its ring.
        count += drain_lifecycle(&mut rings.lifecycle, sink) + 1;
        sink.record(Ring::Activity, &record);
    }
    count
}

/// Empties the lifecycle ring, and the critical ring with it.
fn drain_first(rings: &mut Rings, sink: &mut impl Sink) -> usize {
    let mut count = drain_lifecycle(&mut rings.lifecycle, sink);
    while let Some(record) = rings.critical.next() {
        count += drain_lifecycle(&mut rings.lifecycle, sink) + 1;
        sink.record(Ring::Critical, &record);
    }
    count
}

fn drain_lifecycle(lifecycle: &mut RingReader, sink: &mut impl Sink) -> usize {
    let mut count = 0;
    while let Some(record) = lifecycle.next() {
        sink.record(Ring::Lifecycle, &record);
        count += 1;
    }
    count
}

/// Waits until one of the descriptors can be read, or for the time.
fn wait(fds: [BorrowedFd<'_>; 4], time: Duration) -> Result<(), rustix::io::Errno> {
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let timeout = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(1),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}
