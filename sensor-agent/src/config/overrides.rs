//! Values from environment variables and flags, which go before the file's.

use std::ffi::OsString;

use super::read::nearest;
use super::schema::{Key, KeyType};
use super::tree::{Node, Place, Source, SyntaxError, Value};

/// Variables that mean something else than a key.
const OTHER_VARIABLES: [&str; 2] = ["SENSOR_CONFIG", "SENSOR_ADDRESS"];

/// A value for one key, from outside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Where it came from, as messages name it.
    origin: String,
    /// As it was written, `NAME=VALUE`.
    text: String,
    /// The key, such as `grpc.socket`.
    key: String,
}

impl Override {
    /// A value given on the command line, as in `--set grpc.socket=/tmp/sensor.sock`.
    ///
    /// # Errors
    /// When there is no `=`.
    pub fn from_flag(text: &str) -> Result<Self, String> {
        let Some((key, _)) = text.split_once('=') else {
            return Err("expected KEY=VALUE, such as grpc.socket=/tmp/sensor.sock".to_owned());
        };
        Ok(Self {
            origin: "--set".to_owned(),
            key: key.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Puts the value into the tree and its text among the sources.
    pub(super) fn apply(
        &self,
        keys: &[Key],
        tree: &mut Node,
        sources: &mut Vec<Source>,
    ) -> Result<(), SyntaxError> {
        let source = sources.len();
        sources.push(Source {
            name: self.origin.clone(),
            text: self.text.clone(),
        });
        let start = self.text.find('=').map_or(self.text.len(), |equals| equals + 1);
        let key_place = Place {
            source,
            start: 0,
            end: start.saturating_sub(1),
        };
        let place = Place {
            source,
            start,
            end: self.text.len(),
        };
        let key_type = keys
            .iter()
            .find(|key| key.path == self.key)
            .map_or(KeyType::Other, |key| key.key_type);
        let value = parse(key_type, &self.text, place)?;
        tree.set(&self.key.split('.').collect::<Vec<_>>(), key_place, value);
        Ok(())
    }
}

/// Reads a value. Where only text makes sense it is taken as it is, and lists of text are split at
/// commas, so that nobody has to quote YAML in a shell.
fn parse(key_type: KeyType, text: &str, place: Place) -> Result<Node, SyntaxError> {
    let value = &text[place.start..];
    let text_node = |text: &str, place| Node::new(place, Value::Text(text.to_owned()));
    match key_type {
        KeyType::TextOrNull if value.is_empty() || value == "null" => Ok(Node::new(place, Value::Null)),
        KeyType::Text | KeyType::TextOrNull => Ok(text_node(value, place)),
        KeyType::TextList if !value.starts_with('[') => {
            let items = value
                .split(',')
                .filter(|item| !item.is_empty())
                .map(|item| text_node(item, place));
            Ok(Node::new(place, Value::List(items.collect())))
        }
        KeyType::TextList | KeyType::Other => Node::parse(place.source, text, place.start),
    }
}

/// Finds the overrides among environment variables. Returns them, and a warning for each `SENSOR_`
/// variable that means nothing.
pub(super) fn from_environment(
    keys: &[Key],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Vec<Override>, Vec<String>) {
    let names: Vec<String> = keys.iter().map(|key| variable_name(&key.path)).collect();
    let (mut overrides, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("SENSOR_")) else {
            continue;
        };
        if OTHER_VARIABLES.contains(&name) {
            continue;
        }
        let Some(index) = names.iter().position(|known| known == name) else {
            if !is_kubernetes_service(name) {
                let near = nearest(name, names.iter().map(String::as_str));
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                warnings.push(format!(
                    "the environment variable {name} is not one of the sensor's{hint}"
                ));
            }
            continue;
        };
        let Some(value) = value.to_str() else {
            warnings.push(format!(
                "the environment variable {name} is ignored: its value is not UTF-8"
            ));
            continue;
        };
        overrides.push(Override {
            origin: "environment".to_owned(),
            text: format!("{name}={value}"),
            key: keys[index].path.clone(),
        });
    }
    overrides.sort_by(|a, b| a.text.cmp(&b.text));
    (overrides, warnings)
}

/// `grpc.socket` is set by `SENSOR_GRPC_SOCKET`.
pub(super) fn variable_name(path: &str) -> String {
    format!("SENSOR_{}", path.replace('.', "_").to_uppercase())
}

/// Kubernetes sets such variables in every pod for a service named `sensor` or `sensor-...`.
fn is_kubernetes_service(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
}
