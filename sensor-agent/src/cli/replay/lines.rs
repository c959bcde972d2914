//! Detections of a replay, one line each, on standard output.

use std::{
    io::{self, BufWriter, IsTerminal as _, Stdout, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::ProgressBar;

use crate::{hub::Item, pipeline::publish::Outlet, sink::Encoder};

/// Writes lines.
pub(super) struct Lines {
    encoder: Encoder,
    line: Vec<u8>,
    bar: ProgressBar,
    /// Lines and the progress share a terminal.
    shares: bool,
    state: Arc<State>,
}

/// What has come of writing.
pub(super) struct State(Mutex<Output>);

struct Output {
    to: BufWriter<Stdout>,
    failed: Option<io::Error>,
}

impl Lines {
    pub(super) fn new(encoder: Encoder, bar: ProgressBar) -> (Self, Arc<State>) {
        let state = Arc::new(State(Mutex::new(Output {
            to: BufWriter::new(io::stdout()),
            failed: None,
        })));
        let lines = Self {
            encoder,
            line: Vec::new(),
            shares: io::stdout().is_terminal() && !bar.is_hidden(),
            bar,
            state: Arc::clone(&state),
        };
        (lines, state)
    }
}

impl Outlet for Lines {
    fn publish(&mut self, item: &Item) {
        self.line.clear();
        self.encoder.encode(item, &mut self.line);
        let write = || self.state.write(&self.line, self.shares);
        if self.shares {
            self.bar.suspend(write);
        } else {
            write();
        }
    }
}

impl State {
    fn write(&self, line: &[u8], flush: bool) {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if output.failed.is_some() {
            return;
        }
        let written = output
            .to
            .write_all(line)
            .and_then(|()| if flush { output.to.flush() } else { Ok(()) });
        output.failed = written.err();
    }

    /// Whether what is written still goes somewhere.
    pub(super) fn can_be_written(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failed
            .is_none()
    }

    /// Writes what is left. A reader that has gone away, as in `sensor replay … | head`, is no failure.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match output.failed.take() {
            Some(error) => Err(error),
            None => output.to.flush(),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}
