//! Tests of rules: files that say for which events which rules match.
//!
//! A test file stands beside the rule file. For each rule it has an event and cases that change a few values of it, so
//! that what a case is about can be seen at a glance:
//!
//! ```yaml
//! - rule: Shell in container
//!   event:
//!     evt.type: execve
//!     proc.name: bash
//!     container.id: 3ad7b26ded6d
//!   ancestors:                # the parent first; only where a rule looks at them
//!     - {proc.name: node}
//!   cases:
//!     - name: a service starts a shell
//!       expect: [Shell in container]
//!     - name: on the host
//!       change: {container.id: host}
//!       expect: []
//! ```
//!
//! A value without text (`field:` or `field: null`) takes the field out of the event. `incomplete: [fd.name]` says that
//! the kernel could not deliver all of a value.
//!
//! [`run`] also finds out what the cases do not test: see [`Coverage`].
//!
//! Invariant: no I/O; callers read files and print reports.

mod coverage;
mod event;
mod file;
mod report;

use std::collections::BTreeMap;

use crate::engine::{RuleId, RuleSet, Scratch};
use crate::error::ConditionError;
use crate::explain::Dissection;
use crate::field::Catalogue;

pub use coverage::Coverage;
pub use event::{EventError, OwnedValue, TableEvent};
pub use file::{Case, TestFile, TestFileError, parse_event};
pub use report::{CaseResult, Report};

/// A rule that cannot be tested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Its condition is not one that the catalogue allows.
    #[error("rule `{rule}` does not compile: {}", first_message(.errors))]
    Condition {
        /// The rule's name.
        rule: String,
        /// What is wrong.
        errors: Vec<ConditionError>,
    },
}

fn first_message(errors: &[ConditionError]) -> &str {
    errors.first().map_or("no reason given", |error| &error.message)
}

/// Runs the cases of test files against rules.
///
/// The rules should have been loaded with [`RuleMatching::All`](crate::engine::RuleMatching::All): with `First`, a case
/// sees only the first rule that matches.
///
/// # Errors
/// A rule that does not compile against this catalogue.
pub fn run(files: &[TestFile], rules: &RuleSet, catalogue: &Catalogue) -> Result<Report, RunError> {
    let mut scratch = Scratch::new();
    let mut tested: BTreeMap<RuleId, Coverage> = BTreeMap::new();
    for (position, rule) in (0_u32..).zip(rules.rules()) {
        let dissection =
            Dissection::new(&rule.condition, catalogue).map_err(|errors| RunError::Condition {
                rule: rule.name.to_string(),
                errors,
            })?;
        tested.insert(RuleId(position), Coverage::new(rule.name.as_str(), dissection));
    }
    let mut cases = Vec::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        let mut matched = Vec::new();
        rules.evaluate(&case.event, &mut scratch, |id| matched.extend(rules.rule(id)));
        let got: Vec<String> = matched.iter().map(|rule| rule.name.to_string()).collect();
        for coverage in tested.values_mut().filter(|coverage| coverage.rule == case.rule) {
            coverage.add(&case.event, got.contains(&case.rule), &mut scratch);
        }
        cases.push(CaseResult::new(
            case,
            got,
            rules.rules().iter().any(|rule| rule.name == case.rule),
        ));
    }
    Ok(Report {
        cases,
        coverage: tested.into_values().collect(),
    })
}

#[cfg(test)]
mod tests;
