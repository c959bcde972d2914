//! The JSON Schema of rule files, for editors.
//!
//! It is made from the keys that the loader knows, so that the two cannot part. It is stricter than the loader in one
//! thing: a key that the loader only warns about is an error here, because in an editor that is a slip.

use serde_json::{Map, Value, json};

use crate::load::{APPENDABLE, LIST_KEYS, MACRO_KEYS, REPLACEABLE, RULE_KEYS};
use crate::priority::Priority;

/// The schema (draft 2020-12) of a rule file.
#[must_use]
pub fn rule_file() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule file",
        "description": "A rule file of sensor, in the Falco rule language.",
        "type": ["array", "null"],
        "items": {
            "anyOf": [
                { "type": "null" },
                { "$ref": "#/$defs/rule" },
                { "$ref": "#/$defs/macro" },
                { "$ref": "#/$defs/list" },
                { "$ref": "#/$defs/required_engine_version" },
                { "$ref": "#/$defs/required_plugin_versions" },
            ],
        },
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    json!({
        "rule": rule(),
        "macro": changeable("macro", MACRO_KEYS, "condition"),
        "list": changeable("list", LIST_KEYS, "items"),
        "required_engine_version": {
            "type": "object",
            "description": "The oldest engine that can load the file.",
            "required": ["required_engine_version"],
            "additionalProperties": false,
            "properties": {
                "required_engine_version": {
                    "type": ["string", "number"],
                    "description": "A version, as 0.31.0; the old plain numbers are taken too.",
                },
            },
        },
        "required_plugin_versions": {
            "type": "object",
            "description": "Plugins whose fields or events the file uses.",
            "required": ["required_plugin_versions"],
            "additionalProperties": false,
            "properties": {
                "required_plugin_versions": { "type": "array", "items": { "$ref": "#/$defs/plugin" } },
            },
        },
        "plugin": {
            "type": "object",
            "required": ["name", "version"],
            "properties": {
                "name": { "type": "string", "description": "The plugin's name." },
                "version": { "type": ["string", "number"], "description": "The oldest version that will do." },
                "alternatives": {
                    "type": "array",
                    "description": "Plugins that will do as well.",
                    "items": { "$ref": "#/$defs/plugin" },
                },
            },
        },
        "exception": exception(),
        "scalar": { "type": ["string", "number", "boolean"] },
        "boolean": {
            "description": "true or false; the words of YAML 1.1 are taken too.",
            "anyOf": [{ "type": "boolean" }, { "enum": BOOLEAN_WORDS }],
        },
    })
}

/// What YAML 1.2 takes for text, but the loader for a boolean.
const BOOLEAN_WORDS: [&str; 12] = [
    "y", "Y", "yes", "Yes", "YES", "on", "n", "N", "no", "No", "NO", "off",
];

fn rule() -> Value {
    json!({
        "type": "object",
        "description": "What to report, and how.",
        "required": ["rule"],
        "additionalProperties": false,
        "properties": properties(RULE_KEYS, |key| match key {
            "override" => overrides(APPENDABLE, REPLACEABLE),
            _ => property(key),
        }),
        "anyOf": [
            { "required": ["condition", "output", "desc", "priority"] },
            { "required": ["override"] },
            { "required": ["append"] },
            { "required": ["enabled"] },
        ],
    })
}

/// A macro or a list: its name, and one thing that can be replaced or appended to.
fn changeable(name: &str, keys: &[&str], content: &str) -> Value {
    json!({
        "type": "object",
        "required": [name, content],
        "additionalProperties": false,
        "properties": properties(keys, |key| match key {
            "override" => overrides(&[content], &[content]),
            _ => property(key),
        }),
    })
}

fn properties(keys: &[&str], of: impl Fn(&str) -> Value) -> Value {
    let all: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), of(key))).collect();
    Value::Object(all)
}

/// One key of an item.
fn property(key: &str) -> Value {
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    let flag = |description: &str| json!({ "$ref": "#/$defs/boolean", "description": description });
    match key {
        "rule" => text("The rule's name, which is unique."),
        "macro" => text("The macro's name: letters, digits and _, a letter first."),
        "list" => text("The list's name, without blanks, quotes and brackets."),
        "condition" => {
            json!({ "type": ["string", "boolean"], "minLength": 1, "description": "Which events are meant." })
        }
        "output" => text("What is reported; %field stands for a field's value."),
        "desc" => text("What the rule is for, and what a match may mean."),
        "priority" => json!({ "enum": priorities(), "description": "How severe a match is." }),
        "source" => text("Where the events come from; syscall when left out."),
        "enabled" => flag("Whether the rule is loaded; true when left out."),
        "tags" => json!({
            "type": ["array", "null"],
            "description": "Words by which rules are selected: areas, and ids of MITRE ATT&CK.",
            "items": { "$ref": "#/$defs/scalar" },
        }),
        "items" => json!({
            "type": "array",
            "description": "Values, and names of other lists.",
            "items": { "$ref": "#/$defs/scalar" },
        }),
        "exceptions" => json!({
            "type": ["array", "null"],
            "description": "What the rule does not report.",
            "items": { "$ref": "#/$defs/exception" },
        }),
        "warn_evttypes" => {
            flag("Whether a condition without event types is warned about; true when left out.")
        }
        "skip-if-unknown-filter" => {
            flag("Whether the rule is skipped when a field is unknown, instead of failing.")
        }
        "capture" => flag("Whether a capture is wanted when the rule matches."),
        "action" => json!({
            "enum": ["deny", "kill"],
            "description": "What the kernel does about an event that matches; only of sensor, see docs/enforcement.md.",
        }),
        "capture_duration" => json!({
            "type": "integer",
            "minimum": 0,
            "description": "How long such a capture is, in milliseconds.",
        }),
        "append" => json!({
            "$ref": "#/$defs/boolean",
            "description": "Use override instead.",
            "deprecated": true,
        }),
        // The test of descriptions finds a key that the loader has learnt since.
        _ => json!({}),
    }
}

fn overrides(appendable: &[&str], replaceable: &[&str]) -> Value {
    let mut keys: Vec<&str> = appendable.iter().chain(replaceable).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let operations = |key: &str| {
        let append = appendable.contains(&key).then_some("append");
        let replace = replaceable.contains(&key).then_some("replace");
        let words: Vec<_> = append.into_iter().chain(replace).collect();
        json!({ "enum": words })
    };
    json!({
        "type": "object",
        "description": "Which keys change an earlier item of this name, and how.",
        "additionalProperties": false,
        "properties": properties(&keys, operations),
    })
}

fn exception() -> Value {
    let one_or_more = |description: &str| {
        json!({
            "description": description,
            "anyOf": [
                { "$ref": "#/$defs/scalar" },
                { "type": "array", "items": { "$ref": "#/$defs/scalar" } },
            ],
        })
    };
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "minLength": 1, "description": "The exception's name, unique in its rule." },
            "fields": one_or_more("The fields that are compared."),
            "comps": one_or_more("The operators, one a field; = or in when left out."),
            "values": {
                "type": ["array", "null"],
                "description": "Values to compare with: a tuple a line for several fields.",
                "items": { "type": ["string", "number", "boolean", "array"] },
            },
            "allow_incomplete": {
                "type": "boolean",
                "description": "Whether it applies to values that are known to be cut or unresolved; no when left out. A key of sensor's own.",
            },
        },
    })
}

/// Every spelling that people use: the loader takes any case.
fn priorities() -> Vec<String> {
    let names = Priority::ALL
        .iter()
        .map(|priority| priority.name())
        .chain(["Info"]);
    names
        .flat_map(|name| [name.to_uppercase(), name.to_owned(), name.to_lowercase()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{LoadOptions, Loader};

    #[test]
    fn every_key_is_described() {
        let schema = rule_file();
        for (item, keys) in [("rule", RULE_KEYS), ("macro", MACRO_KEYS), ("list", LIST_KEYS)] {
            let properties = schema["$defs"][item]["properties"].as_object().unwrap();
            assert_eq!(properties.len(), keys.len(), "{item}");
            for key in keys {
                assert!(properties[*key]["description"].is_string(), "{item}: {key}");
            }
        }
    }

    #[test]
    fn the_loader_takes_every_priority_and_boolean_of_the_schema() {
        let load = |priority: &str, enabled: &str| {
            let text = format!(
                "- {{rule: r, desc: d, condition: evt.type=open, output: o, priority: {priority}, enabled: {enabled}}}"
            );
            let mut loader = Loader::new(LoadOptions::default());
            loader.add_file("x", text.as_bytes()).is_ok()
        };
        for priority in priorities() {
            assert!(load(&priority, "true"), "{priority}");
        }
        for word in BOOLEAN_WORDS {
            assert!(load("INFO", word), "{word}");
        }
        assert!(!load("worst", "true"));
        assert!(!load("INFO", "2"));
    }
}
