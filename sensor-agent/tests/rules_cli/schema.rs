//! A checker for the part of JSON Schema that our schema uses; a keyword that it does not know fails the test.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Rule files below a folder, without their tests.
pub(crate) fn collect_yaml(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_yaml(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml")
            && !path.to_string_lossy().ends_with(".test.yaml")
        {
            found.push(path);
        }
    }
}

/// Whether the value follows the schema; otherwise the first thing that does not, with its place.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    Checker { root: schema }.check(schema, value, "")
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for (keyword, wanted) in schema.as_object().unwrap() {
            let is_met = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "deprecated" => true,
                "$ref" => {
                    let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.root.pointer(pointer).unwrap(), value, at)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
                    one => is_of_type(one, value),
                },
                "enum" => wanted.as_array().unwrap().contains(value),
                "minLength" => value
                    .as_str()
                    .is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
                "minimum" => value
                    .as_i64()
                    .is_none_or(|number| number >= wanted.as_i64().unwrap()),
                "required" => value.as_object().is_none_or(|object| {
                    let mut keys = wanted.as_array().unwrap().iter();
                    keys.all(|key| object.contains_key(key.as_str().unwrap()))
                }),
                "additionalProperties" => value.as_object().is_none_or(|object| {
                    assert_eq!(*wanted, Value::Bool(false));
                    let known = schema["properties"].as_object().unwrap();
                    object.keys().all(|key| known.contains_key(key))
                }),
                "properties" => {
                    for (key, child) in wanted.as_object().unwrap() {
                        if let Some(inner) = value.get(key) {
                            self.check(child, inner, &format!("{at}/{key}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, inner, &format!("{at}/{index}"))?;
                    }
                    true
                }
                "anyOf" => {
                    let all = wanted.as_array().unwrap();
                    let tried: Vec<_> = all.iter().map(|one| self.check(one, value, at)).collect();
                    if !tried.iter().any(Result::is_ok) {
                        return Err(format!("{at}: none of {tried:?}"));
                    }
                    true
                }
                other => panic!("the checker does not know {other}"),
            };
            if !is_met {
                return Err(format!("{at}: {keyword} {wanted}"));
            }
        }
        Ok(())
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called {other}"),
    }
}
