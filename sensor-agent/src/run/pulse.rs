//! Whether the sensor ran all the time: what nobody saw is told with its beginning and its end.
//!
//! Once a second the time is noted in a file beside the socket, which a stop removes. A file that is found at the start
//! is of an agent that was killed; a note that comes late is of one that was stopped (SIGSTOP), kept from a processor, or
//! slept with the machine. Both are told as detections of the sensor's own. Who did it is not known: nobody looked.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::{self, Clock},
    selftest::health::{Absence, Health},
};

/// Between two notes.
const BEAT: Duration = Duration::from_secs(1);
/// A note that comes this much after the one before it is late.
const LATE_NS: u64 = 5_000_000_000;
/// The beat with which an earlier end is told: readers have had the time to come back.
const TOLD_AT_BEAT: u32 = 3;
/// What a file may hold, in bytes.
const NOTE_BYTES_MAX: usize = 64;
/// The file's name.
const NAME: &str = "running";

/// The notes of an agent that runs.
pub(super) struct Pulse {
    file: Option<PathBuf>,
    task: JoinHandle<()>,
}

impl Pulse {
    /// Begins; without a socket there is no file, and only late notes are told.
    pub(super) fn start(socket: Option<&Path>, health: Arc<Health>) -> Self {
        let file = socket.and_then(Path::parent).map(|folder| folder.join(NAME));
        let before = file.as_deref().and_then(|file| {
            let note = read(file)?;
            Some(Absence {
                pid: note.pid,
                since_ns: note.epoch_ns,
                until_ns: Clock::now().epoch_ns(clock::boot_ns()),
            })
        });
        let task = tokio::spawn(beat(file.clone(), before, health));
        Self { file, task }
    }

    /// The agent stops as it should: there is nothing to tell at the next start.
    pub(super) async fn stop(self) {
        self.task.abort();
        // However it ended, it notes nothing any more.
        let _ = self.task.await;
        if let Some(file) = self.file
            && let Err(error) = std::fs::remove_file(&file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %file.display(), %error, "the note that the sensor runs stays: its next start takes this one for killed");
        }
    }
}

/// Notes the time once a second, and tells what was missed.
async fn beat(file: Option<PathBuf>, mut before: Option<Absence>, health: Arc<Health>) {
    let mut timer = interval(BEAT);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last_ns, mut beats, mut failed) = (clock::boot_ns(), 0_u32, false);
    loop {
        timer.tick().await;
        let (now_ns, clock) = (clock::boot_ns(), Clock::now());
        if now_ns.saturating_sub(last_ns) > LATE_NS {
            health.stood_still(clock.epoch_ns(last_ns), clock.epoch_ns(now_ns));
        }
        last_ns = now_ns;
        if let Some(file) = &file {
            let note = format!("{} {}\n", std::process::id(), clock.epoch_ns(now_ns));
            let written = std::fs::write(file, note);
            if let Err(error) = &written
                && !failed
            {
                tracing::warn!(file = %file.display(), %error, "cannot note that the sensor runs: an end by force will not be told");
            }
            failed = written.is_err();
        }
        beats = beats.saturating_add(1);
        if beats >= TOLD_AT_BEAT
            && let Some(absence) = before.take()
        {
            health.was_down(&absence);
        }
    }
}

/// What an agent noted.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    pid: u32,
    epoch_ns: u64,
}

/// The note of an agent that did not stop by itself; `None` when there is none, or none that can be understood.
fn read(file: &Path) -> Option<Note> {
    use std::io::Read as _;

    let mut text = String::new();
    let opened = std::fs::File::open(file).ok()?;
    opened
        .take(NOTE_BYTES_MAX as u64)
        .read_to_string(&mut text)
        .ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Note> {
    let (pid, epoch_ns) = text.trim().split_once(' ')?;
    Some(Note {
        pid: pid.parse().ok()?,
        epoch_ns: epoch_ns.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_and_anything_else_is_none() {
        for (text, expected) in [
            ("12 1795780000000000000\n", Some((12, 1_795_780_000_000_000_000))),
            ("", None),
            ("12", None),
            ("12 -5", None),
            ("12 99999999999999999999999", None),
            ("x y", None),
        ] {
            let found = parse(text).map(|note| (note.pid, note.epoch_ns));
            assert_eq!(found, expected, "{text:?}");
        }
        assert_eq!(read(Path::new("/nonexistent/running")), None);
    }
}
