//! The service with a hole, `helpers/service.c`, as its attacker sees it.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, Mode},
};

/// How long the service may take to begin what it is told.
const ANSWER_DEADLINE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// The way to a service: two named pipes in a folder.
#[derive(Debug)]
pub(super) struct Service {
    commands: File,
    times: File,
}

/// The named pipes, in a folder that the service has, too.
pub(super) fn pipes(folder: &Path) -> [PathBuf; 2] {
    ["commands", "times"].map(|name| folder.join(name))
}

impl Service {
    /// Makes the pipes in `folder`; the service may be started before or after.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            // To read and to write, so that it does not wait for the other side.
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .context("a pipe of the service")
        };
        let [commands, times] = pipes(folder);
        Ok(Self {
            commands: open(&commands)?,
            times: open(&times)?,
        })
    }

    /// Gives the service a line, and returns when it began to do what the line says: the time since 1970.
    pub(super) fn obey(&mut self, words: &[String]) -> anyhow::Result<Duration> {
        ensure!(
            !words.iter().any(|word| word.contains(['\t', '\n'])),
            "{words:?} is not one line of words"
        );
        self.commands
            .write_all(format!("{}\n", words.join("\t")).as_bytes())?;
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let mut ready = [PollFd::new(&self.times, PollFlags::IN)];
            if poll(&mut ready, Some(&ANSWER_DEADLINE))? == 0 {
                bail!("the service did not begin: {words:?}");
            }
            let mut buffer = [0; 64];
            let got = self.times.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..got]);
        }
        let answer = String::from_utf8_lossy(&answer);
        let nanoseconds = answer
            .trim()
            .parse()
            .with_context(|| format!("the service says {answer:?}"))?;
        Ok(Duration::from_nanos(nanoseconds))
    }
}
