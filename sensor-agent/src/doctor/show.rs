//! The result, for people and for programs.

use std::fmt::Write as _;

use super::{Check, CheckState};

/// One line a check, and below it what is lost and what helps.
pub(super) fn text(checks: &[Check], colour: bool) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (word, code) = match check.state {
            CheckState::Ok => ("ok", "32"),
            CheckState::Info => ("info", "36"),
            CheckState::Degraded => ("LOST", "33"),
            CheckState::Failed => ("FAIL", "31"),
        };
        let word = if colour {
            format!("\x1b[{code}m{word:<4}\x1b[0m")
        } else {
            format!("{word:<4}")
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{word}  {:<10}  {:<width$}  {}",
            check.area, check.name, check.found
        );
        for (label, more) in [("lost", &check.lost), ("help", &check.help)] {
            if !more.is_empty() {
                let _ = writeln!(text, "      {label}: {more}");
            }
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let verdict = match (count(CheckState::Failed), count(CheckState::Degraded)) {
        (0, 0) => "the sensor can run here, and nothing is lost".to_owned(),
        (0, degraded) => format!("the sensor can run here; {degraded} thing(s) are lost"),
        (failed, _) => format!("the sensor cannot run here: {failed} check(s) failed"),
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

/// `{"can_run": ..., "checks": [...]}`
pub(super) fn json(checks: &[Check]) -> String {
    let can_run = !checks.iter().any(|check| check.state == CheckState::Failed);
    let mut text = serde_json::json!({ "can_run": can_run, "checks": checks }).to_string();
    text.push('\n');
    text
}
