//! Lists, macros and rules as they are collected: read, merged, but not yet compiled.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::source::{Span, Text};
use crate::priority::Priority;

/// A scalar with its place, for text that is short or whose inner places do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: Box<str>,
    pub(crate) span: Span,
    /// Whether the span's bytes are the text.
    pub(crate) exact: bool,
}

impl Word {
    /// Appends the word to a text.
    pub(crate) fn push_to(&self, out: &mut Text) {
        if self.exact {
            out.push_exact(&self.text, self.span.file, self.span.start);
        } else {
            out.push_for(&self.text, self.span);
        }
    }
}

/// Where an item stands among all items of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Position of the first definition.
    pub(crate) index: u32,
    /// Position of the newest definition or append: what came before it can be seen from it.
    pub(crate) visibility: u32,
}

/// `list: NAME`.
#[derive(Clone, Debug)]
pub(crate) struct ListItem {
    pub(crate) name: Arc<str>,
    pub(crate) items: Vec<Word>,
    pub(crate) order: Order,
    pub(crate) context: Context,
    /// The definition that this one replaces without saying so.
    pub(crate) redefined: Option<Span>,
}

/// `macro: NAME`.
#[derive(Clone, Debug)]
pub(crate) struct MacroItem {
    pub(crate) name: Arc<str>,
    pub(crate) condition: Text,
    pub(crate) order: Order,
    pub(crate) context: Context,
    pub(crate) condition_context: Context,
    /// The definition that this one replaces without saying so.
    pub(crate) redefined: Option<Span>,
}

/// `rule: NAME`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the keys of a rule")]
pub(crate) struct RuleItem {
    pub(crate) name: Arc<str>,
    pub(crate) source: String,
    pub(crate) unknown_source: bool,
    pub(crate) condition: Text,
    pub(crate) output: Text,
    pub(crate) description: String,
    pub(crate) priority: Priority,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) exceptions: Vec<Exception>,
    pub(crate) enabled: bool,
    pub(crate) warn_evttypes: bool,
    pub(crate) skip_if_unknown_filter: bool,
    pub(crate) capture: bool,
    pub(crate) capture_duration_ms: u32,
    pub(crate) action: String,
    pub(crate) order: Order,
    pub(crate) context: Context,
    pub(crate) condition_context: Context,
    pub(crate) output_context: Context,
}

/// One exception of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Exception {
    pub(crate) name: String,
    pub(crate) fields: Entry,
    pub(crate) comps: Entry,
    pub(crate) values: Vec<Entry>,
    /// Whether it applies to values that are incomplete, where it says.
    pub(crate) allows_incomplete: Option<bool>,
    pub(crate) context: Context,
}

/// A scalar or nested sequence in an exception.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The key is missing, or null.
    Absent,
    Word(Word),
    List(Vec<Entry>),
}

impl Entry {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Word(word) => word.text.is_empty(),
            Self::List(items) => items.is_empty(),
        }
    }

    /// The word, where it is one.
    pub(crate) fn word(&self) -> Option<&Word> {
        match self {
            Self::Word(word) => Some(word),
            Self::Absent | Self::List(_) => None,
        }
    }

    /// The text of a word; empty for anything else, as in Falco.
    pub(crate) fn text(&self) -> &str {
        self.word().map_or("", |word| &word.text)
    }

    /// The entries of a list; empty for anything else.
    pub(crate) fn items(&self) -> &[Entry] {
        match self {
            Self::List(items) => items,
            Self::Absent | Self::Word(_) => &[],
        }
    }
}

/// Changes to a rule that is already there; what is None stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleUpdate {
    pub(crate) condition: Option<(Text, Context)>,
    pub(crate) output: Option<(Text, Context)>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Option<BTreeSet<String>>,
    pub(crate) exceptions: Option<Vec<Exception>>,
    pub(crate) priority: Option<Priority>,
    pub(crate) enabled: Option<bool>,
    pub(crate) warn_evttypes: Option<bool>,
    pub(crate) skip_if_unknown_filter: Option<bool>,
    pub(crate) capture: Option<bool>,
    pub(crate) capture_duration_ms: Option<u32>,
    /// Only compared with the rule's.
    pub(crate) source: Option<String>,
}
