//! What stands between a detection and a hook that acts on it.
//!
//! In this order: whether the agent caused the detection itself, the kill switch, the cooldown, the circuit breaker, the
//! rate of runs. A run counts against the last three only when all let it pass.

mod breaker;
mod bucket;
mod cooldown;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

use sensor_proto::v1::Detection;
use sensor_proto::v1::hook_run::Outcome;

use super::config::{Mode, RespondConfig};
use super::policy::{Action, Hook};
use breaker::Breaker;
pub(crate) use bucket::Bucket;
use cooldown::Cooldowns;

/// Why a run does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldBack {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
}

impl HeldBack {
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: reason.into(),
        }
    }

    pub(crate) fn suppressed(reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Suppressed,
            reason: reason.into(),
        }
    }
}

/// All guards with their memory.
#[derive(Debug)]
pub(crate) struct Guards {
    config: RespondConfig,
    cooldowns: Cooldowns,
    breaker: Breaker,
    rate: Bucket,
}

impl Guards {
    pub(crate) fn new(config: &RespondConfig, now: Instant) -> Self {
        let per_minute = f64::from(config.limits.runs_per_minute);
        Self {
            config: config.clone(),
            cooldowns: Cooldowns::default(),
            breaker: Breaker::new(&config.breaker, &config.limits),
            rate: Bucket::new(per_minute, per_minute / 60.0, now),
        }
    }

    /// Lets the run of `hook` on `detection` pass, or says why not.
    pub(crate) fn admit(
        &mut self,
        hook: &Hook,
        mode: Mode,
        detection: &Detection,
        now: Instant,
    ) -> Result<(), HeldBack> {
        if is_own(detection) {
            return Err(HeldBack::refused(
                "the agent or one of its hooks caused the detection",
            ));
        }
        if mode == Mode::Act {
            kill_switch(&self.config.kill_switch)?;
        }
        let key = cooldown::Key {
            hook: hook.name.clone(),
            rule: detection.rule.clone(),
            target: target(&hook.action, detection),
        };
        self.cooldowns.check(&key, now)?;
        self.breaker.check(&detection.rule, &workload(detection), now)?;
        if !self.rate.take(now) {
            let most = self.config.limits.runs_per_minute;
            return Err(HeldBack::suppressed(format!("more than {most} runs a minute")));
        }
        self.cooldowns.start(key, now, hook.cooldown);
        Ok(())
    }
}

/// Lets hooks act only while the file is surely not there.
pub(crate) fn kill_switch(path: &Path) -> Result<(), HeldBack> {
    match path.symlink_metadata() {
        Ok(_) => Err(HeldBack::refused(format!(
            "the kill switch `{}` is set",
            path.display()
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let path = path.display();
            Err(HeldBack::refused(format!(
                "the kill switch `{path}` cannot be looked for: {error}"
            )))
        }
    }
}

/// Whether the agent, or a process below it, caused `detection`: answering that could go on for ever.
fn is_own(detection: &Detection) -> bool {
    let own = std::process::id();
    detection.process.as_ref().is_some_and(|process| {
        process.pid == own || process.ancestors.iter().any(|ancestor| ancestor.pid == own)
    })
}

/// What a run acts on. Never the detection's text, which an attacker can vary.
fn target(action: &Action, detection: &Detection) -> String {
    let container = detection
        .container
        .as_ref()
        .map(|container| format!("container {}", container.id));
    let process = process_key(detection);
    let file = detection.file.as_ref().map(|file| format!("file {}", file.path));
    let known = match action {
        Action::Kill(_) => process,
        Action::Restore(_) => file.map(|file| container.unwrap_or_default() + &file),
        Action::Program(_) => container.or(process).or(file),
    };
    known.unwrap_or_default()
}

/// What the circuit breaker counts: a container, or a process of the host.
fn workload(detection: &Detection) -> String {
    let container = detection
        .container
        .as_ref()
        .map(|container| format!("container {}", container.id));
    container.or_else(|| process_key(detection)).unwrap_or_default()
}

fn process_key(detection: &Detection) -> Option<String> {
    detection
        .process
        .as_ref()
        .map(|process| format!("process {} {}", process.pid, process.start_time_ns))
}
