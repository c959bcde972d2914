//! The `override` key: which keys of an item are appended to, and which replaced.

use crate::load::context::ItemType;
use crate::load::decode::{Item, invalid};
use crate::load::result::LoadError;
use crate::load::suggest::nearest;
use crate::load::yaml::Kind;

/// What an item's `override` asks for. Each key is in one set, or in both if it was written twice.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    append: Vec<String>,
    replace: Vec<String>,
}

impl Overrides {
    /// Reads the key, given what may be appended to and what may be replaced.
    pub(super) fn read(
        item: &Item<'_>,
        appendable: &[&str],
        replaceable: &[&str],
    ) -> Result<Self, LoadError> {
        let mut overrides = Self::default();
        let Some(node) = item.node.get("override") else {
            return Ok(overrides);
        };
        let context = item.context.node(node, ItemType::Override, "");
        if matches!(node.kind, Kind::Sequence(_)) {
            let help = "expected a mapping, such as `condition: append`".to_owned();
            return Err(invalid("Value of 'override' must be a mapping", &context).with_help(Some(help)));
        }
        for (key_node, value) in node.entries() {
            let key = key_node.as_str().unwrap_or("");
            let key_context = context.node(key_node, ItemType::Override, key);
            let known = || appendable.iter().chain(replaceable).copied();
            let did_you_mean = || nearest(key, known()).map(|name| format!("did you mean `{name}`?"));
            match value.as_str().unwrap_or("") {
                "append" if !appendable.contains(&key) => {
                    let message = format!("Key '{key}' cannot be appended to, use 'replace' instead");
                    return Err(invalid(message, &key_context).with_help(did_you_mean()));
                }
                "append" => overrides.append.push(key.to_owned()),
                "replace" if !replaceable.contains(&key) => {
                    let message = format!("Key '{key}' cannot be replaced");
                    return Err(invalid(message, &key_context).with_help(did_you_mean()));
                }
                "replace" => overrides.replace.push(key.to_owned()),
                operation => {
                    let append = if appendable.contains(&key) { "append " } else { "" };
                    let replace = if replaceable.contains(&key) {
                        "replace "
                    } else {
                        ""
                    };
                    let message = format!(
                        "Invalid override operation for key '{key}': '{operation}'. Allowed values are: {append}{replace}"
                    );
                    return Err(invalid(message, &context.node(value, ItemType::ValueFor, key)));
                }
            }
        }
        Ok(overrides)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.append.is_empty() && self.replace.is_empty()
    }

    pub(super) fn appends(&self, key: &str) -> bool {
        self.append.iter().any(|name| name == key)
    }

    pub(super) fn replaces(&self, key: &str) -> bool {
        self.replace.iter().any(|name| name == key)
    }

    pub(super) fn has_append(&self) -> bool {
        !self.append.is_empty()
    }

    pub(super) fn has_replace(&self) -> bool {
        !self.replace.is_empty()
    }
}
