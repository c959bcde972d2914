//! What users are told of each key: the one place that the example file, the JSON schema and the
//! names of the environment variables are made from.

use std::sync::LazyLock;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::tree::{Node, Value};

/// A JSON schema (draft 2020-12), written as YAML so that people can read and change it.
const SCHEMA: &str = include_str!("schema.yaml");

#[expect(
    clippy::expect_used,
    reason = "the text is part of the program, and every test of this module reads it"
)]
static TREE: LazyLock<Node> = LazyLock::new(|| Node::parse(0, SCHEMA, 0).expect("schema.yaml is YAML"));

/// What a key holds, as far as reading an environment variable needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyType {
    Text,
    TextOrNull,
    TextList,
    Other,
}

/// A key that can be set from outside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Such as `grpc.socket`.
    pub(super) path: String,
    pub(super) key_type: KeyType,
}

/// The schema as JSON, for editors and CI.
///
/// # Errors
/// None in practice: all of it is text with text keys.
pub fn json() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&*TREE)
}

/// Every key that is no section.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    collect_keys(&TREE, "", &mut keys);
    keys
}

fn collect_keys(node: &Node, path: &str, keys: &mut Vec<Key>) {
    if let Some(properties) = node.entry("properties")
        && let Value::Map(entries) = &properties.value.value
    {
        for entry in entries {
            let path = if path.is_empty() {
                entry.key.clone()
            } else {
                format!("{path}.{}", entry.key)
            };
            collect_keys(&entry.value, &path, keys);
        }
        return;
    }
    keys.push(Key {
        path: path.to_owned(),
        key_type: key_type(node),
    });
}

fn key_type(node: &Node) -> KeyType {
    let is_text = |node: &Node| matches!(&node.value, Value::Text(text) if text == "string");
    match node.entry("type").map(|entry| &entry.value.value) {
        Some(Value::Text(name)) if name == "string" => KeyType::Text,
        Some(Value::Text(name)) if name == "array" => {
            let item_type = node.entry("items").and_then(|items| items.value.entry("type"));
            if item_type.is_some_and(|item| is_text(&item.value)) {
                KeyType::TextList
            } else {
                KeyType::Other
            }
        }
        Some(Value::List(types)) if types.iter().any(is_text) => KeyType::TextOrNull,
        _ => KeyType::Other,
    }
}

/// The example file: every key with its description and its default.
#[must_use]
pub fn example() -> String {
    let mut text = String::new();
    if let Some(description) = text_of(&TREE, "description") {
        comment(&mut text, 0, description);
    }
    sections(&mut text, &TREE, 0);
    text
}

fn text_of<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.entry(key)?.value.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn sections(text: &mut String, node: &Node, indent: usize) {
    let Some(properties) = node.entry("properties") else {
        return;
    };
    let Value::Map(entries) = &properties.value.value else {
        return;
    };
    for entry in entries {
        if indent == 0 {
            text.push('\n');
        }
        if let Some(description) = text_of(&entry.value, "description") {
            comment(text, indent, description);
        }
        if let Some(example) = entry.value.entry("examples")
            && let Value::List(examples) = &example.value.value
        {
            for example in examples {
                comment(text, indent, "For example:");
                let mut yaml = String::new();
                key_and_value(&mut yaml, &entry.key, example, 0);
                for line in yaml.lines() {
                    push_line(text, indent, &format!("#   {line}"));
                }
            }
        }
        if let Some(default) = entry.value.entry("default") {
            key_and_value(text, &entry.key, &default.value, indent);
        } else {
            push_line(text, indent, &format!("{}:", entry.key));
            sections(text, &entry.value, indent + 2);
        }
    }
}

fn comment(text: &mut String, indent: usize, description: &str) {
    for line in description.trim_end().lines() {
        push_line(text, indent, format!("# {line}").trim_end());
    }
}

fn push_line(text: &mut String, indent: usize, line: &str) {
    text.extend(std::iter::repeat_n(' ', indent));
    text.push_str(line);
    text.push('\n');
}

/// Writes YAML in the block style, lists and maps that are empty aside.
fn key_and_value(text: &mut String, key: &str, value: &Node, indent: usize) {
    match &value.value {
        Value::Map(entries) if !entries.is_empty() => {
            push_line(text, indent, &format!("{key}:"));
            for entry in entries {
                key_and_value(text, &entry.key, &entry.value, indent + 2);
            }
        }
        Value::List(items) if !items.is_empty() => {
            push_line(text, indent, &format!("{key}:"));
            for item in items {
                list_item(text, item, indent + 2);
            }
        }
        _ => push_line(text, indent, &format!("{key}: {}", scalar(value))),
    }
}

fn list_item(text: &mut String, item: &Node, indent: usize) {
    let Value::Map(entries) = &item.value else {
        push_line(text, indent, &format!("- {}", scalar(item)));
        return;
    };
    let mut body = String::new();
    for entry in entries {
        key_and_value(&mut body, &entry.key, &entry.value, 0);
    }
    for (index, line) in body.lines().enumerate() {
        let mark = if index == 0 { "- " } else { "  " };
        push_line(text, indent, &format!("{mark}{line}"));
    }
}

/// A value on one line, as JSON, which is YAML too; text that needs no quotes goes without.
fn scalar(node: &Node) -> String {
    if let Value::Text(text) = &node.value {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "/_.-:".contains(character);
        if text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
            && text.chars().all(is_plain)
        {
            return text.clone();
        }
    }
    serde_json::to_string(node).unwrap_or_default()
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Signed(value) => serializer.serialize_i64(*value),
            Value::Unsigned(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    map.serialize_entry(&entry.key, &entry.value)?;
                }
                map.end()
            }
        }
    }
}
