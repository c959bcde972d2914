//! What a case says.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A case of the suite.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rule: String,
    pub(crate) runner: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) run_if: BTreeMap<String, Test>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) context: Context,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) resources: Vec<Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) steps: Vec<Value>,
    #[serde(rename = "expectedOutcome")]
    pub(crate) expected: Expected,
    #[serde(default)]
    pub(crate) index: u64,
}

/// A condition on the machine.
#[derive(Debug, Deserialize)]
pub(crate) struct Test {
    pub(crate) op: String,
    pub(crate) val: String,
}

/// Where the case is performed.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Context {
    pub(crate) container: Option<ContainerContext>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) processes: Vec<Process>,
}

/// A container of its own; the format's default is a privileged one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContainerContext {
    #[serde(default = "default_image")]
    pub(crate) image: String,
    #[serde(default = "default_name")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) env: BTreeMap<String, String>,
}

fn default_image() -> String {
    "docker.io/falcosecurity/event-generator:latest".into()
}

fn default_name() -> String {
    "event-generator".into()
}

/// One process of the chain, or one that is a resource.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// Its comm.
    pub(crate) name: Option<String>,
    pub(crate) exe_path: Option<String>,
    /// Its first word.
    pub(crate) exe: Option<String>,
    pub(crate) args: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) user: Option<String>,
    pub(crate) capabilities: Option<String>,
}

/// What must be told.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Expected {
    pub(crate) source: Option<String>,
    pub(crate) priority: Option<String>,
    pub(crate) hostname: Option<String>,
    /// A part of the output.
    pub(crate) output: Option<String>,
    #[serde(default, rename = "outputFields", deserialize_with = "or_default")]
    pub(crate) fields: BTreeMap<String, Value>,
}

/// What is null is as if it were left out.
fn or_default<'a, T: Default + Deserialize<'a>, D: Deserializer<'a>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Every case of a file.
pub(crate) fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Case {
    /// Why it is not for this machine.
    pub(crate) fn excluded(&self) -> Option<String> {
        if self.runner != "HostRunner" {
            return Some(format!("the runner {} is not known", self.runner));
        }
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.run_if.iter().find_map(|(what, test)| {
            let is_so = match (what.as_str(), test.op.as_str()) {
                ("arch", "eq") => arch == test.val,
                ("arch", "ne") => arch != test.val,
                _ => return Some(format!("the condition {what} {} is not known", test.op)),
            };
            (!is_so).then(|| format!("not for {arch}"))
        })
    }
}
