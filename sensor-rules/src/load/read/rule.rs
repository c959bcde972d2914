//! Reads `rule` items: definitions, appends, overrides and the lone `enabled`.

use super::overrides::Overrides;
use super::{RULE_KEYS, Reader, check_append_and_override};
use crate::load::collect::Kind as ItemKind;
use crate::load::context::{Context, ItemType};
use crate::load::decode::{Item, invalid};
use crate::load::item::{Order, RuleItem, RuleUpdate};
use crate::load::result::{LoadError, WarningCode};
use crate::load::yaml::{Kind, Node};

pub(crate) const APPENDABLE: &[&str] = &["condition", "output", "desc", "tags", "exceptions"];
/// In the order in which Falco looks for keys that are left over.
pub(crate) const REPLACEABLE: &[&str] = &[
    "capture",
    "capture_duration",
    "condition",
    "desc",
    "enabled",
    "exceptions",
    "output",
    "priority",
    "skip-if-unknown-filter",
    "tags",
    "warn_evttypes",
];

const ENABLED_DEPRECATED: &str = "The standalone 'enabled' key usage is deprecated. The correct approach requires \
                                  also a 'replace' entry under the 'override' key (i.e. 'enabled: replace').";

/// Which half of an `override` is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Append,
    Replace,
}

impl Reader<'_> {
    pub(super) fn rule(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let item = self.start(node, ItemType::Rule, file);
        let name = item.string("rule")?;
        let item = item.named(ItemType::Rule, &name, file);
        self.unknown_keys(&item, RULE_KEYS);
        let errors_before = self.result.errors.len();
        let read = self.rule_body(&item, &name);
        if self.result.errors.len() > errors_before || read.is_err() {
            self.collector.note(ItemKind::Rule, &name, &Err::<(), ()>(()));
        } else {
            self.collector.note(ItemKind::Rule, &name, &read);
        }
        read
    }

    fn rule_body(&mut self, item: &Item<'_>, name: &str) -> Result<(), LoadError> {
        let append = self.append_flag(item)?;
        let overrides = Overrides::read(item, APPENDABLE, REPLACEABLE)?;
        check_append_and_override(append, &overrides, item)?;
        let defines = ["condition", "output", "desc", "priority"]
            .iter()
            .any(|key| item.has(key));
        let changes = append || !overrides.is_empty() || !defines;
        if changes && self.collector.base_has_failed(ItemKind::Rule, name) {
            return Ok(());
        }
        if !overrides.is_empty() {
            return self.override_rule(item, name, &overrides);
        }
        if append {
            let mut update = RuleUpdate {
                source: explicit_source(item),
                ..RuleUpdate::default()
            };
            if item.has("condition") {
                update.condition = Some(item.text("condition", ItemType::RuleCondition)?);
            }
            if item.has("exceptions") {
                update.exceptions = Some(self.exceptions(item, true)?);
            }
            return self.collector.append_rule(name, update, &item.context);
        }
        if !defines {
            let enabled = item.bool("enabled")?;
            self.warn(WarningCode::DeprecatedItem, ENABLED_DEPRECATED, &item.context);
            return self.collector.enable_rule(name, enabled, &item.context);
        }
        match self.definition(item, name) {
            Some(rule) => self.collector.define_rule(rule, self.result),
            None => Ok(()),
        }
    }

    /// Reads a whole rule. None when something in it is wrong; the errors are then reported.
    fn definition(&mut self, item: &Item<'_>, name: &str) -> Option<RuleItem> {
        let condition = self.keep(item.text("condition", ItemType::RuleCondition));
        let output = self.keep(item.text("output", ItemType::RuleOutput));
        let description = self.keep(item.string("desc"));
        let priority = self.keep(item.priority());
        let source = self.keep(if item.has("source") {
            item.string("source")
        } else {
            Ok("syscall".to_owned())
        });
        let enabled = self.keep(item.optional_bool("enabled", true));
        let warn_evttypes = self.keep(item.optional_bool("warn_evttypes", true));
        let skip = self.keep(item.optional_bool("skip-if-unknown-filter", false));
        let capture = self.keep(item.optional_bool("capture", false));
        let duration = if item.has("capture_duration") {
            item.unsigned("capture_duration")
        } else {
            Ok(0)
        };
        let capture_duration_ms = self.keep(duration);
        let action = self.keep(if item.has("action") {
            item.string("action")
        } else {
            Ok(String::new())
        });
        let tags = self.keep(item.tags());
        let read = self.exceptions(item, false);
        let exceptions = self.keep(read);
        let (condition, condition_context) = condition?;
        let (output, output_context) = output?;
        Some(RuleItem {
            name: name.into(),
            source: source?,
            unknown_source: false,
            condition,
            output: output.trimmed(),
            description: description?,
            priority: priority?,
            tags: tags?,
            exceptions: exceptions?,
            enabled: enabled?,
            warn_evttypes: warn_evttypes?,
            skip_if_unknown_filter: skip?,
            capture: capture?,
            capture_duration_ms: capture_duration_ms?,
            action: action?,
            order: Order::default(),
            context: item.context.clone(),
            condition_context,
            output_context,
        })
    }

    /// The value, or none with its error reported.
    fn keep<T>(&mut self, read: Result<T, LoadError>) -> Option<T> {
        read.map_err(|error| self.result.error(error)).ok()
    }

    fn override_rule(&mut self, item: &Item<'_>, name: &str, overrides: &Overrides) -> Result<(), LoadError> {
        if overrides.has_append() {
            let update = self.update(item, overrides, Operation::Append)?;
            self.collector.append_rule(name, update, &item.context)?;
        }
        if overrides.has_replace() {
            let update = self.update(item, overrides, Operation::Replace)?;
            self.collector.replace_rule(name, update, &item.context)?;
        }
        for key in REPLACEABLE
            .iter()
            .filter(|key| !overrides.appends(key) && !overrides.replaces(key))
        {
            if let Some(value) = item.node.get(key) {
                let message =
                    format!("Unexpected key '{key}': no corresponding entry under 'override' is defined.");
                let help = format!("add `{key}: replace` under `override`, or remove the key");
                let context = item.context.node(value, ItemType::Override, key);
                self.result
                    .error(invalid(message, &context).with_help(Some(help)));
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        item: &Item<'_>,
        overrides: &Overrides,
        operation: Operation,
    ) -> Result<RuleUpdate, LoadError> {
        let wants = |key: &str| {
            let wanted = match operation {
                Operation::Append => overrides.appends(key),
                // A key written twice was taken by the append already.
                Operation::Replace => overrides.replaces(key) && !overrides.appends(key),
            };
            if wanted && !item.has(key) {
                let word = if operation == Operation::Append {
                    "append"
                } else {
                    "replace"
                };
                let message =
                    format!("An {word} override for '{key}' was specified but '{key}' is not defined");
                return Err(invalid(message, &item.context));
            }
            Ok(wanted)
        };
        let mut update = RuleUpdate {
            source: explicit_source(item),
            ..RuleUpdate::default()
        };
        if wants("condition")? {
            update.condition = Some(item.text("condition", ItemType::RuleCondition)?);
        }
        if wants("exceptions")? {
            // What replaces is whole; what is appended may be values alone.
            update.exceptions = Some(self.exceptions(item, operation == Operation::Append)?);
        }
        if wants("output")? {
            let (output, context) = item.text("output", ItemType::RuleOutput)?;
            update.output = Some((output.trimmed(), context));
        }
        if wants("desc")? {
            update.description = Some(item.string("desc")?);
        }
        if wants("tags")? {
            update.tags = Some(item.tags()?);
        }
        if wants("priority")? {
            update.priority = Some(item.priority()?);
        }
        if wants("capture")? {
            update.capture = Some(item.bool("capture")?);
        }
        if wants("capture_duration")? {
            update.capture_duration_ms = Some(item.unsigned("capture_duration")?);
        }
        if wants("enabled")? {
            update.enabled = Some(item.bool("enabled")?);
        }
        if wants("warn_evttypes")? {
            update.warn_evttypes = Some(item.bool("warn_evttypes")?);
        }
        if wants("skip-if-unknown-filter")? {
            update.skip_if_unknown_filter = Some(item.bool("skip-if-unknown-filter")?);
        }
        Ok(update)
    }
}

/// The `source` of an item that changes a rule; an empty one says nothing.
fn explicit_source(item: &Item<'_>) -> Option<String> {
    match item.node.get("source").map(|node| &node.kind) {
        Some(Kind::Scalar(scalar)) if !scalar.text.is_empty() => Some(scalar.text.to_string()),
        _ => None,
    }
}
