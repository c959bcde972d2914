//! Advice about rules that load: what Falco does not say.
//!
//! Lints are apart from warnings, so that warnings stay exactly Falco's. Each has a stable id, by which a user
//! can silence it.

mod condition;
mod item;
mod walk;

use super::info::Loaded;
use super::source::{Span, Text};
use crate::ast;

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// One of [`LINTS`].
    pub id: &'static str,
    /// What was found.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// Which item holds the place, as `rule "x"`.
    pub item: String,
}

/// What a lint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LintInfo {
    /// Its id, which does not change.
    pub id: &'static str,
    /// What it looks for.
    pub summary: &'static str,
    /// Why that is bad.
    pub reason: &'static str,
}

/// All lints.
pub const LINTS: &[LintInfo] = &[
    LintInfo {
        id: "rule-never-matches",
        summary: "a condition that no event can meet",
        reason: "the rule looks as if it protects, but it cannot report anything",
    },
    LintInfo {
        id: "no-event-type",
        summary: "a condition that does not say for which events it is meant",
        reason: "it is evaluated for nearly every event, and all of them must be collected",
    },
    LintInfo {
        id: "expensive-on-hot-event",
        summary: "an expensive operator for frequent events with no cheaper test beside it",
        reason: "it runs for each of perhaps a million events a second",
    },
    LintInfo {
        id: "rename-evades",
        summary: "processes excused by their name alone",
        reason: "anyone who can run a program can give it that name; a path in a protected folder cannot be chosen so",
    },
    LintInfo {
        id: "exception-too-wide",
        summary: "an exception that looks at names of processes only",
        reason: "it excuses every program of that name, whatever it does",
    },
    LintInfo {
        id: "list-name-typo",
        summary: "a value that is nearly the name of a list",
        reason: "a misspelled list is no error: it is taken for text, and the condition compares with that",
    },
    LintInfo {
        id: "unused-macro",
        summary: "a macro that nothing uses after all files are loaded",
        reason: "it is dead, or its use is misspelled",
    },
    LintInfo {
        id: "unused-list",
        summary: "a list that nothing uses after all files are loaded",
        reason: "it is dead, or its use is misspelled",
    },
    LintInfo {
        id: "shadowed-macro",
        summary: "a macro that replaces an earlier one without saying so",
        reason: "rules that use the earlier one change their meaning; `override` shows that this is meant",
    },
    LintInfo {
        id: "shadowed-list",
        summary: "a list that replaces an earlier one without saying so",
        reason: "rules that use the earlier one change their meaning; `override` shows that this is meant",
    },
    LintInfo {
        id: "duplicate-key",
        summary: "a key that an item has twice",
        reason: "only the first counts",
    },
    LintInfo {
        id: "unknown-exception-key",
        summary: "a key that exceptions do not have",
        reason: "it is ignored, so that the exception does not do what was meant",
    },
];

impl Loaded {
    /// Looks for what loads, but is not wise. In the order of the files; each place once for each lint.
    #[must_use]
    pub fn lint(&self) -> Vec<Lint> {
        let mut lints = self.collector.lints.clone();
        item::lint(self, &mut lints);
        if let Some(compiled) = &self.compiled {
            for rule in &compiled.rules {
                condition::lint(self, compiled, rule, &mut lints);
            }
        }
        lints.sort_by(|left, right| {
            (left.span, left.id, &left.message).cmp(&(right.span, right.id, &right.message))
        });
        lints.dedup_by(|left, right| left.id == right.id && left.span == right.span);
        lints
    }
}

/// The place of a span of a condition.
fn place(text: &Text, span: ast::Span) -> Option<Span> {
    text.locate(span.start..span.end)
}
