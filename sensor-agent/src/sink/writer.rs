//! The threads that write lines to standard output and to files.
//!
//! A sink that cannot be written to never stops the sensor: its items are counted as failed, the log
//! says so at most once in ten seconds, and a line about the loss is the first that is written when
//! the sink works again. Standard output whose reader has gone cannot work again, so it is given up.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fd::AsFd as _;
use sensor_proto::v1::Gap;

use super::Encoder;
use crate::hub::filter::CompiledFilter;
use crate::hub::{Hub, Item, Request, SubscribeError, Subscription};
use crate::metrics::{SinkMetrics, SubscriberKind};

/// Items that are written at one time: enough to make system calls rare, few enough to stay small
/// in memory.
const BATCH_ITEMS_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// The shortest time between two log lines about one sink's failures.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be opened for appending.
    #[error("cannot open file.path {path}: {source}; make its folder, or allow the sensor to write there")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}; set stdout.enabled to false when there is none")]
    Stdout(io::Error),
    /// The hub takes no more subscribers.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The system gives no thread.
    #[error("cannot start a sink's thread: {0}")]
    Thread(io::Error),
}

/// Where a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, appended to, made with mode 0640 when missing.
    File(PathBuf),
}

/// The sinks that run.
#[derive(Debug, Default)]
pub struct Sinks {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    file: Arc<Output>,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
}

impl Sinks {
    /// Starts a sink that gets everything from now on.
    ///
    /// # Errors
    /// When the target cannot be opened or the hub is full.
    pub fn start(
        &mut self,
        hub: &Arc<Hub>,
        target: Target,
        encoder: Encoder,
        metrics: SinkMetrics,
    ) -> Result<(), SinkError> {
        let (kind, output, peer) = match target {
            Target::Stdout => (SubscriberKind::Stdout, Output::stdout()?, String::new()),
            Target::File(path) => {
                let peer = path.display().to_string();
                (SubscriberKind::File, Output::file(path)?, peer)
            }
        };
        let file = Arc::new(output);
        let subscription = hub.subscribe(Request {
            kind,
            peer,
            filter: CompiledFilter::default(),
        })?;
        let (end, ended) = mpsc::sync_channel(0);
        let writer = Writer {
            kind,
            output: Arc::clone(&file),
            encoder,
            metrics,
            lost: 0,
            last_log: None,
            line: Vec::new(),
        };
        std::thread::Builder::new()
            .name(format!("sink-{}", kind.as_str()))
            .spawn(move || writer.run(subscription, end))
            .map_err(SinkError::Thread)?;
        self.running.push(Running {
            name: kind.as_str(),
            file,
            ended,
        });
        Ok(())
    }

    /// Opens every file anew, for log rotation (SIGUSR1). A file that cannot be opened is tried again
    /// with each item.
    pub fn reopen(&self) {
        for sink in &self.running {
            sink.file.reopen();
        }
    }

    /// After [`Hub::close`]: waits until all is written, at most `timeout` in all. Returns the names of the
    /// sinks that were not done.
    #[must_use]
    pub fn finish(self, timeout: Duration) -> Vec<&'static str> {
        let deadline = Instant::now() + timeout;
        let unfinished = |sink: &Running| {
            let left = deadline.saturating_duration_since(Instant::now());
            sink.ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
        };
        self.running
            .iter()
            .filter(|sink| unfinished(sink))
            .map(|sink| sink.name)
            .collect()
    }
}

/// What is written to; shared with whoever asks for it to be opened anew.
#[derive(Debug)]
struct Output {
    /// None for standard output.
    path: Option<PathBuf>,
    /// None when it could not be opened.
    file: Mutex<Option<File>>,
}

impl Output {
    fn stdout() -> Result<Self, SinkError> {
        let handle = rustix::stdio::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(SinkError::Stdout)?;
        Ok(Self {
            path: None,
            file: Mutex::new(Some(File::from(handle))),
        })
    }

    fn file(path: PathBuf) -> Result<Self, SinkError> {
        match open(&path) {
            Ok(file) => Ok(Self {
                path: Some(path),
                file: Mutex::new(Some(file)),
            }),
            Err(source) => Err(SinkError::Open { path, source }),
        }
    }

    fn reopen(&self) {
        let Some(path) = &self.path else { return };
        let opened = open(path).inspect_err(
            |error| tracing::warn!(path = %path.display(), %error, "cannot reopen a sink's file"),
        );
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = opened.ok();
    }

    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none()
            && let Some(path) = &self.path
        {
            *file = Some(open(path)?);
        }
        let Some(open_file) = file.as_mut() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let written = open_file.write_all(lines);
        if written.is_err() && self.path.is_some() {
            // Opening it anew mends a line that was cut in the middle.
            *file = None;
        }
        written
    }
}

/// Opens for appending. A last line without its end, left by a full disk or a crash, is ended.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let is_file = file.metadata()?.is_file();
    if is_file && file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

struct Writer {
    kind: SubscriberKind,
    output: Arc<Output>,
    encoder: Encoder,
    metrics: SinkMetrics,
    /// Items that could not be written since the last success.
    lost: u64,
    last_log: Option<Instant>,
    line: Vec<u8>,
}

impl Writer {
    fn run(mut self, mut subscription: Subscription, _end: SyncSender<()>) {
        let mut items = VecDeque::new();
        while subscription.recv_blocking(&mut items, BATCH_ITEMS_MAX) {
            let count = items.len() as u64;
            self.line.clear();
            if self.lost > 0 {
                self.encoder.encode(&self.loss(), &mut self.line);
            }
            for item in items.drain(..) {
                self.encoder.encode(&item, &mut self.line);
            }
            match self.output.write(&self.line) {
                Ok(()) => self.lost = 0,
                Err(error) => {
                    self.lost += count;
                    self.metrics.failed(self.kind, count);
                    if self.kind == SubscriberKind::Stdout && error.kind() == io::ErrorKind::BrokenPipe {
                        tracing::error!(
                            "nobody reads standard output any more: detections go only to the other sinks"
                        );
                        return;
                    }
                    self.log(&error);
                }
            }
        }
    }

    fn loss(&self) -> Item {
        Item::Gap(Arc::new(Gap {
            time: Some(SystemTime::now().into()),
            cause: "sink_failed".to_owned(),
            kind: "item".to_owned(),
            count: self.lost,
            ..Gap::default()
        }))
    }

    fn log(&mut self, error: &io::Error) {
        if self
            .last_log
            .is_some_and(|last| last.elapsed() < FAILURE_LOG_INTERVAL)
        {
            return;
        }
        self.last_log = Some(Instant::now());
        tracing::error!(sink = self.kind.as_str(), lost = self.lost, %error, "a sink cannot be written to: items are lost");
    }
}

#[cfg(test)]
mod tests;
