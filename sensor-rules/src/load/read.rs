//! Reads the items of one file into the collector.
//!
//! Falco stops at a file's first error. Here an item with an error is left out and reading goes on, so
//! that a user sees all mistakes at once; the first one reported is the one that Falco would report.

use std::collections::HashSet;

use super::collect::{Collector, Kind as ItemKind};
use super::context::{Context, ItemType};
use super::decode::{Item, invalid};
use super::item::{ListItem, MacroItem, Order};
use super::limits::WARNINGS_MAX;
use super::lint::Lint;
use super::result::{ErrorCode, FileResult, LoadError, LoadWarning, WarningCode};
use super::source::{FileId, Span};
use super::suggest::nearest;
use super::yaml::{Kind, Node, documents};

mod exception;
mod overrides;
mod rule;
mod version;

use overrides::Overrides;
pub(crate) use rule::{APPENDABLE, REPLACEABLE};

pub(crate) const LIST_KEYS: &[&str] = &["list", "items", "append", "override"];
pub(crate) const MACRO_KEYS: &[&str] = &["macro", "condition", "append", "override"];
pub(crate) const RULE_KEYS: &[&str] = &[
    "rule",
    "condition",
    "output",
    "desc",
    "priority",
    "source",
    "enabled",
    "tags",
    "exceptions",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
    "action",
    "append",
    "override",
];
/// The keys that decide an item's kind, in the order in which Falco looks for them.
const KIND_KEYS: &[&str] = &[
    "required_engine_version",
    "required_plugin_versions",
    "list",
    "macro",
    "rule",
];

const APPEND_DEPRECATED: &str = "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') \
                                 under 'override' instead.";
const APPEND_AND_OVERRIDE: &str = "Keys 'override' and 'append: true' cannot be used together. Add an 'append' \
                                   entry (e.g. 'condition: append') under 'override' instead.";

/// Reads one file.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a str,
    pub(crate) collector: &'a mut Collector,
    pub(crate) result: &'a mut FileResult,
}

impl Reader<'_> {
    /// Reads every item of the file.
    pub(crate) fn read(&mut self, file: FileId) {
        let context = Context::file(file, &self.result.name);
        let documents = match documents(self.source) {
            Ok(documents) => documents,
            Err(error) => {
                let context = context.mark(error.mark);
                let issue = LoadError::new(ErrorCode::YamlParse, error.message, &context);
                self.result.error(issue.with_help(error.help.map(str::to_owned)));
                return;
            }
        };
        for document in documents.iter().filter(|document| !document.is_null()) {
            let Kind::Sequence(items) = &document.kind else {
                let message = if document.is_mapping() {
                    "Rules content is not yaml array of objects"
                } else {
                    "Rules content is not yaml"
                };
                let place = context.node(document, ItemType::RulesContent, "").span();
                let help = "a rule file is a sequence of items, each starting with `- rule:`, `- macro:` or `- list:`";
                let error = invalid(message, &context)
                    .at(place)
                    .with_help(Some(help.to_owned()));
                self.result.error(error);
                continue;
            };
            for item in items.iter().filter(|item| !item.is_null()) {
                if let Err(error) = self.item(item, &context) {
                    self.result.error(error);
                }
            }
        }
    }

    fn item(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let content_item = file.node(node, ItemType::RulesContentItem, "");
        if !node.is_mapping() {
            let message = "Unexpected element type. Each element should be a yaml associative array.";
            return Err(invalid(message, &content_item));
        }
        let Some(kind) = KIND_KEYS.iter().find(|key| node.get(key).is_some()) else {
            let mut keys = node.entries().iter().filter_map(|(key, _)| key.as_str());
            let meant = keys.find_map(|key| nearest(key, KIND_KEYS.iter().copied()));
            let help = meant.map(|meant| format!("did you mean `{meant}`?"));
            let warning = LoadWarning::new(WarningCode::UnknownItem, "Unknown top level item", &content_item);
            self.result.warn(warning.with_help(help));
            return Ok(());
        };
        match *kind {
            "required_engine_version" => self.engine_version(node, file),
            "required_plugin_versions" => self.plugin_versions(node, file),
            "list" => self.list(node, file),
            "macro" => self.macro_item(node, file),
            _ => self.rule(node, file),
        }
    }

    fn start<'n>(&self, node: &'n Node, item_type: ItemType, file: &Context) -> Item<'n>
    where
        Self: 'n,
    {
        Item {
            node,
            source: self.source,
            context: file.node(node, item_type, ""),
        }
    }

    fn warn(&mut self, code: WarningCode, message: impl Into<String>, context: &Context) {
        self.result.warn(LoadWarning::new(code, message, context));
    }

    fn unknown_keys(&mut self, item: &Item<'_>, known: &[&str]) {
        self.duplicate_keys(item);
        for (key, _) in item.node.entries() {
            let name = key.as_str().unwrap_or("");
            if known.contains(&name) {
                continue;
            }
            let help = nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("Unknown key '{name}'");
            let place = item.context.node(key, ItemType::ValueFor, name).span();
            let warning = LoadWarning::new(WarningCode::UnknownKey, message, &item.context);
            self.result.warn(warning.at(place).with_help(help));
        }
    }

    fn duplicate_keys(&mut self, item: &Item<'_>) {
        let mut seen = HashSet::new();
        for (key, _) in item.node.entries() {
            let name = key.as_str().unwrap_or("");
            if !seen.insert(name) {
                let message = format!("key `{name}` stands twice in this item; the first counts");
                self.lint(
                    "duplicate-key",
                    message,
                    item.context.node(key, ItemType::ValueFor, name).span(),
                    None,
                );
            }
        }
    }

    fn lint(&mut self, id: &'static str, message: String, span: Option<Span>, help: Option<String>) {
        if self.collector.lints.len() < WARNINGS_MAX {
            self.collector.lints.push(Lint {
                id,
                message,
                span,
                help,
                item: String::new(),
            });
        }
    }

    fn list(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let item = self.start(node, ItemType::List, file);
        let name = item.string("list")?;
        let item = item.named(ItemType::List, &name, file);
        self.unknown_keys(&item, LIST_KEYS);
        if !is_bare_string(&name) {
            let message = r#"List has an invalid name. List names should match a regular expression: ([^()\"'[:space:]=,]+)"#;
            self.warn(WarningCode::InvalidListName, message, &item.context);
        }
        let read = self.list_body(&item, &name);
        self.collector.note(ItemKind::List, &name, &read);
        read
    }

    fn list_body(&mut self, item: &Item<'_>, name: &str) -> Result<(), LoadError> {
        let items = item.words("items")?;
        let append = self.append_flag(item)?;
        let overrides = Overrides::read(item, &["items"], &["items"])?;
        check_append_and_override(append, &overrides, item)?;
        if append || overrides.appends("items") {
            if self.collector.base_has_failed(ItemKind::List, name) {
                return Ok(());
            }
            return self.collector.append_list(name, items, &item.context);
        }
        let list = ListItem {
            name: name.into(),
            items,
            order: Order::default(),
            context: item.context.clone(),
            redefined: None,
        };
        self.collector.define_list(list, overrides.replaces("items"))
    }

    fn macro_item(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let item = self.start(node, ItemType::Macro, file);
        let name = item.string("macro")?;
        let item = item.named(ItemType::Macro, &name, file);
        self.unknown_keys(&item, MACRO_KEYS);
        if !is_identifier(&name) {
            let message = "Macro has an invalid name. Macro names should match a regular expression: ([a-zA-Z]+[a-zA-Z0-9_]*)";
            self.warn(WarningCode::InvalidMacroName, message, &item.context);
        }
        let read = self.macro_body(&item, &name);
        self.collector.note(ItemKind::Macro, &name, &read);
        read
    }

    fn macro_body(&mut self, item: &Item<'_>, name: &str) -> Result<(), LoadError> {
        let (condition, condition_context) = item.text("condition", ItemType::MacroCondition)?;
        let append = self.append_flag(item)?;
        let overrides = Overrides::read(item, &["condition"], &["condition"])?;
        check_append_and_override(append, &overrides, item)?;
        if append || overrides.appends("condition") {
            if self.collector.base_has_failed(ItemKind::Macro, name) {
                return Ok(());
            }
            return self.collector.append_macro(name, &condition, &item.context);
        }
        let macro_item = MacroItem {
            name: name.into(),
            condition,
            order: Order::default(),
            context: item.context.clone(),
            condition_context,
            redefined: None,
        };
        self.collector
            .define_macro(macro_item, overrides.replaces("condition"))
    }

    /// The deprecated `append: true`.
    fn append_flag(&mut self, item: &Item<'_>) -> Result<bool, LoadError> {
        let append = item.optional_bool("append", false)?;
        if append {
            self.warn(WarningCode::DeprecatedItem, APPEND_DEPRECATED, &item.context);
        }
        Ok(append)
    }
}

fn check_append_and_override(append: bool, overrides: &Overrides, item: &Item<'_>) -> Result<(), LoadError> {
    if append && !overrides.is_empty() {
        return Err(invalid(APPEND_AND_OVERRIDE, &item.context));
    }
    Ok(())
}

/// Whether a condition can name a macro so.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a condition can hold the name as one bare word.
fn is_bare_string(name: &str) -> bool {
    let special = |byte: u8| matches!(byte, b'(' | b')' | b'"' | b'\'' | b'=' | b',' | 0x0b);
    !name.is_empty()
        && !name
            .bytes()
            .any(|byte| special(byte) || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, identifier, bare) in [
            ("open_write", true, true),
            ("a1", true, true),
            ("1a", false, true),
            ("_a", false, true),
            ("test-macro", false, true),
            ("test list", false, false),
            ("a=b", false, false),
            ("é", false, true),
        ] {
            assert_eq!(
                (is_identifier(name), is_bare_string(name)),
                (identifier, bare),
                "{name}"
            );
        }
    }
}
