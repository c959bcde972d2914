//! Reads the `exceptions` of a rule.

use super::Reader;
use crate::load::context::{Context, ItemType};
use crate::load::decode::{Item, invalid};
use crate::load::item::{Entry, Exception};
use crate::load::result::{LoadError, WarningCode};
use crate::load::suggest::nearest;
use crate::load::yaml::{Kind, Node};

const KEYS: &[&str] = &["name", "fields", "comps", "values", "allow_incomplete"];

impl Reader<'_> {
    /// Reads a rule's exceptions; with `update` they change exceptions that the rule has, so that
    /// `fields` may be missing.
    pub(super) fn exceptions(&mut self, item: &Item<'_>, update: bool) -> Result<Vec<Exception>, LoadError> {
        let mut exceptions: Vec<Exception> = Vec::new();
        let Some(node) = item.node.get("exceptions").filter(|node| !node.is_null()) else {
            return Ok(exceptions);
        };
        let parent = item.context.node(node, ItemType::Exceptions, "");
        let Kind::Sequence(nodes) = &node.kind else {
            return Err(invalid("Rule exceptions must be a sequence", &parent));
        };
        for node in nodes {
            let exception = self.exception(node, item, &parent, update)?;
            if exceptions.iter().any(|earlier| earlier.name == exception.name) {
                let message = format!(
                    "Multiple definitions of exception '{}' in the same rule",
                    exception.name
                );
                self.warn(WarningCode::ExceptionNameNotUnique, message, &exception.context);
            }
            exceptions.push(exception);
        }
        Ok(exceptions)
    }

    fn exception(
        &mut self,
        node: &Node,
        rule: &Item<'_>,
        parent: &Context,
        update: bool,
    ) -> Result<Exception, LoadError> {
        let item = Item {
            node,
            source: rule.source,
            context: parent.node(node, ItemType::Exception, ""),
        };
        if !node.is_mapping() {
            return Err(invalid("Rule exception must be a mapping", &item.context));
        }
        self.exception_keys(&item);
        let name = item.string("name")?;
        let item = item.named(ItemType::Exception, &name, &rule.context);
        if !update {
            // Asked for now, so that a missing key is an error of the file's structure.
            required(&item, "fields")?;
        }
        let fields = entry(&item, "fields")?;
        let comps = entry(&item, "comps")?;
        if update && !item.has("values") {
            let message = "Overriding/appending exception with no values";
            self.warn(WarningCode::AppendNoValues, message, &item.context);
        }
        let values = values(&item)?;
        let says = item.has("allow_incomplete");
        let allows_incomplete = says.then(|| item.bool("allow_incomplete")).transpose()?;
        Ok(Exception {
            name,
            fields,
            comps,
            values,
            allows_incomplete,
            context: item.context,
        })
    }

    /// Falco does not look at the keys of exceptions.
    fn exception_keys(&mut self, item: &Item<'_>) {
        for (key, _) in item.node.entries() {
            let name = key.as_str().unwrap_or("");
            if KEYS.contains(&name) {
                continue;
            }
            let help = nearest(name, KEYS.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
            let span = item.context.node(key, ItemType::ValueFor, name).span();
            self.lint(
                "unknown-exception-key",
                format!("exceptions have no key `{name}`"),
                span,
                help,
            );
        }
    }
}

fn values(item: &Item<'_>) -> Result<Vec<Entry>, LoadError> {
    let Some(node) = item.node.get("values") else {
        return Ok(Vec::new());
    };
    let context = item.context.node(node, ItemType::ExceptionValues, "");
    let Kind::Sequence(values) = &node.kind else {
        return Err(invalid("Rule exception values must be a sequence", &context));
    };
    let read = |value: &Node| item.entry(value, "", &context.node(value, ItemType::ExceptionValue, ""));
    values.iter().map(|value| read(value)).collect()
}

fn required(item: &Item<'_>, key: &str) -> Result<(), LoadError> {
    if item.has(key) {
        return Ok(());
    }
    Err(invalid(
        format!("Item has no mapping for key '{key}'"),
        &item.context,
    ))
}

fn entry(item: &Item<'_>, key: &str) -> Result<Entry, LoadError> {
    match item.node.get(key) {
        Some(node) => item.entry(node, key, &item.context),
        None => Ok(Entry::Absent),
    }
}
