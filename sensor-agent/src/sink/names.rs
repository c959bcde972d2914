//! How priorities and outcomes are written for people.

use sensor_proto::v1::{Priority, hook_run};

/// The priority as Falco writes it in its output: `Warning`. Unspecified is written as `Debug`, the
/// least of all, as every rule has a priority.
#[must_use]
pub fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency => "Emergency",
        Priority::Alert => "Alert",
        Priority::Critical => "Critical",
        Priority::Error => "Error",
        Priority::Warning => "Warning",
        Priority::Notice => "Notice",
        Priority::Informational => "Informational",
        Priority::Unspecified | Priority::Debug => "Debug",
    }
}

/// The names that [`parse_priority`] understands, most urgent first.
pub(crate) const PRIORITIES: [(&str, Priority); 8] = [
    ("emergency", Priority::Emergency),
    ("alert", Priority::Alert),
    ("critical", Priority::Critical),
    ("error", Priority::Error),
    ("warning", Priority::Warning),
    ("notice", Priority::Notice),
    ("informational", Priority::Informational),
    ("debug", Priority::Debug),
];

/// Reads a priority in any case; `info` means informational, as in Falco.
#[must_use]
pub fn parse_priority(text: &str) -> Option<Priority> {
    if text.eq_ignore_ascii_case("info") {
        return Some(Priority::Informational);
    }
    PRIORITIES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, priority)| *priority)
}

/// `observe` or `act`.
#[must_use]
pub fn mode_name(mode: hook_run::Mode) -> &'static str {
    match mode {
        hook_run::Mode::Unspecified | hook_run::Mode::Observe => "observe",
        hook_run::Mode::Act => "act",
    }
}

/// The outcome as JSON lines and metrics write it: `timed_out`.
#[must_use]
pub fn outcome_name(outcome: hook_run::Outcome) -> &'static str {
    match outcome {
        hook_run::Outcome::Unspecified => "unknown",
        hook_run::Outcome::Observed => "observed",
        hook_run::Outcome::Done => "done",
        hook_run::Outcome::Failed => "failed",
        hook_run::Outcome::TimedOut => "timed_out",
        hook_run::Outcome::Suppressed => "suppressed",
        hook_run::Outcome::Refused => "refused",
    }
}
