//! Many rules, matched against one event at a time.

use smol_str::SmolStr;

use crate::ast::Expr;
use crate::error::ConditionError;
use crate::event::Event;
use crate::field::{Catalogue, EventTypeSet, FieldRef};
use crate::format::Output;
use crate::priority::Priority;

/// Position of a rule in the order of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A rule as the loader hands it over: macros resolved, exceptions marked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: SmolStr,
    /// When it matches.
    pub condition: Expr,
    /// What it says.
    pub output: Output,
    /// How severe it is.
    pub priority: Priority,
    /// Its tags, sorted.
    pub tags: Vec<SmolStr>,
    /// Where its events come from: `syscall`.
    pub source: SmolStr,
    /// What it is for.
    pub description: String,
}

/// Whether one event may match several rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleMatching {
    /// Only the first rule in the order of definition.
    #[default]
    First,
    /// Every rule.
    All,
}

/// Collects rules.
#[derive(Debug)]
pub struct RuleSetBuilder {
    catalogue: Catalogue,
    matching: RuleMatching,
    rules: Vec<Rule>,
}

impl RuleSetBuilder {
    /// A set without rules.
    #[must_use]
    pub const fn new(catalogue: Catalogue, matching: RuleMatching) -> Self {
        Self { catalogue, matching, rules: Vec::new() }
    }

    /// Adds a rule, after all that were added before.
    ///
    /// # Errors
    /// What is wrong with its condition; the rule is not added.
    pub fn add(&mut self, rule: Rule) -> Result<RuleId, Vec<ConditionError>> {
        crate::check::check(&rule.condition, &self.catalogue)?;
        let id = RuleId(u32::try_from(self.rules.len()).unwrap_or(u32::MAX));
        self.rules.push(rule);
        Ok(id)
    }

    /// Compiles the rules.
    #[must_use]
    pub fn build(self) -> RuleSet {
        RuleSet { matching: self.matching, rules: self.rules }
    }
}

/// Rules, compiled.
#[derive(Debug)]
pub struct RuleSet {
    matching: RuleMatching,
    rules: Vec<Rule>,
}

/// What evaluation keeps between events, so that it need not allocate. One for each thread.
#[derive(Debug, Default)]
pub struct Scratch {}

impl RuleSet {
    /// The rules in the order of definition; a [`RuleId`] is the position.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The event types that any rule can match.
    #[must_use]
    pub fn event_types(&self) -> EventTypeSet {
        EventTypeSet::all()
    }

    /// The fields that conditions or outputs read, each once.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldRef> {
        Vec::new()
    }

    /// Calls `on_match` for the rules that match the event, in the order of definition.
    pub fn evaluate(&self, event: &impl Event, scratch: &mut Scratch, on_match: impl FnMut(RuleId)) {
        let _ = (event, scratch, on_match, self.matching);
    }
}
