//! What rules cost, measured while they are tested.
//!
//! A part that several rules share is evaluated once an event, and so costs the first of them alone. The clock is asked
//! once a test; what that takes is measured before, and left out.

use std::time::Instant;

use sensor_rules::engine::{Observer, RuleId};

/// How often the clock is asked to learn what asking costs.
const CLOCK_TRIES: u32 = 10_000;

/// What one rule has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Events for which it was tested.
    pub tested: u64,
    /// Events that it matched.
    pub hits: u64,
    /// Nanoseconds.
    pub ns: u64,
}

/// What all rules have cost.
#[derive(Debug)]
pub struct Costs {
    rules: Vec<Cost>,
    selection: Cost,
    last: Instant,
    clock_ns: u64,
}

impl Costs {
    /// Costs of so many rules.
    #[must_use]
    pub fn new(rules: usize) -> Self {
        let begin = Instant::now();
        let mut last = begin;
        for _ in 0..CLOCK_TRIES {
            last = Instant::now();
        }
        let spent = last.duration_since(begin).as_nanos() / u128::from(CLOCK_TRIES);
        Self {
            rules: vec![Cost::default(); rules],
            selection: Cost::default(),
            last,
            clock_ns: u64::try_from(spent).unwrap_or(0),
        }
    }

    /// By rule, in the rules' order.
    #[must_use]
    pub fn rules(&self) -> &[Cost] {
        &self.rules
    }

    /// Of finding out which rules are to be tested.
    #[must_use]
    pub const fn selection(&self) -> Cost {
        self.selection
    }

    /// Nanoseconds since this was last asked.
    fn spent(&mut self) -> u64 {
        let now = Instant::now();
        let spent = now.duration_since(std::mem::replace(&mut self.last, now));
        u64::try_from(spent.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_sub(self.clock_ns)
    }
}

impl Observer for Costs {
    fn begin(&mut self) {
        self.last = Instant::now();
    }

    fn selected(&mut self) {
        self.selection.ns += self.spent();
        self.selection.tested += 1;
    }

    fn tested(&mut self, rule: RuleId, holds: bool) {
        let spent = self.spent();
        if let Some(cost) = self.rules.get_mut(rule.0 as usize) {
            cost.tested += 1;
            cost.hits += u64::from(holds);
            cost.ns += spent;
        }
    }
}
