//! The built-in action `restore-file`: puts the recorded good copy of a file back.
//!
//! A detection only selects one of the configured files; what is written where comes from the copy and the
//! configuration. So the worst that a forged detection can do is to restore a file that was fine, which changes nothing.
//!
//! An event about a file comes when it is opened, and the writing may still follow. So for a moment after it was put back
//! the file is looked at again, and put back again, a few times at most.

mod copies;
mod find;
mod host;
mod metadata;
mod mounts;
mod put_back;
mod record;

use std::time::{Duration, Instant};

use sensor_proto::v1::Detection;

use super::action::{Refusal, Verdict};
use super::policy::RestoreAction;
use copies::{Copies, Copy};
use host::HostFiles;
use put_back::{How, State};
pub(crate) use record::record_missing;
pub use record::{RestoreError, record};

/// Time in which a writer that had the file open already is waited for.
const WATCH: Duration = Duration::from_secs(1);
/// Between two looks.
const WATCH_PAUSE: Duration = Duration::from_millis(25);
/// How often one run puts a file back.
const PUT_BACK_MAX: usize = 5;

/// A file that may be put back.
#[derive(Debug)]
pub(crate) struct RestorePlan {
    host: HostFiles,
    copies: Copies,
    copy: Copy,
    state: State,
    run_id: String,
    detection_id: String,
}

impl RestorePlan {
    /// Finds the file and its copy, and checks both. Changes nothing.
    pub(crate) fn new(action: &RestoreAction, detection: &Detection, run_id: &str) -> Result<Self, Refusal> {
        if let Some(reason) = action.protected.refuses_container(detection) {
            return Err(Refusal(reason));
        }
        let host = HostFiles::open(&action.host_root).map_err(Refusal::new)?;
        let copies = Copies::open(&action.copies).map_err(Refusal::new)?;
        let path = find::find(action, &host, &copies, detection)?;
        if action
            .protected
            .paths
            .iter()
            .any(|pattern| pattern.fits(path.as_bytes()))
        {
            return Err(Refusal(format!("`{path}` is protected")));
        }
        let copy = copies.load(&path).map_err(Refusal::new)?;
        let state = State::of(&host, &copy).map_err(Refusal::new)?;
        Ok(Self {
            host,
            copies,
            copy,
            state,
            run_id: run_id.into(),
            detection_id: detection.id.clone(),
        })
    }

    pub(crate) fn describe(&self) -> String {
        let path = &self.copy.path;
        match &self.state {
            State::Good => format!("`{path}` is as recorded; watch it for {} ms", WATCH.as_millis()),
            State::Missing => format!("restore `{path}`, which is missing"),
            State::Changed { what } => format!("restore `{path}`: {what}"),
        }
    }

    /// Puts the file back, and looks whether it stays so.
    pub(crate) fn run(self, deadline: Instant) -> Verdict {
        let path = &self.copy.path;
        let watched = deadline.min(Instant::now() + WATCH);
        let mut put_back = Vec::new();
        loop {
            match State::of(&self.host, &self.copy) {
                Err(error) => return Verdict::failed(format!("`{path}`: {error}{}", history(&put_back))),
                Ok(State::Good) if Instant::now() < watched => std::thread::sleep(WATCH_PAUSE),
                Ok(State::Good) => break,
                Ok(_) if put_back.len() == PUT_BACK_MAX => {
                    let history = history(&put_back);
                    return Verdict::failed(format!("`{path}` is being changed again and again{history}"));
                }
                Ok(state) => match self.put_back(&state) {
                    Ok(done) => put_back.push(done),
                    Err(error) => {
                        let history = history(&put_back);
                        return Verdict::failed(format!("`{path}` cannot be put back: {error}{history}"));
                    }
                },
            }
        }
        match put_back.len() {
            0 => Verdict::done(format!("`{path}` is as recorded; nothing was to be done")),
            _ => Verdict::done(format!("restored `{path}`{}", history(&put_back))),
        }
    }

    fn put_back(&self, state: &State) -> std::io::Result<String> {
        let evidence = match state {
            State::Changed { .. } => {
                match self
                    .copies
                    .keep_evidence(&self.host, &self.copy.path, &self.run_id, &self.detection_id)
                {
                    Ok(name) => format!(", evidence in {name}"),
                    // Evidence is worth less than a clean file.
                    Err(error) => format!(", no evidence kept: {error}"),
                }
            }
            State::Good | State::Missing => String::new(),
        };
        let how = match put_back::put_back(&self.host, &self.copy, &self.run_id)? {
            How::Renamed => "by a new file",
            How::InPlace => "in place",
        };
        Ok(format!("{how}{evidence}"))
    }
}

fn history(put_back: &[String]) -> String {
    if put_back.is_empty() {
        String::new()
    } else {
        format!(" ({})", put_back.join("; again "))
    }
}
