//! One run per hook, rule and target in a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::HeldBack;

/// Targets that are remembered at one time. More are not acted upon: forgetting one would act on it twice.
const TARGETS_MAX: usize = 16_384;

/// What a cooldown is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) hook: String,
    pub(super) rule: String,
    pub(super) target: String,
}

/// Until when there is no second run.
#[derive(Debug, Default)]
pub(super) struct Cooldowns(HashMap<Key, Instant>);

impl Cooldowns {
    pub(super) fn check(&mut self, key: &Key, now: Instant) -> Result<(), HeldBack> {
        if let Some(until) = self.0.get(key).filter(|until| **until > now) {
            let left = (*until - now).as_secs_f64().ceil();
            return Err(HeldBack::suppressed(format!(
                "cooldown: the hook ran on this target already; the next run may start in {left} s, \
                 and what happened since is not undone"
            )));
        }
        if self.0.len() >= TARGETS_MAX {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() >= TARGETS_MAX {
            return Err(HeldBack::suppressed(format!(
                "{TARGETS_MAX} targets are in cooldown already"
            )));
        }
        Ok(())
    }

    pub(super) fn start(&mut self, key: Key, now: Instant, cooldown: Duration) {
        if !cooldown.is_zero() {
            self.0.insert(key, now + cooldown);
        }
    }
}
