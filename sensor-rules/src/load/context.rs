//! The items that hold a place, as Falco reports them.

use std::sync::Arc;

use super::source::{FileId, Span, offset};
use super::yaml::{Mark, Node};

/// What kind of thing holds a place. The names are Falco's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the text of its `as_str`")]
pub enum ItemType {
    ValueFor,
    Exceptions,
    Exception,
    ExceptionValues,
    ExceptionValue,
    RulesContent,
    RulesContentItem,
    RequiredEngineVersion,
    RequiredPluginVersions,
    RequiredPluginVersionsEntry,
    RequiredPluginVersionsAlternative,
    List,
    ListItem,
    Macro,
    MacroCondition,
    Rule,
    RuleCondition,
    ConditionExpression,
    RuleOutput,
    RulePriority,
    Override,
}

impl ItemType {
    /// Falco's `item_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValueFor => "value for",
            Self::Exceptions => "exceptions",
            Self::Exception => "exception",
            Self::ExceptionValues => "exception values",
            Self::ExceptionValue => "exception value",
            Self::RulesContent => "rules content",
            Self::RulesContentItem => "rules content item",
            Self::RequiredEngineVersion => "required_engine_version",
            Self::RequiredPluginVersions => "required plugin versions",
            Self::RequiredPluginVersionsEntry => "required plugin versions entry",
            Self::RequiredPluginVersionsAlternative => "required plugin versions alternative",
            Self::List => "list",
            Self::ListItem => "list item",
            Self::Macro => "macro",
            Self::MacroCondition => "macro condition",
            Self::Rule => "rule",
            Self::RuleCondition => "rule condition",
            Self::ConditionExpression => "condition expression",
            Self::RuleOutput => "rule output",
            Self::RulePriority => "rule priority",
            Self::Override => "overrides",
        }
    }
}

/// One step of the way from a file to a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The kind of thing.
    pub item_type: ItemType,
    /// Its name; empty where it has none.
    pub item_name: String,
    /// The file's name, or for a condition its first characters in quotes.
    pub name: Arc<str>,
    /// Line, counted from 0 as YAML libraries do.
    pub line: u32,
    /// Column, from 0.
    pub column: u32,
    /// Byte, from 0.
    pub offset: u32,
}

/// A path of [`Location`]s with the bytes that the last one covers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    locations: Arc<[Location]>,
    file: FileId,
    span: Option<Span>,
}

impl Context {
    /// A whole file.
    pub(crate) fn file(file: FileId, name: &str) -> Self {
        let location = Location {
            item_type: ItemType::RulesContent,
            item_name: String::new(),
            name: name.into(),
            line: 0,
            column: 0,
            offset: 0,
        };
        Self {
            locations: Arc::new([location]),
            file,
            span: None,
        }
    }

    /// A node inside this place.
    pub(crate) fn node(&self, node: &Node, item_type: ItemType, item_name: &str) -> Self {
        let span = Span {
            file: self.file,
            start: node.mark.offset,
            end: node.end.max(node.mark.offset),
        };
        self.child(item_type, item_name, self.file_name(), node.mark, span)
    }

    /// A bare place inside this one.
    pub(crate) fn mark(&self, mark: Mark) -> Self {
        let span = Span {
            file: self.file,
            start: mark.offset,
            end: mark.offset,
        };
        self.child(ItemType::ValueFor, "", self.file_name(), mark, span)
    }

    /// A place inside a condition, `at` bytes into its text; the span is where that is in a file.
    pub(crate) fn condition(&self, condition: &str, at: usize, span: Option<Span>) -> Self {
        const NAME_BYTES_MAX: usize = 20;
        let mut name = condition.to_owned();
        if condition.len() > NAME_BYTES_MAX {
            name = condition.chars().take(NAME_BYTES_MAX - 3).collect();
            name.push_str("...");
        }
        let name = format!("\"{}\"", name.replace(['\n', '\r'], " "));
        let before = condition.get(..at).unwrap_or("");
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
        // Falco adds the place in the condition to the place of the condition.
        let base = self.locations.last().map_or(Mark::default(), |last| Mark {
            line: last.line,
            column: last.column,
            offset: last.offset,
        });
        let mark = Mark {
            line: base.line + offset(line),
            column: base.column + offset(column),
            offset: base.offset + offset(at),
        };
        let fallback = Span {
            file: self.file,
            start: base.offset,
            end: base.offset,
        };
        let span = span.or(self.span).unwrap_or(fallback);
        self.child(ItemType::ConditionExpression, "", name.into(), mark, span)
    }

    fn child(&self, item_type: ItemType, item_name: &str, name: Arc<str>, mark: Mark, span: Span) -> Self {
        let location = Location {
            item_type,
            item_name: item_name.to_owned(),
            name,
            line: mark.line,
            column: mark.column,
            offset: mark.offset,
        };
        let locations = self
            .locations
            .iter()
            .cloned()
            .chain(std::iter::once(location))
            .collect();
        Self {
            locations,
            file: self.file,
            span: Some(span),
        }
    }

    fn file_name(&self) -> Arc<str> {
        self.locations
            .first()
            .map_or_else(|| "".into(), |first| Arc::clone(&first.name))
    }

    pub(crate) fn file_id(&self) -> FileId {
        self.file
    }

    pub(crate) fn span(&self) -> Option<Span> {
        self.span
    }

    pub(crate) fn locations(&self) -> Arc<[Location]> {
        Arc::clone(&self.locations)
    }
}
