//! Stops a rule that hits too many targets: almost always the rule is wrong.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::config::LimitsConfig;
use super::HeldBack;

/// The targets of each rule within the window.
#[derive(Debug)]
pub(super) struct Breaker {
    file: PathBuf,
    /// Whether the file could be written, so that its removal means something.
    file_written: bool,
    targets_max: usize,
    window: Duration,
    /// At most `targets_max` for each rule; the rules are those that are loaded.
    targets: HashMap<String, HashMap<String, Instant>>,
    open: HashSet<String>,
}

impl Breaker {
    /// Closed. A file that an earlier agent left is removed: a start closes the breaker.
    pub(super) fn new(file: &Path, limits: &LimitsConfig) -> Self {
        if std::fs::remove_file(file).is_ok() {
            tracing::info!(file = %file.display(), "the circuit breaker that was open is closed by the start");
        }
        Self {
            file: file.into(),
            file_written: false,
            targets_max: limits.breaker_targets_max as usize,
            window: Duration::from_secs(limits.breaker_window_s.into()),
            targets: HashMap::new(),
            open: HashSet::new(),
        }
    }

    pub(super) fn check(&mut self, rule: &str, target: &str, now: Instant) -> Result<(), HeldBack> {
        if !self.open.is_empty() && self.file_written && !self.file.exists() {
            tracing::warn!("the circuit breaker was closed by removing its file");
            self.open.clear();
            self.targets.clear();
        }
        if self.open.contains(rule) {
            return Err(self.held_back("is open"));
        }
        let window = self.window;
        let targets = self.targets.entry(rule.to_owned()).or_default();
        targets.retain(|_, seen| now.saturating_duration_since(*seen) < window);
        if targets.len() >= self.targets_max && !targets.contains_key(target) {
            self.open(rule);
            return Err(self.held_back("opens"));
        }
        targets.insert(target.to_owned(), now);
        Ok(())
    }

    fn open(&mut self, rule: &str) {
        self.open.insert(rule.to_owned());
        let opened = self
            .file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| {
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(&self.file)
            });
        let written = opened.and_then(|mut file| writeln!(file, "{}", rule.escape_debug()));
        self.file_written |= written.is_ok();
        if let Err(error) = written {
            tracing::error!(file = %self.file.display(), %error, "the circuit breaker's file cannot be written");
        }
    }

    fn held_back(&self, what: &str) -> HeldBack {
        let (most, window_s) = (self.targets_max, self.window.as_secs());
        let way_out = if self.file_written {
            format!("remove `{}` or restart the agent", self.file.display())
        } else {
            "restart the agent".into()
        };
        HeldBack::suppressed(format!(
            "the circuit breaker {what}: the rule hit more than {most} targets within {window_s} s; \
             check the rule, then {way_out}"
        ))
    }
}
