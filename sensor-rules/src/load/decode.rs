//! Reads typed values out of YAML nodes, with Falco's checks and messages.

use std::collections::BTreeSet;

use super::context::{Context, ItemType};
use super::item::{Entry, Word};
use super::result::{ErrorCode, LoadError};
use super::source::{Span, Text};
use super::suggest::nearest;
use super::yaml::{Kind, Node, Scalar, scalar_text};
use crate::priority::Priority;

/// One item of a file, being read.
pub(crate) struct Item<'a> {
    pub(crate) node: &'a Node,
    pub(crate) source: &'a str,
    pub(crate) context: Context,
}

/// An error of the file's structure.
pub(crate) fn invalid(message: impl Into<String>, context: &Context) -> LoadError {
    LoadError::new(ErrorCode::YamlValidate, message, context)
}

impl<'a> Item<'a> {
    /// The same item, now that its name is known.
    pub(crate) fn named(&self, item_type: ItemType, name: &str, parent: &Context) -> Item<'a> {
        Item {
            node: self.node,
            source: self.source,
            context: parent.node(self.node, item_type, name),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// The scalar under a key that must be there and must not be empty.
    pub(crate) fn scalar(&self, key: &str) -> Result<(&'a Node, &'a Scalar), LoadError> {
        let Some(node) = self.node.get(key) else {
            return Err(
                invalid(format!("Item has no mapping for key '{key}'"), &self.context)
                    .with_help(self.misspelled(key)),
            );
        };
        self.non_empty(node, key)
    }

    fn non_empty(&self, node: &'a Node, key: &str) -> Result<(&'a Node, &'a Scalar), LoadError> {
        match &node.kind {
            Kind::Null => {
                let error = invalid(format!("Mapping for key '{key}' is empty"), &self.context);
                Err(error.at(self.context.node(node, ItemType::ValueFor, key).span()))
            }
            Kind::Scalar(scalar) if scalar.text.is_empty() => Err(invalid(
                "Value must be non-empty",
                &self.context.node(node, ItemType::ValueFor, key),
            )),
            Kind::Scalar(scalar) => Ok((node, scalar)),
            _ => Err(invalid(
                "Value is not a scalar value",
                &self.context.node(node, ItemType::ValueFor, key),
            )),
        }
    }

    /// A key of the item that may be this one with a typing error.
    fn misspelled(&self, key: &str) -> Option<String> {
        let keys = self.node.entries().iter().filter_map(|(name, _)| name.as_str());
        let found = nearest(key, keys)?;
        Some(format!("key `{found}` is not known; did you mean `{key}`?"))
    }

    pub(crate) fn string(&self, key: &str) -> Result<String, LoadError> {
        self.scalar(key).map(|(_, scalar)| scalar.text.to_string())
    }

    /// A scalar's text with the places of its characters, and the context of the value.
    pub(crate) fn text(&self, key: &str, item_type: ItemType) -> Result<(Text, Context), LoadError> {
        let (node, scalar) = self.scalar(key)?;
        let text = scalar_text(self.source, self.context.file_id(), node, scalar);
        Ok((text, self.context.node(node, item_type, "")))
    }

    pub(crate) fn bool(&self, key: &str) -> Result<bool, LoadError> {
        let (node, scalar) = self.scalar(key)?;
        parse_bool(&scalar.text).ok_or_else(|| {
            self.undecodable(
                node,
                key,
                "expected `true` or `false` (or yes, no, y, n, on, off)",
            )
        })
    }

    pub(crate) fn optional_bool(&self, key: &str, default: bool) -> Result<bool, LoadError> {
        if self.has(key) {
            self.bool(key)
        } else {
            Ok(default)
        }
    }

    pub(crate) fn unsigned(&self, key: &str) -> Result<u32, LoadError> {
        let (node, scalar) = self.scalar(key)?;
        parse_unsigned(&scalar.text)
            .ok_or_else(|| self.undecodable(node, key, "expected a number from 0 to 4294967295"))
    }

    fn undecodable(&self, node: &Node, key: &str, help: &str) -> LoadError {
        let context = self.context.node(node, ItemType::ValueFor, key);
        invalid("Can't decode YAML scalar value", &context).with_help(Some(help.to_owned()))
    }

    pub(crate) fn priority(&self) -> Result<Priority, LoadError> {
        let (node, scalar) = self.scalar("priority")?;
        scalar.text.parse().map_err(|_| {
            let names = Priority::ALL.map(Priority::name);
            let nearest = nearest(&scalar.text, names.into_iter());
            let did_you_mean = nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            let help = format!("expected one of {}{did_you_mean}", names.join(", "));
            invalid(
                "Invalid priority",
                &self.context.node(node, ItemType::RulePriority, ""),
            )
            .with_help(Some(help))
        })
    }

    /// The scalars of a sequence.
    pub(crate) fn words(&self, key: &str) -> Result<Vec<Word>, LoadError> {
        let Some(node) = self.node.get(key) else {
            return Err(
                invalid(format!("Item has no mapping for key '{key}'"), &self.context)
                    .with_help(self.misspelled(key)),
            );
        };
        let context = || self.context.node(node, ItemType::ValueFor, key);
        let Kind::Sequence(items) = &node.kind else {
            return Err(invalid("Value is not a sequence", &context()));
        };
        items
            .iter()
            .map(|item| match &item.kind {
                Kind::Scalar(scalar) => Ok(self.word(item, scalar)),
                _ => Err(invalid(
                    "sequence value is not scalar",
                    &context().node(item, ItemType::ListItem, ""),
                )),
            })
            .collect()
    }

    pub(crate) fn tags(&self) -> Result<BTreeSet<String>, LoadError> {
        if !self.has("tags") {
            return Ok(BTreeSet::new());
        }
        Ok(self
            .words("tags")?
            .into_iter()
            .map(|word| word.text.into_string())
            .collect())
    }

    fn word(&self, node: &Node, scalar: &Scalar) -> Word {
        let span = Span {
            file: self.context.file_id(),
            start: node.mark.offset,
            end: node.end,
        };
        let bytes = self.source.get(span.start as usize..span.end as usize);
        Word {
            text: scalar.text.clone(),
            span,
            exact: bytes == Some(&*scalar.text),
        }
    }

    /// A value of an exception: a scalar, or sequences of such values.
    pub(crate) fn entry(&self, node: &Node, key: &str, context: &Context) -> Result<Entry, LoadError> {
        match &node.kind {
            Kind::Null | Kind::Mapping(_) => Ok(Entry::Absent),
            Kind::Scalar(scalar) if scalar.text.is_empty() => Err(invalid(
                "Value must be non-empty",
                &context.node(node, ItemType::ValueFor, key),
            )),
            Kind::Scalar(scalar) => Ok(Entry::Word(self.word(node, scalar))),
            Kind::Sequence(items) => {
                let entries = items.iter().map(|item| self.entry(item, "", context));
                entries.collect::<Result<_, _>>().map(Entry::List)
            }
        }
    }
}

/// YAML 1.1's booleans, in any case.
fn parse_bool(text: &str) -> Option<bool> {
    let any = |names: [&str; 4]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    if any(["y", "yes", "true", "on"]) {
        Some(true)
    } else if any(["n", "no", "false", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A number as C++ streams read one: decimal, or hexadecimal after `0x`, or octal after `0`.
fn parse_unsigned(text: &str) -> Option<u32> {
    let digits = text.trim().strip_prefix('+').unwrap_or(text.trim());
    if digits.starts_with(['+', '-']) {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_of_yaml_1_1() {
        for text in ["y", "YES", "True", "on"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["n", "No", "FALSE", "off"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["1", "0", "truee", "", "null"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("10000", Some(10000)),
            ("0", Some(0)),
            ("0x10", Some(16)),
            ("010", Some(8)),
            ("+5", Some(5)),
            ("-1", None),
            ("+-1", None),
            ("4294967296", None),
            ("1.5", None),
            ("not_a_number", None),
        ] {
            assert_eq!(parse_unsigned(text), expected, "{text}");
        }
    }
}
