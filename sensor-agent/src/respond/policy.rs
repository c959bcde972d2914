//! The configuration, checked and in the form that the hooks work with.
//!
//! Invariant: a [`Policy`] that exists makes sense; nothing downstream checks it again, except for what can change on
//! the machine meanwhile (programs, files).

mod binding;
mod hook;

use std::path::{Path, PathBuf};

use sensor_proto::v1::Detection;

use super::config::{ConfigError, Mode, ProtectedConfig, RespondConfig};
use super::pattern::{PathPattern, Pattern};
use binding::Binding;
pub(crate) use hook::{Action, Hook, KillAction, ProgramAction, RestoreAction};

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) config: RespondConfig,
    pub(crate) hooks: Vec<Hook>,
    bindings: Vec<Binding>,
}

/// What no built-in action touches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protected {
    pub(crate) host: bool,
    pub(crate) containers: Vec<String>,
    pub(crate) processes: Vec<Pattern>,
    pub(crate) paths: Vec<PathPattern>,
}

/// Everything that is wrong, collected on the way.
#[derive(Debug, Default)]
struct Errors(Vec<ConfigError>);

impl Errors {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(ConfigError {
            path: path.into(),
            message: message.into(),
            help: help.into(),
        });
    }

    /// Whether `value` is in `range`.
    fn range(&mut self, path: &str, value: u64, range: std::ops::RangeInclusive<u64>) {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            self.add(
                path,
                format!("{value} is out of range"),
                format!("give a number from {least} to {most}"),
            );
        }
    }

    fn absolute(&mut self, path: &str, value: &Path) {
        let plain = |part| !matches!(part, std::path::Component::ParentDir);
        if !value.is_absolute() || !value.components().all(plain) || value.to_string_lossy().contains('\0') {
            let message = format!("`{}` is not an absolute path without `..`", value.display());
            self.add(path, message, "start it with `/`");
        }
    }

    fn length(&mut self, path: &str, len: usize, len_max: usize) {
        if len > len_max {
            self.add(
                path,
                format!("{len} entries are too many"),
                format!("give at most {len_max}"),
            );
        }
    }
}

/// Ends of messages like `; did you mean X`.
fn suggest<'a>(given: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    known
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
        .min()
        .map_or_else(
            || otherwise.to_owned(),
            |(_, name)| format!("did you mean `{name}`?"),
        )
}

impl Policy {
    /// Checks `config`, and the programs and users that it names.
    pub(crate) fn new(config: &RespondConfig) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Errors::default();
        check_paths(config, &mut errors);
        check_limits(config, &mut errors);
        let protected = check_protected(&config.protected, &mut errors);
        errors.length("respond.hooks", config.hooks.len(), 64);
        errors.length("respond.bindings", config.bindings.len(), 1024);
        let hooks = hook::check_all(config, &protected, &mut errors);
        let bindings = binding::check_all(config, &mut errors);
        if errors.0.is_empty() {
            Ok(Self {
                config: config.clone(),
                hooks,
                bindings,
            })
        } else {
            Err(errors.0)
        }
    }

    /// The hooks, by their place in `hooks`, that `detection` is bound to: each once, in order of the bindings.
    pub(crate) fn hooks_for(&self, detection: &Detection) -> Vec<usize> {
        let mut found = Vec::new();
        for binding in self.bindings.iter().filter(|binding| binding.fits(detection)) {
            for hook in &binding.hooks {
                if !found.contains(hook) {
                    found.push(*hook);
                }
            }
        }
        found
    }

    /// How `hook` runs on `detection`, and why it only observes when it was meant to act.
    pub(crate) fn mode(&self, hook: &Hook, detection: &Detection) -> (Mode, Option<String>) {
        let mode = hook.mode.min(self.config.mode);
        if mode == Mode::Act && !detection.incomplete.is_empty() && !hook.allow_incomplete {
            let missing = detection.incomplete.join(", ");
            return (
                Mode::Observe,
                Some(format!("the detection is incomplete: {missing}")),
            );
        }
        (mode, None)
    }
}

fn check_paths(config: &RespondConfig, errors: &mut Errors) {
    let paths: [(&str, &PathBuf); 4] = [
        ("respond.journal", &config.journal),
        ("respond.kill_switch", &config.kill_switch),
        ("respond.breaker", &config.breaker),
        ("respond.host_root", &config.host_root),
    ];
    for (key, path) in paths {
        errors.absolute(key, path);
    }
    errors.range(
        "respond.journal_bytes_max",
        config.journal_bytes_max,
        (64 << 10)..=(16 << 30),
    );
}

fn check_limits(config: &RespondConfig, errors: &mut Errors) {
    let limits = &config.limits;
    let checks = [
        ("runs_per_minute", limits.runs_per_minute, 6000),
        ("concurrent_max", limits.concurrent_max, 256),
        ("queue_max", limits.queue_max, 65_536),
        ("breaker_targets_max", limits.breaker_targets_max, 10_000),
        ("breaker_window_s", limits.breaker_window_s, 86_400),
    ];
    for (key, value, most) in checks {
        errors.range(&format!("respond.limits.{key}"), value.into(), 1..=most);
    }
}

fn check_protected(config: &ProtectedConfig, errors: &mut Errors) -> Protected {
    errors.length("respond.protected.containers", config.containers.len(), 1024);
    errors.length("respond.protected.processes", config.processes.len(), 1024);
    errors.length("respond.protected.paths", config.paths.len(), 1024);
    for (at, id) in config.containers.iter().enumerate() {
        if id != "host" && id.len() < 12 {
            let help = "give at least 12 characters of the id, or `host`";
            errors.add(
                format!("respond.protected.containers[{at}]"),
                format!("`{id}` is too short to name one container"),
                help,
            );
        }
    }
    for (at, path) in config.paths.iter().enumerate() {
        errors.absolute(&format!("respond.protected.paths[{at}]"), Path::new(path));
    }
    Protected {
        host: config.containers.iter().any(|id| id == "host"),
        containers: config
            .containers
            .iter()
            .filter(|id| *id != "host")
            .cloned()
            .collect(),
        processes: config
            .processes
            .iter()
            .map(|pattern| Pattern::new(pattern))
            .collect(),
        paths: config
            .paths
            .iter()
            .map(|pattern| PathPattern::new(pattern))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
