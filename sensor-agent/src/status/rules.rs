//! The rules in use, as they are shown.

use std::{collections::BTreeMap, path::PathBuf};

use prometheus_client::metrics::counter::Counter;
use sensor_proto::v1;

use crate::detection::timestamp;

/// The rules in use, and what became of the newest ones if they are others.
#[derive(Clone, Debug, Default)]
pub struct LiveRules {
    /// Files that they come from, in order.
    pub files: Vec<PathBuf>,
    /// The enabled rules, their priorities and the counts of their detections, in the order of definition.
    pub rules: Vec<(String, v1::Priority, Counter)>,
    /// Rules that are defined, enabled or not.
    pub defined: usize,
    /// How often rules were taken into use, the first time at the start included.
    pub generation: u64,
    /// Since when they are in use, in nanoseconds since 1970.
    pub since_epoch_ns: u64,
    /// How often rules were read anew and refused.
    pub refused: u64,
    /// Why the newest rules were refused; empty when these are the newest.
    pub error: String,
}

impl LiveRules {
    pub(super) fn status(&self) -> v1::Rules {
        v1::Rules {
            loaded: u32::try_from(self.defined).unwrap_or(u32::MAX),
            enabled: self.enabled(),
            files: self.files.iter().map(|file| file.display().to_string()).collect(),
            matches: self.matches(),
            generation: self.generation,
            loaded_at: Some(timestamp(self.since_epoch_ns)),
            reloads_failed: self.refused,
            error: self.error.clone(),
        }
    }

    /// Rules in use.
    #[must_use]
    pub fn enabled(&self) -> u32 {
        u32::try_from(self.rules.len()).unwrap_or(u32::MAX)
    }

    /// Detections by rule.
    fn matches(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (rule, _, counter) in &self.rules {
            let count = counter.get();
            if count > 0 {
                counts.insert(rule.clone(), count);
            }
        }
        counts
    }

    /// What is worse than it should be, as a sentence.
    pub(super) fn refusal(&self) -> Option<String> {
        let first = self.error.lines().next()?;
        Some(format!(
            "new rules were refused, and the former ones are in use: {first}"
        ))
    }
}
