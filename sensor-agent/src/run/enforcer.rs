//! Looks after what is denied: the switch of each rule, the cap's window, the counts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sensor_common::enforce::{DenyCounts, DenyMode};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{config::EnforceConfig, kernel::enforce::Enforcement, metrics::Metrics, respond::config::Mode};

/// How often the switch's file is read and counts are taken over.
const PERIOD: Duration = Duration::from_millis(500);

/// Periods after which a cgroup may have its cap again: one minute.
const PERIODS_A_WINDOW: u32 = 120;

/// Longest switch file that is read; a longer one switches everything off.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The task, which holds the kernel side.
pub(super) struct Enforcer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Enforcer {
    /// Begins to deny, if the configuration says so.
    pub(super) fn start(enforcement: Enforcement, config: &EnforceConfig, metrics: &Arc<Metrics>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut keeper = Keeper {
            enforcement,
            mode: config.mode,
            off_file: config.off_file.clone(),
            metrics: Arc::clone(metrics),
            told: Vec::new(),
        };
        keeper.switch();
        let task = tokio::spawn(keeper.run(stopped));
        Self { stop, task }
    }

    /// Lets everything pass again, and takes the last counts over.
    pub(super) async fn stop(self) {
        // It ends by itself only when the runtime does.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

struct Keeper {
    enforcement: Enforcement,
    mode: Mode,
    off_file: PathBuf,
    metrics: Arc<Metrics>,
    told: Vec<DenyCounts>,
}

impl Keeper {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut periods = 0;
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                () = tokio::time::sleep(PERIOD) => {}
            }
            periods += 1;
            if periods >= PERIODS_A_WINDOW {
                periods = 0;
                self.enforcement.new_window();
            }
            self.switch();
            self.count();
        }
        let observing = self.enforcement.rules().map(|_| DenyMode::Observe).collect();
        self.set(observing);
        self.count();
    }

    /// What each rule does: what the configuration says, unless the file names the rule or nothing.
    fn switch(&mut self) {
        let off = match std::fs::metadata(&self.off_file) {
            Err(_) => None,
            Ok(found) if found.len() > FILE_BYTES_MAX => Some(String::new()),
            // One that cannot be read switches everything off: that is what it was put there for.
            Ok(_) => Some(std::fs::read_to_string(&self.off_file).unwrap_or_default()),
        };
        let is_off = |rule: &str| {
            off.as_ref()
                .is_some_and(|text| text.trim().is_empty() || text.lines().any(|line| line.trim() == rule))
        };
        let modes = self
            .enforcement
            .rules()
            .map(|rule| {
                if self.mode == Mode::Act && !is_off(rule) {
                    DenyMode::Enforce
                } else {
                    DenyMode::Observe
                }
            })
            .collect();
        self.set(modes);
    }

    fn set(&mut self, modes: Vec<DenyMode>) {
        let shown: Vec<_> = self
            .enforcement
            .rules()
            .map(str::to_owned)
            .zip(modes.clone())
            .collect();
        match self.enforcement.set_modes(modes) {
            Ok(false) => {}
            Ok(true) => {
                for (rule, mode) in shown {
                    tracing::info!(
                        rule,
                        enforces = mode == DenyMode::Enforce,
                        "what the rule denies is set"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "the kernel does not take what rules deny"),
        }
    }

    fn count(&mut self) {
        let counts = match self.enforcement.counts() {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(%error, "the counts of what was denied cannot be read");
                return;
            }
        };
        self.told.resize(counts.len(), DenyCounts::default());
        for ((rule, now), told) in self.enforcement.rules().zip(counts).zip(&mut self.told) {
            let outcomes = [
                ("observed", now.observed, told.observed),
                ("denied", now.denied, told.denied),
                ("capped", now.capped, told.capped),
                ("protected", now.protected, told.protected),
                ("killed", now.killed, told.killed),
                ("reported", now.reported, told.reported),
            ];
            for (outcome, now, told) in outcomes {
                self.metrics
                    .enforcement
                    .counted(rule, outcome, now.saturating_sub(told));
            }
            *told = now;
        }
    }
}
