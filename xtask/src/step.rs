//! Showing what goes on, so that nothing is ever silent for more than two seconds.
//!
//! On a terminal a step is one line with a spinner, the time and the last line of output; elsewhere
//! (`CI` set, or standard error is no terminal) it is a line at its start, one every
//! [`HEARTBEAT`], and one at its end. The whole output goes to a log that a failure names.

use std::collections::VecDeque;
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;
use crate::repo::Repo;

const HEARTBEAT: Duration = Duration::from_secs(20);
const TAIL_LINES: usize = 40;

/// Runs a command with its output in a log, and shows that it is running.
///
/// `label` names the step, in words that complete "now: …".
pub(crate) fn quiet(repo: &Repo, label: &str, command: &mut Command) -> Result<()> {
    let log = log_path(repo, label)?;
    let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let mut child = command.spawn().with_context(|| process::not_started(command))?;
    // The command holds the pipe's write ends; while it does, reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut show = Show::start(label);
    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.context("cannot read the command's output")?).into_owned();
        writeln!(file, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
        show.line(&line);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().context("cannot wait for the command")?;
    if status.success() {
        show.end("done");
        return Ok(());
    }
    show.end("FAILED");
    for line in &tail {
        eprintln!("    {line}");
    }
    bail!(
        "{label}: {} ended with {status}; the whole output is in {}",
        process::shown(command),
        log.display()
    )
}

/// Runs a command that speaks for itself: its output is the user's.
pub(crate) fn loud(label: &str, command: &mut Command) -> Result<()> {
    let started = heading(label);
    let status = command.status().with_context(|| process::not_started(command))?;
    if !status.success() {
        bail!("{label}: {} ended with {status}", process::shown(command));
    }
    eprintln!("── {label}: done in {}", seconds(started.elapsed()));
    Ok(())
}

/// Announces a step whose output follows.
pub(crate) fn heading(label: &str) -> Instant {
    eprintln!("── {label}");
    Instant::now()
}

/// A duration as people say it: `3.2 s`, `4 min 05 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

fn log_path(repo: &Repo, label: &str) -> Result<PathBuf> {
    let folder = repo.target("xtask-log");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let name: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Ok(folder.join(format!("{name}.log")))
}

/// One running step on the screen.
struct Show {
    label: String,
    started: Instant,
    last_shown: Instant,
    spinner: Option<ProgressBar>,
}

impl Show {
    fn start(label: &str) -> Self {
        let started = Instant::now();
        let interactive = stderr().is_terminal() && env::var_os("CI").is_none();
        let spinner = interactive.then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg:.dim}");
            let spinner = ProgressBar::new_spinner().with_prefix(label.to_owned());
            // The template is a constant; were it wrong, indicatif's own style would do.
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        if spinner.is_none() {
            eprintln!("── {label} ...");
        }
        Self {
            label: label.to_owned(),
            started,
            last_shown: started,
            spinner,
        }
    }

    fn line(&mut self, line: &str) {
        // Programs that draw their own progress go back to the line's start: the last drawing counts.
        let line = line
            .trim_end_matches('\r')
            .rsplit('\r')
            .next()
            .unwrap_or_default()
            .trim();
        match &self.spinner {
            Some(spinner) => spinner.set_message(line.to_owned()),
            None if self.last_shown.elapsed() >= HEARTBEAT => {
                self.last_shown = Instant::now();
                eprintln!("   {} ({}): {line}", self.label, seconds(self.started.elapsed()));
            }
            None => {}
        }
    }

    fn end(self, outcome: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!(
            "── {}: {outcome} in {}",
            self.label,
            seconds(self.started.elapsed())
        );
    }
}
