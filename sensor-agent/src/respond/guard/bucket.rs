//! A token bucket.

use std::time::Instant;

/// Lets a number of things pass at once, and more at a steady rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    tokens_max: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(tokens_max: f64, per_second: f64, now: Instant) -> Self {
        Self {
            tokens: tokens_max,
            tokens_max,
            per_second,
            filled: now,
        }
    }

    /// Whether one more may pass now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.tokens_max);
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }
}
